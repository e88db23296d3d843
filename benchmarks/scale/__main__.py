"""A thousand LLMDeployments on a real control plane, beside a bare client: `make bench`.

    python -m benchmarks.scale [--objects N,N] [--rest SECONDS] [--rollouts R] [--changes C] [--out FILE]

Every run has a control plane of its own (pods by KWOK), and takes it away again. Writes the section "At scale" of docs/benchmarks.md, and
the figures `scale.*` of benchmarks/results.json; with --out only FILE.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Before anything of the lab is imported: where this run lives.
os.environ["SOLERA_LAB_HOME"] = os.environ.get("SOLERA_BENCH_HOME", "/var/lib/solera-bench")
os.environ["SOLERA_LAB_NETNS"] = os.environ.get("SOLERA_BENCH_NETNS", "solera-bench")

import yaml
from benchmarks.peer import api, plane
from benchmarks.peer.trial import Program
from benchmarks.scale import figures, report, stages
from benchmarks.written import merged, results
from lab import paths
from lab.shell import LabError, fail, locked, say, write

from solera import __version__

DOCUMENT = paths.PROJECT / "docs" / "benchmarks.md"
RESULTS = paths.PROJECT / "benchmarks" / "results.json"
COMMAND = "make bench"
STAND_INS_PORT = 18090


def operator() -> Program:
    """With the configuration that the chart writes, but for the ports; modules are compiled once, as in the image."""
    config = plane.solera_config() | {"metricsPort": stages.METRICS_PORT, "healthPort": stages.HEALTH_PORT}
    file = write(paths.ETC / "solera.yaml", yaml.safe_dump(config))
    env = {"KUBECONFIG": str(plane.kubeconfig(stages.USER)), "POD_NAME": "solera-0", "POD_NAMESPACE": plane.SYSTEM}
    env |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(paths.HOME / "pycache")}
    program = os.environ.get("SOLERA_BENCH_OPERATOR", "-m solera.cli.main").split()
    argv = [sys.executable, *program, "operator", "run", "--config", str(file)]
    health = f"http://127.0.0.1:{stages.METRICS_PORT}/readyz"
    return Program(__version__, argv, env, health, paths.LOGS / "solera.log")


def stand_ins(rollouts: int) -> Program:
    who = [str(plane.kubeconfig(user)) for user in ("fleet", "acceptor")]
    argv = [sys.executable, "-m", "benchmarks.scale.stand_ins", str(STAND_INS_PORT), str(rollouts), *who]
    env = {"PYTHONPATH": str(paths.PROJECT)}
    return Program("", argv, env, f"http://127.0.0.1:{STAND_INS_PORT}/state", paths.LOGS / "stand-ins.log")


async def bare(count: int) -> figures.Bare:
    async with api.Api(paths.KUBECONFIG) as client:
        with stand_ins(0).running() as engines:
            await engines.until_well()
            side = await stages.bare(client, plane.kubeconfig(stages.BARE), count)
    say(f"bare client: {count} objects made after {side.seconds:.1f} s ({side.rate:.1f}/s)")
    return side


async def solera(side: figures.Bare, wanted: argparse.Namespace) -> figures.Run:
    async with api.Api(paths.KUBECONFIG) as client, api.Api(plane.kubeconfig(stages.CREATOR)) as creator:
        rollouts = min(wanted.rollouts, side.count // 2)
        with stand_ins(rollouts).running() as engines:
            await engines.until_well()
            changes = min(wanted.changes, side.count - rollouts)
            run = stages.Stages(client, creator, operator(), side.count, wanted.rest, rollouts, changes)
            return await run.run(side)


def measure(count: int, wanted: argparse.Namespace) -> figures.Run:
    """The bare client and the operator, each with a control plane that is new."""
    users = (stages.BARE, stages.CREATOR)
    rights = [plane.bound(user, "cluster-admin") for user in users]
    with plane.running(*users):
        plane.apply_definitions(paths.PROJECT / "crds")
        plane.apply(*rights)
        plane.announce()
        side = asyncio.run(bare(count))
    with plane.running(*users):
        plane.apply_definitions(paths.PROJECT / "crds")
        plane.apply(*rights, *plane.solera_rights())
        plane.announce()
        return asyncio.run(solera(side, wanted))


def keep(runs: list[figures.Run], command: str) -> None:
    """Into the document and the file of results."""
    date = datetime.now(UTC).date().isoformat()
    text = report.section(runs, command, date, f"{plane.machine()}, Python {sys.version.split()[0]}", plane.versions())
    write(DOCUMENT, report.placed(DOCUMENT.read_text() if DOCUMENT.exists() else "", text))
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    new = results(report.goals(runs[-1]), command, date, digits=3)
    write(RESULTS, json.dumps(merged(known, new, "scale."), indent=2, ensure_ascii=False) + "\n")
    say(f"written: {DOCUMENT.relative_to(paths.PROJECT)}, {RESULTS.relative_to(paths.PROJECT)}")


def show(runs: list[figures.Run]) -> None:
    for what, *cells in report.rows(runs):
        print(f"{what:<60} {' '.join(f'{cell:>30}' for cell in cells)}")
    last = runs[-1]
    print(f"to make one: {report.kinds(last.create, last.count)}")
    if last.rollout and last.rollouts:
        print(f"in a rollout: {report.kinds(last.rollout, last.rollouts)}")
    for goal in report.goals(last):
        print(
            f"{'✓' if goal.holds else '✗'} {goal.name:<32} {goal.value:9.3g} {goal.unit:<9} {goal.text:<10} {goal.what}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--objects", default="100,1000", metavar="N,N", help="one run for each; the last one is judged")
    parser.add_argument("--rest", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--rollouts", type=int, default=20, help="rollouts at once")
    parser.add_argument("--changes", type=int, default=600, help="changes, ten a second")
    parser.add_argument("--out", type=Path, help="write the figures there, and neither document nor results")
    wanted = parser.parse_args()
    if os.geteuid() != 0:
        return fail("this needs root: it makes a network namespace")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    try:
        with locked(paths.HOME / "lock"):
            runs = [measure(int(count), wanted) for count in wanted.objects.split(",")]
    except (LabError, api.ApiError, subprocess.SubprocessError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return 130
    show(runs)
    if wanted.out is not None:
        write(wanted.out, [run.to_json() for run in runs])
    else:
        keep(runs, COMMAND)
    return 0


if __name__ == "__main__":
    sys.exit(main())
