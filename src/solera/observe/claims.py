"""Who claims which hostname on which gateway. Gateways let the oldest route win and say nothing to the younger one; we do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from solera.kinds import Key

Manifest = dict[str, Any]
Place = tuple[str, str, str]
"""(namespace of the gateway, its name, hostname in lower case; "" for all hostnames of the listener)."""


@dataclass(frozen=True, slots=True)
class _Claim:
    section: str
    port: int | None

    def meets(self, other: _Claim) -> bool:
        """Two claims can meet at one listener unless both name a different one."""
        sections = not self.section or not other.section or self.section == other.section
        ports = self.port is None or other.port is None or self.port == other.port
        return sections and ports


class Claims:
    """The claims of all LLMDeployments, by place."""

    def __init__(self) -> None:
        self._at: dict[Place, dict[Key, list[_Claim]]] = {}
        self._of: dict[Key, dict[Place, list[_Claim]]] = {}
        self._age: dict[Key, tuple[str, Key]] = {}

    def put(self, key: Key, obj: Manifest) -> set[Key]:
        """Take the claims of one LLMDeployment as they are now. Returns the others whose claims meet the old or new ones."""
        claims: dict[Place, list[_Claim]] = {}
        for place, claim in _claims(obj):
            claims.setdefault(place, []).append(claim)
        age = (obj["metadata"].get("creationTimestamp", ""), key)
        if claims == self._of.get(key) and age == self._age.get(key):
            return set()
        touched = self.drop(key)
        self._of[key], self._age[key] = claims, age
        for place, found in claims.items():
            self._at.setdefault(place, {})[key] = found
        return touched | self._neighbours(key)

    def drop(self, key: Key) -> set[Key]:
        """Forget the claims of one LLMDeployment. Returns the others that they met."""
        touched = self._neighbours(key)
        for place in self._of.pop(key, {}):
            self._at[place].pop(key, None)
            if not self._at[place]:
                del self._at[place]
        self._age.pop(key, None)
        return touched

    def lost_by(self, key: Key) -> tuple[str, ...]:
        """Its claims that an older one holds. Older: by creation time, then by namespace and name, as the Gateway API says."""
        lost = []
        for place, mine in self._of.get(key, {}).items():
            for other, theirs in self._at[place].items():
                if self._age[other] < self._age[key] and any(m.meets(t) for m in mine for t in theirs):
                    host = place[2] or "every hostname of the listener"
                    lost.append(f"{host} is claimed by {other[0]}/{other[1]} (older)")
        return tuple(sorted(set(lost)))

    def _neighbours(self, key: Key) -> set[Key]:
        return {other for place in self._of.get(key, {}) for other in self._at[place]} - {key}


def _claims(obj: Manifest) -> Iterator[tuple[Place, _Claim]]:
    gateway = ((obj.get("spec") or {}).get("traffic") or {}).get("gateway") or {}
    own = obj["metadata"].get("namespace", "")
    for parent in gateway.get("parentRefs") or []:
        for host in gateway.get("hostnames") or [""]:
            place = (parent.get("namespace") or own, parent.get("name", ""), host.lower())
            yield place, _Claim(parent.get("sectionName") or "", parent.get("port"))
