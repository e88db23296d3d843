"""A whole life drawn from one number: what is declared, how versions behave, what people and other hands do, what breaks, and how it ends.

cd tests && ../.venv/bin/python -m sim.chance SEED     # live one life again, and tell everything that happened
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from random import Random

from sim.drawn import adaptive, behaviour, rollout
from sim.ends import ENDS, calm, rests
from sim.happens import HAPPENS, kill, recreate
from sim.life import Life, manifest
from sim.traffic import Behaviour
from solera.plan.types import Observation, Plan

Story = list[str]


def life_by_chance(
    seed: int,
    planner: Callable[[Observation], Plan] | None = None,
    story: Story | None = None,
    born: Callable[[Life], None] = lambda _: None,
) -> Life:
    """Live the life of ``seed`` to its end. Raises AssertionError when anything in it is not as it must be."""
    by, own = Random(seed), Random(f"adaptive {seed}")  # of their own, so that the other lives stay as they are
    names = tuple(f"v{i}" for i in range(1, by.randint(3, 6) + 1))
    life = Life(
        manifest("v1", versions=names, **(rollout(by) | (adaptive(own) if own.random() < 0.3 else {}))),
        rate=by.choice([0.5, 5, 20, 20, 100, 500]),
        seed=seed,
        sources=by.choice([("engine",), ("engine",), ("gateway",), ("engine", "gateway")]),
        planner=planner,
    )
    born(life)
    told: Story = [] if story is None else story

    def tell(what: object) -> None:
        told.append(f"{life.timeline.t:.1f} * {what}")

    life.edit_template(
        replicas=by.choice([1, 1, 2, 3]),
        drainTimeout=f"{by.choice([5, 12, 30])}s",
        startupTimeout=f"{by.choice([40, 120])}s",
    )
    for version in life.spec["versions"]:
        life.behaviours[version["name"]] = behaviour(by)
    life.behaviours["v1"] = Behaviour(start=by.choice([2, 9]))
    life.cluster.gateway_delay = by.choice([0, 0, 0.2, 1, 4])
    life.cluster.lag = by.choice([0, 0, 0.1, 0.7, 3])
    life.cluster.collect_after = by.choice([0.1, 5])
    life.restart_after = by.choice([0.1, 2, 30])
    tell(f"{life.spec['rollout']} {life.behaviours} rate {life.traffic.rate} lag {life.cluster.lag}")
    life.run(by.choice([1, 4, 12, 20]))
    for _ in range(by.randint(3, 8)):
        what = by.choice(HAPPENS)
        if life.exists or what in {recreate, kill}:
            tell(f"{what.__name__} {what(life, by) or ''}")
        life.run(by.choice([0.3, 1, 3, 8, 20, 45]))
    calm(life)
    end = by.choice(ENDS)
    tell(f"calm, then {end.__name__}")
    end(life, by)
    rests(life)
    return life


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    told: Story = []
    alive: list[Life] = []
    try:
        life_by_chance(int(sys.argv[1]), story=told, born=alive.append)
    finally:
        lines = [*told, *alive[0].witness.trace, *(f"{error.replace(' ', ' ! ', 1)}" for error in alive[0].errors)]
        print("\n".join(sorted(lines, key=lambda line: float(line.split()[0]))))
