"""The table of a run, and its figures for benchmarks/results.json. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from benchmarks.peer import manifests
from benchmarks.peer.audit import Count
from benchmarks.peer.measure import Side, percentile, ratio
from benchmarks.peer.traffic import RATE
from benchmarks.written import Goal

BEGIN, END = "<!-- peer:begin (written by `make bench-peer`) -->", "<!-- peer:end -->"
HEADING = "## Beside a peer"


def _goal(name: str, value: float, bound: float, *, least: bool) -> Goal:
    return Goal(name, "", value, "ratio Solera : Flagger", bound, least)


def goals(ours: Side, theirs: Side) -> list[Goal]:
    """The figures that are kept."""
    return [
        _goal("peer.init_rate_ratio", ratio(theirs.init_seconds, ours.init_seconds), 2.0, least=True),
        _goal("peer.requests_per_init_ratio", ratio(ours.init.all, theirs.init.all), 1.0, least=False),
        _goal("peer.requests_per_rollout_ratio", ratio(ours.rollout.all, theirs.rollout.all), 0.5, least=False),
        _goal("peer.writes_per_rollout_ratio", ratio(ours.rollout.writes, theirs.rollout.writes), 1.0, least=False),
        _goal(
            "peer.rest_reads_ratio", ratio(ours.rest_per_minute.reads, theirs.rest_per_minute.reads), 0.1, least=False
        ),
        _goal("peer.memory_ratio", ratio(ours.peak_mib, theirs.peak_mib), 2.0, least=False),
        _goal("peer.rollout_cpu_ratio", ratio(ours.rollout_cpu, theirs.rollout_cpu), 2.0, least=False),
    ]


Show = Callable[[Side], str]
Value = Callable[[Side], float]


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f} s"


def _milliseconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value * 1000:.0f} ms"


def _each(count: Count, objects: int) -> str:
    per = (count.reads / objects, count.writes / objects, count.events / objects)
    return f"{count.all / objects:.1f} ({' + '.join(f'{value:.1f}' for value in per)})"


def _times(ours: float, theirs: float) -> str:
    value = ratio(ours, theirs)
    return "-" if math.isnan(value) else f"{value:.2g}"


def rows(ours: Side, theirs: Side) -> list[tuple[str, str, str, str]]:
    """Measure, Solera, Flagger, and the ratio of the two where one makes sense."""

    def row(what: str, show: Show, value: Value | None = None) -> tuple[str, str, str, str]:
        return what, show(ours), show(theirs), _times(value(ours), value(theirs)) if value else ""

    n = ours.objects
    return [
        row(f"{n} objects, from created to ready", lambda s: _seconds(s.init_seconds), lambda s: s.init_seconds),
        row(
            "requests for that, each object (reads + writes + Events)",
            lambda s: _each(s.init, n),
            lambda s: s.init.all,
        ),
        row("CPU for that", lambda s: f"{s.init_cpu:.2f} s", lambda s: s.init_cpu),
        row(
            "requests at rest, a minute, all objects (reads + writes + Events)",
            lambda s: (
                f"{s.rest_per_minute.all} "
                f"({s.rest_per_minute.reads} + {s.rest_per_minute.writes} + {s.rest_per_minute.events})"
            ),
            lambda s: s.rest_per_minute.all,
        ),
        row(
            "CPU at rest, a minute",
            lambda s: f"{s.rest_cpu * 60 / s.rest_seconds:.2f} s",
            lambda s: s.rest_cpu / s.rest_seconds,
        ),
        row(
            "from the change to the first weight, median",
            lambda s: _seconds(percentile(s.first_weight, 0.5)),
            lambda s: percentile(s.first_weight, 0.5),
        ),
        row(
            "from the change to 100 %, median",
            lambda s: _seconds(percentile(s.full_weight, 0.5)),
            lambda s: percentile(s.full_weight, 0.5),
        ),
        row(
            "from the change to promoted, median",
            lambda s: _seconds(percentile(s.promoted, 0.5)),
            lambda s: percentile(s.promoted, 0.5),
        ),
        row(
            f"… the last of {n}",
            lambda s: _seconds(max(s.promoted, default=math.nan)),
            lambda s: max(s.promoted, default=math.nan),
        ),
        row("… and the pods not needed any more gone, all", lambda s: _seconds(s.settled), lambda s: s.settled),
        row(
            "requests of a rollout, each object (reads + writes + Events)",
            lambda s: _each(s.rollout, n),
            lambda s: s.rollout.all,
        ),
        row("CPU of all rollouts", lambda s: f"{s.rollout_cpu:.1f} s", lambda s: s.rollout_cpu),
        row(f"a step after its {manifests.STEP_SECONDS} s, p50", lambda s: _milliseconds(percentile(s.late, 0.5))),
        row("… p99", lambda s: _milliseconds(percentile(s.late, 0.99))),
        row("rollouts that showed the six weights in order", lambda s: f"{s.in_order} of {n}"),
        row("requests to a Service without a ready pod", lambda s: str(s.lost)),
        row(
            "the machine, all programs: busy while they were made, and while they were rolled out",
            lambda s: ", ".join(f"{part:.0%}" for part in s.busy),
        ),
        row("peak resident memory", lambda s: f"{s.peak_mib:.0f} MiB", lambda s: s.peak_mib),
        row(
            "readings of metrics during the rollouts",
            lambda s: f"{s.metric_reads} {'pages of pods' if s is ours else 'queries'}",
        ),
    ]


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(line)} |" for line in body)])


def kinds(ours: Side, theirs: Side, most: int = 9) -> str:
    """The most frequent requests of the rollouts, by verb and kind, for each object."""

    def words(side: Side) -> str:
        return ", ".join(f"{kind} {number / side.objects:.1f}" for kind, number in side.rollout.by_kind[:most])

    return f"- {ours.name}: {words(ours)}\n- {theirs.name}: {words(theirs)}"


def section(ours: Side, theirs: Side, machine: str, command: str, date: str, around: str) -> str:
    """The section of docs/benchmarks.md. ``around`` says the versions of what both ran on."""
    table = markdown(
        ("", f"{ours.name} {ours.version}", f"{theirs.name} {theirs.version}", "ratio"), list(rows(ours, theirs))
    )
    judged = markdown(
        ("figure", "value", "bound", "holds"),
        [(f"`{g.name}`", f"{g.value:.3g}", g.text, "yes" if g.holds else "**no**") for g in goals(ours, theirs)],
    )
    weights = ", ".join(map(str, manifests.WEIGHTS))
    return f"""{HEADING}

