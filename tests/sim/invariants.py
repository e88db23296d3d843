"""The invariants of the design as checks of one write each. Each raises ``Broken`` with the number of the invariant that does not hold."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

from sim.adaptive import follows, over_budget, planned
from sim.timeline import START
from solera.api.scalars import parse_duration, parse_percent, parse_time
from solera.plan.memory import Progress
from solera.plan.traffic import live_weights, routed_progress
from unit.api.structural import STATUS, faults

Object = dict[str, Any]
Weights = dict[str, int]

NOT_BY_EVIDENCE = re.compile(
    r"no answer within startupTimeout|no ready endpoint (since|after)|no answer since|not all pods ready since|inconclusive|aborted"
)
STALE = 185.0 + 5.0
"""Seconds after which evidence says nothing about now (verdict.STALE_AFTER), and one scrape."""


class Broken(AssertionError):  # noqa: N818 - an invariant is broken
    """``number`` is that of the invariant in the design."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"invariant {number}: {why}")
        self.number = number


def check(holds: object, number: int, why: str) -> None:
    if not holds:
        raise Broken(number, why)


# -- the route: 1, 2, 5, 7


def route_is_safe(w: Any, before: Weights, after: Weights) -> None:
    check(len(after) <= 2, 7, f"three revisions share the traffic: {after}")
    raised = [name for name, weight in after.items() if weight > before.get(name, 0)]
    stable = (w.life.status.get("stable") or {}).get("revision")
    if before and stable in raised:
        check(w.was_ready(stable), 5, f"traffic goes back to {stable}, which cannot carry it")
    somebody = any(w.life.cluster.endpoints(name) for name in w.life.cluster.revisions())
    if before and somebody and after != before:
        check(any(w.was_ready(n) for n in after), 2, f"all weight goes to what cannot answer: {after or 'nobody'}")
    for name in raised:
        back = name in before and len(after) == 1  # it has traffic, and takes over from one that is broken
        check(
            w.was_proven(name) or (back and w.was_ready(name)), 1, f"weight of {name} rises although it does not serve"
        )


# -- steps and evidence: 3, 9, 10


def steps_are_kept(w: Any, old: Object | None, live: Object) -> None:
    new, last = routed_progress(live), routed_progress(old)
    before, after = live_weights(old), live_weights(live)
    if new is None:
        return
    name = next((n for n in after if n.endswith(f"-{new.candidate}")), None)
    if name is None or after[name] <= before.get(name, 0):
        return
    plans = [_plan(w, spec, new.candidate) for spec in w.recent_specs()]
    begun = [s for s in w.steps if s[0] == new.rollout]
    heaviest = max((weight for _, _, weight in begun), default=0)
    declared = any(new.step < len(p) and p[new.step]["weight"] == after[name] for p in plans)
    if begun and new.step <= begun[-1][1] and after[name] <= heaviest:
        return  # it gets back what it lost meanwhile
    check(declared, 3, f"{after[name]}% is the weight of no declared step ({new.step})")
    if last is None or last.rollout != new.rollout:
        known = begun[-1][1] if begun else -1
        next_ = any(follows(p, known, new.step) for p in plans)
        check(new.step <= known or next_ or w.steps_edited, 10, f"begins at step {new.step} after {begun}")
        if known < 0 and not w.steps_edited:
            check(*_within_budget(w, name, after[name]))
        return
    if not w.steps_edited:
        next_ = any(follows(p, last.step, new.step) for p in plans)
        check(next_, 10, f"a step was skipped or repeated: {last.step} then {new.step}, {begun}")
    for plan in plans:
        try:
            _may_leave(w, plan, last, name, to=after[name])
            check(*_within_budget(w, name, after[name]))
        except Broken as broken:
            problem = broken
        else:
            return
    raise problem


def _plan(w: Any, spec: Object, candidate: str) -> list[Object]:
    if any(p["hash"] == candidate for p in w.life.status.get("promoted", ())):
        return [{"weight": 100, "minDuration": "0s", "minRequests": 0}]
    return planned(spec.get("rollout") or {})


