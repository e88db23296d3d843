"""Long-running processes: started once, known by id *and* start time, ended by id, never by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import paths
from lab.shell import LabError, digest, say, tail, wait_for, write

_RECORDS = paths.RUN / "processes.json"
_LOG_LIMIT = 50 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Process:
    """One program of the lab. `files` are what it reads at its start: a change of them restarts it."""

    name: str
    argv: tuple[str, ...]
    probe: Callable[[], str | None]
    files: tuple[Path, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    timeout: float = 60

    @property
    def log(self) -> Path:
        return paths.LOGS / f"{self.name}.log"

    @property
    def fingerprint(self) -> str:
        # The resolved program: a rebuilt binary lies in another folder of the cache behind the same link.
        program = str(Path(self.argv[0]).resolve())
        return digest(program, *self.argv, json.dumps(self.env, sort_keys=True), *self.files)


def start_time(pid: int) -> str | None:
    """What tells a process from a later one with the same id. None when it is gone or waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot_id()}/{fields[19]}"


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def records() -> dict[str, dict[str, Any]]:
    try:
        return dict(json.loads(_RECORDS.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def pid_of(name: str) -> int | None:
    """The id of the recorded process while it lives."""
    record = records().get(name)
    if record is None:
        return None
    pid = int(record["pid"])
    return pid if start_time(pid) == record["start"] else None


def _record(name: str, record: dict[str, Any] | None) -> None:
    known = records()
    known.pop(name, None)
    if record is not None:
        known[name] = record
    write(_RECORDS, known)


def _start(process: Process) -> None:
    process.log.parent.mkdir(parents=True, exist_ok=True)
    if process.log.exists() and process.log.stat().st_size > _LOG_LIMIT:
        process.log.replace(process.log.with_suffix(".old.log"))
    env = {"PATH": f"{paths.BIN}:{paths.SYSTEM_PATH}", "HOME": str(paths.HOME)} | process.env
    with process.log.open("a") as sink, Path(os.devnull).open() as nothing:
        child = subprocess.Popen(
            process.argv, stdin=nothing, stdout=sink, stderr=sink, env=env, cwd=paths.HOME, start_new_session=True
        )
    _record(process.name, {"pid": child.pid, "start": start_time(child.pid), "fingerprint": process.fingerprint})


def ensure(processes: Iterable[Process]) -> None:
    """Starts what is not running or runs with other settings, then waits until every one is well.

    One that runs but is not well is restarted once. Raises LabError with the end of its log after that.
    """
    wanted = list(processes)
    begun = set()
    for process in wanted:
        if pid_of(process.name) is not None and records()[process.name].get("fingerprint") != process.fingerprint:
            say(f"{process.name}: settings changed, restarting")
            stop(process.name)
        if pid_of(process.name) is None:
            _start(process)
            begun.add(process.name)
    for process in wanted:
        began = time.monotonic()
        try:
            _wait(process, process.timeout if process.name in begun else 10)
        except LabError as error:
            if process.name in begun:
                raise LabError(f"{error}\n{tail(process.log)}\n(whole log: {process.log})") from error
            say(f"{process.name}: runs but is not well, restarting ({error})")
            stop(process.name)
            _start(process)
            _wait(process, process.timeout)
            begun.add(process.name)
        if process.name in begun:
            say(f"{process.name}: up (waited {time.monotonic() - began:.1f} s)")


def _wait(process: Process, timeout: float) -> None:
    def probe() -> str | None:
        if pid_of(process.name) is None:
            raise LabError(f"{process.name} ended by itself")
        return process.probe()

    wait_for(process.name, probe, timeout)


def stop(name: str, timeout: float = 3, first: signal.Signals = signal.SIGTERM) -> None:
    """Ends a recorded process and waits until it is gone, so that its ports are free.

    The patience is short: an apiserver would wait a minute for its watchers, and none of these loses data by force.
    """
    pid = pid_of(name)
    if pid is not None:
        end({pid: str(start_time(pid))}, timeout, first)
    _record(name, None)


def end(targets: dict[int, str], timeout: float = 10, first: signal.Signals = signal.SIGTERM) -> None:
    """Ends processes given as id → start time: politely, then after `timeout` seconds by force."""
    for step, patience in ((first, timeout), (signal.SIGKILL, 10.0)):
        left = {pid: start for pid, start in targets.items() if start_time(pid) == start}
        for pid in left:
            try:
                os.kill(pid, step)
            except ProcessLookupError:
                continue
        end_at = time.monotonic() + patience
        while any(start_time(pid) == start for pid, start in left.items()):
            if time.monotonic() > end_at:
                break
            time.sleep(0.02)
    left = {pid: start for pid, start in targets.items() if start_time(pid) == start}
    if left:
        raise LabError(f"processes {sorted(left)} do not end")
