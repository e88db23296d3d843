"""Base images made by debootstrap, kept as OCI archives in the cache."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import oci, paths
from lab.shell import LabError, digest, run, say

_SCRIPTS = Path("/usr/share/debootstrap/scripts")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Base:
    """A Debian suite, packages in it, and commands run inside before it is packed."""

    suite: str
    packages: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...] = ()
    path: str = _PATH

    @property
    def key(self) -> str:
        return digest(repr(self), repr(_DROPPED))


# What no container needs; it is half of the size.
_DROPPED = (
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "var/log/*",
)

PYTHON = "localhost/python:3.13-slim"
LLAMA = "localhost/llama-base:forky"
BASES = {
    # Like the official image of that name: `python` and `pip` are first on the path.
    PYTHON: Base(
        suite="trixie",
        packages=("python3", "python3-venv", "ca-certificates"),
        commands=(("python3", "-m", "venv", "/usr/local/python"),),
        path=f"/usr/local/python/bin:{_PATH}",
    ),
    LLAMA: Base(suite="forky", packages=("llama.cpp-tools", "ca-certificates")),
}


def named_in(dockerfile: str, build_args: Mapping[str, str]) -> list[str]:
    """The bases of this module that a Dockerfile builds on, by name or through an argument."""
    words = set(re.findall(r"^FROM\s+(?:--\S+\s+)?(\S+)", dockerfile, re.MULTILINE)) | set(build_args.values())
    words |= set(re.findall(r"^ARG\s+\w+=(\S+)", dockerfile, re.MULTILINE))
    return [name for name in BASES if name in words]


def mirror() -> str:
    """Debian's archive as this machine's apt knows it. It is read anew each time and stands in no file."""
    codename = re.search(r"^VERSION_CODENAME=(\S+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    listed = run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"])
    for line in listed.splitlines():
        release, _, address = line.partition(" ")
        if codename and release == codename[1]:
            return address
    raise LabError("apt knows no Debian archive for this release: `apt-get indextargets` lists none")


def archive(name: str) -> Path:
    """The OCI archive of a base, made when the cache has none."""
    base = BASES[name]
    slug = name.removeprefix("localhost/").replace(":", "-")
    folder = paths.CACHE / "images"
    target = folder / f"base-{slug}-{base.key}.tar"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        say(f"{name}: debootstrap of {base.suite}")
        _bootstrap(name, base, target)
        say(f"{name}: done")
    return target


def _bootstrap(name: str, base: Base, target: Path) -> None:
    root = paths.CACHE / "tmp" / f"root-{base.suite}"
    _discard(root)
    root.mkdir(parents=True)
    script: Sequence[str | Path] = () if (_SCRIPTS / base.suite).exists() else (_SCRIPTS / "sid",)
    options = ["--variant=minbase", f"--include={','.join(base.packages)}"]
    if _KEYRING.exists():
        options.append(f"--keyring={_KEYRING}")
    log = paths.CACHE / "logs" / f"debootstrap-{base.suite}.log"
    run(["debootstrap", *options, base.suite, root, mirror(), *script], log=log, timeout=1800)
    env = {"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"}
    for command in base.commands:
        run(["chroot", root, *command], env=env)
    for pattern in _DROPPED:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    # The archive's address belongs to this machine, not to the image.
    (root / "etc/apt/sources.list").unlink(missing_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/hostname").unlink(missing_ok=True)
    layer = target.with_suffix(".layer")
    excluded = [f"--exclude=./{part}/*" for part in ("dev", "proc", "sys", "tmp", "run")]
    run(["tar", "--numeric-owner", *excluded, "-C", root, "-cf", layer, "."], timeout=600)
    config = {"Cmd": ["/bin/sh"], "Env": [f"PATH={base.path}", "LANG=C.UTF-8"]}
    oci.write_archive(target, name, layer, config)
    layer.unlink()
    _discard(root)


def _discard(root: Path) -> None:
    """Removes a root file system, after whatever an interrupted debootstrap left mounted in it."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((each for each in mounted if each.startswith(f"{root}/")), reverse=True):
        run(["umount", "--lazy", point])
    shutil.rmtree(root, ignore_errors=True)
