"""Flagger, built from its Go module into the lab's cache, and what of its release the cluster needs."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml
from lab import build, paths
from lab.shell import LabError, locked, run

MODULE = Path(__file__).resolve().parent / "flagger"
PACKAGE = "github.com/fluxcd/flagger"
USER = "flagger"


def version() -> str:
    """Of Flagger, as go.mod has it."""
    found = re.search(rf"^\s*(?:require )?{re.escape(PACKAGE)} v(\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise LabError(f"{MODULE}/go.mod does not require {PACKAGE}")
    return found[1]


def flagger() -> Path:
    """The program; built when the cache has none for this go.mod."""
    with locked(paths.CACHE / "build.lock"):
        folder = build.go_build(MODULE, f"flagger {version()}", "flagger", f"{PACKAGE}/cmd/flagger")
    return folder / "flagger"


@functools.cache
def release() -> Path:
    """The folder of the module's own manifests."""
    found = run([build.go(), "list", "-m", "-f", "{{.Dir}}", PACKAGE], cwd=MODULE, env=build.go_env())
    return Path(found.strip()) / "artifacts" / "flagger"


def definitions() -> Path:
    """Its CRDs."""
    return release() / "crd.yaml"


def rights() -> list[dict[str, Any]]:
    """Its own ClusterRole, bound to the user ``USER`` instead of a service account."""
    objects = [obj for obj in yaml.safe_load_all((release() / "account.yaml").read_text()) if obj]
    role = next(obj for obj in objects if obj["kind"] == "ClusterRole")
    binding = next(obj for obj in objects if obj["kind"] == "ClusterRoleBinding")
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}
    return [role, {**binding, "subjects": [subject]}]


def arguments(program: Path, kubeconfig: Path, metrics: str, port: int) -> list[str]:
    """Its command line: the chart's defaults, out of a cluster."""
    return [
        str(program),
        f"-kubeconfig={kubeconfig}",
        "-mesh-provider=gatewayapi:v1",
        f"-metrics-server={metrics}",
        f"-port={port}",
        "-log-level=info",
        "-enable-config-tracking=true",
        "-enable-leader-election=false",
    ]
