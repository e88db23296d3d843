"""The identity of a revision: a hash over everything that can change an answer.

Canonical form after RFC 8785 as far as the values here need it: sorted keys, no white space, UTF-8. The algorithm's tag is part of
what is hashed, and so are the names of the LLMDeployment, of the version and of the model as requests ask for it: a rename is a rollout.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from solera.api.defaults import ResolvedVersion
from solera.api.fields import identity, operational

ALGORITHM = "v1"
_ALPHABET = "0123456789bcdfghjklmnpqrstvwxz"  # no vowels: a hash never spells a word, and has no y that looks like v
HASH_LENGTH = 8


def canonical(value: Any) -> str:
    """JSON with sorted keys and without white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digest(value: Any) -> str:
    number = int.from_bytes(hashlib.sha256(canonical(value).encode()).digest(), "big")
    letters = []
    for _ in range(HASH_LENGTH):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)


def revision_hash(llmdeployment: str, model_name: str, version: ResolvedVersion) -> str:
    """8 characters over the identity fields (about 39 bits: a clash within one version's history is out of reach)."""
    return _digest([ALGORITHM, llmdeployment, version.name, model_name, identity(version)])


def operational_hash(version: ResolvedVersion) -> str:
    """8 characters over the operational fields: whether somebody has changed them since a rollback."""
    return _digest([ALGORITHM, operational(version)])


def revision_name(llmdeployment: str, version: str, revision: str) -> str:
    """The name of all children of one revision, a DNS label of at most 63 characters (33 + 20 + 8 + 2)."""
    return f"{llmdeployment}-{version}-{revision}"
