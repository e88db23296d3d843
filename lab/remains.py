"""What a node leaves behind: containers, shims, mounts, files outside the lab's folder. Found, ended, accounted for.

Nothing is recognised by a program's name alone: a container by the control group that the kubelet was given, a shim
by the socket of this lab's containerd in its arguments, a mount by its place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from lab import network, node, paths, processes
from lab.shell import LabError, run

_CRI = paths.CONTAINERD_ROOT / "io.containerd.grpc.v1.cri"
_BUNDLES = paths.CONTAINERD_STATE / "io.containerd.runtime.v2.task" / "k8s.io"
_SHIM_SOCKETS = Path("/run/containerd/s")
_CGROUPS = Path("/sys/fs/cgroup")


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


def _shims() -> dict[int, str]:
    """id → start time of the shims that serve this lab's containerd."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        arguments = _arguments(pid)
        ours = str(paths.CONTAINERD_SOCKET) in arguments and "containerd-shim" in arguments[0]
        if ours and (start := processes.start_time(pid)):
            found[pid] = start
    return found


def _cgroups() -> list[Path]:
    """The lab's control groups, innermost first: one hierarchy per controller, or the single unified one."""
    tops = [*_CGROUPS.glob(f"*/{paths.CGROUP}"), _CGROUPS / paths.CGROUP]
    groups = [group for top in tops if top.is_dir() for group in (top, *top.rglob("*/"))]
    return sorted(groups, key=lambda group: len(group.parts), reverse=True)


def _contained() -> dict[int, str]:
    """id → start time of every process in a container of the lab."""
    found = {}
    for group in _cgroups():
        with contextlib.suppress(OSError):
            for word in (group / "cgroup.procs").read_text().split():
                if start := processes.start_time(int(word)):
                    found[int(word)] = start
    return found


def containers() -> None:
    """Kills every container and removes it from containerd, so that the next start finds none."""
    processes.end(_contained(), first=signal.SIGKILL)
    if processes.pid_of("containerd") is None:
        return
    with contextlib.suppress(LabError):  # what containerd cannot remove now it drops with its folders
        for what, flag in (("tasks", ["--force"]), ("containers", [])):
            names = node.ctr(what, "ls", "-q").split()
            for first in range(0, len(names), 50):
                node.ctr(what, "rm", *flag, *names[first : first + 50])


def shims() -> None:
    processes.end(_contained() | _shims(), first=signal.SIGKILL)


def files() -> None:
    """What the node keeps inside the lab's folder about containers, and what it wrote outside of it."""
    for known in (_CRI / "sandboxes", _CRI / "containers", _BUNDLES):
        for entry in known.glob("*"):
            for result in (paths.CNI_STATE / "results").glob(f"*-{entry.name}-*"):
                result.unlink()
            with contextlib.suppress(FileNotFoundError):
                socket = Path((entry / "address").read_text().removeprefix("unix://"))
                if socket.parent == _SHIM_SOCKETS:
                    socket.unlink(missing_ok=True)
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{paths.LOGS}/"):
            link.unlink()
    for folder in (paths.RUN, _CRI):
        shutil.rmtree(folder, ignore_errors=True)


def cgroups() -> None:
    """Removes the control groups. The kernel frees a group a moment after its last process."""
    end = time.monotonic() + 5
    while groups := _cgroups():
        for group in groups:
            with contextlib.suppress(OSError):
                group.rmdir()
        if time.monotonic() > end:
            return
        time.sleep(0.05)


def guests(own: set[int | None]) -> list[int]:
    """Processes in the lab's network that are neither `own`, nor a shim, nor a caller of this one."""
    callers = {os.getpid(), os.getppid()}
    return [pid for pid in network.members() if pid not in own | callers and pid not in _shims()]


def described(pids: list[int]) -> str:
    return "; ".join(f"{pid} {' '.join(_arguments(pid))[:80].strip()}" for pid in pids)


def report(known: dict[str, dict[str, Any]]) -> int:
    """Prints what was looked for and found, `known` being the processes as recorded. 0 when nothing is left."""
    running = {name: each["pid"] for name, each in known.items() if processes.start_time(each["pid"]) == each["start"]}
    findings = {
        "processes of the lab": [f"{name} {pid}" for name, pid in running.items()],
        "processes in containers": [str(pid) for pid in _contained()],
        "containerd shims": [str(pid) for pid in _shims()],
        "control groups": [str(group) for group in _cgroups()],
        "mounts": mounts(),
        "network namespace": [str(paths.NETNS_FILE)] if paths.NETNS_FILE.exists() else [],
        "interfaces on the host": _interfaces(),
    }
    for what, left in findings.items():
        print(f"{what:<25} {'none left' if not left else 'LEFT: ' + ', '.join(left)}")
    return 1 if any(findings.values()) else 0


def _interfaces() -> list[str]:
    """The lab's interfaces live in its namespace; one seen here would be a mistake."""
    names = [entry.name for entry in Path("/sys/class/net").iterdir()]
    return [name for name in names if name in {paths.BRIDGE, "cni0"}]
