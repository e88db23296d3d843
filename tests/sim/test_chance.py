"""Thousands of lives by chance. Each is replayed alone by its number:

    cd tests && ../.venv/bin/python -m sim.chance NUMBER

SOLERA_SIM_LIVES and SOLERA_SIM_FIRST say how many and from which number on.
"""

from __future__ import annotations

import os
from typing import Any

import orjson
import pytest

from sim.chance import life_by_chance
from sim.life import Life

LIVES, FIRST = int(os.environ.get("SOLERA_SIM_LIVES", "2000")), int(os.environ.get("SOLERA_SIM_FIRST", "0"))
AT_ONCE = 50


@pytest.mark.parametrize("first", range(FIRST, FIRST + LIVES, AT_ONCE))
def test_every_life_by_chance_keeps_the_invariants_and_ends_where_it_was_asked_to(first: int) -> None:
    failed = {}
    for seed in range(first, min(first + AT_ONCE, FIRST + LIVES)):
        try:
            life_by_chance(seed)
        except Exception as error:
            failed[seed] = f"{type(error).__name__}: {error}"
    alone = "cd tests && ../.venv/bin/python -m sim.chance"
    assert not failed, "\n".join(f"{alone} {seed}   # {why[:400]}" for seed, why in failed.items())


def test_the_same_number_gives_the_same_life() -> None:
    lives: list[Life] = []
    for _ in range(2):
        life_by_chance(7, born=lives.append)
    assert lives[0].witness.trace == lives[1].witness.trace
    assert len(lives[0].witness.trace) > 20


def test_the_operator_changes_no_object_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Any, bytes]] = []
    hear = Life.hear

    def heard(life: Life, event: str, obj: Any) -> None:
        given.append((obj, orjson.dumps(obj)))
        hear(life, event, obj)

    monkeypatch.setattr(Life, "hear", heard)
    for seed in range(12):
        life_by_chance(seed)
    assert len(given) > 1000
    assert [orjson.loads(text) for obj, text in given if orjson.dumps(obj) != text] == []
