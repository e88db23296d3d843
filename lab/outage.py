"""Takes one part of a running lab away for a while and brings it back, for tests of what goes on without it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from lab import control_plane, gateway, network, node, paths, processes, prometheus
from lab.shell import LabError, locked, run, say

PARTS = {
    "etcd": control_plane.etcd,
    "kube-apiserver": control_plane.apiserver,
    "kube-controller-manager": control_plane.controller_manager,
    "kube-scheduler": control_plane.scheduler,
    "kubelet": node.kubelet,
    "kube-proxy": node.proxy,
    "coredns": control_plane.dns,
    "traefik": gateway.traefik,
    "prometheus": prometheus.prometheus,
}
"""What can be restarted by itself. Not containerd: everything else in a pod hangs on it."""


@dataclass(frozen=True, slots=True)
class Outage:
    """When a part was told to end, was gone, was started again, and was well; seconds since 1970."""

    part: str
    told: float
    gone: float
    started: float
    well: float


def restart(part: str, away: float, *, kill: bool = False) -> Outage:
    """End a part, start it again ``away`` seconds after it was gone, and wait until it is well.

    With ``kill`` it ends as in a crash. (An apiserver that ends in peace takes itself out of the Service `kubernetes` first, and pods reach the
    next one only when kube-proxy has found it: up to a minute later.) It is started again in any case, also when this process is told
    to end meanwhile.
    Raises LabError when the part does not run now, or does not become well again.
    """
    network.enter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    process = PARTS[part]()
    if processes.pid_of(part) is None:
        raise LabError(f"{part} does not run: `python -m lab up` first")
    told = time.time()
    with locked(paths.HOME / "lock"):
        try:
            processes.stop(part, first=signal.SIGKILL if kill else signal.SIGTERM)
            gone = time.time()
            say(f"{part}: gone")
            time.sleep(away)
        finally:
            started = time.time()
            processes.ensure([process])
    return Outage(part, told, gone, started, time.time())


def told(outage: Outage) -> str:
    """One line of JSON: the last one that the command prints."""
    return json.dumps(asdict(outage))


async def away(part: str, seconds: float = 0.0, *, kill: bool = False) -> Outage:
    """``restart`` beside what a test does meanwhile: a process of its own, so that it ends well when the test does not.

    Raises LabError with what the command printed.
    """
    command = (sys.executable, "-m", "lab", "restart", part, "--away", str(seconds), *(["--kill"] if kill else []))
    process = await asyncio.create_subprocess_exec(
        *command, cwd=paths.PROJECT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if process.returncode:
        raise LabError(f"{' '.join(command)}: {output.decode(errors='replace')}")
    return Outage(**json.loads(output.decode().splitlines()[-1]))


def mend() -> None:
    """Bring back whatever is away. Raises LabError with what `python -m lab up` printed."""
    lab = (sys.executable, "-m", "lab")
    if subprocess.run((*lab, "status"), cwd=paths.PROJECT, capture_output=True, check=False).returncode:
        run((*lab, "up"), cwd=paths.PROJECT)