def _may_leave(w: Any, plan: list[Object], last: Progress, name: str, *, to: int) -> None:
    """Time, requests, share and, before 100%, proof of the step that is left, counted from the truth."""
    if last.step >= len(plan) or w.steps_edited or plan[last.step].get("weight") != _weight_of(w, last):
        return  # the steps were edited: which one it was in is the planner's to say, and the next one is checked again
    step, since = plan[last.step], w.step_in_force.get(last)
    check(since is not None, 3, f"step {last.step} was left before the gateway took it over")
    lasted, least = w.t - since, parse_duration(step.get("minDuration", "2m")).total_seconds()
    slack = 0.1 * least + 1.0 if w.life.timeline.skewed_at >= 0 else 1.0
    check(lasted >= least - slack, 10, f"step {last.step} lasted {lasted:.1f} s of {least:.0f}")
    guardrails = (w.recent_specs()[-1].get("rollout") or {}).get("guardrails") or ()
    if not guardrails:
        return
    counted = _sent(w, name, since - 6.0 - w.window)
    check(
        counted >= step.get("minRequests", 100),
        3,
        f"step {last.step} had {counted} requests of {step.get('minRequests')}",
    )
    if step.get("minRequests", 100) and step["weight"] < 100:
        planned, seen = step["weight"] / 100, []
        for until in (w.t, w.t - 6.0 - w.window):  # the last reading may be some seconds old
            sent = {
                n: max(0, w.life.traffic.sent_at(until, n) - w.life.traffic.sent_at(since, n))
                for n in w.life.traffic.sent
            }
            everyone = max(sum(sent.values()), 1)
            share, noise = sent.get(name, 0) / everyone, 5 * math.sqrt(planned * (1 - planned) / everyone)
            seen.append((abs(share - planned) <= 0.1 + noise, share))
        well, share = max(seen)
        check(well, 3, f"the candidate got {share:.0%} instead of {step['weight']}%")
    if to == 100:
        is_proven(w, name)


def _within_budget(w: Any, name: str, weight: int) -> tuple[bool, int, str]:
    if any(name.endswith(p["hash"]) for p in w.life.status.get("promoted", ())):
        return True, 3, ""
    found = [over_budget(w, name, weight, spec.get("rollout") or {}) for spec in w.recent_specs()]
    return not found or None in found, 3, f"{weight}%: {found}"


def _weight_of(w: Any, last: Progress) -> int | None:
    return last.weight


def _sent(w: Any, revision: str, since: float) -> int:
    traffic = w.life.traffic
    return int(traffic.sent.get(revision, 0) - traffic.sent_at(since, revision))


def is_proven(w: Any, name: str) -> None:
    """Every guardrail that acts has seen enough to pass, lately, and not too many bad ones."""
    for spec in w.recent_specs():
        rollout = spec.get("rollout") or {}
        risk = parse_percent((rollout.get("risk") or {}).get("falsePromotion", "5%"))
        problem = None
        for guardrail in rollout.get("guardrails") or ():
            if guardrail.get("action") == "Observe" or "limit" not in guardrail:
                continue
            problem = problem or _unproven(w, name, guardrail["name"], parse_percent(guardrail["limit"]), risk)
        if problem is None:
            return
    raise problem


def _unproven(w: Any, name: str, guardrail: str, limit: float, risk: float) -> Broken | None:
    seen = [(s, at, c[guardrail]) for (s, of, _), (at, c) in w.valid.items() if of == name and guardrail in c]
    if not seen:
        return Broken(9, f"{name} passes {guardrail} without any evidence")
    if w.t - max(at for _, at, _ in seen) > STALE:
        return Broken(9, f"{name} passes {guardrail} although its source has been silent")
    for source in {s for s, _, _ in seen}:
        total = sum(c.total for s, _, c in seen if s == source)
        bad = sum(c.bad for s, _, c in seen if s == source)
        if (1 - limit) ** total > risk:
            return Broken(
                3, f"{name} passes {guardrail} with {total} samples: not even none bad would show {limit:.1%}"
            )
        if bad > 2 * limit * total:
            return Broken(3, f"{name} passes {guardrail} with {bad} bad of {total}")
    return None


# -- status: 6, 7, 8, 9


def status_is_true(w: Any, past: Object, status: Object) -> None:
    wrong = list(faults(STATUS, status))
    check(not wrong, 8, f"the apiserver would refuse or forget: {wrong}")
    claimed = {x["revision"]: x["weight"] for x in status.get("weights", ())}
    reasons = {c["reason"] for c in status.get("conditions", ()) if c["type"] == "Stalled"}
    unread = reasons & {"InvalidSpec", "NameTaken"}  # it cannot say, or the route is that of an earlier owner
    check(
        claimed in w.recent_routes() or (unread and not claimed),
        8,
        f"status claims {claimed}, the route carries {w.routes[-1][1]}",
    )
    candidate, stable = status.get("candidate") or {}, status.get("stable") or {}
    old = past.get("candidate") or {}
    if candidate.get("revision") and candidate != old and old and old["revision"] != stable.get("revision"):
        check(
            old["revision"] not in w.routes[-1][1],
            7,
            f"{candidate['version']} comes in while {old['version']} has weight",
        )
    if candidate and candidate != old:
        _was_asked_for(w, candidate["version"], stable.get("version"), status)
    if old and stable == old and past.get("stable") != stable and (status.get("rollout") or {}).get("id"):
        _promoted(w, old, status)
    _retired(w, past, status)
    _rejected(w, past, status)


