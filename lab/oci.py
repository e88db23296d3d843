"""Writes an OCI image archive (image-spec v1) from a tar of a root file system, with nothing but the standard library."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import tarfile
from pathlib import Path
from typing import Any

_CHUNK = 1024 * 1024


def architecture() -> str:
    """This machine's, in the words of the image specification."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def write_archive(target: Path, name: str, layer: Path, config: dict[str, Any]) -> None:
    """One image of one uncompressed layer. `config` is the image's own (Cmd, Entrypoint, Env)."""
    layer_digest = sha256(layer)
    image = {
        "architecture": architecture(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created_by": "lab"}],
    }
    image_data = json.dumps(image).encode()
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": _descriptor(f"{kind}.config.v1+json", image_data),
        "layers": [
            {"mediaType": f"{kind}.layer.v1.tar", "digest": f"sha256:{layer_digest}", "size": layer.stat().st_size}
        ],
    }
    manifest_data = json.dumps(manifest).encode()
    entry = _descriptor(f"{kind}.manifest.v1+json", manifest_data)
    entry["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    index = {"schemaVersion": 2, "mediaType": f"{kind}.index.v1+json", "manifests": [entry]}
    part = target.with_name(target.name + ".part")
    with tarfile.open(part, "w") as archive:
        _add(archive, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(archive, "index.json", json.dumps(index).encode())
        for data in (image_data, manifest_data):
            _add(archive, f"blobs/sha256/{hashlib.sha256(data).hexdigest()}", data)
        archive.add(layer, f"blobs/sha256/{layer_digest}")
    shutil.move(part, target)


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
