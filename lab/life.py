"""One LLMDeployment as it is seen from outside: its resource and its route over time, and which hash was which version."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab import live
from lab.live import Object, Watch


@dataclass
class Life:
    """Follow ``resource`` and ``route`` with ``live.watching``; everything else is read from what they have seen."""

    name: str
    space: str
    resource: Watch = field(init=False)
    route: Watch = field(init=False)
    hashes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.resource = Watch("llmdep", self.name, self.space, on_change=self._learn)
        self.route = Watch("httproute", self.name, self.space)

    def _learn(self, obj: Object | None) -> None:
        for role in ("stable", "candidate", "previous"):
            if ref := live.status(obj).get(role):
                self.hashes[ref["hash"]] = ref["version"]

    @property
    def host(self) -> str:
        return f"{self.name}.{self.space}.example.com"

    @property
    def status(self) -> Object:
        return live.status(self.resource.last)

    def stable(self) -> str:
        return (self.status.get("stable") or {}).get("version", "")

    def by_version(self, route: Object | None) -> dict[str, int]:
        return {n.removeprefix(f"{self.name}-").rpartition("-")[0]: w for n, w in live.weights(route).items()}

    def weights(self) -> dict[str, int]:
        """Weight by version, as the route has it now."""
        return self.by_version(self.route.last)

    def condition(self, kind: str) -> Object:
        return live.condition(self.resource.last, kind)

    def serves(self, version: str) -> bool:
        """It has all traffic, and the gateway knows it."""
        ready = self.condition("Ready").get("status") == "True"
        return ready and self.stable() == version and self.weights() == {version: 100}

    def steps(self, version: str) -> list[int]:
        """The weights that ``version`` had, in order, without repetition."""
        out: list[int] = []
        for _, route in self.route.seen:
            weight = self.by_version(route).get(version, 0)
            if weight and (not out or out[-1] != weight):
                out.append(weight)
        return out
