"""A bad day for the operator itself: killed while it leads, upgraded, and with its clock moved, in the middle of a rollout under live traffic."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab import live, paths
from lab.live import Object

from e2e.outages import promoted_as_planned, timeline
from e2e.scene import CHILDREN, OF_NAME, Scene, living, processes_of, told
from e2e.test_rollout import QUICK, ROLLOUT

pytestmark = [pytest.mark.e2e, pytest.mark.disruptive, pytest.mark.usefixtures("operator")]

OPERATOR = "app.kubernetes.io/name=solera"
LEASE = "solera"
SECONDS = 6
STEPS = [20, 50, 100]
POD_NAME = "authentication.kubernetes.io/pod-name"


def rollout(space: str, answers: Path, weights: list[int]) -> Scene:
    steps = [{"weight": w, "minDuration": f"{SECONDS}s", "minRequests": 20} for w in weights]
    versions = [live.sim(n, *QUICK) for n in ("v1", "v2")]
    return Scene(space, answers, versions, {**ROLLOUT, "steps": steps, "keepPrevious": "2s"}, {"drainTimeout": "3s"})


async def reaches(scene: Scene, weight: int, seconds: float = 60) -> float:
    """Wait until v2 has ``weight``. Returns when it got it."""
    await live.until(f"{weight}%", lambda: scene.weights().get("v2") == weight, seconds, 0.1)
    return next(at for at, route in scene.route.seen if scene.by_version(route).get("v2") == weight)


def ended_well(scene: Scene) -> None:
    promoted_as_planned(scene, STEPS)
    assert told(scene.unanswered()) == []


def operator_pods() -> list[Object]:
    return [p for p in live.items("pods", live.SYSTEM, OPERATOR) if not p["metadata"].get("deletionTimestamp")]


def leader() -> str:
    """The name of the pod that holds the Lease; empty when none does."""
    holder = ((live.get("lease", LEASE, live.SYSTEM) or {}).get("spec") or {}).get("holderIdentity") or ""
    return str(holder).rpartition("_")[0]


def kill(pod: Object, how: signal.Signals = signal.SIGKILL) -> None:
    """A signal to the operator in a pod."""
    for status in pod["status"]["containerStatuses"]:
        for pid in processes_of(status["containerID"]):
            os.kill(pid, how)


@dataclass(frozen=True, slots=True)
class Write:
    """A write of an operator pod that the apiserver accepted."""

    at: float
    pod: str
    what: str


def writes(space: str, since: float) -> list[Write]:
    """What operator pods wrote in a namespace, in order, from the apiserver's audit log, which knows the pod of every token."""
    found = []
    with paths.AUDIT_LOG.open() as lines:
        for line in lines:
            if f'"{space}"' not in line or live.SYSTEM not in line:
                continue
            entry = json.loads(line)
            account = entry["user"]["username"] == f"system:serviceaccount:{live.SYSTEM}:solera"
            if account and entry["verb"] not in {"get", "list", "watch"} and entry["responseStatus"]["code"] < 300:
                at = datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
                (pod,) = entry["user"]["extra"][POD_NAME]
                found.append(Write(at, pod, f"{entry['verb']} {entry['objectRef']['resource']}"))
    return sorted((w for w in found if w.at >= since), key=lambda w: w.at)


