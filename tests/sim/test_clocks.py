"""Lives whose operator has another idea of the time than the world: its clock is moved while it is away, or another node's clock differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from sim.world import Behaviour, World, manifest, settled
from solera.plan.clock import ledger_at
from solera.plan.evidence import absorb, from_record, new_ledger
from solera.plan.memory import PROGRESS_ANNOTATION, parse_progress
from solera.plan.types import Observation

HOUR = timedelta(hours=1)


@dataclass
class Moved(World):
    """A world whose operator's clock is ``off``. The world's own checks, of drain times among them, go by the true time."""

    off: timedelta = timedelta(0)

    def restart(self, off: timedelta) -> None:
        """A new operator, on a clock that is ``off``."""
        self.off = off
        self.ledger, self.pending, self.answered, self.measure = None, [], set(), ()

    def _observe(self) -> Observation:
        now, readings, ledger = self.now + self.off, [replace(r, at=r.at + self.off) for r in self.pending], self.ledger
        self.pending = []
        seen = super()._observe()
        rollout = self.status.get("rollout") or {}
        if seen.ledger is not None:
            if ledger is None or ledger.rollout_id != rollout["id"]:
                stored = (seen.record or {}).get("data") or {}
                fresh = new_ledger(rollout["id"], rollout["from"], rollout["to"], now)
                ledger = from_record(stored["ledger"]) if stored.get("rolloutId") == rollout["id"] else fresh
            progress = parse_progress(
                ((seen.route or {}).get("metadata") or {}).get("annotations", {}).get(PROGRESS_ANNOTATION)
            )
            step = progress.step if progress is not None and progress.rollout == rollout["id"] else -1
            self.ledger = absorb(ledger_at(ledger, now), readings, step=step, now=now, alive=set(self.pods))
        written = None if seen.record_written_at is None else seen.record_written_at + self.off
        return replace(seen, now=now, ledger=self.ledger, record_written_at=written)


def world(off: timedelta) -> Moved:
    made = Moved(manifest(), {"v2": Behaviour(start=20)}, requests_per_second=20)
    made.off = off
    made.until(settled("v1"), 90)
    made.edit(serve="v2")
    return made


def steps(made: World) -> list[int]:
    return [weight for _, _, weight in made.steps_seen]


def undisturbed() -> float:
    made = world(timedelta(0))
    began = made.now
    made.until(settled("v2"), 900)
    return (made.now - began).total_seconds()


@pytest.mark.parametrize("weight", [0, 10, 30, 60, 100])
def test_put_back_by_an_hour_nothing_waits_for_the_hour_and_no_step_is_shorter(weight: int) -> None:
    made = world(HOUR)
    began = made.now
    made.until(
        lambda w: w.weights().get("v2", 0) >= weight and (weight or w.status.get("state") == "Provisioning"), 300
    )
    made.run(3)
    made.restart(timedelta(0))
    made.until(settled("v2"), 900)
    took = (made.now - began).total_seconds()
    usual = undisturbed()
    assert usual - 2 <= took <= usual + 45, "one step, or one drain, is waited for once more"
    assert steps(made) == [10, 30, 60, 100]
    assert made.lost == 0


@pytest.mark.parametrize("weight", [0, 10, 30, 60, 100])
def test_put_back_while_the_old_revision_drains_it_still_gets_its_time(weight: int) -> None:
    made = world(HOUR)
    made.until(lambda w: w.status.get("draining") or w.status.get("state") == "Draining", 600)
    made.run(weight / 10)
    made.restart(timedelta(0))
    made.until(settled("v2"), 120)
    assert made.lost == 0


def test_a_failing_version_is_rolled_back_after_the_clock_was_put_back() -> None:
    made = Moved(manifest(), {"v2": Behaviour(bad={"errors": 0.3})}, requests_per_second=20)
    made.off = HOUR
    made.until(settled("v1"), 90)
    made.edit(serve="v2")
    made.until(lambda w: w.weights().get("v2"), 100)
    made.run(1)
    made.restart(timedelta(0))
    began = made.now
    made.until(lambda w: w.status.get("rejected"), 120)
    assert (made.now - began).total_seconds() < 60
    made.until(settled("v1"), 120)


def test_two_nodes_that_differ_by_seconds_take_turns() -> None:
    made = world(timedelta(0))
    began = made.now
    for turn in range(60):
        made.run(5)
        made.restart(timedelta(seconds=3 if turn % 2 else -1))
    made.restart(timedelta(0))
    made.until(settled("v2"), 300)
    assert steps(made) == [10, 30, 60, 100]
    assert made.lost == 0
    assert (made.now - began).total_seconds() < undisturbed() + 300
