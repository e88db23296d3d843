"""From the results of all cells to the goals, the summary and the rows of the table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

from benchmarks.decisions.cells import BURSTY_RISK, LIMIT, LOOKS, RISK, Cell, Result, fixed_size
from benchmarks.peer.report import markdown
from benchmarks.written import Goal

BEGIN, END = "<!-- decisions:begin (written by `make bench-decisions`) -->", "<!-- decisions:end -->"
OURS = tuple(f"solera/{looks}" for looks in LOOKS)
JUDGES = (OURS[-1], "flagger", "argo/0", "argo/3", "kayenta")
CAUGHT = 0.8
"""A judge catches a fault that it rolls back in so many lives."""

THIRD = 1 / 3


@dataclass(frozen=True, slots=True)
class Row:
    """One cell: the results by judge, how much is harmed under our rule for each under Flagger's, and how much of that any judge needs."""

    cell: Cell
    results: dict[str, Result]
    harm: float | None
    least: float | None

    @property
    def half(self) -> bool:
        return self.cell.scenario.candidate == LIMIT / 2


def comparable(row: Row) -> bool:
    """Both our rule and Flagger's catch the fault."""
    caught = [row.results[judge].rolled_back >= CAUGHT for judge in (OURS[-1], "flagger")]
    return row.harm is not None and row.cell.breaks and all(caught)


def worst(rows: Iterable[Row], value: Callable[[Row], float]) -> tuple[float, str]:
    """The largest value, and in which cell."""
    found = [
        (
            value(row),
            f"{row.cell.group}, {row.cell.scenario.traffic:g}/min, {row.cell.scenario.weight:.0%}, {row.cell.scenario.name}",
        )
        for row in rows
    ]
    return max(found, default=(float("nan"), "nowhere"))


def false_rollback(row: Row, judges: Sequence[str] = OURS) -> float:
    return max(row.results[judge].rolled_back for judge in judges)


def false_promotion(row: Row, judges: Sequence[str] = OURS) -> float:
    return max(row.results[judge].promoted for judge in judges)


def goals(rows: Sequence[Row], us_per_verdict: float) -> list[tuple[Goal, str]]:
    """What is promised, as the rows show it, and in which cell it is closest or furthest."""
    keeping, breaking = [r for r in rows if r.cell.keeps], [r for r in rows if r.cell.breaks]
    single, bursty = (lambda r: not r.cell.bursty), (lambda r: r.cell.bursty)
    half = [r for r in rows if r.half and not r.cell.bursty]
    feasible = [r for r in rows if comparable(r) and (r.least or 0) <= THIRD]

    def goal(name: str, what: str, found: tuple[float, str], unit: str, bound: float) -> tuple[Goal, str]:
        return Goal(f"decisions.{name}", what, found[0], unit, bound), found[1]

    return [
        goal("false_rollback_max", "candidates that keep the limit and are rolled back", worst(filter(single, keeping), false_rollback), "share of lives", RISK),
        goal("false_promotion_max", "candidates at or over the limit that pass", worst(filter(single, breaking), false_promotion), "share of lives", RISK),
        goal("bursty_false_rollback_max", "… rolled back, failures in bursts", worst(filter(bursty, keeping), false_rollback), "share of lives", BURSTY_RISK),
        goal("bursty_false_promotion_max", "… that pass, failures in bursts of 4 and 8", worst((r for r in breaking if bursty(r) and not r.cell.hopeless), false_promotion), "share of lives", BURSTY_RISK),
        goal("harmed_ratio_to_flagger_rule", "bad answers for each under Flagger's rule, where both catch the fault and a third is possible", worst(feasible, lambda r: r.harm or 0.0), "ratio", THIRD),
        goal("requests_to_pass_median", "requests of the median life at half the limit until Pass", worst(half, lambda r: r.results[OURS[-1]].requests_to_pass or float("inf")), "requests", 1.25 * fixed_size()),
        goal("undecided_at_half_limit_max", "… undecided at four times the size of the fixed test", worst(half, lambda r: r.results[OURS[-1]].undecided), "share of lives", 0.1),
        (Goal("decisions.us_per_verdict", "one verdict of one guardrail", us_per_verdict, "us", 50), ""),
    ]  # fmt: skip


def table(rows: Sequence[Row]) -> list[list[str]]:
    """All cells, one line for each judge, the first line the names of the columns."""
    names = [field.name for field in fields(Result)]
    lines = [["group", "traffic", "weight", "world", "bursty", "judge", *names, "harm_ratio", "least_harm_ratio"]]
    for row in rows:
        s = row.cell.scenario
        start = [row.cell.group, f"{s.traffic:g}", f"{s.weight:g}", s.name, str(row.cell.bursty)]
        for judge, result in row.results.items():
            values = [getattr(result, name) for name in names]
            end = [row.harm, row.least] if judge == OURS[-1] else [None, None]
            lines.append([*start, judge, *("" if v is None else f"{v:.4g}" for v in (*values, *end))])
    return lines


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def summary(rows: Sequence[Row]) -> str:
    """The worst cell of each group under each judge."""
    lines = []
    for group in dict.fromkeys(row.cell.group for row in rows):
        here = [row for row in rows if row.cell.group == group]
        kinds = (
            ("keeps its limit, rolled back", [r for r in here if r.cell.keeps], "rolled_back"),
            ("at or over its limit, promoted", [r for r in here if r.cell.breaks], "promoted"),
            ("at half its limit, undecided", [r for r in here if r.half], "undecided"),
        )
        for what, of, field in kinds:
            if of:
                cells = [_percent(max(getattr(r.results[judge], field) for r in of)) for judge in JUDGES]
                lines.append((group, what, *cells))
    return markdown(("world", "share of lives, worst cell", *JUDGES), lines)


def harm(rows: Sequence[Row]) -> str:
    """Where both catch the fault: bad answers under our rule for each under Flagger's."""
    lines = [
        (
            f"{r.cell.group}, {r.cell.scenario.traffic:g}/min at {r.cell.scenario.weight:.0%}",
            r.cell.scenario.name,
            f"{r.results[OURS[-1]].harmed:.0f}",
            f"{r.results['flagger'].harmed:.0f}",
            f"{r.harm:.2f}",
            f"{r.least:.2f}",
        )
        for r in rows
        if comparable(r)
    ]
    head = ("world", "candidate", "bad answers, Solera", "… Flagger's rule", "ratio", "least that any judge needs")
    return markdown(head, lines)


def section(
    rows: Sequence[Row], found: Sequence[tuple[Goal, str]], lives: int, seed: int, command: str, where: str
) -> str:
    """What stands in docs/benchmarks.md."""
    judged = [
        (
            f"`{goal.name}`",
            goal.what,
            f"{goal.value:.3g} {goal.unit}",
            goal.text.replace("<=", "≤"),
            "yes" if goal.holds else "**no**",
            at,
        )
        for goal, at in found
    ]
    goals_ = markdown(("figure", "what", "value", "goal", "holds", "worst in"), judged)
    return f"""`{command}`, {where}: {len(rows)} worlds, {lives:,} lives in each, seed {seed}; every cell and judge: [table.csv](../benchmarks/decisions/table.csv).

{goals_}

{summary(rows)}

{harm(rows)}"""
