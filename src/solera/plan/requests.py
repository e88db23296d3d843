"""What a person asks for through an annotation: a verb, bound to one candidate and one step, made unique by a nonce."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

REQUEST_ANNOTATION = "solera.dev/request"
REQUESTED_BY_ANNOTATION = "solera.dev/requested-by"
"""`<request> <user name>`: the chart's policy lets everyone write only the own name, and only next to a request of one's own."""
VERBS = ("promote", "abort", "pause", "resume", "retry")
MAX_NAME = 256
LONGEST = 256
"""Characters of a request that are read: as many as ``status.lastHandledRequest`` holds. Those of the plugin have half."""

_FORM = re.compile(
    r"(?P<verb>[a-z]+)@(?P<candidate>[0-9a-z]{1,64})/(?P<step>[0-9]{1,3})#(?P<nonce>[0-9A-Za-z_-]{1,64})"
)


@dataclass(frozen=True, slots=True)
class Request:
    """``step`` counts from 0, as in status.rollout.step."""

    verb: str
    candidate: str
    step: int
    nonce: str

    def to_annotation(self) -> str:
        """The inverse of `parse_request`."""
        return f"{self.verb}@{self.candidate}/{self.step}#{self.nonce}"


def parse_request(text: str) -> Request | None:
    """None for anything that is not a request of a known verb."""
    match = _FORM.fullmatch(text)
    if match is None or match["verb"] not in VERBS:
        return None
    return Request(match["verb"], match["candidate"], int(match["step"]), match["nonce"])


def requested_by(annotations: Mapping[str, str], text: str) -> str | None:
    """Who wrote the request ``text``; None when nobody signed it, or the signature belongs to another request."""
    signature = annotations.get(REQUESTED_BY_ANNOTATION) or ""
    if not signature.startswith(f"{text} "):
        return None
    name = "".join(c for c in signature[len(text) + 1 :] if c.isprintable()).strip()
    return name[:MAX_NAME] or None
