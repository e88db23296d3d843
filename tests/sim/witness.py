"""Sees every write of the operator and everything that really happens, and knows the ten invariants of the design.

What the operator could not know is not held against it: while news of the cluster are late, the truth of any moment since it was last up to
date will do. Everything else is judged by the truth, not by what the operator saw.
"""

from __future__ import annotations

from typing import Any

from sim import invariants as must
from solera.plan.memory import Progress
from solera.plan.traffic import live_weights, routed_progress

Object = dict[str, Any]


class Witness:
    """``trace`` are all writes in words; ``steps`` the steps begun, as (rollout, step, weight of the candidate)."""

    def __init__(self, life: Any) -> None:
        self.life = life
        self.trace: list[str] = []
        self.events: list[str] = []
        self.told: list[str] = []
        self.steps: list[tuple[str, int, int]] = []
        self.weights_seen: list[tuple[float, dict[str, int]]] = []
        self.routes: list[tuple[float, dict[str, int]]] = [(0.0, {})]
        """Weights of the route from a moment on, whoever wrote them."""
        self.specs: list[tuple[float, Object]] = []
        self.steps_edited = False
        self.step_in_force: dict[Progress, float] = {}
        self.weightless_since: dict[str, float] = {}
        self.carried: set[str] = set()
        """Revisions that ever had weight."""
        self.valid: dict[tuple[str, str, str], tuple[float, Any]] = {}
        self.paused: set[str] = set()
        self.promotions = 0
        self._ready: dict[str, float] = {}
        self._proven: dict[str, float] = {}
        self._fresh: float | None = None
        self._undelivered = 0

    # -- what the operator could know

    @property
    def t(self) -> float:
        return float(self.life.timeline.t)

    @property
    def window(self) -> float:
        """Seconds by which the operator's view may be old."""
        return 0.0 if self._fresh is None else self.t - self._fresh

    def posted(self) -> None:
        """News are on their way."""
        if self._undelivered == 0:
            self._fresh = self.t
        self._undelivered += 1

    def arrived(self) -> None:
        self._undelivered -= 1
        if self._undelivered == 0:
            self._fresh = None

    def note(self) -> None:
        """Stamp what is true now, before it changes."""
        cluster, t = self.life.cluster, self.t
        for name in cluster.revisions():
            if cluster.endpoints(name):
                self._ready[name] = t
                if cluster.proven(name):
                    self._proven[name] = t

    def was_ready(self, name: str) -> bool:
        return self.life.cluster.endpoints(name) > 0 or self._recent(self._ready.get(name))

    def was_proven(self, name: str) -> bool:
        return self.life.cluster.proven(name) or self._recent(self._proven.get(name))

    def steadily(self) -> float:
        """Requests in a second that came at least, over the last half minute and the last five: what an operator can know of the rate."""
        traffic = self.life.traffic
        now = sum(traffic.sent.values())
        rates = []
        for seconds in (30.0, 300.0):
            since = min(seconds, max(self.t, 1.0))
            before = sum(traffic.sent_at(self.t - since, name) for name in traffic.sent)
            rates.append((now - before) / since)
        return min(rates)

    def _recent(self, stamp: float | None) -> bool:
        return stamp is not None and self.window > 0 and stamp >= self.t - self.window

    def recent_specs(self) -> list[Object]:
        """The spec in force, and those that the operator may still believe in."""
        begun = [i for i, (at, _) in enumerate(self.specs) if at < self.t - self.window or not self.window]
        return [spec for _, spec in self.specs[begun[-1] if begun else 0 :] if spec]

    def recent_routes(self) -> list[dict[str, int]]:
        begun = [i for i, (at, _) in enumerate(self.routes) if at < self.t - self.window or not self.window]
        return [weights for _, weights in self.routes[begun[-1] if begun else 0 :]]

    # -- what happens

    def edited(self, *, steps: bool = False) -> None:
        self.specs.append((self.t, self.life.spec))
        self.steps_edited |= steps

    def routed(self, route: Object | None) -> None:
        weights = live_weights(route)
        self.routes.append((self.t, weights))
        self.carried |= weights.keys()

    def in_force(self, progress: Progress | None) -> None:
        if progress is not None:
            self.step_in_force.setdefault(progress, self.t)

    def weighed(self, before: dict[str, int], after: dict[str, int]) -> None:
        """The gateway shares out requests by other weights from now on."""
        for name in before.keys() - after.keys():
            self.weightless_since.setdefault(name, self.t)
        for name in after:
            self.weightless_since.pop(name, None)

    def took(self, readings: Any) -> None:
        for r in readings:
            counts = r.counters.values()
            if counts and all(isinstance(c.total, int) and isinstance(c.bad, int) for c in counts):
                self.valid[r.source, r.revision, r.instance] = (self.t, r.counters)

    def event(self, manifest: Object) -> None:
        self._trace(f"Event {manifest['reason']}")
        self.events.append(manifest["reason"])
        self.told.append(manifest["note"])

    # -- what the operator writes

    def wrote(self, what: str, old: Object | None, live: Object) -> None:
        if what == "HTTPRoute":
            before, after = live_weights(old), live_weights(live)
            self._trace(f"route {after} {getattr(routed_progress(live), 'step', None)}")
            self.weights_seen.append((self.t, {self.life.version_of(n): w for n, w in after.items()}))
            must.route_is_safe(self, before, after)
            must.steps_are_kept(self, old, live)
            self._remember_step(live, after)
        elif what == "status":
            status, past = live["status"], (old or {}).get("status") or {}
            self._trace(f"status {status.get('state')} {(status.get('rollout') or {}).get('reason')}")
            must.status_is_true(self, past, status)
            rollout = status.get("rollout") or {}
            if rollout.get("pausedAt"):
                self.paused.add(rollout["id"])
        else:
            self._trace(what)
            if what == "Deployment" and old is not None:
                must.pods_are_not_scaled_away(self, old, live)

    def deletes(self, kind: str, name: str, live: Object) -> None:
        self._trace(f"delete {kind} {name}")
        must.removal_is_safe(self, kind, name, live)

    def deleted(self, kind: str, name: str) -> None:
        if kind == "Deployment":
            self.weightless_since.pop(name, None)

    def _trace(self, what: str) -> None:
        self.trace.append(f"{self.t:.1f} {what}")

    def _remember_step(self, live: Object, after: dict[str, int]) -> None:
        progress = routed_progress(live)
        if progress is None:
            return
        weight = sum(w for n, w in after.items() if n.endswith(f"-{progress.candidate}"))
        known = [s for s in self.steps if s[0] == progress.rollout]
        if not known or known[-1][1] != progress.step:
            self.steps.append((progress.rollout, progress.step, weight))
            self.steps_edited = False
