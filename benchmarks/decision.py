"""What one decision costs, as ratios within one run: a look at rest, a look in mid-rollout, and the parsing that both contain.

python -m benchmarks.decision
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sim.world import Behaviour, World, manifest, settled
from solera.api.llmdeployment import parse
from solera.plan.plan import plan

ROUNDS, CALLS = 15, 40


def median_ms(work: Callable[[], object]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            work()
        rounds.append((time.perf_counter() - began) / CALLS * 1000)
    return statistics.median(rounds)


def main() -> None:
    world = World(manifest(), {n: Behaviour(bad={"errors": 0.02}) for n in ("v1", "v2")})
    world.until(settled("v1"))
    rest = world._observe()  # noqa: SLF001 - what the operator would see, without living on
    world.edit(serve="v2")
    world.until(lambda w: w.weights().get("v2", 0) >= 30)
    world.run(5)
    rollout = world._observe()  # noqa: SLF001 - what the operator would see, without living on
    parsing = median_ms(lambda: parse(rest.custom_resource))
    rows = {
        "read the manifest": parsing,
        "look at rest": median_ms(lambda: plan(rest)),
        "look in a rollout": median_ms(lambda: plan(rollout)),
    }
    for name, value in rows.items():
        print(f"{name:<20} {value:7.3f} ms  {value / parsing:5.2f} times reading the manifest")


if __name__ == "__main__":
    main()
