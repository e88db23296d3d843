"""The goals, the table of a run, and the figures for benchmarks/results.json. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.peer import manifests
from benchmarks.peer.report import markdown
from benchmarks.scale.figures import Asked, Run
from benchmarks.written import Goal

BEGIN, END = "<!-- scale:begin (written by `make bench`) -->", "<!-- scale:end -->"
HEADING = "## At scale"


def goals(run: Run) -> list[Goal]:
    """What is promised, as ``run`` shows it."""
    found = [
        Goal(
            "scale.objects_per_s",
            "objects made, 4 children and 2 ready pods each",
            run.rate,
            "1/s",
            0.6 * run.bare.rate,
            least=True,
        ),
        Goal(
            "scale.ratio_to_raw_client", "… beside the bare client in the same run", run.ratio, "ratio", 0.6, least=True
        ),
        Goal(
            "scale.requests_per_object",
            "requests to make one, Events among them",
            run.create.all / run.count,
            "requests",
            8,
        ),
    ]
    if run.rollout is not None and run.rollouts:
        each = run.rollout.writes + run.rollout.evidence - minutes(run)
        found += [
            Goal("scale.requests_per_rollout", "writes of a rollout of six steps", each / run.rollouts, "writes", 25),
            Goal(
                "scale.reads_per_rollout",
                "reads of a rollout, none of them repeated with time",
                run.rollout.reads / run.rollouts,
                "reads",
                10,
            ),
        ]
    at_rest = run.rest.writes + run.rest.evidence + run.rest.events + run.rest.reads
    return [
        *found,
        Goal(
            "scale.writes_at_rest", f"requests in {run.rest_seconds:.0f} s at rest, all objects", at_rest, "requests", 0
        ),
        Goal("scale.memory_mib", "peak resident memory, rollouts included", run.memory_all, "MiB", 256),
        Goal("scale.restart_s", "from the start of the process to all observed", run.restart, "s", 10),
        Goal("scale.event_to_write_p50_ms", "from a change to the first write, median", run.late(0.5), "ms", 20),
        Goal("scale.event_to_write_p99_ms", "… 99 of 100", run.late(0.99), "ms", 100),
    ]


def minutes(run: Run) -> int:
    """Evidence that is written because a minute is over, all rollouts together."""
    return run.rollouts * int(run.rollout_seconds // 60)


def _per(asked: Asked, count: int) -> str:
    parts = (asked.reads, asked.writes, asked.evidence, asked.events)
    return f"{asked.all / count:.1f} ({' + '.join(f'{part / count:.1f}' for part in parts)})"


def rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """What was measured, and a column for each run."""

    def row(what: str, *cells: str) -> tuple[str, ...]:
        return (what, *cells)

    return [
        row("LLMDeployments", *(f"{r.count}" for r in runs)),
        row(
            "bare client: all made, pods ready (its own writes)",
            *(f"{r.bare.seconds:.1f} s ({r.bare.writes_seconds:.1f} s)" for r in runs),
        ),
        row("… objects a second", *(f"{r.bare.rate:.1f}" for r in runs)),
        row("Solera: all made, pods ready", *(f"{r.seconds:.1f} s" for r in runs)),
        row("… objects a second", *(f"{r.rate:.1f}" for r in runs)),
        row("… and its last write", *(f"{r.settled:.1f} s" for r in runs)),
        row("machine busy, bare client / Solera", *(f"{r.bare.busy:.0%} / {r.busy:.0%}" for r in runs)),
        row("requests to make one (reads + writes + evidence + Events)", *(_per(r.create, r.count) for r in runs)),
        row("CPU to make one", *(f"{r.create_cpu / r.count * 1000:.0f} ms" for r in runs)),
        row(
            "memory: peak while making / at rest / peak of all",
            *(f"{r.memory_peak:.0f} / {r.memory_rest:.0f} / {r.memory_all:.0f} MiB" for r in runs),
        ),
        row(
            "at rest: writes + reads (Lease)",
            *(
                f"{r.rest.writes + r.rest.evidence + r.rest.events} + {r.rest.reads} ({r.rest.leases}) in {r.rest_seconds:.0f} s"
                for r in runs
            ),
        ),
        row("CPU at rest, a minute", *(f"{r.rest_cpu * 60 / r.rest_seconds:.2f} s" for r in runs)),
        row(
            "restart: all observed (CPU; writes)",
            *(f"{r.restart:.1f} s ({r.restart_cpu:.1f} s; {r.restart_asked.writes})" for r in runs),
        ),
        row(
            "a change to its first write, p50 / p99",
            *(f"{r.late(0.5):.0f} / {r.late(0.99):.0f} ms of {len(r.changes)}" for r in runs),
        ),
        row(
            "… and what of it the apiserver takes for the change itself",
            *(f"{r.answered(0.5):.0f} / {r.answered(0.99):.0f} ms" for r in runs),
        ),
        row("CPU of a change", *(f"{r.changes_cpu / max(len(r.changes), 1) * 1000:.0f} ms" for r in runs)),
        row("rollouts at once, promoted after", *(f"{r.rollouts}, {r.rollout_seconds:.0f} s" for r in runs)),
        row(
            "requests of a rollout (reads + writes + evidence + Events)",
            *(_per(r.rollout, r.rollouts) if r.rollout and r.rollouts else "-" for r in runs),
        ),
        row("… most writes of one", *(f"{r.rollout_most_writes}" for r in runs)),
        row("CPU of a rollout", *(f"{r.rollout_cpu / max(r.rollouts, 1):.2f} s" for r in runs)),
    ]


def kinds(asked: Asked, count: int, most: int = 14) -> str:
    """The most frequent requests by verb and kind, for each object."""
    found = list(asked.kinds.items())[:most]
    return ", ".join(f"{kind} {number / count:.2g}" for kind, number in found)


def section(runs: Sequence[Run], command: str, date: str, where: str, around: str) -> str:
    """The part of docs/benchmarks.md that a run writes; the last of ``runs`` is the one that is judged."""
    judged = runs[-1]
    table = rows(runs)
    goal_rows = [
        (
            f"`{g.name}`",
            g.what,
            f"{g.value:.3g} {g.unit}",
            f"{'≥' if g.least else '≤'} {g.bound:.3g}",
            "yes" if g.holds else "**no**",
        )
        for g in goals(judged)
    ]
    rollout = kinds(judged.rollout, judged.rollouts) if judged.rollout and judged.rollouts else "-"
    return f"""{BEGIN}

`{command}`, {date}, {where}; {around}.

{markdown(table[0], table[1:])}

Goals, set before the first run, at {judged.count} objects:

{markdown(("figure", "what", "value", "goal", "holds"), goal_rows)}

What was asked, for each object, by verb and kind:

- to make one: {kinds(judged.create, judged.count)}
- in a rollout of {len(manifests.WEIGHTS)} steps of {manifests.STEP_SECONDS} s: {rollout}

{END}"""


def placed(document: str, text: str) -> str:
    """``document`` with ``text`` in the place of the old one, or under a heading of its own before everything else."""
    pattern = re.compile(rf"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if pattern.search(document):
        return pattern.sub(lambda _: text, document, count=1)
    title, _, rest = document.partition("\n") if document.startswith("# ") else ("# Benchmarks", "", document)
    return f"{title}\n\n{HEADING}\n\n{text}\n\n{rest.strip()}\n"
