"""A control plane of its own for one run: etcd, apiserver, controller manager, scheduler, and KWOK in the place of kubelets.

It is made of the lab's parts, in a folder and a network namespace of its own (SOLERA_LAB_HOME and SOLERA_LAB_NETNS, set before anything
of the lab is imported), and leaves nothing behind. Each program is a user of its own, so the audit log tells them apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from benchmarks.peer.api import Api, ApiError
from lab import build, control_plane, gateway, network, paths, processes
from lab.processes import Process
from lab.shell import LabError, established, kubectl, locked, run, say, wait_for

KWOK_VERSION = "0.8.0"
# Nodes are ready and pods answer at once; both of its own release.
STAGES = ("node/fast/node-initialize.yaml", "pod/fast/pod-ready.yaml", "pod/fast/pod-delete.yaml")
PODS = "10.244.0.0/16"
NODES = 4
SYSTEM = "solera-system"
USERS = ("kwok", "acceptor", "fleet", "flagger", "solera")
API = "rbac.authorization.k8s.io"


def kwok() -> Path:
    """The folder with the program and its stages."""
    flags = "-s -w"

    def make(part: Path) -> None:
        install = [build.go(), "install", "-trimpath", "-ldflags", flags, f"sigs.k8s.io/kwok/cmd/kwok@v{KWOK_VERSION}"]
        run(install, env=build.go_env(GOBIN=str(part)), log=build.LOGS / "kwok.log", timeout=3600)
        source = [build.go(), "mod", "download", "-json", f"sigs.k8s.io/kwok@v{KWOK_VERSION}"]
        module = Path(json.loads(run(source, env=build.go_env(), cwd=part))["Dir"])
        stages = [(module / "kustomize" / "stage" / name).read_text() for name in STAGES]
        (part / "stages.yaml").write_text("\n---\n".join(stages))

    with locked(paths.CACHE / "build.lock"):
        return build.kept("kwok", build.digest(flags, KWOK_VERSION, *STAGES), f"kwok {KWOK_VERSION}", make)


def bound(user: str, role: str) -> dict[str, Any]:
    """``role`` for ``user`` in the whole cluster."""
    return {
        "apiVersion": f"{API}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"peer:{user}"},
        "roleRef": {"apiGroup": API, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": API, "kind": "User", "name": user}],
    }


def apply(*objects: dict[str, Any]) -> None:
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=bundle)


def apply_definitions(where: Path) -> None:
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(where), timeout=120)
    established("-f", str(where))


def kubeconfig(user: str) -> Path:
    return control_plane.kubeconfig(paths.ETC / f"{user}.kubeconfig", user)


def _node(number: int) -> dict[str, Any]:
    room = {"cpu": "1k", "memory": "1Ti", "pods": "1k", "nvidia.com/gpu": "1k"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {"allocatable": room, "capacity": room},
    }


def _kwok() -> Process:
    folder = kwok()
    config = kubeconfig("kwok")
    argv = [
        str(folder / "kwok"),
        f"--kubeconfig={config}",
        "--manage-all-nodes=true",
        f"--cidr={PODS}",
        f"--node-ip={paths.ADDRESS}",
        f"--config={folder / 'stages.yaml'}",
        "--node-lease-duration-seconds=40",
        "--v=WARN",
    ]
    return Process("kwok", tuple(argv), lambda: None, files=(config,))


def _unthrottled(process: Process) -> Process:
    """Its client's own limit (20 requests a second by default) would be what is measured."""
    return dataclasses.replace(process, argv=(*process.argv, "--kube-api-qps=500", "--kube-api-burst=1000"))


@contextlib.contextmanager
def running(*more: str) -> Iterator[None]:
    """The control plane is up, with ``more`` users, this process is in its network namespace; at the end nothing of it is left."""
    build.everything()
    kwok()
    stop()
    shutil.rmtree(paths.LOGS, ignore_errors=True)
    network.ensure()
    network.enter()
    try:
        # Every address of a pod leads to this machine.
        run(["ip", "route", "replace", "local", PODS, "dev", "lo"])
        control_plane.USERS.update(dict.fromkeys((*USERS, *more), ""))
        control_plane.credentials()
        processes.ensure([control_plane.etcd()])
        processes.ensure([control_plane.apiserver()])
        control_plane.kubeconfig(paths.KUBECONFIG, "admin")
        gateway.definitions()
        apply(*gateway.objects())
        apply(*(bound(user, "cluster-admin") for user in ("kwok", "acceptor", "fleet")))
        processes.ensure(
            [_unthrottled(control_plane.controller_manager()), _unthrottled(control_plane.scheduler()), _kwok()]
        )
        apply(*(_node(number) for number in range(NODES)))
        wait_for("service account", _service_account, timeout=30)
        yield
    finally:
        stop()


def _service_account() -> str | None:
    try:
        kubectl("get", "serviceaccount", "default", "-o", "name")
    except LabError as error:
        return str(error).splitlines()[-1]
    return None


def stop() -> None:
    """End what runs of it and in it, also what an unclean end has left, and remove its namespace and folders; logs stay."""
    for name in ("kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
        processes.stop(name)
    left = {pid: processes.start_time(pid) for pid in network.members() if pid != os.getpid()}
    processes.end({pid: start for pid, start in left.items() if start})
    network.remove()
    for folder in (paths.ETCD_DATA, paths.ETC, paths.PKI, paths.RUN):
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _chart() -> tuple[dict[str, Any], ...]:
    """What the chart makes with its defaults."""
    chart = paths.PROJECT / "charts" / "solera"
    argv = [
        paths.BIN / "helm",
        "template",
        "solera",
        chart,
        "-n",
        SYSTEM,
        "--set",
        "image.repository=localhost/operator",
    ]
    return tuple(obj for obj in yaml.safe_load_all(run(argv)) if obj)


def solera_config() -> dict[str, Any]:
    """The operator's configuration as the chart writes it."""
    found = next(obj for obj in _chart() if obj["kind"] == "ConfigMap")
    return dict(yaml.safe_load(found["data"]["config.yaml"]) or {})


def solera_rights() -> list[dict[str, Any]]:
    """What the chart gives the operator, bound to the user ``solera`` instead of a service account, and its namespace."""
    out: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}]
    subject = {"apiGroup": API, "kind": "User", "name": "solera"}
    for obj in _chart():
        if obj["kind"] in {"ClusterRole", "Role", "Lease"}:
            out.append(obj)
        if obj["kind"] in {"ClusterRoleBinding", "RoleBinding"}:
            out.append({**obj, "subjects": [subject]})
    return out


async def empty(client: Api, space: str, seconds: float = 90.0) -> None:
    """Remove a namespace, and wait until it is gone."""
    path = f"/api/v1/namespaces/{space}"
    await client.call("DELETE", path)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            await client.call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        await asyncio.sleep(0.5)
    raise LabError(f"namespace {space} is not gone after {seconds:.0f} s")


def versions() -> str:
    return f"Kubernetes {paths.KUBERNETES_VERSION}, Gateway API {paths.GATEWAY_API_VERSION}, KWOK {KWOK_VERSION}"


def announce() -> None:
    say(f"control plane: up in namespace {paths.NETNS} ({versions()})")


def machine() -> str:
    """What this run was measured on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {os.uname().release.split('-')[0]}"
