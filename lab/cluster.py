"""Brings the lab up, tells how it is, and takes it down without a trace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from lab import build, control_plane, gateway, images, network, node, paths, processes, prometheus, remains, storage
from lab.shell import LabError, http_get, kubectl, say, wait_for, write

_BOOT = paths.RUN / "boot-id"
# Started last, ended first.
STOP_ORDER = (
    "kubelet",
    "prometheus",
    "traefik",
    "coredns",
    "kube-proxy",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "etcd",
)
PARTS = ("containerd", *reversed(STOP_ORDER))


def up() -> None:
    """Builds what is missing, mends what is broken, and returns when everything works."""
    build.everything()
    pause = images.pause()
    say("programs: ready")
    if _from_another_boot():
        say("the machine was restarted: dropping what described running processes")
        remains.unmount()
        remains.files()
    if not network.exists() and (processes.records() or remains.mounts()):
        say("the network namespace is gone: ending what still runs in it")
        _stop_everything()
    if network.ensure():
        say(f"network: namespace {paths.NETNS} with {paths.ADDRESS}")
    network.enter()
    write(_BOOT, processes.boot_id())

    if not paths.ETCD_DATA.exists():  # a new cluster: what an old one said misleads
        shutil.rmtree(paths.LOGS, ignore_errors=True)
    control_plane.credentials()
    processes.ensure([node.containerd(), control_plane.etcd()])
    images.deliver(node.PAUSE_IMAGE, pause)
    processes.ensure([control_plane.apiserver()])
    control_plane.kubeconfig(paths.KUBECONFIG, "admin")
    _apply([*control_plane.dns_rules(), *gateway.rules(), *prometheus.rules()])
    gateway.definitions()
    _apply([*gateway.objects(), *storage.objects()])
    storage.recycle()
    say("cluster: roles, Gateway API, Gateway, volumes applied")
    late = [control_plane.controller_manager(), control_plane.scheduler(), node.kubelet(), node.proxy()]
    processes.ensure([*late, control_plane.dns(), gateway.traefik(), prometheus.prometheus()])
    wait_for("node", node.settle, timeout=60)
    wait_for("gateway", gateway.state, timeout=60)
    wait_for("service account", _service_account, timeout=30)
    say(f"node {paths.NODE}: Ready, {paths.GPUS} GPUs; Gateway {gateway.GATEWAY}: Programmed")


def _from_another_boot() -> bool:
    return _BOOT.exists() and _BOOT.read_text() != processes.boot_id()


def _apply(objects: list[dict[str, object]]) -> None:
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=bundle)


def _service_account() -> str | None:
    """Until it is there no pod is admitted to the namespace."""
    try:
        kubectl("get", "serviceaccount", "default", "-o", "name")
    except LabError as error:
        return str(error).splitlines()[-1]
    return None


def _scraping() -> str | None:
    """Whether Prometheus counts the gateway. Pods are their owners' business."""
    try:
        found = json.loads(http_get(f"{prometheus.URL}/api/v1/targets?state=active&scrapePool=traefik"))
        healthy = [target["health"] for target in found["data"]["activeTargets"]] == ["up"]
    except (OSError, ValueError, KeyError) as error:
        return str(error)
    return None if healthy else "Prometheus does not reach the gateway's metrics"


def status() -> int:
    """Prints a table of what the lab consists of. 0 when all of it is well, else 1."""
    if not network.exists():
        print("the lab is down (no network namespace)")
        return 1
    network.enter()
    rows: list[tuple[str, str, str]] = []
    for name in PARTS:
        pid = processes.pid_of(name)
        rows.append((name, "ok" if pid else "DOWN", f"pid {pid}" if pid else f"see {paths.LOGS / name}.log"))
    checks: dict[str, Callable[[], str | None]] = {}
    if processes.pid_of("kube-apiserver"):
        checks = {
            "apiserver ready": control_plane.apiserver_ready,
            "node, GPUs": node.state,
            "gateway": gateway.state,
            "scraping": _scraping,
        }
    for name, check in checks.items():
        reason = check()
        rows.append((name, "DOWN" if reason else "ok", reason or ""))
    for name, state, detail in rows:
        print(f"{name:<25} {state:<5} {detail}".rstrip())
    return 0 if all(state == "ok" for _, state, _ in rows) else 1


def _stop_everything() -> None:
    """Ends all that the lab started: the kubelet before the containers it would restart, containerd after them."""
    processes.stop(STOP_ORDER[0])
    remains.containers()
    for name in STOP_ORDER[1:]:
        processes.stop(name)
    processes.stop("containerd")
    remains.shims()
    remains.unmount()
    remains.files()
    remains.cgroups()


def down(purge: bool) -> int:
    """Takes everything away but logs and images (with `purge`: those, too). 0 when nothing is left."""
    known = processes.records()
    guests = remains.guests({processes.pid_of(name) for name in PARTS})
    _stop_everything()
    guests = [pid for pid in guests if processes.start_time(pid)]  # containers are gone by now
    network.remove()
    for folder in (paths.ETCD_DATA, paths.KUBELET_ROOT, paths.PROMETHEUS_DATA, paths.ETC):
        shutil.rmtree(folder, ignore_errors=True)
    storage.remove()
    if purge:
        _purge(paths.HOME)
    left = remains.report(known)
    if guests:
        print(f"started by others inside the lab, not ended by it: {remains.described(guests)}")
    return 1 if left or guests else 0


def _purge(folder: Path) -> None:
    lock = folder / "lock"
    for entry in folder.iterdir():
        if entry != lock:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
