"""Container images without a registry: bases by debootstrap, builds by buildah, delivery straight into containerd."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import bases, build, node, oci, paths
from lab.shell import LabError, digest, locked, run, say, write

IMAGES = paths.CACHE / "images"
_BUILDAH = paths.CACHE / "buildah"
_STORE = (f"--root={_BUILDAH / 'store'}", f"--runroot={_BUILDAH / 'run'}")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one of the project's images is made. `prepare` fills an empty folder with the build context."""

    image: str
    dockerfile: Path
    prepare: Callable[[Path], None]
    build_args: Mapping[str, str] = field(default_factory=dict)


def _copy_engine(name: str) -> Callable[[Path], None]:
    def prepare(target: Path) -> None:
        source = paths.SOURCE / "engines" / name
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))

    return prepare


def _llama(target: Path) -> None:
    run([sys.executable, "-m", "lab.engines.llama.build", target], cwd=paths.PROJECT, env=dict(os.environ))


def _operator(target: Path) -> None:
    # What Git ignores stays out; what is new and not yet committed goes in, since that is what one wants to try.
    wanted = ["src", "pyproject.toml", "requirements-*.lock", "requirements.lock", "README.md", "LICENSE"]
    git = [
        "git",
        "-c",
        f"safe.directory={paths.PROJECT}",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    for name in filter(None, run([*git, "--", *wanted], cwd=paths.PROJECT).split("\0")):
        source = paths.PROJECT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def _operator_next(target: Path) -> None:
    """The same operator under the next version's name, to upgrade to."""
    _operator(target)
    file = target / "src" / "solera" / "__init__.py"
    text = file.read_text()
    next_one = re.sub(
        r'^__version__ = "(\d+)\.(\d+)\.\d+"',
        lambda v: f'__version__ = "{v[1]}.{int(v[2]) + 1}.0"',
        text,
        flags=re.MULTILINE,
    )
    if next_one == text:
        raise LabError(f"{file} names no version that could be raised")
    file.write_text(next_one)


RECIPES = {
    "operator": Recipe(
        "localhost/solera/operator:dev", paths.PROJECT / "Dockerfile", _operator, {"BASE": bases.PYTHON}
    ),
    "operator-next": Recipe(
        "localhost/solera/operator:next", paths.PROJECT / "Dockerfile", _operator_next, {"BASE": bases.PYTHON}
    ),
    "simengine": Recipe(
        "localhost/solera/simengine:dev",
        paths.SOURCE / "engines" / "simengine" / "Dockerfile",
        _copy_engine("simengine"),
    ),
    "llama": Recipe("localhost/solera/llama:dev", paths.SOURCE / "engines" / "llama" / "Dockerfile", _llama),
}


def make(name: str) -> None:
    """Builds one of the project's images when its content changed, and hands it to containerd when it is not there."""
    recipe = RECIPES[name]
    if not recipe.dockerfile.is_file():
        raise LabError(f"{recipe.dockerfile} is not there: image {name!r} cannot be built")
    with locked(paths.CACHE / "build.lock"):
        build.packages()
    with locked(paths.CACHE / "images.lock"), tempfile.TemporaryDirectory(prefix="solera-context-") as folder:
        recipe.prepare(Path(folder))
        deliver(recipe.image, assemble(recipe.image, Path(folder), recipe.dockerfile, recipe.build_args))


def assemble(name: str, context: Path, dockerfile: Path, build_args: Mapping[str, str]) -> Path:
    """The OCI archive of `name`, built unless context, Dockerfile, arguments and base are what they were."""
    text = dockerfile.read_text()
    roots = {base: bases.archive(base) for base in bases.named_in(text, build_args)}
    inputs = json.dumps([text, dict(build_args), _tree(context), {base: path.name for base, path in roots.items()}])
    slug = _slug(name)
    target = IMAGES / f"{slug}-{digest(inputs)}.tar"
    if target.exists():
        say(f"{name}: unchanged")
        return target
    for base, path in roots.items():
        _load(base, path)
    say(f"{name}: building")
    log = build.LOGS / f"image-{slug}.log"
    settings = write(paths.CACHE / "tmp" / "pip.conf", _pip_settings())
    options = [f"--build-arg={key}={value}" for key, value in build_args.items()]
    options += [f"--volume={settings}:/etc/pip.conf:ro", f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"]
    options += ["--layers", "--network=host", "--pull-never", "--timestamp=0", "--format=oci"]
    _buildah("bud", *options, f"--tag={name}", f"--file={dockerfile}", context, log=log)
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    _buildah("push", "--quiet", name, f"oci-archive:{part}:{name}", log=log.with_suffix(".push.log"))
    part.rename(target)
    for old in IMAGES.glob(f"{slug}-????????????????.tar"):
        if old != target:
            old.unlink()
    _prune()
    return target


def deliver(name: str, archive: Path) -> None:
    """Imports an archive into the lab's containerd, unless that very one is there already."""
    mark = paths.HOME / "images" / _slug(name)
    there = node.ctr("images", "ls", "-q", f"name=={name}").strip() == name
    if there and mark.exists() and mark.read_text() == archive.name:
        return
    # The archive names the image itself. With --index-name the name would stand for the archive's outer index, and a
    # later import under that name would lose it to containerd's collector.
    node.ctr("images", "import", archive, timeout=300)
    if node.ctr("images", "ls", "-q", f"name=={name}").strip() != name:
        raise LabError(f"{archive}: containerd imported it, but not under the name {name}")
    write(mark, archive.name)
    say(f"{name}: imported")


def _slug(name: str) -> str:
    return name.removeprefix("localhost/").replace("/", "-").replace(":", "-")


def pause() -> Path:
    """The archive of the image that holds a pod's namespaces: one static program."""
    program = build.pause() / "pause"
    target = IMAGES / f"solera-pause-lab-{digest(program)}.tar"
    if not target.exists():
        IMAGES.mkdir(parents=True, exist_ok=True)
        layer = target.with_suffix(".layer")
        with tarfile.open(layer, "w") as archive:
            entry = archive.gettarinfo(program, "pause")
            entry.uid = entry.gid = 0
            entry.mode = 0o755
            with program.open("rb") as content:
                archive.addfile(entry, content)
        oci.write_archive(target, node.PAUSE_IMAGE, layer, {"Entrypoint": ["/pause"], "User": "65535:65535"})
        layer.unlink()
    return target


def _tree(folder: Path) -> list[list[str]]:
    """Path, mode and content hash of every file, in order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [[str(path.relative_to(folder)), oct(path.stat().st_mode), digest(path)] for path in files]


def _pip_settings() -> str:
    """What this machine tells pip about its index, for the builds; never written into the project."""
    found = configparser.ConfigParser(interpolation=None)
    found.read("/etc/pip.conf")
    wanted = ("index-url", "extra-index-url", "trusted-host", "default-timeout", "timeout")
    values = {key: found["global"][key] for key in wanted if "global" in found and key in found["global"]}
    for key in wanted:
        if value := os.environ.get(f"PIP_{key.upper().replace('-', '_')}"):
            values[key] = value
    if "default-timeout" in values:
        values["timeout"] = values.pop("default-timeout")
    values |= {"cert": str(_CERTIFICATES), "disable-pip-version-check": "1", "root-user-action": "ignore"}
    return "[global]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


def _buildah(*argv: str | Path, log: Path) -> None:
    env = dict(os.environ) | {"STORAGE_DRIVER": "overlay", "BUILDAH_ISOLATION": "chroot"}
    run(["buildah", *_STORE, *argv], env=env, log=log, timeout=1800)


def _prune() -> None:
    """Once a day: layers of older builds. More often would throw away what makes the next build quick."""
    mark = _BUILDAH / "pruned"
    if mark.exists() and time.time() - mark.stat().st_mtime > 24 * 3600:
        _buildah("rmi", "--prune", log=build.LOGS / "image-prune.log")
        mark.unlink()
    if not mark.exists():
        mark.touch()


def _load(base: str, archive: Path) -> None:
    """Puts a base image into buildah's store, once per content."""
    mark = _BUILDAH / f"loaded-{_slug(base)}"
    if mark.exists() and mark.read_text() == archive.name and _in_store(base):
        return
    say(f"{base}: loading into buildah's store")
    _buildah("pull", "--quiet", f"oci-archive:{archive}", log=build.LOGS / "base-load.log")
    write(mark, archive.name)


def _in_store(base: str) -> bool:
    env = dict(os.environ) | {"STORAGE_DRIVER": "overlay"}
    found = subprocess.run(
        ["buildah", *_STORE, "inspect", "--type=image", base], env=env, capture_output=True, check=False
    )
    return found.returncode == 0