def _was_asked_for(w: Any, version: str, stable: str | None, status: Object) -> None:
    tombs = {v["name"] for v in status.get("versions", ()) if v.get("retiredAt")}
    for spec in w.recent_specs():
        lives = {v["name"]: v.get("lifecycle") or {} for v in spec["versions"]}
        for start in (spec["serve"], stable):
            at, seen = start, set()
            while at is not None and at not in seen:
                if at == version:
                    return
                seen.add(at)
                life = lives.get(at, {})
                moves = _date(life.get("retiresAt")) - parse_duration(life.get("migrateBefore", "24h")).total_seconds()
                at = life.get("successor") if moves <= _latest(w) or at in tombs else None
    raise Broken(6, f"{version} is let in although nobody asked for it, and no date has come")


def _date(text: str | None) -> float:
    return math.inf if text is None else (parse_time(text) - START) / timedelta(seconds=1)


def _latest(w: Any) -> float:
    """The latest time that any clock of the operator can show."""
    return float(w.t + max(0.0, w.life.timeline.skew) + 1.0)


def _promoted(w: Any, ref: Object, status: Object) -> None:
    w.promotions += 1
    check({ref["revision"]: 100} in w.recent_routes(), 3, f"{ref['version']} is promoted with {w.routes[-1][1]}")
    plan = [] if not w.recent_specs() else _plan(w, w.recent_specs()[-1], ref["hash"])
    if plan and plan[-1].get("minRequests") != 0 and not w.steps_edited and len(plan) == 1:
        is_proven(w, ref["revision"])


def _retired(w: Any, past: Object, status: Object) -> None:
    buried = {v["name"] for v in past.get("versions", ()) if v.get("retiredAt")}
    for version in status.get("versions", ()):
        if version.get("retiredAt") and version["name"] not in buried:
            dates = [
                _date((v.get("lifecycle") or {}).get("retiresAt"))
                for spec in w.recent_specs()
                for v in spec["versions"]
                if v["name"] == version["name"]
            ]
            check(
                not dates or min(dates) <= _latest(w),
                6,
                f"{version['name']} is retired {min(dates or [0]) - w.t:.0f} s early",
            )


def _rejected(w: Any, past: Object, status: Object) -> None:
    known = {(r["hash"], r["at"]) for r in past.get("rejected", ())}
    for one in status.get("rejected", ()):
        if (one["hash"], one["at"]) in known or NOT_BY_EVIDENCE.search(one["reason"]):
            continue
        name = f"{w.life.name}-{one['version']}-{one['hash']}"
        hung = w.life.traffic.hung and "none came out" in one["reason"]
        check(hung or any(c.bad for (_, of, _), (_, cs) in w.valid.items() if of == name for c in cs.values()), 9,
              f"{one['version']} is rolled back without a bad answer: {one['reason']}")  # fmt: skip


# -- removals: 2, 4, 6


def removal_is_safe(w: Any, kind: str, name: str, live: Object) -> None:
    check(w.life.exists, 4, f"{kind} {name} is deleted after its owner")
    if kind == "HTTPRoute":
        check(_refused(w), 6, "the route is deleted, and no version was to be refused")
        return
    routed = w.routes[-1][1]
    check(name not in routed, 4, f"{kind} {name} is deleted while the route gives it {routed.get(name)}%")
    check(
        name not in w.life.cluster.in_force, 4, f"{kind} {name} is deleted while the gateway still sends requests to it"
    )
    if kind == "Deployment" and name in w.weightless_since:
        lasted = w.t - w.weightless_since[name]
        slack = 1.1 if w.life.timeline.skewed_at < 0 else 1.0 + 0.12 * drain_of(w, name)
        check(lasted >= drain_of(w, name) - slack, 4, f"pods of {name} go {lasted:.1f} s after its last request")


def _refused(w: Any) -> bool:
    for spec in w.recent_specs():
        for version in spec["versions"]:
            life = version.get("lifecycle") or {}
            if life.get("onRetirement") == "Refuse" and _date(life.get("retiresAt")) <= _latest(w):
                return True
    return False


def drain_of(w: Any, name: str) -> float:
    return min(parse_duration(s["template"].get("drainTimeout", "2m")).total_seconds() for s in w.recent_specs())


def pods_are_not_scaled_away(w: Any, old: Object, live: Object) -> None:
    name, fewer = live["metadata"]["name"], live["spec"]["replicas"]
    if fewer == 0 < old["spec"]["replicas"] and name in w.routes[-1][1]:
        asked = [s["template"].get("replicas") for s in w.recent_specs()]
        asked += [(v.get("template") or {}).get("replicas") for s in w.recent_specs() for v in s["versions"]]
        check(0 in asked, 4, f"the pods of {name} are taken away while it has weight")
