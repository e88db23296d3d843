from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom

from solera.stats.share import (
    divergence,
    far_above,
    log_wealth_above,
    log_wealth_below,
    lower_limit,
    prior_weight,
    shown_above,
    shown_below,
    upper_limit,
)

limits = st.floats(1e-4, 0.9)
weights = st.floats(0.5, 2000)


@st.composite
def counts(draw: Callable[..., int], most: int = 100_000) -> tuple[int, int]:
    total = draw(st.integers(1, most))
    return draw(st.integers(0, total)), total


def crossing(
    limit: float, share: float, looks: int, weight: float, level: float, above: bool
) -> tuple[float, int | None]:
    """Exact probability that the test crosses ``level`` at any of the first ``looks`` events, and the median time; no simulation.

    ``mass[x]`` is the probability of x bad events and no crossing so far.
    """
    mass, crossed, median = np.zeros(looks + 2), 0.0, None
    mass[0] = 1.0
    edge = 1 if above else -1
    for n in range(1, looks + 1):
        mass[1:] = mass[1:] * (1 - share) + mass[:-1] * share
        mass[0] *= 1 - share
        if above:  # the fewest bad events that show it
            while edge <= n and not shown_above(edge, n, limit, weight, level):
                edge += 1
            gone = slice(edge, None)
        else:  # the most bad events that still show it
            while shown_below(edge + 1, n, limit, weight, level):
                edge += 1
            gone = slice(0, edge + 1)
        crossed += float(mass[gone].sum())
        mass[gone] = 0
        if median is None and crossed >= 0.5:
            median = n
    return crossed, median


class TestTheGuarantee:
    @given(counts(), limits, st.floats(1, 50), st.floats(0, 1))
    def test_wealth_above_cannot_be_expected_to_grow_while_the_share_is_at_most_the_limit(
        self, seen: tuple[int, int], limit: float, due: float, fraction: float
    ) -> None:
        weight = prior_weight(limit, due)
        bad, total = seen
        share = limit * fraction  # any share up to the limit, chosen anew at each event
        now = log_wealth_above(bad, total, limit, weight)
        assume(abs(now) < 600)
        after_bad = math.exp(log_wealth_above(bad + 1, total + 1, limit, weight) - now)
        after_good = math.exp(log_wealth_above(bad, total + 1, limit, weight) - now)
        assert share * after_bad + (1 - share) * after_good <= 1 + 1e-6
        assert limit * after_bad + (1 - limit) * after_good == pytest.approx(1, abs=1e-6)

    @given(counts(), limits, st.floats(1, 50), st.floats(0, 1))
    def test_wealth_below_cannot_be_expected_to_grow_while_the_share_is_at_least_the_limit(
        self, seen: tuple[int, int], limit: float, due: float, fraction: float
    ) -> None:
        weight = prior_weight(limit, due)
        bad, total = seen
        share = limit + (1 - limit) * fraction
        now = log_wealth_below(bad, total, limit, weight)
        assume(abs(now) < 600)
        after_bad = math.exp(log_wealth_below(bad + 1, total + 1, limit, weight) - now)
        after_good = math.exp(log_wealth_below(bad, total + 1, limit, weight) - now)
        assert share * after_bad + (1 - share) * after_good <= 1 + 1e-6

    @given(limits, weights)
    def test_wealth_starts_at_one(self, limit: float, weight: float) -> None:
        assert log_wealth_above(0, 0, limit, weight) == pytest.approx(0, abs=1e-9)
        assert log_wealth_below(0, 0, limit, weight) == pytest.approx(0, abs=1e-9)

    @pytest.mark.parametrize("limit", [0.01, 0.05, 0.3])
    @pytest.mark.parametrize("alpha", [0.05, 0.0125])
    @pytest.mark.parametrize(("above", "bad_at_limit"), [(True, 3), (False, 15)])
    def test_the_exact_error_at_any_look_is_at_most_the_risk(
        self, limit: float, alpha: float, above: bool, bad_at_limit: float
    ) -> None:
        weight = prior_weight(limit, bad_at_limit)
        wrong, _ = crossing(limit, limit, int(30 / limit), weight, -math.log(alpha), above)
        assert alpha / 20 < wrong <= alpha

    def test_the_error_stays_under_the_risk_when_the_share_drifts_below_the_limit(self) -> None:
        rng, runs, alpha, limit = random.Random(7), 400, 0.1, 0.05
        weight, level, wrong = prior_weight(limit, 3), -math.log(0.1), 0
        for _ in range(runs):
            bad = 0
            for n in range(1, 1001):
                # The worst that is allowed: as bad as the limit whenever the count is already high.
                share = limit if bad > n * limit * 0.9 else limit / 5
                if rng.random() < share:
                    bad += 1
                    if shown_above(bad, n, limit, weight, level):
                        wrong += 1
                        break
        assert wrong <= binom.ppf(1 - 1e-6, runs, alpha)


