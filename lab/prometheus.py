"""Prometheus, scraping every second what the gateway and the annotated pods count."""

from __future__ import annotations

from typing import Any

from lab import paths
from lab.control_plane import CA, look, reader, token
from lab.processes import Process
from lab.shell import http_probe, write

_CONFIG = paths.ETC / "prometheus.json"
_TOKEN = paths.ETC / "prometheus.token"
URL = f"http://{paths.ADDRESS}:{paths.PROMETHEUS_PORT}"


def rules() -> list[dict[str, Any]]:
    return reader("prometheus", look({"": ["pods", "namespaces", "nodes"]}))


def _relabelling() -> list[dict[str, Any]]:
    pod = "__meta_kubernetes_pod"
    names = {f"{pod}_name": "pod", f"{pod}_uid": "pod_uid", "__meta_kubernetes_namespace": "namespace"}
    names |= {
        f"{pod}_label_solera_dev_{part}": f"solera_dev_{part}" for part in ("llmdeployment", "version", "revision")
    }
    return [
        {"source_labels": [f"{pod}_annotation_prometheus_io_scrape"], "regex": "true", "action": "keep"},
        {"source_labels": [f"{pod}_phase"], "regex": "Pending|Succeeded|Failed", "action": "drop"},
        # One target per pod, whatever ports its containers declare: equal targets are merged.
        {
            "source_labels": [f"{pod}_ip", f"{pod}_annotation_prometheus_io_port"],
            "separator": ":",
            "target_label": "__address__",
        },
        *({"source_labels": [source], "target_label": target} for source, target in names.items()),
    ]


def prometheus() -> Process:
    write(_TOKEN, token("prometheus"), mode=0o600)
    pods = {
        "role": "pod",
        "api_server": paths.API_URL,
        "authorization": {"credentials_file": str(_TOKEN)},
        "tls_config": {"ca_file": str(CA)},
    }
    gateway = {"targets": [f"{paths.ADDRESS}:{paths.TRAEFIK_METRICS_PORT}"]}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [
            {"job_name": "pods", "kubernetes_sd_configs": [pods], "relabel_configs": _relabelling()},
            {"job_name": "traefik", "static_configs": [gateway]},
        ],
    }
    write(_CONFIG, config)
    argv = [
        str(paths.BIN / "prometheus"),
        f"--config.file={_CONFIG}",
        f"--web.listen-address={paths.ADDRESS}:{paths.PROMETHEUS_PORT}",
        f"--storage.tsdb.path={paths.PROMETHEUS_DATA}",
        "--scrape.discovery-reload-interval=1s",
        "--storage.tsdb.retention.time=12h",
        "--log.level=warn",
    ]
    return Process("prometheus", tuple(argv), http_probe(f"{URL}/-/ready"), files=(_CONFIG, _TOKEN, CA))
