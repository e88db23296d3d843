"""Volumes for claims: a set of folders on the node, since nothing here makes volumes when they are asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lab import paths
from lab.shell import kubectl, say

_VOLUMES = paths.HOME / "volumes"
_COUNT = 32
CLASS = "lab"


def objects() -> list[dict[str, Any]]:
    """The default StorageClass and the PersistentVolumes of it. Makes their folders, which anyone may write."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    return [storage_class, *(_volume(f"lab-{number:02}") for number in range(_COUNT))]


def _volume(name: str) -> dict[str, Any]:
    folder = _VOLUMES / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o1777)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": CLASS,
            "capacity": {"storage": "1Ti"},  # a promise that no one checks on a hostPath
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
        },
    }


def recycle() -> None:
    """Empties and frees the volumes whose claims are gone; a released volume is never bound again by itself."""
    volumes = json.loads(kubectl("get", "persistentvolumes", "-o", "json"))["items"]
    for volume in volumes:
        name = volume["metadata"]["name"]
        if volume.get("status", {}).get("phase") == "Released" and volume["spec"].get("storageClassName") == CLASS:
            _empty(_VOLUMES / name)
            kubectl("patch", "persistentvolume", name, "--type=merge", "-p", '{"spec":{"claimRef":null}}')
            say(f"volume {name}: emptied and free again")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o1777)


def remove() -> None:
    shutil.rmtree(_VOLUMES, ignore_errors=True)