async def test_two_operator_pods_at_once_the_second_does_not_write(space: str, answers: Path) -> None:
    pods = {p["metadata"]["name"]: p for p in operator_pods()}
    assert len(pods) == 2, "the chart's default"
    first = await live.until("one of them leads", lambda: (name := leader()) in pods and name, 30)
    (second,) = pods.keys() - {first}
    scene = rollout(space, answers, STEPS)
    began = time.time()
    async with living(scene, "v1"):
        scene.serve("v2")
        await reaches(scene, STEPS[0])
        await asyncio.sleep(2)  # in the middle of the step
        # As when its node is lost: nothing is given back, and the pod does not come again.
        # Killed, its container would begin again, and might lead once more, before the pod is deleted.
        kill(pods[first], signal.SIGSTOP)
        killed = time.time()
        live.kubectl("delete", "pod", first, "-n", live.SYSTEM, "--grace-period=0", "--force", "--wait=false")
        await live.until("the other leads", lambda: leader() == second, 20, 0.1)
        took = time.time() - killed
        await live.until("v2 alone", lambda: scene.alone("v2"), 120, 0.5)
        third = {p["metadata"]["name"] for p in operator_pods()} - {first, second}
        print(f"the next leader after {took:.1f} s\n{timeline(scene, killed)}")
    made = writes(space, began)
    by = [w.pod for w in made]
    assert set(by) == {first, second}, "and none by the pod that came for the killed one"
    assert len(third) == 1
    handover = by.index(second)
    assert set(by[:handover]) == {first}
    assert set(by[handover:]) == {second}
    assert made[handover - 1].at <= killed < made[handover].at
    assert [w.what for w in made if "httproutes" in w.what].count("patch httproutes") >= len(STEPS)
    ended_well(scene)


def as_it_runs(space: str) -> dict[str, Any]:
    """What must stay as it is: every pod with its restarts, every pod template with the number of its changes."""
    pods = {
        p["metadata"]["uid"]: [c["restartCount"] for c in p["status"]["containerStatuses"]]
        for p in live.items("pods", space, OF_NAME)
    }
    templates = {
        d["metadata"]["name"]: (d["metadata"]["generation"], d["spec"]["template"])
        for d in live.items("deployments", space, OF_NAME)
    }
    return {"pods": pods, "templates": templates}


