from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from solera.stats.arguments import ArgumentError
from solera.stats.betting import Capital, betting_interval
from solera.stats.confidence_sequences import EmpiricalBernstein
from solera.stats.predictable import Predictable

GOLDEN = [(i * 0.6180339887498949) % 1 for i in range(1, 201)]
"""The scores that the reference numbers were computed for."""

scores = st.lists(st.floats(0, 1), max_size=60)


def most_errors(runs: int, alpha: float) -> int:
    """So many of ``runs`` err at most with probability 1 - 1e-6 if each errs with probability ``alpha``: exact, binomial."""
    return int(binom.ppf(1 - 1e-6, runs, alpha))


def reference_stakes(x: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Stakes before truncation and the means that they know of, straight from the paper, as arrays."""
    t = np.arange(1, len(x) + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (t + 1)
    known = np.concatenate(([0.25], variances[:-1]))
    return np.sqrt(2 * math.log(2 / alpha) / (known * t * np.log(t + 1))), np.concatenate(([0.5], means[:-1]))


def bernstein(x: np.ndarray, alpha: float, guesses: np.ndarray) -> tuple[float, float]:
    """Centre and half width of the empirical-Bernstein sequence for any guesses of the mean."""
    stakes = np.minimum(reference_stakes(x, alpha)[0], 0.5)
    penalty = ((x - guesses) ** 2 * (-np.log1p(-stakes) - stakes)).sum()
    return float((stakes * x).sum() / stakes.sum()), float((math.log(2 / alpha) + penalty) / stakes.sum())


class TestReferenceNumbers:
    @pytest.mark.parametrize(
        ("n", "low", "high"), [(50, 0.314623, 0.683287), (100, 0.391402, 0.608824), (200, 0.429478, 0.573165)]
    )
    def test_empirical_bernstein(self, n: int, low: float, high: float) -> None:
        """The numbers were made with plain running means that start at 0, for either side on its own; the module starts both at a half."""

        def lower(x: np.ndarray) -> float:
            plain = np.concatenate(([0.0], (np.cumsum(x) / np.arange(1, n + 1))[:-1]))
            centre, half = bernstein(x, 0.05, plain)
            return centre - half

        x = np.array(GOLDEN[:n])
        assert (lower(x), 1 - lower(1 - x)) == pytest.approx((low, high), abs=1e-6)
        sequence = EmpiricalBernstein(0.05)
        for score in GOLDEN[:n]:
            sequence = sequence.add(score)
        centre, half = bernstein(x, 0.05, reference_stakes(x, 0.05)[1])
        assert sequence.interval() == pytest.approx((centre - half, centre + half), abs=1e-12)
        assert sequence.interval() == pytest.approx((low, high), abs=0.004)

    def test_betting(self) -> None:
        """The number stands for the kept ones among the middles of cells of 0.0005."""
        low, high = betting_interval(GOLDEN[:100], 0.05)
        assert 0.4178 - 0.0005 < low < 0.4178 + 0.00005
        assert 0.5842 - 0.00005 < high < 0.5842 + 0.0005
        cells = [0.00025 + 0.0005 * i for i in range(2000)]
        kept = [m for m in cells if low < m < high]
        assert (kept[0], kept[-1]) == pytest.approx((0.4178, 0.5842), abs=1e-4)

    def test_betting_is_tighter_than_bernstein_and_that_tighter_than_hoeffding_at_200(self) -> None:
        low, high = betting_interval(GOLDEN, 0.05)
        sequence = EmpiricalBernstein(0.05)
        for score in GOLDEN:
            sequence = sequence.add(score)
        low_eb, high_eb = sequence.interval()
        t = np.arange(1, 201)
        stakes = np.minimum(np.sqrt(8 * math.log(40) / (t * np.log(t + 1))), 1)
        half = (math.log(40) + (stakes**2 / 8).sum()) / stakes.sum()
        assert high - low < high_eb - low_eb < 2 * half

    def test_hoeffding_at_100(self) -> None:
        t, x = np.arange(1, 101), np.array(GOLDEN[:100])
        stakes = np.minimum(np.sqrt(8 * math.log(40) / (t * np.log(t + 1))), 1)
        centre, half = (stakes * x).sum() / stakes.sum(), (math.log(40) + (stakes**2 / 8).sum()) / stakes.sum()
        low, high = betting_interval(GOLDEN[:100], 0.05)
        assert (centre - half, centre + half) == pytest.approx((0.348876, 0.652419), abs=0.004)
        assert centre - half < low < high < centre + half


@given(scores, st.floats(0.02, 0.98), st.sampled_from([0.01, 0.1]))
def test_the_interval_leaves_out_exactly_what_the_wealth_shows(seen: list[float], limit: float, alpha: float) -> None:
    """A limit outside the interval is one that a bet at half the risk has shown to be passed."""
    capital = Capital(limit, alpha=alpha / 2)
    for score in seen:
        capital = capital.add(score)
    low, high = betting_interval(seen, alpha)
    level = math.log(2 / alpha)
    if limit < low:
        assert capital.log_above >= level - 1e-6
    elif limit > low + 1e-9:
        assert capital.log_above < level + 1e-6
    if limit > high:
        assert capital.log_below >= level - 1e-6
    elif limit < high - 1e-9:
        assert capital.log_below < level + 1e-6


@given(st.floats(0.05, 0.95), st.floats(0, 1), st.lists(st.floats(0, 1), max_size=15))
def test_no_score_can_be_expected_to_add_wealth_while_the_mean_keeps_to_its_side(
    limit: float, spread: float, seen: list[float]
) -> None:
    """Exact, for two-point scores with the limit as their mean, after any history: this is what makes it hold at any look."""
    capital = Capital(limit)
    for score in seen:
        capital = capital.add(score)
    below, above = limit * (1 - spread), limit + (1 - limit) * spread
    chance = (limit - below) / (above - below) if above > below else 0.5
    up, down = capital.add(above), capital.add(below)
    for name in ("log_above", "log_below"):
        now = getattr(capital, name)
        expected = chance * math.exp(getattr(up, name) - now) + (1 - chance) * math.exp(getattr(down, name) - now)
        assert expected == pytest.approx(1, abs=1e-9)


def test_over_all_sequences_the_chance_of_ever_being_wrong_is_at_most_the_risk_exactly() -> None:
    wrong, share = Fraction(0), Fraction(3, 10)
    for outcomes in product((0, 1), repeat=11):
        capital = Capital(float(share), alpha=0.2)
        for outcome in outcomes:
            capital = capital.add(outcome)
            if capital.log_above >= math.log(5):  # stops at the first crossing
                wrong += share ** sum(outcomes) * (1 - share) ** (11 - sum(outcomes))
                break
    assert Fraction(1, 200) < wrong <= Fraction(1, 5)


LAWS: list[tuple[Callable[[random.Random], float], float]] = [
    (lambda rng: float(rng.random() < 0.9), 0.9),
    (lambda rng: rng.betavariate(2, 6), 0.25),
    (lambda rng: 0.5 + 0.01 * rng.uniform(-1, 1), 0.5),
]


@pytest.mark.parametrize(("law", "mean"), LAWS)
def test_who_stops_at_the_first_miss_misses_no_more_often_than_promised(
    law: Callable[[random.Random], float], mean: float
) -> None:
    rng, runs, alpha = random.Random(11), 120, 0.1
    missed_betting = missed_bernstein = 0
    for _ in range(runs):
        capital, sequence = Capital(mean, alpha=alpha / 2), EmpiricalBernstein(alpha)
        betting = bernstein = False
        for _ in range(150):
            score = law(rng)
            capital, sequence = capital.add(score), sequence.add(score)
            betting |= max(capital.log_above, capital.log_below) >= math.log(2 / alpha)
            low, high = sequence.interval()
            bernstein |= not low <= mean <= high
        missed_betting += betting
        missed_bernstein += bernstein
    assert missed_betting <= most_errors(runs, alpha)
    assert missed_bernstein <= most_errors(runs, alpha)


def test_a_limit_that_is_kept_is_shown_by_both_sides_of_the_bet() -> None:
    rng = random.Random(3)
    capital = Capital(0.8)
    for _ in range(300):
        capital = capital.add(float(rng.random() < 0.9))
    assert capital.log_above > math.log(20)
    assert capital.log_below < 0


def test_non_inferiority_of_paired_differences_at_any_look() -> None:
    rng = random.Random(4)
    capital = Capital(-0.05, low=-1, high=1)
    needed = 0
    while capital.log_above < math.log(20):
        needed += 1
        capital = capital.add(rng.choices((-1, 0, 1), (3, 94, 3))[0])
    assert 100 < needed < 600


@settings(max_examples=30)
@given(scores.filter(len), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_the_scale_moves_the_interval_and_nothing_else(seen: list[float], low: float, width: float) -> None:
    plain = betting_interval(seen, 0.05)
    moved = betting_interval(
        [min(max(low + width * x, low), low + width) for x in seen], 0.05, low=low, high=low + width
    )
    slack = 1e-6 + 1e-9 * abs(low) / width
    assert [(end - low) / width for end in moved] == pytest.approx(plain, abs=slack)


def test_after_a_billion_scores_it_neither_overflows_nor_loses_the_next() -> None:
    seen = Predictable(n=10**9, total=0.999e9, squares=0.000999e9)
    capital = Capital(0.999, seen=seen)
    after = capital.add(0.0).add(1.0)
    assert after.seen.n == 10**9 + 2
    assert after.log_above < 0 < after.log_below
    sequence = EmpiricalBernstein(0.05, seen=seen, stakes=1e5, staked=0.999e5, penalty=10.0).add(1.0)
    low, high = sequence.interval()
    assert 0.998 < low < 0.999 < high < 1


def test_scores_that_are_all_alike_lead_to_a_short_interval_at_the_edge() -> None:
    low, high = betting_interval([1.0] * 2000, 0.05)
    assert low > 0.99
    assert high == 1
    assert betting_interval([], 0.05, low=-1) == (-1, 1)
    assert EmpiricalBernstein(0.05).interval() == (0, 1)


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: Capital(0), "limit"),
        (lambda: Capital(math.nan), "limit"),
        (lambda: Capital(0.5, alpha=0), "alpha"),
        (lambda: Capital(0.5, low=1, high=1), "high"),
        (lambda: Capital(0.5, low=-math.inf), "low"),
        (lambda: Capital(0.5).add(1.01), "score"),
        (lambda: Capital(0.5).add(math.nan), "score"),
        (lambda: betting_interval([0.5, 2], 0.05), "scores[1]"),
        (lambda: betting_interval([0.5], 5), "alpha"),
        (lambda: EmpiricalBernstein(1), "alpha"),
        (lambda: EmpiricalBernstein(0.05).add(-0.1), "score"),
        (lambda: Predictable(n=-1), "n"),
        (lambda: Predictable(n=1, total=2), "total"),
        (lambda: Predictable(n=1, total=1, squares=math.nan), "squares"),
    ],
)
def test_what_no_bet_can_be_made_of_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(f"{argument} must be ")