{BEGIN}

`{command}`, {date}, {machine}; {around}.
One run: first {theirs.name}, then {ours.name}, on the same control plane, each alone and with a user of its own, by which the
apiserver's audit log counts. Read the ratios, not the numbers.

The same rollout of {ours.objects} models at once: six steps ({weights} %) of {manifests.STEP_SECONDS} s, one pod of each version, HTTPRoutes, two
conditions (failed requests ≤ {manifests.BAD_PERCENT} %, slow first tokens ≤ {manifests.SLOW_PERCENT} %) that every candidate meets.

{table}

Bounds set before the first run (ratio {ours.name} : {theirs.name}):

{judged}

The most frequent requests of a rollout, for each object:

{kinds(ours, theirs)}

{NOTES}
{END}"""


NOTES = f"""How to read it, and what is not the same:

- Ten seconds are the shortest interval that Flagger keeps, so both have them. Flagger looks once an interval: once to see the change, once to see
  the pods ready and give the first weight, once for each weight after it, and three times after the last one, to copy the new version to the
  primary, to bring the traffic back there, and to scale the canary down. So {len(manifests.WEIGHTS)} steps are {len(manifests.WEIGHTS) + 3} intervals and the part of one before it sees the change.
  Solera watches, and the pods that were let in stay: {manifests.STEP_SECONDS * len(manifests.WEIGHTS)} s are declared, and are the least that is possible.
- A step's delay is the time between two weights, as a watch of the routes saw them, less {manifests.STEP_SECONDS} s. Flagger looks at fixed times, so a late
  look makes one step long and the next one short; Solera counts a step from when it began, so its delays add up.
- Flagger reads each object anew at every look instead of watching. That is what its reads are; it is simple, and safe from stale caches.
- Solera writes evidence down: each step has a write of the route, one of the RolloutRecord and two of the status. Flagger keeps no evidence.
  Solera also renews a Lease (its chart's default); in Flagger's chart leader election is off.
- Flagger had as many checks as Solera has guardrails, through metric templates. A stand-in for Prometheus answers them from the same counters;
  what a real Prometheus needs to scrape the pods is in no figure of Flagger's. Solera reads the pods itself, every second, 23 kB each
  time (a page as the lab's simulated engine shows it), and that is in its CPU.
- They do not decide alike. Flagger compares the values of the last interval with a limit. Solera counts over the whole rollout, and asks for proof
  before 100 %. Both let a good version through here; how often each errs was not measured here.
- No real traffic and no engines: KWOK makes pods ready at once, a stand-in accepts every route, and every engine counts its part of {RATE:g} requests a
  second to each model, split as its route says. Loading a model takes minutes in real life, and hides most of the differences in time.
- What is created differs: Solera makes the Deployment, Flagger's user brings one and Flagger makes the second, primary one.
- Solera sends a real completion through every new pod before it gets weight; Flagger trusts readiness, or a webhook that its user writes.
- Flagger does much that Solera does not: any Deployment, DaemonSet or Knative service, a dozen meshes and ingresses, many metric providers, A/B tests
  by header, blue/green, mirroring, session affinity, webhooks at every stage, alerts; and it works beside a Deployment that is already there.
  Solera serves language models only.
"""


def placed(document: str, text: str) -> str:
    """``document`` with the section ``text`` in the place of the old one, or at its end."""
    pattern = re.compile(rf"{re.escape(HEADING)}\n.*?{re.escape(END)}", re.DOTALL)
    if pattern.search(document):
        return pattern.sub(lambda _: text, document, count=1)
    return f"{document.rstrip()}\n\n{text}\n" if document.strip() else f"# Benchmarks\n\n{text}\n"
