"""What a node leaves behind: containers, shims, mounts, files outside the lab's folder. Found, ended, accounted for.

Nothing is recognised by a program's name alone: a shim by the socket of this lab's containerd in its arguments, a
container by this lab's containerd or its folder, a mount by its place.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from lab import network, node, paths, processes
from lab.shell import LabError, run

_BUNDLES = paths.CONTAINERD_STATE / "io.containerd.runtime.v2.task" / "k8s.io"


def mounts() -> list[str]:
    """Mount points below the lab's folder, innermost first."""
    points = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        point = line.split()[1].encode().decode("unicode_escape")
        if point.startswith(f"{paths.HOME}/"):
            points.append(point)
    return sorted(points, reverse=True)


def unmount() -> None:
    for point in mounts():
        with contextlib.suppress(LabError):
            run(["umount", point])
    for point in mounts():
        run(["umount", "--lazy", point])


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def shims() -> dict[int, str]:
    """id → start time of the shims that serve this lab's containerd."""
    found = {}
    for pid in _all_processes():
        arguments = _arguments(pid)
        ours = str(paths.CONTAINERD_SOCKET) in arguments and "containerd-shim" in arguments[0]
        if ours and (start := processes.start_time(pid)):
            found[pid] = start
    return found


def _inits() -> dict[int, str]:
    """id → start time of the first process of every container, as written in the lab's bundles."""
    found = {}
    for file in _BUNDLES.glob("*/init.pid"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(file.read_text())
            cgroups = Path(f"/proc/{pid}/cgroup").read_text()
            # The id may have gone to another process since: the container's id in the cgroup tells.
            if file.parent.name in cgroups and (start := processes.start_time(pid)):
                found[pid] = start
    return found


def containers() -> None:
    """Kills every container and removes it from containerd, so that the next start finds none."""
    processes.end(_inits(), first=signal.SIGKILL)
    if processes.pid_of("containerd") is None:
        return
    for listing, removal in (
        (("tasks", "ls", "-q"), ("tasks", "rm", "--force")),
        (("containers", "ls", "-q"), ("containers", "rm")),
    ):
        names = node.ctr(*listing).split()
        for start in range(0, len(names), 50):
            with contextlib.suppress(LabError):
                node.ctr(*removal, *names[start : start + 50])


def end_shims() -> None:
    processes.end(_inits(), first=signal.SIGKILL)
    processes.end(shims(), first=signal.SIGKILL)


def cni_leftovers() -> None:
    """Files that containerd's CNI library and the kubelet write outside the lab's folder."""
    for file in (paths.CNI_STATE / "results").glob(f"{paths.CNI_NETWORK}-*"):
        file.unlink()
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{paths.LOGS}/"):
            link.unlink()


def cgroups() -> list[Path]:
    """Groups of this lab's containers (there is one hierarchy per controller)."""
    return [group for group in Path("/sys/fs/cgroup").glob("*/k8s.io/*") if group.is_dir()]


def guests() -> list[int]:
    """Processes inside the lab's network namespace that are neither the lab's own nor this one."""
    return [pid for pid in network.members() if pid not in {os.getpid(), os.getppid()} and pid not in shims()]


def described(pids: list[int]) -> str:
    return "; ".join(f"{pid} {' '.join(_arguments(pid))[:80].strip()}" for pid in pids)


def report() -> int:
    """Prints what was looked for and found. 0 when nothing of the lab is left."""
    findings = {
        "processes of the lab": [
            f"{name} {processes.pid_of(name)}" for name in processes.records() if processes.pid_of(name)
        ],
        "containers": [str(pid) for pid in _inits()],
        "containerd shims": [str(pid) for pid in shims()],
        "mounts": mounts(),
        "network namespace": [str(paths.NETNS_FILE)] if paths.NETNS_FILE.exists() else [],
        "interfaces on the host": _interfaces(),
        "CNI results": [str(file) for file in (paths.CNI_STATE / "results").glob(f"{paths.CNI_NETWORK}-*")],
    }
    for what, left in findings.items():
        print(f"{what:<25} {'none left' if not left else 'LEFT: ' + ', '.join(left)}")
    return 1 if any(findings.values()) else 0


def _interfaces() -> list[str]:
    """The lab's interfaces live in its namespace; one seen here would be a mistake."""
    names = [entry.name for entry in Path("/sys/class/net").iterdir()]
    return [name for name in names if name in {paths.BRIDGE, "cni0"}]
