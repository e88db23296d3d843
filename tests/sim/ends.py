"""How a life by chance ends: calm returns, one last thing is asked for, and it must come to be, and then to rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from sim.drawn import steps
from sim.happens import names, own_chance, recreate
from sim.invariants import check
from sim.life import Life
from sim.traffic import Behaviour
from solera.api.scalars import format_time

FRESH = "fresh"


def calm(life: Life) -> None:
    """Nothing breaks any more, and everything that serves is well."""
    life.broken, life.faults.trouble, life.cluster.lag, life.cluster.gateway_delay = None, 0.0, 0.0, 0.0
    life.faults.refused = set()
    life.faults.kill_at, life.traffic.blind, life.traffic.rate = None, False, 40.0
    life.faults.down_until = life.faults.deaf_until = 0.0
    if life.timeline.skew:
        life.timeline.set_clock(0.0)
    if not life.exists:
        recreate(life, Random(0))
    for name in names(life):
        life.behave(name, Behaviour(2.0))
    for version in names(life):
        life.edit_version(version, lifecycle=None)


def finally_serve(life: Life, by: Random, how: Behaviour, **lifecycle: Any) -> None:
    life.behaviours[FRESH] = how
    entry = {"name": FRESH, "model": {"uri": "image:///models/fresh"}} | ({"lifecycle": lifecycle} if lifecycle else {})
    good = {"name": "last", "model": {"uri": "image:///models/last"}}
    guardrail = {"name": "errors", "metric": "ErrorRate", "limit": "10%"}
    plan = [{k: v for k, v in one.items() if k != "maxDuration"} for one in steps(by)]
    new = {**life.spec["rollout"], "steps": plan, "guardrails": [guardrail], "onInconclusive": "Hold"}
    if "risk" in new:  # at 40 requests a second 1% is more than the smallest of them
        new["risk"] = {"maxHarmedRequests": own_chance(life).choice([40, 400])}
    life.edit(serve=FRESH, versions=[*life.spec["versions"], entry, good], rollout=new)


def reach(life: Life, what: Callable[[Life], bool], limit: float = 4000.0) -> None:
    """Until it is so; a person approves and resumes what waits for one."""

    def watch(one: Life) -> bool:
        if one.exists:
            verb = {"WaitingForApproval": "promote", "Paused": "resume"}.get(one.waits_for or "")
            waiting = (verb, (one.status.get("rollout") or {}).get("step"), (one.status.get("rollout") or {}).get("id"))
            if verb and waiting != asked.get("last"):
                asked["last"] = waiting
                one.ask(verb, f"end{one.cluster.requests}")
        return what(one)

    asked: dict[str, Any] = {}
    life.until(watch, limit)


def alone(version: str) -> Callable[[Life], bool]:
    def check(life: Life) -> bool:
        over = not {"candidate", "previous", "draining"} & life.status.keys()
        return (
            over
            and life.weights() == {version: 100}
            and life.running() == {version}
            and life.condition("Ready") == "True"
        )

    return check


def a_good_version(life: Life, by: Random) -> None:
    finally_serve(life, by, Behaviour(by.choice([1, 10]), bad={"errors": by.choice([0, 0.02])}))
    reach(life, alone(FRESH))
    assert life.condition("RolloutComplete") == "True", life.describe()


def a_bad_version(life: Life, by: Random) -> None:
    if not life.status.get("stable"):  # the first one ever has nothing to be compared with
        a_good_version(life, by)
        return
    stable = life.status["stable"]["version"]
    finally_serve(
        life,
        by,
        by.choice([Behaviour(2, bad={"errors": 0.5}), Behaviour(2, never_ready=True), Behaviour(2, hung=True)]),
    )
    reach(life, lambda w: FRESH in {r["version"] for r in w.status.get("rejected", ())} and FRESH not in w.running())
    assert set(life.weights().values()) == {100}, life.describe()
    assert life.running() == set(life.weights()), life.describe()
    assert life.reason("RolloutComplete") == "RolledBack", life.describe()
    assert stable is not None


def a_retirement(life: Life, by: Random) -> None:
    date = format_time(life.timeline.now() + timedelta(seconds=by.choice([20, 200, 900])))
    finally_serve(life, by, Behaviour(2), retiresAt=date, successor="last", migrateBefore=by.choice(["5s", "2m"]))
    reach(life, lambda w: alone("last")(w) and phase(w, FRESH) == "Retired")


def phase(life: Life, version: str) -> str | None:
    return next((v["phase"] for v in life.status.get("versions", ()) if v["name"] == version), None)


def a_refusal(life: Life, by: Random) -> None:
    a_good_version(life, by)
    date = format_time(life.timeline.now() + timedelta(seconds=by.choice([-1, 30])))
    life.edit_version(FRESH, lifecycle={"retiresAt": date, "onRetirement": "Refuse"})
    reach(life, lambda w: not w.running() and w.route is None and "draining" not in w.status)


def a_hold(life: Life, by: Random) -> None:
    a_good_version(life, by)
    life.edit_version(
        FRESH, lifecycle={"retiresAt": format_time(life.timeline.now() + timedelta(seconds=30)), "onRetirement": "Hold"}
    )
    reach(life, lambda w: w.condition("RetirementHeld") == "True")
    assert life.weights() == {FRESH: 100}


def a_deletion(life: Life, by: Random) -> None:
    if by.random() < 0.5:
        finally_serve(life, by, Behaviour(2))
        life.run(by.choice([1, 10, 30]))
    life.delete()
    life.run(60)
    assert life.children() == [], life.describe()


def a_new_beginning(life: Life, by: Random) -> None:
    spec = life.spec
    life.delete()
    life.run(by.choice([0, 0.05, 10]))
    life.create(spec)
    a_good_version(life, by)


ENDS = [a_good_version, a_good_version, a_bad_version, a_retirement, a_refusal, a_hold, a_deletion, a_new_beginning]


def rests(life: Life) -> None:
    """Nothing is written any more, and nothing is left over."""
    life.run(60)
    before = life.cluster.requests
    life.run(1500)
    check(life.cluster.requests == before, 8, f"written at rest: {life.witness.trace[-6:]}")
    if life.exists:
        used = {ref["revision"] for ref in (life.status.get("stable"),) if ref}
        left = {n for k, n in life.children() if k in {"ControllerRevision", "Deployment", "Service"}}
        assert left == used, f"left over: {left - used}, missing: {used - left}"
