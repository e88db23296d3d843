"""An operator of another version takes over a life as it stands: nothing is written because of the version alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from sim.world import World, manifest, settled
from solera.plan.types import Observation


@dataclass
class Upgraded(World):
    """A world whose operator names a version."""

    operator: str = "0.1.0"

    def upgrade(self) -> None:
        self.operator = "99.0.0"
        self.ledger, self.pending, self.answered, self.measure = None, [], set(), ()

    def _observe(self) -> Observation:
        return replace(super()._observe(), operator_version=self.operator)


def templates(world: World) -> dict[str, Any]:
    """Everything of a Deployment that would restart a pod."""
    return {name: obj["spec"]["template"] for (kind, name), obj in world.objects.items() if kind == "Deployment"}


def test_at_rest_an_upgrade_writes_nothing() -> None:
    world = Upgraded(manifest())
    world.until(settled("v1"), 90)
    world.run(5)
    before, kept = len(world.writes), templates(world)
    world.upgrade()
    world.run(60)
    assert world.writes[before:] == []
    assert templates(world) == kept


@pytest.mark.parametrize("weight", [0, 10, 30, 60, 100])
def test_in_mid_rollout_an_upgrade_changes_no_pod_template_and_no_step(weight: int) -> None:
    world = Upgraded(manifest())
    world.until(settled("v1"), 90)
    world.edit(serve="v2")
    world.until(lambda w: len({p.revision for p in w.pods.values()}) == 2 and w.weights().get("v2", 0) >= weight, 300)
    kept, pods = templates(world), set(world.pods)
    assert len(kept) == 2
    world.upgrade()
    world.until(lambda w: w.status["stable"]["version"] == "v2", 300)
    assert templates(world).items() <= kept.items()
    assert set(world.pods) <= pods
    world.until(settled("v2"), 120)
    assert [w for _, _, w in world.steps_seen] == [10, 30, 60, 100]
    assert world.lost == 0
