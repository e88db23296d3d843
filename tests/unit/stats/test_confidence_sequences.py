from __future__ import annotations

import math
import random
from collections.abc import Callable
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from solera.stats.arguments import ArgumentError
from solera.stats.confidence_sequences import Moments, asymptotic_interval, asymptotic_lower_limit
from solera.stats.sequential import asymptotic_half_width, msprt_log_wealth

values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


def moments(of: list[float]) -> Moments:
    built = Moments()
    for value in of:
        built = built.add(value)
    return built


@given(values, values)
def test_the_moments_are_those_of_all_values_added_or_merged(first: list[float], second: list[float]) -> None:
    together = np.array(first + second)
    for built in (moments(first + second), moments(first).merge(moments(second))):
        assert built.n == len(together)
        assert built.mean == pytest.approx(together.mean(), rel=1e-9, abs=1e-6)
        assert built.deviation == pytest.approx(together.std(ddof=1), rel=1e-6, abs=1e-5)


def test_moments_of_a_billion_values_far_from_zero_keep_their_digits() -> None:
    whole = Moments(10**9, 1e6, 1e9).merge(Moments(10**9, 1e6 + 2, 1e9))
    assert whole.mean == 1e6 + 1
    assert whole.deviation == pytest.approx(math.sqrt(2), rel=1e-8)
    assert Moments().merge(Moments()) == Moments()


@pytest.mark.parametrize(("n", "width"), [(100, 0.336389), (500, 0.135739), (1000, 0.096812), (5000, 0.045845)])
def test_asymptotic_reference_numbers(n: int, width: float) -> None:
    built = Moments(n, 7.0, n - 1.0)  # standard deviation 1
    low, high = asymptotic_interval(built, 0.05, n_opt=500)
    assert (7 - low, high - 7) == pytest.approx((width, width), abs=1e-6)
    rho2 = (-2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))) / 500
    assert rho2 == pytest.approx(0.01587230920347513, rel=1e-12)


def test_msprt_reference_numbers_against_fifty_digits() -> None:
    getcontext().prec = 50
    two, variance, prior = Decimal(2), Decimal(1), Decimal("0.01")
    for n, difference, printed in (
        (100, Decimal("0.2"), "1.1395127733830444"),  # a note circulated as 1.13951278338: a misprint
        (1000, Decimal("0.15"), "44.32816551312292"),
    ):
        spread = two * variance + n * prior
        exact = (two * variance / spread).sqrt() * (n * n * prior * difference**2 / (4 * variance * spread)).exp()
        assert float(exact) == pytest.approx(float(printed), rel=1e-15)
        found = msprt_log_wealth(n, float(difference), variance=1, prior_variance=0.01)
        assert math.exp(found) == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("n", [30, 500, 10**6, 10**9])
def test_one_side_alone_is_closer_than_either_of_two(n: int) -> None:
    built = Moments(n, 0.0, n - 1.0)
    low = asymptotic_lower_limit(built, 0.05, n_opt=500)
    assert -asymptotic_half_width(1, n, 0.05, n_opt=500) < low < -norm.isf(0.05) / math.sqrt(n)
    assert low == pytest.approx(-asymptotic_half_width(1, n, 0.1, n_opt=500), rel=0.03)  # two sides at twice the risk


def test_who_looks_after_every_value_from_the_hundredth_on_errs_as_seldom_as_promised() -> None:
    """Skewed values (exponential), 1,400 looks each: the naive interval misses in most runs, the sequence in few."""
    rng, runs, alpha = np.random.default_rng(7), 400, 0.1
    drawn = rng.exponential(1.0, (runs, 1500))
    n = np.arange(1, 1501)
    mean = drawn.cumsum(axis=1) / n
    deviation = np.sqrt(np.maximum((drawn**2).cumsum(axis=1) - n * mean**2, 0) / np.maximum(n - 1, 1))
    half = np.array([asymptotic_half_width(1, int(k), alpha, n_opt=400) for k in n])
    far = np.abs(mean - 1) > deviation * half
    naive = np.abs(mean - 1) > deviation * norm.isf(alpha / 2) / np.sqrt(n)
    assert far[:, 99:].any(axis=1).sum() <= binom.ppf(1 - 1e-6, runs, alpha)
    assert naive[:, 99:].any(axis=1).mean() > 3 * alpha
    # the same numbers come out of the running moments
    built = moments(list(drawn[0, :300]))
    low, high = asymptotic_interval(built, alpha, n_opt=400)
    assert (low, high) == pytest.approx(
        (mean[0, 299] - deviation[0, 299] * half[299], mean[0, 299] + deviation[0, 299] * half[299]), rel=1e-9
    )


def test_the_one_sided_limit_is_passed_as_seldom_as_promised() -> None:
    rng, runs, alpha = random.Random(8), 200, 0.1
    missed = 0
    for _ in range(runs):
        mean = rng.gauss(0, 3 / math.sqrt(100))
        built = Moments(100, mean, 99 * 9.0)
        for _ in range(25):
            built = built.merge(Moments(20, rng.gauss(0, 3 / math.sqrt(20)), 19 * 9.0))
            if asymptotic_lower_limit(built, alpha, n_opt=300) > 0:
                missed += 1
                break
    assert missed <= binom.ppf(1 - 1e-6, runs, alpha)


@pytest.mark.parametrize(("looks", "published"), [(2, 0.083), (5, 0.142), (10, 0.193), (20, 0.248), (50, 0.320)])
def test_repeated_looks_at_a_nominal_5_percent_err_as_published_and_the_sequence_does_not(
    looks: int, published: float
) -> None:
    rng, runs = np.random.default_rng(looks), 20_000
    sums = rng.standard_normal((runs, looks)).cumsum(axis=1)
    n = np.arange(1, looks + 1)
    naive = (np.abs(sums) > 1.959964 * np.sqrt(n)).any(axis=1).mean()
    assert naive == pytest.approx(published, abs=0.012)
    # each look adds 100 values of variance 1/100
    half = np.array([asymptotic_half_width(0.1, 100 * int(k), 0.05, n_opt=100 * looks) * 100 * int(k) for k in n])
    assert (np.abs(sums) > half).any(axis=1).sum() <= binom.ppf(1 - 1e-6, runs, 0.05)


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: Moments(-1), "n"),
        (lambda: Moments(1.5), "n"),
        (lambda: Moments(1, math.nan), "mean"),
        (lambda: Moments(1, 0, -1), "squares"),
        (lambda: Moments().add(math.inf), "value"),
        (lambda: Moments(1, 3.0).deviation, "n"),
        (lambda: asymptotic_interval(Moments(9, 0, 1), 0, n_opt=100), "alpha"),
        (lambda: asymptotic_interval(Moments(9, 0, 1), 0.1, n_opt=0), "n_opt"),
        (lambda: asymptotic_interval(Moments(1, 0, 0), 0.1, n_opt=10), "n"),
        (lambda: asymptotic_lower_limit(Moments(9, 0, 1), 0.5, n_opt=10), "alpha"),
        (lambda: asymptotic_lower_limit(Moments(9, 0, 1), 0.1, n_opt=math.inf), "n_opt"),
    ],
)
def test_what_no_interval_can_be_made_of_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