class TestCost:
    """Median numbers of requests, exact. They are what the weights of the two priors were chosen for."""

    def test_a_limit_of_1_percent_is_shown_to_be_kept_at_a_half_percent_after_about_2000(self) -> None:
        power, median = crossing(0.01, 0.005, 4000, prior_weight(0.01, 15), math.log(20), above=False)
        assert median is not None
        assert 1600 <= median <= 2000
        assert power > 0.85

    def test_a_limit_of_5_percent_is_shown_to_be_kept_at_half_of_it_after_about_400(self) -> None:
        _, median = crossing(0.05, 0.025, 1000, prior_weight(0.05, 15), math.log(20), above=False)
        assert median is not None
        assert 300 <= median <= 400

    @pytest.mark.parametrize(("times", "most"), [(2, 900), (3, 260), (10, 45), (100, 6)])
    def test_a_candidate_over_the_limit_is_caught_the_sooner_the_worse_it_is(self, times: float, most: int) -> None:
        _, median = crossing(0.01, 0.01 * times, 1200, prior_weight(0.01, 3), math.log(20), above=True)
        assert median is not None
        assert median <= most

    def test_four_times_the_tests_cost_about_half_as_much_again(self) -> None:
        _, median = crossing(0.01, 0.03, 1000, prior_weight(0.01, 3), math.log(80), above=True)
        assert median is not None
        assert median <= 380


class TestDefinition:
    @pytest.mark.parametrize(("bad", "total"), [(0, 0), (0, 40), (3, 40), (20, 40), (40, 40)])
    @pytest.mark.parametrize("limit", [0.05, 0.3])
    def test_the_wealth_is_the_integral_over_the_prior_cut_off_at_the_limit(
        self, bad: int, total: int, limit: float
    ) -> None:
        weight = 30.0
        prior = beta(weight * limit, weight * (1 - limit))

        def ratio(q: float) -> float:
            return (q / limit) ** bad * ((1 - q) / (1 - limit)) ** (total - bad) * prior.pdf(q)

        above = quad(ratio, limit, 1)[0] / prior.sf(limit)
        below = quad(ratio, 0, limit)[0] / prior.cdf(limit)
        assert log_wealth_above(bad, total, limit, weight) == pytest.approx(math.log(above), abs=1e-6)
        assert log_wealth_below(bad, total, limit, weight) == pytest.approx(math.log(below), abs=1e-6)

    @given(counts(), limits, weights, st.floats(0.5, 10))
    def test_the_shortcut_never_changes_an_answer(
        self, seen: tuple[int, int], limit: float, weight: float, level: float
    ) -> None:
        bad, total = seen
        wealth = log_wealth_above(bad, total, limit, weight)
        assume(abs(wealth - level) > 1e-6)
        assert shown_above(bad, total, limit, weight, level) == (wealth >= level)
        wealth = log_wealth_below(bad, total, limit, weight)
        assume(abs(wealth - level) > 1e-6)
        assert shown_below(bad, total, limit, weight, level) == (wealth >= level)
        if not far_above(bad, total, limit, level):
            assert log_wealth_above(bad, total, limit, weight) < level + 1e-9

    @given(st.floats(0, 1), limits)
    def test_divergence_is_zero_only_at_the_limit(self, share: float, limit: float) -> None:
        assert divergence(share, limit) >= -1e-15
        assert divergence(limit, limit) == pytest.approx(0, abs=1e-15)


class TestConfidenceLimits:
    @given(counts(20_000), st.floats(0.001, 0.5), st.floats(1, 6))
    def test_they_say_the_same_as_the_tests(self, seen: tuple[int, int], limit: float, level: float) -> None:
        bad, total = seen
        weight = prior_weight(limit, 15)
        high = upper_limit(bad, total, weight, level)
        if high < limit:
            assert shown_below(bad, total, limit, weight, level)
        elif shown_below(bad, total, limit, weight, level):
            assert high <= limit * 1.05 + 1e-3  # the limits err on the wide side, by very little
        low = lower_limit(bad, total, weight, level)
        if low > limit:
            assert shown_above(bad, total, limit, weight, level)

    @given(counts(), weights, st.floats(0.7, 10))
    def test_they_enclose_the_observed_share(self, seen: tuple[int, int], weight: float, level: float) -> None:
        bad, total = seen
        low, high = lower_limit(bad, total, weight, level), upper_limit(bad, total, weight, level)
        assert 0 <= low <= bad / total <= high <= 1
        assert (low == 0) >= (bad == 0)
        assert (high == 1) >= (bad == total)

    def test_without_events_they_say_nothing(self) -> None:
        assert (lower_limit(0, 0, 100, 3), upper_limit(0, 0, 100, 3)) == (0, 1)

    @pytest.mark.parametrize(("bad", "total"), [(7, 1000), (10**6, 10**8), (1, 10**8), (10**8 - 1, 10**8)])
    def test_they_stand_where_the_wealth_reaches_the_level(self, bad: int, total: int) -> None:
        weight, level = 300.0, math.log(20)
        low, high = lower_limit(bad, total, weight, level), upper_limit(bad, total, weight, level)
        assert log_wealth_above(bad, total, low, weight) == pytest.approx(level, abs=0.05)
        assert log_wealth_below(bad, total, high, weight) == pytest.approx(level, abs=0.05)
