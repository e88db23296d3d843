"""The node: containerd, the kubelet, kube-proxy, and GPUs that only the scheduler believes in."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from lab import paths
from lab.control_plane import kubeconfig
from lab.processes import Process
from lab.shell import LabError, http_probe, kubectl, run, write

PAUSE_IMAGE = "localhost/solera/pause:lab"
_CONTAINERD = paths.ETC / "containerd.toml"
_CNI = paths.ETC / "cni"
_KUBELET = paths.ETC / "kubelet.json"
_PROXY = paths.ETC / "kube-proxy.json"
_RESOLV = paths.ETC / "resolv.conf"
_CGROUPS = Path("/sys/fs/cgroup")
_SOCKET = f"unix://{paths.CONTAINERD_SOCKET}"


def ctr(*argv: str | Path, timeout: float = 120) -> str:
    """containerd's own client, in the namespace where the kubelet's images and containers are."""
    return run(["ctr", "--address", paths.CONTAINERD_SOCKET, "--namespace", "k8s.io", *argv], timeout=timeout)


def containerd() -> Process:
    config = f"""\
version = 2
root = "{paths.CONTAINERD_ROOT}"
state = "{paths.CONTAINERD_STATE}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{paths.CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE runc cannot lower a score and dies.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{_CNI}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{paths.RUN / "runc"}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{paths.HOME / "containerd-opt"}"
"""
    write(_CONTAINERD, config)
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": paths.POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(paths.RUN / "cni"),
        },
    }
    write(_CNI / "10-lab.conflist", {"cniVersion": "1.0.0", "name": paths.CNI_NETWORK, "plugins": [bridge]})

    def probe() -> str | None:
        try:
            ctr("version", timeout=5)
        except LabError as error:
            return str(error).splitlines()[-1]
        return None

    argv = ("/usr/bin/containerd", "--config", str(_CONTAINERD))
    return Process("containerd", argv, probe, files=(_CONTAINERD, _CNI / "10-lab.conflist"))


def _control_group() -> None:
    """Makes the group below which the kubelet keeps all containers: it wants it there in every hierarchy."""
    if (_CGROUPS / "cgroup.controllers").exists():  # one unified hierarchy: controllers are handed down explicitly
        offered = (_CGROUPS / "cgroup.controllers").read_text().split()
        (_CGROUPS / paths.CGROUP).mkdir(exist_ok=True)
        for name in offered:
            with contextlib.suppress(OSError):
                (_CGROUPS / "cgroup.subtree_control").write_text(f"+{name}")
        return
    for hierarchy in _CGROUPS.iterdir():
        if hierarchy.is_dir() and not hierarchy.is_symlink():
            (hierarchy / paths.CGROUP).mkdir(exist_ok=True)


def kubelet() -> Process:
    _control_group()
    config = kubeconfig(paths.ETC / "kubelet.kubeconfig", f"system:node:{paths.NODE}")
    search = f"nameserver {paths.ADDRESS}\n"
    write(_RESOLV, search)
    settings: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": paths.ADDRESS,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},  # reachable from inside the lab's network namespace alone
        "containerRuntimeEndpoint": _SOCKET,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": True,
        "cgroupRoot": f"/{paths.CGROUP}",  # so that `down` finds every process of every container
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "24h",
        # No eviction: the kubelet cannot tell which disk holds the images here and would say so every ten seconds.
        "evictionHard": {"memory.available": "0%"},
        "oomScoreAdj": 0,
        "maxPods": 200,
        "syncFrequency": "1s",
        "nodeStatusUpdateFrequency": "5s",
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
        "clusterDNS": [paths.ADDRESS],
        "clusterDomain": paths.CLUSTER_DOMAIN,
        "resolvConf": str(_RESOLV),
        "podLogsDir": str(paths.LOGS / "pods"),
        "volumePluginDir": str(paths.KUBELET_ROOT / "volume-plugins"),
        "registerNode": True,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
        "serializeImagePulls": False,
    }
    write(_KUBELET, settings)
    argv = [
        str(paths.BIN / "kubelet"),
        f"--config={_KUBELET}",
        f"--kubeconfig={config}",
        f"--root-dir={paths.KUBELET_ROOT}",
        f"--cert-dir={paths.PKI / 'kubelet'}",
        f"--hostname-override={paths.NODE}",
        f"--node-ip={paths.ADDRESS}",
    ]
    probe = http_probe("http://127.0.0.1:10248/healthz")
    return Process("kubelet", tuple(argv), probe, files=(config, _KUBELET, _RESOLV))


def proxy() -> Process:
    config = kubeconfig(paths.ETC / "kube-proxy.kubeconfig", "system:kube-proxy")
    settings: dict[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(config)},
        "mode": "iptables",
        "clusterCIDR": paths.POD_RANGE,
        "hostnameOverride": paths.NODE,
        "healthzBindAddress": f"{paths.ADDRESS}:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        "oomScoreAdj": 0,
    }
    write(_PROXY, settings)
    argv = (str(paths.BIN / "kube-proxy"), f"--config={_PROXY}")
    probe = http_probe(f"http://{paths.ADDRESS}:10256/livez")
    return Process("kube-proxy", argv, probe, files=(config, _PROXY))


def state() -> str | None:
    """None when the node is Ready and has all its GPUs, else what is not so."""
    try:
        node = json.loads(kubectl("get", "node", paths.NODE, "-o", "json"))
    except LabError as error:
        return str(error).splitlines()[-1]
    conditions = {each["type"]: each for each in node["status"].get("conditions", [])}
    ready = conditions.get("Ready", {})
    if ready.get("status") != "True":
        return f"node {paths.NODE} is not Ready: {ready.get('message', 'no condition yet')}"
    for kind in ("capacity", "allocatable"):
        if node["status"].get(kind, {}).get("nvidia.com/gpu") != str(paths.GPUS):
            return f"node {paths.NODE} lacks nvidia.com/gpu in its {kind}"
    return None


def settle() -> str | None:
    """A probe that also mends: it puts the GPUs back while a restart of the kubelet took them away."""
    reason = state()
    if reason is not None and re.search("nvidia.com/gpu", reason):
        gpus = {"nvidia.com/gpu": str(paths.GPUS)}
        patch = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
        kubectl("patch", "node", paths.NODE, "--subresource=status", "--type=merge", "-p", patch)
        return state()
    return reason