def next_chart(folder: Path) -> Path:
    """The chart of the next version."""
    chart = folder / "solera"
    shutil.copytree(live.ROOT / "charts" / "solera", chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    major, minor, _ = about["version"].split(".")
    about["version"] = about["appVersion"] = f"{major}.{int(minor) + 1}.0"
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    return chart


@pytest.fixture
def operator_as_before() -> Iterator[None]:
    yield
    live.install_operator()


@pytest.mark.usefixtures("operator_as_before")
async def test_operator_and_chart_upgraded_in_mid_rollout_nothing_restarts(
    space: str, answers: Path, tmp_path: Path
) -> None:
    scene = rollout(space, answers, STEPS)
    before = {p["metadata"]["uid"] for p in operator_pods()}
    async with living(scene, "v1"):
        scene.serve("v2")
        await reaches(scene, STEPS[0])
        serving = as_it_runs(space)
        assert len(serving["pods"]) == 2
        began = time.time()
        await asyncio.to_thread(
            live.install_operator,
            chart=next_chart(tmp_path),
            image={"repository": "localhost/solera/operator", "tag": "next", "pullPolicy": "Never"},
            podLabels={"upgraded": "yes"},
            resources={"requests": {"cpu": "50m", "memory": "64Mi"}},
            terminationGracePeriodSeconds=20,
        )
        assert scene.stable() == "v1", "the upgrade happens in the middle of the rollout"
        assert as_it_runs(space) == serving
        print(f"upgraded in {time.time() - began:.1f} s")
        after = operator_pods()
        assert not before & {p["metadata"]["uid"] for p in after}
        assert {p["metadata"]["labels"]["upgraded"] for p in after} == {"yes"}
        await live.until("the new one leads", lambda: leader() in {p["metadata"]["name"] for p in after}, 30)
        await live.until("promoted", lambda: scene.stable() == "v2", 120)
        running = as_it_runs(space)
        assert running["pods"].items() <= serving["pods"].items()
        assert running["templates"].items() <= serving["templates"].items()
        await live.until("v2 alone", lambda: scene.alone("v2"), 60, 0.5)
        (uid,) = as_it_runs(space)["pods"]
        assert uid in serving["pods"]
        print(timeline(scene, began))
    assert any(w.pod in {p["metadata"]["name"] for p in after} for w in writes(space, began))
    kept = live.items(CHILDREN, space, OF_NAME)
    assert {o["metadata"]["labels"]["solera.dev/version"] for o in kept} == {"v2"}
    assert scene.status["observedGeneration"] == (scene.resource.last or {})["metadata"]["generation"]
    ended_well(scene)


class Clock:
    """The system clock of the operator's pods, and of nothing else. Their monotonic clock is the true one."""

    ENV = (
        ("LD_PRELOAD", "/faketime/libfaketimeMT.so.1"),
        ("FAKETIME_TIMESTAMP_FILE", "/clock/offset"),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        folder.chmod(0o755)
        self.move(0)

    def move(self, seconds: int) -> None:
        """Put the clock ``seconds`` ahead of the true time, in running pods, too."""
        new = self._folder / "new"
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.rename(self._folder / "offset")

    def install(self) -> None:
        library = Path(paths.PACKAGES["libfaketime"]).parent
        mounts = {"faketime": library, "clock": self._folder}
        live.install_operator(
            env=[{"name": name, "value": value} for name, value in self.ENV],
            volumes=[{"name": name, "hostPath": {"path": str(path)}} for name, path in mounts.items()],
            volumeMounts=[{"name": name, "mountPath": f"/{name}", "readOnly": True} for name in mounts],
        )


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[Clock]:
    clock = Clock(tmp_path / "clock")
    clock.install()
    yield clock
    live.install_operator()


def has_begun_again(pods: list[Object]) -> bool:
    restarts = {p["metadata"]["uid"]: p["status"]["containerStatuses"][0]["restartCount"] for p in operator_pods()}
    return all(
        restarts.get(p["metadata"]["uid"], 0) > p["status"]["containerStatuses"][0]["restartCount"] for p in pods
    )


async def starts_again() -> float:
    """SIGKILL to all operator pods' processes, which begin again on the clock as it is then. Returns when they were killed."""
    pods = operator_pods()
    for pod in pods:
        kill(pod)
    killed = time.time()
    await live.until("all have begun again", lambda: has_begun_again(pods), 30)
    return killed


async def test_clock_moved_by_an_hour_forward_and_back(space: str, answers: Path, clock: Clock) -> None:
    """Under a running operator, and between two: in each step of one rollout something else is done to the clock."""
    hour, weights = 3600, [20, 40, 60, 80, 100]
    scene, long_enough = rollout(space, answers, weights), 0.9 * SECONDS - 1

    def sees(moved: int) -> bool:
        return f"the system clock was moved by {moved:+d} s" in live.kubectl("logs", "-n", live.SYSTEM, leader())

    async with living(scene, "v1"):
        scene.serve("v2")
        at = {20: await reaches(scene, 20)}
        clock.move(hour)
        await live.until("the leader sees it", lambda: sees(hour), 10)
        at[40] = await reaches(scene, 40)
        # The next operator begins on the moved clock, and cannot know that it was not away for an hour.
        await starts_again()
        at[60] = await reaches(scene, 60)
        clock.move(0)
        await live.until("the leader sees it", lambda: sees(-hour), 10)
        at[80] = await reaches(scene, 80)
        stepped = live.at((await live.until("said so", lambda: _step(scene, 3), 10))["stepStartedAt"])
        assert stepped > time.time() + hour / 2, "the operator that runs goes on with its own time"
        # The next operator begins on the true clock, and finds an hour of the future written down.
        killed = await starts_again()
        at[100] = await reaches(scene, 100)
        await live.until("v2 alone", lambda: scene.alone("v2"), 60, 0.5)
        print(at, f"killed in the last step but one after {killed - at[80]:.1f} s", timeline(scene, at[20]), sep="\n")
    assert at[40] - at[20] >= long_enough, "time went on evenly"
    assert at[80] - at[60] >= long_enough, "time went on evenly"
    assert at[100] - killed >= long_enough, "the wait from the future began again, and was waited for"
    for begun, ended in itertools.pairwise(weights):
        during = [r for r in scene.records() if at[begun] <= r.sent <= at[ended]]
        assert len([r for r in during if scene.hashes.get(r.revision) == "v2"]) >= 20, (
            "no step without what it must show"
        )
    promoted_as_planned(scene, weights)
    assert told(scene.unanswered()) == []


def _step(scene: Scene, index: int) -> Object | None:
    found = scene.status.get("rollout") or {}
    return found if found.get("step") == index else None
