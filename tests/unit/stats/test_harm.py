from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from solera.stats.harm import BAD_DUE, harm_within, most_harm
from solera.stats.share import prior_weight, shown_below

LEVEL = math.log(20)
limits = st.sampled_from([0.001, 0.01, 0.05, 0.3])


def too_low(share: float, looks: int) -> float:
    """Exact probability that the share is ever shown to be below itself within so many events; ``mass[x]`` of x bad ones and not yet."""
    mass, ever, edge = np.zeros(looks + 2), 0.0, -1
    mass[0] = 1.0
    for n in range(1, looks + 1):
        mass[1:] = mass[1:] * (1 - share) + mass[:-1] * share
        mass[0] *= 1 - share
        while shown_below(edge + 1, n, share, prior_weight(share, BAD_DUE), LEVEL):
            edge += 1
        ever += float(mass[: edge + 1].sum())
        mass[: edge + 1] = 0
    return ever


@pytest.mark.parametrize(("share", "looks"), [(0.002, 4000), (0.01, 4000), (0.05, 2000), (0.3, 500), (0.8, 200)])
def test_the_harm_is_underestimated_at_any_look_with_the_declared_probability_at_most(share: float, looks: int) -> None:
    assert too_low(share, looks) <= 0.05


def test_what_is_shown_for_a_share_is_shown_for_every_larger_one() -> None:
    for n in (1, 2, 3, 5, 8, 13, 30, 100, 400, 2000, 20_000):
        for x in {min(round(n * part), n - 1) for part in (0, 0.001, 0.01, 0.05, 0.2, 0.5, 0.9)}:
            for size in (1.0, 2.7, 7.0):
                shares = [x / n + (1 - x / n) * i / 300 for i in range(1, 300)]
                shown = [shown_below(x / size, n / size, q, prior_weight(q, BAD_DUE), LEVEL) for q in shares]
                assert shown == sorted(shown), (n, x, size)


@given(st.integers(0, 3000), st.integers(0, 60), limits, st.floats(0.5, 500), st.one_of(st.just(1.0), st.floats(1, 20)))
def test_the_bound_and_the_question_agree(total: int, bad: int, limit: float, budget: float, size: float) -> None:
    assume(bad <= total)
    most = most_harm(bad, total, limit, LEVEL, size)
    assume(abs(most - budget) > 0.01)
    assert harm_within(bad, total, 0, limit, budget, LEVEL, size) is (most <= budget)


@given(st.integers(0, 100_000), st.integers(0, 2000), limits)
def test_bad_events_beyond_the_limit_that_were_counted_are_harm_whatever_the_share_did(
    total: int, bad: int, limit: float
) -> None:
    assume(bad <= total)
    assert most_harm(bad, total, limit, LEVEL) >= bad - limit * total - 1e-9


@given(st.integers(0, 3000), st.integers(0, 60), limits, st.floats(1, 500), st.floats(0, 1000))
def test_more_to_come_or_more_bad_ones_fit_less_and_a_larger_budget_fits_more(
    total: int, bad: int, limit: float, budget: float, more: float
) -> None:
    assume(bad < total)
    fits = harm_within(bad, total, more, limit, budget, LEVEL)
    assert fits or not harm_within(bad, total, more + 10, limit, budget, LEVEL)
    assert fits or not harm_within(bad + 1, total, more, limit, budget, LEVEL)
    assert not fits or harm_within(bad, total, more, limit, budget + 10, LEVEL)


def test_before_the_first_event_all_that_come_may_be_bad() -> None:
    assert harm_within(0, 0, 50, 0.01, 50, LEVEL)
    assert harm_within(0, 0, 50 / 0.99, 0.01, 50, LEVEL)
    assert not harm_within(0, 0, 51, 0.01, 50, LEVEL)
    assert most_harm(0, 0, 0.01, LEVEL) == 0.0


@pytest.mark.parametrize("total", [10, 100, 1000])
def test_after_good_events_alone_little_can_have_been_harmed(total: int) -> None:
    assert most_harm(0, total, 0.0001, LEVEL) < 4.5
    assert most_harm(0, 1000, 0.01, LEVEL) == 0.0
