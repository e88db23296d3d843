"""Commands, progress lines, waiting and locking: what every other module needs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import paths

_started = time.monotonic()


class LabError(Exception):
    """Something the lab needs is not so. The message says what and what to do."""


def say(text: str) -> None:
    """One progress line with the seconds since the command began."""
    print(f"[{time.monotonic() - _started:6.1f} s] {text}", flush=True)


def tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    timeout: float = 600,
) -> str:
    """Runs a command to its end and returns its standard output; with `log`, output goes to that file instead.

    Raises LabError with the end of what it printed when it fails or exceeds `timeout` seconds.
    """
    command = [str(part) for part in argv]
    try:
        if log is None:
            done = subprocess.run(
                command, input=stdin, env=env, cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
            )
            said = done.stderr.strip() or done.stdout.strip()
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as sink:
                done = subprocess.run(
                    command,
                    input=stdin,
                    env=env,
                    cwd=cwd,
                    timeout=timeout,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                )
            said = f"{tail(log)}\n(whole log: {log})"
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)}: no end after {timeout:.0f} s") from error
    except FileNotFoundError as error:
        raise LabError(f"{command[0]}: no such program") from error
    if done.returncode:
        raise LabError(f"{' '.join(command)}: exit code {done.returncode}\n{said}")
    return done.stdout or ""


def wait_for(what: str, probe: Callable[[], str | None], timeout: float, interval: float = 0.1) -> None:
    """Calls `probe` until it returns None. What it returns otherwise is the reason shown after `timeout` seconds."""
    end = time.monotonic() + timeout
    while (reason := probe()) is not None:
        if time.monotonic() > end:
            raise LabError(f"{what}: {reason} (waited {timeout:.0f} s)")
        time.sleep(interval)


def http_get(url: str, *, token: str | None = None, ca: Path | None = None, timeout: float = 2) -> str:
    """The body of an answer 200. Raises OSError otherwise. Without `ca` a certificate is not checked."""
    context = None
    if url.startswith("https:"):
        context = ssl.create_default_context(cafile=str(ca)) if ca else ssl._create_unverified_context()  # noqa: SLF001
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if context:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
        return str(answer.read().decode(errors="replace"))


def http_probe(url: str, **options: Any) -> Callable[[], str | None]:
    """A probe for `wait_for`: None when the address answers 200."""

    def probe() -> str | None:
        try:
            http_get(url, **options)
        except (OSError, ssl.SSLError, ValueError) as error:
            return f"{url}: {error}"
        return None

    return probe


def digest(*parts: str | bytes | Path) -> str:
    """A short content hash. A Path stands for the content of that file."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()[:16]


def write(path: Path, content: str | dict[str, Any] | list[Any], mode: int = 0o644) -> Path:
    """Writes a file (JSON for anything but text) in one move, so that a killed run leaves the old or the new one."""
    text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.chmod(mode)
    part.replace(path)
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One lab command at a time; the lock dies with its process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another lab command ({path})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def kubectl(*argv: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Runs kubectl as the administrator. The caller must be inside the lab's network namespace."""
    return run(
        [paths.BIN / "kubectl", f"--kubeconfig={paths.KUBECONFIG}", *argv],
        stdin=stdin,
        timeout=timeout,
        env={"PATH": paths.SYSTEM_PATH, "HOME": str(paths.HOME)},
    )


def established(*definitions: str) -> None:
    """Wait until custom resources are served. kubectl fails on a definition that is so young that it has no conditions, so it is asked again.

    Raises:
        LabError: they are not, after half a minute.
    """

    def probe() -> str | None:
        try:
            kubectl("wait", "--for=condition=Established", "--timeout=30s", *definitions)
        except LabError as error:
            return str(error)
        return None

    wait_for("the definitions are served", probe, 30, 0.2)


def fail(text: str) -> int:
    print(f"error: {text}", file=sys.stderr)
    return 1
