"""What can go wrong between operator and apiserver: death before or after an answer, refusals, lost answers, outages, deaf watches."""

from __future__ import annotations

from typing import Any

from sim.operator import Killed
from solera.errors import Conflict, Forbidden, Throttled, Unavailable


class Faults:
    """``kill_at`` is the number of the write at which the operator dies, before or (``answered``) after the apiserver's answer."""

    def __init__(self, life: Any) -> None:
        self.life = life
        self.count = 0
        self.kill_at: int | None = None
        self.answered = False
        self.down_until = 0.0
        self.deaf_until = 0.0
        self.refused: set[str] = set()
        """Kinds whose writes the apiserver refuses for good: a policy, a quota, a missing right."""
        self.trouble = 0.0
        """Share of writes that meet a conflict, a 429, a 503, or whose answer is lost."""

    def reading(self, kind: str) -> None:
        if self.life.timeline.t < self.down_until:
            raise Unavailable(f"get {kind}", "connection refused")

    def before(self, what: str) -> None:
        self.count += 1
        if self.kill_at == self.count and not self.answered:
            raise Killed
        self.reading(what)
        if what in self.refused:
            raise Forbidden(f"apply {what} {self.life.namespace}/{self.life.name}", "denied by a policy", status=403)
        if self.trouble and self.life.random.random() < self.trouble:
            raise self.life.random.choice(
                [
                    Conflict(f"write {what}", "the object has been modified", status=409),
                    Throttled(f"write {what}", "too many requests", retry_after=1.0),
                    Unavailable(f"write {what}", "etcd leader changed", status=503),
                ]
            )

    def after(self, what: str) -> None:
        if self.kill_at == self.count and self.answered:
            raise Killed
        if self.trouble and self.life.random.random() < self.trouble:
            raise Unavailable(f"write {what}", "connection reset")
