from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.stats.arguments import ArgumentError
from solera.stats.dispersion import ASSUMED_SIZE, Spread


def after(intervals: list[tuple[int, int]]) -> Spread:
    spread = Spread()
    for bad, total in intervals:
        spread = spread.add(bad, total)
    return spread


def test_before_the_first_failure_the_assumed_size_holds() -> None:
    assert after([(0, 100)] * 30).burst_size == ASSUMED_SIZE


def test_no_more_than_an_interval_has_is_ever_assumed() -> None:
    assert after([(0, 3)] * 30).burst_size == 3
    assert after([(0, 1)] * 30).burst_size == 1
    assert Spread().burst_size == 1


def test_single_failures_tell_that_there_are_no_bursts() -> None:
    sizes = [after([(0, 100)] * 4 + [(1, 100)] * k).burst_size for k in range(1, 20)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < ASSUMED_SIZE / 2 + 1
    assert sizes[-1] < 1.2


@pytest.mark.parametrize("size", [4, 8, 20])
def test_bursts_of_one_size_are_found_to_have_it(size: int) -> None:
    found = after([(size if k % 20 == 0 else 0, 100) for k in range(2000)]).burst_size
    assert found == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize("due", [0.1, 1.0, 5.0])
def test_what_chance_brings_together_is_no_burst(due: float) -> None:
    rng = random.Random(3)
    sizes = []
    for _ in range(200):
        spread = Spread()
        for _ in range(40):
            spread = spread.add(sum(rng.random() < due / 100 for _ in range(100)), 100)
        sizes.append(spread.burst_size)
    sizes.sort()
    assert sizes[100] < 1.9 if due < 1 else sizes[100] < 1.1


def test_what_is_only_assumed_weighs_less_with_more_of_the_same() -> None:
    spread = after([(1, 100)] + [(0, 100)] * 19)
    assert spread.burst_size_after(1) == spread.burst_size
    sizes = [spread.burst_size_after(times) for times in (1, 2, 4, 100)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == pytest.approx(1, abs=0.05)


@given(st.lists(st.integers(0, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))))
def test_it_is_never_below_one_and_never_more_than_all_or_the_assumed(intervals: list[tuple[int, int]]) -> None:
    spread = after(intervals)
    assert 1 <= spread.burst_size <= max(ASSUMED_SIZE, max((bad for bad, _ in intervals), default=0) + 1)


@pytest.mark.parametrize("counts", [(-1, 1), (2, 1), (0.5, 1), (0, float("nan"))])
def test_what_is_no_count_is_refused(counts: tuple[float, float]) -> None:
    with pytest.raises(ArgumentError, match=r"bad|total"):
        Spread().add(*counts)  # type: ignore[arg-type]
