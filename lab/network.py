"""The lab's network namespace: one bridge that carries the node's address, nothing that leads out.

Processes enter it by setns(2) alone (what `nsenter --net` does). `ip netns exec` would also mount a fresh /sys and so
hide the cgroups from the kubelet.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from lab import paths
from lab.shell import LabError, run

_CLONE_NEWNET = 0x40000000
_NSENTER = ["nsenter", f"--net={paths.NETNS_FILE}", "--"]


def exists() -> bool:
    """Whether the file is there *and* is a namespace: an unclean end can leave the bare file."""
    try:
        return _is_namespace(paths.NETNS_FILE)
    except FileNotFoundError:
        return False


def _is_namespace(path: Path) -> bool:
    own = Path("/proc/self/ns/net").stat()
    return path.stat().st_dev == own.st_dev


def ensure() -> bool:
    """Makes what is missing. Returns whether the namespace is new, so that nothing of an old one can still be used."""
    made = False
    if not exists():
        paths.NETNS_FILE.unlink(missing_ok=True)
        run(["ip", "netns", "add", paths.NETNS])
        made = True
    address = run([*_NSENTER, "ip", "-brief", "address"])
    if f"{paths.ADDRESS}/24" not in address:
        if paths.BRIDGE not in address:
            run([*_NSENTER, "ip", "link", "add", paths.BRIDGE, "type", "bridge"])
        run([*_NSENTER, "ip", "address", "replace", f"{paths.ADDRESS}/24", "dev", paths.BRIDGE])
    run([*_NSENTER, "ip", "link", "set", "lo", "up"])
    run([*_NSENTER, "ip", "link", "set", paths.BRIDGE, "up"])
    run([*_NSENTER, "ip", "route", "replace", "default", "dev", paths.BRIDGE])
    settings = ["net.ipv4.ip_forward=1"]
    if Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        settings.append("net.bridge.bridge-nf-call-iptables=1")
    run([*_NSENTER, "sysctl", "-q", "-w", *settings])
    return made


def enter() -> None:
    """Moves this process, and all that it starts from now on, into the namespace.

    Raises LabError when the namespace is not there.
    """
    if not exists():
        raise LabError("the lab is down: `python -m lab up` first")
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(paths.NETNS_FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            raise LabError(f"cannot enter {paths.NETNS_FILE}: {os.strerror(ctypes.get_errno())} (are you root?)")
    finally:
        os.close(handle)


def members() -> list[int]:
    """The ids of all processes whose network namespace this is."""
    if not exists():
        return []
    wanted = paths.NETNS_FILE.stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "ns" / "net").stat().st_ino == wanted:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def remove() -> None:
    """Removes the namespace. Its interfaces end with the last process inside it."""
    if exists():
        run(["ip", "netns", "delete", paths.NETNS])
    paths.NETNS_FILE.unlink(missing_ok=True)
