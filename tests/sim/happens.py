"""What people, other hands, chance and the world do to a life. Each takes the life and the chance, and may say what it chose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from sim.collector import BROKEN
from sim.drawn import adaptive, behaviour, guardrails, steps
from sim.life import Life
from sim.timeline import START
from solera.api.scalars import format_time


def names(life: Life) -> list[str]:
    return [v["name"] for v in life.spec["versions"]]


def serve(life: Life, by: Random) -> str:
    wanted = by.choice(names(life))
    life.edit(serve=wanted)
    return wanted


def serve_back(life: Life, _by: Random) -> str:
    wanted = (life.status.get("stable") or {}).get("version", "v1")
    if wanted in names(life):
        life.edit(serve=wanted)
    return wanted


def edit_steps(life: Life, by: Random) -> str:
    life.edit_rollout(steps=steps(by))
    own = own_chance(life)
    return edit_strategy(life, own) if own.random() < 0.3 else ""


def own_chance(life: Life) -> Random:
    """Chance that takes nothing from that of the life: what is adaptive leaves all other lives as they are."""
    return Random(f"adaptive {life.timeline.t}")


def edit_guardrails(life: Life, by: Random) -> None:
    new = guardrails(by)
    if life.spec["rollout"].get("strategy") == "Adaptive":
        new = adaptive(own_chance(life))["guardrails"]
    life.edit_rollout(guardrails=new)


def edit_strategy(life: Life, by: Random) -> str:
    """To and fro, or another budget."""
    kept = {k: v for k, v in life.spec["rollout"].items() if k not in {"strategy", "risk"}}
    if life.spec["rollout"].get("strategy") != "Adaptive":
        life.edit(rollout={**kept, **adaptive(by)})
    elif by.random() < 0.5:
        life.edit_rollout(risk=adaptive(by)["risk"])
    else:
        life.edit(rollout=kept)
    return f"{life.spec['rollout']}"


def edit_engine(life: Life, by: Random) -> None:
    engine = {**life.spec["template"]["engine"], "args": ["--max-model-len", by.choice(["4096", "8192"])]}
    life.edit_template(engine=engine)


def edit_one_engine(life: Life, by: Random) -> str:
    name = by.choice(names(life))
    life.edit_version(name, template={"engine": {"args": ["--max-num-seqs", by.choice(["8", "16"])]}})
    return name


def edit_operational(life: Life, by: Random) -> None:
    by.choice(
        [
            lambda: life.edit_template(replicas=by.choice([1, 2, 4])),
            lambda: life.edit_template(drainTimeout=f"{by.choice([1, 10, 40])}s"),
            lambda: life.edit_rollout(keepPrevious=by.choice(["0s", "20s", "2m"])),
        ]
    )()


def edit_invalid(life: Life, _by: Random) -> None:
    """What an older definition let in: today's rules refuse it."""
    life.edit_rollout(steps=[{"weight": 50}, {"weight": 20}])


def declare_date(life: Life, by: Random) -> str:
    name, seconds = by.choice(names(life)), life.timeline.t + by.choice([-50, 5, 40, 150, 100_000])
    at = format_time(START + timedelta(seconds=seconds))
    successor = by.choice([n for n in names(life) if n != name])
    leads = {v["name"]: (v.get("lifecycle") or {}).get("successor") for v in life.spec["versions"]}
    seen, here = {name}, successor
    while here is not None and here not in seen:
        seen.add(here)
        here = leads.get(here)
    redirect = {"retiresAt": at, "migrateBefore": by.choice(["5s", "60s"])} | (
        {} if here == name else {"successor": successor}
    )
    refuse = {"retiresAt": at, "onRetirement": "Refuse"}
    lifecycle = by.choice([redirect, redirect, {"retiresAt": at}, refuse, None])
    life.edit_version(name, lifecycle=lifecycle)
    return f"{name} {lifecycle}"


def forget_version(life: Life, by: Random) -> str:
    kept = {life.spec["serve"], (life.status.get("stable") or {}).get("version")}
    kept |= {(v.get("lifecycle") or {}).get("successor") for v in life.spec["versions"]}
    name = by.choice(names(life))
    if name not in kept and len(names(life)) > 2:
        life.edit(versions=[v for v in life.spec["versions"] if v["name"] != name])
    return name


def request(life: Life, by: Random) -> str:
    verb = by.choice(["promote", "promote", "abort", "pause", "resume", "resume", "retry"])
    rejected = life.status.get("rejected") or []
    return life.ask(verb, of=rejected[-1]["hash"] if verb == "retry" and rejected else "")


def other_hand(life: Life, by: Random) -> str:
    kind = by.choice(["HTTPRoute", "Service", "Deployment", "ControllerRevision", "RolloutRecord"])
    mine = sorted(ref for ref in life.cluster.objects if ref[0] == kind)
    if mine:
        life.cluster.remove(*by.choice(mine))
    return kind


