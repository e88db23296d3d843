"""Verdicts beside those of other tools, in the same worlds: every cell of the table, its goals, and what they come to.

python -m benchmarks.decisions [--lives 10000] [--seed 1] [--jobs 2] [--out FOLDER]

Writes benchmarks/decisions/table.csv, the part of docs/benchmarks.md between its marks, and the figures `decisions.*` of
benchmarks/results.json; with --out only the table, into FOLDER.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import json
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.decisions import cells, report
from benchmarks.judges.lives import Outcome
from benchmarks.written import between, merged, results

from solera.plan.evidence import count_slice, new_ledger
from solera.plan.ledger import Counter, Slice
from solera.plan.verdict import GuardrailSpec, judge

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT, RESULTS, TABLE = (
    ROOT / "docs/benchmarks.md",
    ROOT / "benchmarks/results.json",
    Path("benchmarks/decisions/table.csv"),
)
COMMAND = "make bench-decisions"


def row(job: tuple[cells.Cell, int, int]) -> report.Row:
    cell, lives, seed = job
    found = cells.live(cell, lives, seed)
    results = {judge: cells.result(of, cell, reaction=judge in report.OURS) for judge, of in found.items()}
    ours, flagger = found[report.OURS[-1]], found["flagger"]
    ratio = cells.harm_ratio(ours, flagger, cell) if cell.breaks else None
    least = None
    if ratio is not None:
        both = (ours.outcome == Outcome.ROLLED_BACK) & (flagger.outcome == Outcome.ROLLED_BACK)
        caught = min(results[report.OURS[-1]].rolled_back, 1 - 1 / lives)
        least = cells.least_harm(cell, caught) / float(flagger.harmed[both].mean())
    return report.Row(cell, results, ratio[0] if ratio else None, least)


def us_per_verdict() -> float:
    """Of the operator's own judge in a rollout of 400 looks: CPU time, the median of the looks, best of three lives."""
    spec = GuardrailSpec("errors", "ErrorRate", 0.01, None, None, ratio_requires_pass=False, action="RollBack")
    start, medians = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), []
    for _ in range(3):
        ledger, spent = new_ledger("r", "v1", "v2", start), []
        for look in range(400):
            counts = {
                ("engine", "v1", "errors"): Counter(90, look % 3 == 0),
                ("engine", "v2", "errors"): Counter(10, look % 17 == 0),
            }
            begin = start + dt.timedelta(seconds=5 * look)
            part = Slice(begin, begin + dt.timedelta(seconds=5), look // 100, counts)
            ledger = count_slice(ledger, part, {"errors": 0.01})
            began = time.process_time()
            judge([spec], ledger, false_rollback=0.05, false_promotion=0.05, intervals=False)
            spent.append(time.process_time() - began)
        medians.append(statistics.median(spent) * 1e6)
    return min(medians)


def machine() -> str:
    return f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__.splitlines()[0])
    parser.add_argument("--lives", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cost = us_per_verdict()
    jobs = [(cell, options.lives, options.seed + 1000 * number) for number, cell in enumerate(cells.cells())]
    rows: list[report.Row] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for number, found in enumerate(pool.map(row, jobs), 1):
            rows.append(found)
            s = found.cell.scenario
            print(
                f"{number:3} of {len(jobs)}  {found.cell.group}, {s.traffic:g}/min at {s.weight:.0%}, {s.name}",
                flush=True,
            )
    judged = report.goals(rows, cost)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(report.table(rows))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / TABLE.name).write_text(text.getvalue())
    else:
        (ROOT / TABLE).write_text(text.getvalue())
        where = machine()
        section = report.section(rows, judged, options.lives, options.seed, COMMAND, where)
        DOCUMENT.write_text(between(DOCUMENT.read_text(), report.BEGIN, report.END, section))
        known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        new = results((goal for goal, _ in judged), COMMAND, where[:10])
        RESULTS.write_text(json.dumps(merged(known, new, "decisions."), indent=2, ensure_ascii=False) + "\n")
    for goal, at in judged:
        print(f"{'ok  ' if goal.holds else 'MISS'} {goal.name:<45} {goal.value:10.4g} {goal.text:<10} {at}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
