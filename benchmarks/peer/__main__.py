"""The same rollout through Flagger and through Solera, beside each other: `make bench-peer`.

    python -m benchmarks.peer [--objects N] [--rest SECONDS] [--out FILE]

Runs on a control plane of its own and takes it away again. Writes the section "Beside a peer" of docs/benchmarks.md, and the figures
`peer.*` of benchmarks/results.json.
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
os.environ["SOLERA_LAB_HOME"] = os.environ.get("SOLERA_PEER_HOME", "/var/lib/solera-peer")
os.environ["SOLERA_LAB_NETNS"] = os.environ.get("SOLERA_PEER_NETNS", "solera-peer")

import yaml
from benchmarks.peer import api, contender, fleet, manifests, plane, programs, report
from benchmarks.peer.measure import Side
from benchmarks.peer.trial import Program, Trial
from benchmarks.written import merged, results
from lab import paths
from lab.shell import LabError, fail, locked, say, write

from solera import __version__

DOCUMENT = paths.PROJECT / "docs" / "benchmarks.md"
RESULTS = paths.PROJECT / "benchmarks" / "results.json"
COMMAND = "make bench-peer"
METRICS = f"http://{paths.ADDRESS}:{fleet.QUERY_PORT}"
FLAGGER_SPACE, SOLERA_SPACE = "peer-flagger", "peer-solera"
FLAGGER_PORT, SOLERA_PORT, SOLERA_HEALTH = 18080, 18081, 18082


def flagger_program() -> Program:
    config = plane.kubeconfig(programs.USER)
    argv = programs.arguments(programs.flagger(), config, METRICS, FLAGGER_PORT)
    health = f"http://127.0.0.1:{FLAGGER_PORT}/healthz"
    return Program(programs.version(), argv, {}, health, paths.LOGS / "flagger.log")


def solera_program() -> Program:
    """With the configuration that the chart writes, but for the ports."""
    config = plane.solera_config() | {"metricsPort": SOLERA_PORT, "healthPort": SOLERA_HEALTH}
    file = write(paths.ETC / "solera.yaml", yaml.safe_dump(config))
    env = {"KUBECONFIG": str(plane.kubeconfig("solera")), "POD_NAME": "solera-0", "POD_NAMESPACE": plane.SYSTEM}
    argv = [sys.executable, "-m", "solera.cli.main", "operator", "run", "--config", str(file)]
    health = f"http://127.0.0.1:{SOLERA_PORT}/readyz"
    return Program(__version__, argv, env, health, paths.LOGS / "solera.log")


def stand_ins() -> Program:
    who = [str(plane.kubeconfig(user)) for user in ("fleet", "acceptor")]
    argv = [sys.executable, "-m", "benchmarks.peer.fleet", paths.ADDRESS, *who]
    env = {"PYTHONPATH": str(paths.PROJECT)}
    return Program("", argv, env, f"{METRICS}/state", paths.LOGS / "stand-ins.log")


async def compare(objects: int, rest: float) -> tuple[Side, Side]:
    """Solera's figures and the peer's."""
    async with api.Api(paths.KUBECONFIG) as client:
        with stand_ins().running() as fleets:
            await fleets.until_well()
            theirs = Trial(contender.flagger(FLAGGER_SPACE), flagger_program(), client, objects, fleets.health)
            their_side = await theirs.run(rest, manifests.metric_templates(FLAGGER_SPACE, METRICS))
            say("Flagger: ended; its objects go")
            await plane.empty(client, FLAGGER_SPACE)
            ours = Trial(contender.solera(SOLERA_SPACE), solera_program(), client, objects, fleets.health)
            return await ours.run(rest, []), their_side


def keep(ours: Side, theirs: Side) -> None:
    """Into the document and the file of results."""
    date = datetime.now(UTC).date().isoformat()
    text = report.section(ours, theirs, f"{plane.machine()}, shared with other work", COMMAND, date, plane.versions())
    document = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    write(DOCUMENT, report.placed(document, text))
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    new = results(report.goals(ours, theirs), COMMAND, date)
    write(RESULTS, json.dumps(merged(known, new, "peer."), indent=2, ensure_ascii=False) + "\n")
    say(f"written: {DOCUMENT.relative_to(paths.PROJECT)}, {RESULTS.relative_to(paths.PROJECT)}")


def run(objects: int, rest: float, out: Path | None) -> None:
    programs.flagger()
    with plane.running():
        plane.apply_definitions(programs.definitions())
        plane.apply_definitions(paths.PROJECT / "crds")
        plane.apply(*programs.rights(), *plane.solera_rights())
        plane.announce()
        ours, theirs = asyncio.run(compare(objects, rest))
    if out is not None:
        write(out, [ours.to_json(), theirs.to_json()])
    for row in report.rows(ours, theirs):
        print(f"{row[0]:<68} {row[1]:>26} {row[2]:>26} {row[3]:>8}")
    if out is None:
        keep(ours, theirs)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer", description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--rest", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--out", type=Path, help="write the figures there, and neither document nor results")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        return fail("this needs root: it makes a network namespace")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    try:
        with locked(paths.HOME / "lock"):
            run(arguments.objects, arguments.rest, arguments.out)
    except (LabError, api.ApiError, subprocess.SubprocessError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