def other_hand_edits(life: Life, by: Random) -> str:
    def scale(obj: Any) -> None:
        obj["spec"]["replicas"] = by.choice([1, 5])

    def reweigh(obj: Any) -> None:
        for backend in obj["spec"]["rules"][0]["backendRefs"]:
            backend["weight"] = by.choice([1, 50, 99])

    kind, change = by.choice([("Deployment", scale), ("HTTPRoute", reweigh)])
    mine = sorted(ref for ref in life.cluster.objects if ref[0] == kind)
    if mine:
        life.cluster.edit(*by.choice(mine), change)
    return kind


def pods_go(life: Life, by: Random) -> None:
    for pod in list(life.cluster.pods.values()):
        if by.random() < 0.5:
            by.choice([life.cluster.kill, life.cluster.restart])(pod)


def pods_break(life: Life, by: Random) -> str:
    """Some stay, not ready, until their container starts again."""
    broken = [pod for pod in life.cluster.pods.values() if pod.ready and by.random() < 0.6]
    for pod in broken:
        pod.started = life.timeline.now()
        life.cluster.set_ready(pod, False)
    return str(len(broken))


def old_backend_comes_back(life: Life, by: Random) -> str:
    """Another hand puts a revision on the route that is on its way out, kept warm, or on its way in."""
    names = sorted(name for kind, _, name in life.cluster.objects if kind == "Service")
    if life.route is None or not names:
        return ""
    name = by.choice(names)
    backends = life.route["spec"]["rules"][0]["backendRefs"]
    more = [*(b for b in backends if b["name"] != name), {**backends[0], "name": name, "weight": by.choice([1, 50])}]
    rules = [{**life.route["spec"]["rules"][0], "backendRefs": more}]
    life.cluster.edit("HTTPRoute", life.namespace, life.name, lambda route: route["spec"].update(rules=rules))
    return name


def writes_are_refused(life: Life, by: Random) -> str:
    kinds = [{"Deployment"}, {"Deployment"}, {"RolloutRecord"}, {"HTTPRoute"}, {"Deployment", "Service"}, {"Event"}]
    life.faults.refused = by.choice([set(), *kinds])
    return str(sorted(life.faults.refused))


def behave_otherwise(life: Life, by: Random) -> str:
    name, how = by.choice(names(life)), behaviour(by)
    life.behave(name, how)
    return f"{name} {how}"


def metrics_break(life: Life, by: Random) -> str:
    life.broken = by.choice([None, *BROKEN])
    return str(life.broken)


def clock_jumps(life: Life, by: Random) -> str:
    skew = by.choice([-600.0, -5.0, 5.0, 600.0, 0.0])
    life.timeline.set_clock(skew)
    return str(skew)


def kill(life: Life, by: Random) -> None:
    if by.random() < 0.3:
        life.kill_operator()
    else:
        life.faults.kill_at, life.faults.answered = life.faults.count + by.randint(1, 4), by.random() < 0.5


def apiserver_goes(life: Life, by: Random) -> float:
    seconds = by.choice([2.0, 15.0, 60.0])
    life.faults.down_until = life.faults.deaf_until = life.timeline.t + seconds
    return seconds


def watches_are_late(life: Life, by: Random) -> float:
    life.cluster.lag = by.choice([0.0, 2.0, 14.0])
    return life.cluster.lag


def writes_meet_trouble(life: Life, by: Random) -> None:
    life.faults.trouble = by.choice([0.0, 0.1, 0.4])


def gateway_is_slow(life: Life, by: Random) -> None:
    life.cluster.gateway_delay = by.choice([0.0, 2.0, 12.0])


def gateway_ignores_weights(life: Life, _by: Random) -> None:
    life.traffic.blind = not life.traffic.blind


def traffic_changes(life: Life, by: Random) -> None:
    life.traffic.rate = by.choice([0.0, 1.0, 30.0, 300.0])


def status_is_lost(life: Life, _by: Random) -> None:
    """A restore from a backup: objects come back without status."""
    life.cluster.edit("LLMDeployment", life.namespace, life.name, lambda o: o.update(status={"observedGeneration": -1}))


def recreate(life: Life, by: Random) -> str:
    if not life.exists:
        life.create(life.witness.specs[-2][1])
        return "created"
    spec = life.spec
    life.delete()
    if by.random() < 0.5:
        life.create(spec)
    return "deleted"


EVERYDAY = [serve] * 6 + [
    serve_back,
    edit_steps,
    edit_guardrails,
    edit_engine,
    edit_one_engine,
    edit_operational,
    request,
    request,
]
HAPPENS: list[Callable[[Life, Random], object]] = [
    *EVERYDAY,
    *(
        edit_invalid,
        declare_date,
        declare_date,
        forget_version,
        other_hand,
        other_hand_edits,
        pods_go,
        behave_otherwise,
    ),
    *(metrics_break, clock_jumps, kill, kill, apiserver_goes, watches_are_late, writes_meet_trouble, gateway_is_slow),
    *(pods_break, old_backend_comes_back, writes_are_refused),
    *(gateway_ignores_weights, traffic_changes, status_is_lost, recreate),
]
