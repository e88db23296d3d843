from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from scipy.stats import binom

from solera.stats.sequential import (
    asymptotic_half_width,
    bernoulli_confidence_interval,
    beta_binomial_log_mixture,
    beta_binomial_mixture_bound,
    mixture_precision,
    msprt_log_wealth,
    normal_log_mixture,
    normal_mixture_bound,
)


def most_errors(runs: int, alpha: float) -> int:
    """So many of ``runs`` err at most with probability 1 - 1e-6 if each errs with probability ``alpha``: exact, binomial."""
    return int(binom.ppf(1 - 1e-6, runs, alpha))


class TestReferenceNumbers:
    """Published with confseq's unit tests, for v_opt = 100 and alpha = alpha_opt = 0.05; its tolerance is 1e-5."""

    def test_normal_mixture_two_sided(self) -> None:
        assert mixture_precision(100, 0.05, one_sided=False) == pytest.approx(12.60056, abs=1e-5)
        assert normal_log_mixture(10, 100, v_opt=100, one_sided=False) == pytest.approx(-0.6510052, abs=1e-5)
        assert normal_mixture_bound(100, 0.05, v_opt=100, one_sided=False) == pytest.approx(30.35209, abs=1e-5)

    def test_normal_mixture_one_sided(self) -> None:
        assert mixture_precision(100, 0.05, one_sided=True) == mixture_precision(100, 0.1, one_sided=False)
        assert normal_log_mixture(10, 100, v_opt=100) == pytest.approx(-0.06502391, abs=1e-5)
        assert normal_mixture_bound(100, 0.05, v_opt=100) == pytest.approx(27.66071, abs=1e-5)

    def test_beta_binomial_mixture(self) -> None:
        shape = {"v_opt": 100, "g": 0.2, "h": 0.8}
        assert beta_binomial_log_mixture(10, 100, one_sided=False, **shape) == pytest.approx(-0.6941012, abs=1e-5)
        assert beta_binomial_mixture_bound(100, 0.05, one_sided=False, **shape) == pytest.approx(31.4308, abs=1e-5)
        assert beta_binomial_log_mixture(10, 100, **shape) == pytest.approx(-0.07134019, abs=1e-5)
        assert beta_binomial_mixture_bound(100, 0.05, **shape) == pytest.approx(28.41238, abs=1e-5)

    @pytest.mark.parametrize(
        ("successes", "trials", "t_opt", "low", "high"),
        [(700, 1000, 100, 0.651629, 0.745949), (5, 50, 50, 0.013021, 0.269264), (1, 2, 50, 0, 1)],
    )
    def test_bernoulli_interval(self, successes: int, trials: int, t_opt: float, low: float, high: float) -> None:
        found = bernoulli_confidence_interval(successes, trials, 0.05, t_opt=t_opt)
        assert found == pytest.approx((low, high), abs=1e-5)

    @pytest.mark.parametrize(("n", "width"), [(100, 0.336389), (500, 0.135739), (1000, 0.096812), (5000, 0.045845)])
    def test_asymptotic_half_width(self, n: int, width: float) -> None:
        assert asymptotic_half_width(1, n, 0.05, n_opt=500) == pytest.approx(width, abs=1e-6)
        assert asymptotic_half_width(3, n, 0.05, n_opt=500) == pytest.approx(3 * width, abs=3e-6)

    def test_msprt(self) -> None:
        wealth = msprt_log_wealth(100, 0.2, variance=1, prior_variance=0.01)
        assert math.exp(wealth) == pytest.approx(math.sqrt(2 / 3) * math.exp(1 / 3), rel=1e-12)
        wealth = msprt_log_wealth(1000, 0.15, variance=1, prior_variance=0.01)
        assert math.exp(-wealth) == pytest.approx(0.022559, abs=1e-6)


def test_bounds_invert_their_mixtures() -> None:
    for v in (0.5, 10, 1000):
        for one_sided in (True, False):
            bound = normal_mixture_bound(v, 0.01, v_opt=50, one_sided=one_sided)
            assert normal_log_mixture(bound, v, v_opt=50, one_sided=one_sided) == pytest.approx(math.log(100), rel=1e-9)
    bound = beta_binomial_mixture_bound(30, 0.01, v_opt=50, g=0.1, h=0.9)
    assert beta_binomial_log_mixture(bound, 30, v_opt=50, g=0.1, h=0.9) == pytest.approx(math.log(100), rel=1e-9)


def test_a_bound_beyond_the_largest_possible_sum_is_that_sum() -> None:
    # One trial cannot show anything at 5 %: even a success leaves the mixture under 20.
    assert beta_binomial_mixture_bound(0.25, 0.05, v_opt=100, g=0.5, h=0.5) == 0.5


def test_an_interval_without_trials_is_everything() -> None:
    assert bernoulli_confidence_interval(0, 0, 0.05, t_opt=50) == (0, 1)


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2)])
def test_more_successes_than_trials_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes must lie between"):
        bernoulli_confidence_interval(successes, trials, 0.05, t_opt=50)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, math.nan])
def test_a_risk_that_is_no_probability_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must lie between"):
        normal_mixture_bound(100, alpha, v_opt=100)


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: asymptotic_half_width(1, 0, 0.05, n_opt=500), "n"),
        (lambda: asymptotic_half_width(-1, 10, 0.05, n_opt=500), "sd"),
        (lambda: asymptotic_half_width(math.nan, 10, 0.05, n_opt=500), "sd"),
        (lambda: asymptotic_half_width(1, 10, 0.05, n_opt=0), "n_opt"),
        (lambda: msprt_log_wealth(-1, 0.1, variance=1, prior_variance=1), "n"),
        (lambda: msprt_log_wealth(10, math.nan, variance=1, prior_variance=1), "difference"),
        (lambda: msprt_log_wealth(10, 0.1, variance=0, prior_variance=1), "variance"),
        (lambda: msprt_log_wealth(10, 0.1, variance=1, prior_variance=math.inf), "prior_variance"),
    ],
)
def test_a_mean_of_nothing_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be"):
        use()


def test_a_billion_observations_neither_overflow_nor_vanish() -> None:
    assert 0 < asymptotic_half_width(1, 10**9, 0.05, n_opt=500) < 1e-3
    assert 1e6 < msprt_log_wealth(10**9, 0.1, variance=1, prior_variance=0.01) < math.inf
    assert normal_mixture_bound(1e9, 0.05, v_opt=100) / 1e9 < 1e-3


def test_the_normal_bound_is_crossed_at_any_look_no_more_often_than_promised() -> None:
    rng, runs, steps, alpha = random.Random(1), 600, 800, 0.1
    bounds = [normal_mixture_bound(v, alpha, v_opt=200) for v in range(1, steps + 1)]
    crossed = 0
    for _ in range(runs):
        total = 0
        for bound in bounds:  # +-1 is 1-sub-Gaussian: variance 1 a step
            total += 1 if rng.random() < 0.5 else -1
            if total >= bound:
                crossed += 1
                break
    assert 0 < crossed <= most_errors(runs, alpha)


def test_the_bernoulli_interval_covers_at_all_looks_at_once_as_often_as_promised() -> None:
    rng, runs, alpha, p = random.Random(2), 250, 0.1, 0.1
    missed = 0
    for _ in range(runs):
        successes = 0
        for trials in range(1, 301):
            successes += rng.random() < p
            if trials % 20 == 0:
                low, high = bernoulli_confidence_interval(successes, trials, alpha, t_opt=150)
                if not low <= p <= high:
                    missed += 1
                    break
    assert missed <= most_errors(runs, alpha)
