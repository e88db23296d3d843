"""The tests that say whether a simulation agrees with a figure, against scipy's."""

from __future__ import annotations

import pytest
from benchmarks.judges.agreement import p_value, p_value_of_two
from scipy.special import bdtr


@pytest.mark.parametrize(("count", "runs", "chance"), [(0, 100, 0.01), (3, 50, 0.2), (96, 100, 0.96), (60, 60, 0.9)])
def test_the_binomial_one_is_twice_the_smaller_tail(count: int, runs: int, chance: float) -> None:
    low = bdtr(count, runs, chance)
    high = 1 - bdtr(count - 1, runs, chance) if count else 1.0
    assert p_value(count, runs, chance) == pytest.approx(min(1, 2 * min(low, high)))


def test_fishers_one_on_the_tea_taster() -> None:
    # Four of four and none of four cups: one in C(8, 4) = 70, twice.
    assert p_value_of_two(4, 4, 0, 4) == pytest.approx(2 / 70)
    assert p_value_of_two(3, 4, 1, 4) == pytest.approx(2 * 17 / 70)
    assert p_value_of_two(2, 4, 2, 4) == 1


def test_both_tell_a_wrong_figure_from_a_right_one() -> None:
    assert p_value(230, 1000, 0.229) > 0.5
    assert p_value(300, 1000, 0.229) < 1e-5
    assert p_value_of_two(1172, 4000, 92, 400) > 1e-3
    assert p_value_of_two(1172, 4000, 40, 400) < 1e-5
