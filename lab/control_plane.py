"""Keys and credentials, etcd, the apiserver, the controller manager, the scheduler and cluster DNS."""

from __future__ import annotations

import base64
import csv
import secrets
from pathlib import Path
from typing import Any

from lab import paths
from lab.processes import Process
from lab.shell import http_probe, run, write

CA = paths.PKI / "apiserver.crt"
_TOKENS = paths.PKI / "tokens.csv"
_SIGNING_KEY = paths.PKI / "service-accounts.key"
_COREFILE = paths.ETC / "Corefile"
_AUDIT_POLICY = paths.ETC / "audit-policy.json"
_ETCD_URL = "http://127.0.0.1:2379"

# user: groups. One user per program, so that the audit log tells them apart.
USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:kube-proxy": "",
    f"system:node:{paths.NODE}": "system:nodes",
    "coredns": "",
    "prometheus": "",
    "traefik": "",
}


def _tokens() -> dict[str, str]:
    """user → token, made once and kept as long as the lab's folder."""
    known: dict[str, str] = {}
    if _TOKENS.exists():
        with _TOKENS.open(newline="") as rows:
            known = {row[1]: row[0] for row in csv.reader(rows) if len(row) >= 3}
    if set(known) != set(USERS):
        known = {user: known.get(user) or secrets.token_hex(16) for user in USERS}
        lines = [f'{known[user]},{user},{user},"{groups}"' for user, groups in USERS.items()]
        write(_TOKENS, "\n".join(lines) + "\n", mode=0o600)
    return known


def token(user: str) -> str:
    return _tokens()[user]


def credentials() -> None:
    """Tokens and the key that signs service account tokens."""
    paths.PKI.mkdir(parents=True, exist_ok=True, mode=0o700)
    _tokens()
    if not _SIGNING_KEY.exists():
        part = _SIGNING_KEY.with_suffix(".part")
        run(["openssl", "genrsa", "-out", part, "2048"])
        part.rename(_SIGNING_KEY)


def kubeconfig(path: Path, user: str) -> Path:
    """Writes a kubeconfig for one user. The apiserver must have made its certificate."""
    authority = base64.b64encode(CA.read_bytes()).decode()
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": paths.API_URL, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token(user)}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
    }
    return write(path, content, mode=0o600)


def _part(name: str) -> str:
    return str(paths.BIN / name)


def etcd() -> Process:
    argv = [
        _part("etcd"),
        f"--data-dir={paths.ETCD_DATA}",
        f"--listen-client-urls={_ETCD_URL}",
        f"--advertise-client-urls={_ETCD_URL}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # a lab may lose its state with the machine, not with a process
        "--auto-compaction-retention=10m",
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    ]
    return Process("etcd", tuple(argv), http_probe(f"{_ETCD_URL}/health"))


def apiserver() -> Process:
    # Metadata alone: tests count writes by user agent, and bodies would fill the disk.
    write(
        _AUDIT_POLICY,
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [
                {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
                {"level": "Metadata"},
            ],
        },
    )
    argv = [
        _part("kube-apiserver"),
        f"--etcd-servers={_ETCD_URL}",
        f"--advertise-address={paths.ADDRESS}",
        f"--bind-address={paths.ADDRESS}",
        f"--secure-port={paths.API_PORT}",
        f"--cert-dir={paths.PKI}",
        f"--service-cluster-ip-range={paths.SERVICE_RANGE}",
        f"--token-auth-file={_TOKENS}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={_SIGNING_KEY}",
        f"--service-account-signing-key-file={_SIGNING_KEY}",
        "--kubelet-preferred-address-types=InternalIP",
        "--endpoint-reconciler-type=lease",
        f"--audit-policy-file={_AUDIT_POLICY}",
        f"--audit-log-path={paths.AUDIT_LOG}",
        "--audit-log-maxsize=100",
        "--audit-log-maxbackup=3",
        "--audit-log-mode=blocking",  # a batch would lose its last second when the apiserver is killed
        "--shutdown-delay-duration=0s",
        "--profiling=false",
    ]
    files = (_TOKENS, _SIGNING_KEY, _AUDIT_POLICY)
    return Process("kube-apiserver", tuple(argv), apiserver_ready, files=files, timeout=90)


def apiserver_ready() -> str | None:
    if not CA.exists():
        return f"{CA} is not there yet"
    return http_probe(f"{paths.API_URL}/readyz", token=token("admin"), ca=CA)()


def controller_manager() -> Process:
    config = kubeconfig(paths.ETC / "controller-manager.kubeconfig", "system:kube-controller-manager")
    argv = [
        _part("kube-controller-manager"),
        f"--kubeconfig={config}",
        "--leader-elect=false",  # with it an outage of the apiserver ends the process
        "--bind-address=127.0.0.1",
        f"--cert-dir={paths.PKI / 'controller-manager'}",
        f"--cluster-cidr={paths.POD_RANGE}",
        f"--root-ca-file={CA}",
        f"--service-account-private-key-file={_SIGNING_KEY}",
        "--use-service-account-credentials=true",
        "--node-monitor-grace-period=5m",  # the default marks all pods NotReady a minute into an outage
        "--controllers=*,-nodeipam,-node-route-controller,-cloud-node-lifecycle-controller",
    ]
    probe = http_probe("https://127.0.0.1:10257/healthz")
    return Process("kube-controller-manager", tuple(argv), probe, files=(config, CA))


def scheduler() -> Process:
    config = kubeconfig(paths.ETC / "scheduler.kubeconfig", "system:kube-scheduler")
    argv = [
        _part("kube-scheduler"),
        f"--kubeconfig={config}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--cert-dir={paths.PKI / 'scheduler'}",
    ]
    return Process("kube-scheduler", tuple(argv), http_probe("https://127.0.0.1:10259/healthz"), files=(config,))


def dns() -> Process:
    """Names of Services and pods. Nothing else: there is no way out of the lab to ask anyone."""
    config = kubeconfig(paths.ETC / "coredns.kubeconfig", "coredns")
    lines = [
        ".:53 {",
        f"    bind {paths.ADDRESS}",
        f"    health {paths.ADDRESS}:8053",
        "    errors",
        "    cache 2",
        f"    kubernetes {paths.CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{",
        f"        kubeconfig {config} lab",
        "        ttl 2",
        "    }",
        "}",
    ]
    write(_COREFILE, "\n".join(lines) + "\n")
    argv = (_part("coredns"), "-conf", str(_COREFILE))
    probe = http_probe(f"http://{paths.ADDRESS}:8053/health")
    return Process("coredns", argv, probe, files=(config, _COREFILE))


def reader(name: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A ClusterRole of that name and its binding to the user of that name."""
    api = "rbac.authorization.k8s.io"
    meta = {"name": f"lab:{name}"}
    return [
        {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": f"lab:{name}"},
            "subjects": [{"apiGroup": api, "kind": "User", "name": name}],
        },
    ]


def look(groups: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Rules that allow to read the given resources per API group."""
    verbs = ["get", "list", "watch"]
    return [{"apiGroups": [group], "resources": names, "verbs": verbs} for group, names in groups.items()]


def dns_rules() -> list[dict[str, Any]]:
    groups = {"": ["services", "pods", "namespaces", "endpoints"], "discovery.k8s.io": ["endpointslices"]}
    return reader("coredns", look(groups))
