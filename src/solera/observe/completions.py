"""Which requests to an engine's HTTP server ask for a completion, by the labels of its counters. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_COMPLETIONS = re.compile(r"^/v1/(chat/completions|completions|responses|messages|embeddings)/?$|^/generate$")


def completion(labels: Mapping[str, str], handler: str, status: str) -> str | None:
    """The first digit of the status of a completion, 499 (the client left) in full, None for any other request."""
    if not _COMPLETIONS.match(labels.get(handler, "")) or labels.get("method", "POST").upper() != "POST":
        return None
    code = labels.get(status, "")
    return code if code == "499" else code[:1]
