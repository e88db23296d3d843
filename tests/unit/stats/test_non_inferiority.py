from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, norm

from solera.stats.arguments import ArgumentError
from solera.stats.non_inferiority import paired_shares, two_shares, two_shares_wald


def test_wald_reference_numbers() -> None:
    found = two_shares_wald(900, 1000, 880, 1000, margin=0.05)
    assert found.difference == pytest.approx(-0.02)
    assert (found.z, found.p_value) == pytest.approx((2.1450471, 0.0159745), abs=1e-7)
    assert found.lower_limit == pytest.approx(-0.0430045, abs=1e-7)


def test_the_paired_interval_published_for_airway_reactivity() -> None:
    """1 and 7 discordant among 21 pairs: -0.517 to -0.026 at 95 % (Fagerland, Lydersen, Laake 2014, Tango's score interval)."""
    assert paired_shares(21, 1, 7, margin=0.1, alpha=0.025).lower_limit == pytest.approx(-0.517, abs=5e-4)
    assert -paired_shares(21, 7, 1, margin=0.1, alpha=0.025).lower_limit == pytest.approx(-0.026, abs=5e-4)


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.3))
def test_the_score_test_uses_the_likeliest_shares_that_differ_by_the_margin(
    old: int, new: int, before: float, after: float, margin: float
) -> None:
    old_right, new_right = round(old * before), round(new * after)

    def unlikely(p: float) -> float:
        terms = ((old_right, p), (old - old_right, 1 - p), (new_right, p - margin), (new - new_right, 1 - p + margin))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    p = minimize_scalar(unlikely, bounds=(margin, 1), method="bounded", options={"xatol": 1e-12}).x
    variance = p * (1 - p) / old + (p - margin) * (1 - p + margin) / new
    expected = (new_right / new - old_right / old + margin) / math.sqrt(variance)
    assert two_shares(old_right, old, new_right, new, margin=margin).z == pytest.approx(expected, rel=1e-3, abs=1e-3)


@settings(max_examples=60)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400), st.floats(0.005, 0.3))
def test_the_paired_test_uses_the_likeliest_shares_that_differ_by_the_margin(
    new_only: int, old_only: int, alike: int, margin: float
) -> None:
    n = new_only + old_only + alike
    if n == 0:
        return

    def unlikely(q: float) -> float:
        gained = max(q - margin, 0.0)
        terms = ((new_only, gained), (old_only, q), (alike, 1 - q - gained))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    q = minimize_scalar(unlikely, bounds=(margin, (1 + margin) / 2), method="bounded", options={"xatol": 1e-12}).x
    expected = ((new_only - old_only) / n + margin) / math.sqrt((2 * q - margin - margin * margin) / n)
    assert paired_shares(n, new_only, old_only, margin=margin).z == pytest.approx(expected, rel=1e-3, abs=1e-3)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 400))
def test_without_a_margin_the_paired_test_is_mcnemar(new_only: int, old_only: int, alike: int) -> None:
    n = new_only + old_only + alike
    if n and new_only + old_only:
        expected = (new_only - old_only) / math.sqrt(new_only + old_only)
        assert paired_shares(n, new_only, old_only, margin=0).z == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.integers(0, 80), st.integers(0, 80), st.integers(1, 400), st.floats(0.005, 0.4), st.sampled_from([0.01, 0.1]))
def test_the_limit_and_the_test_say_the_same(
    new_only: int, old_only: int, alike: int, margin: float, alpha: float
) -> None:
    n = new_only + old_only + alike
    found = paired_shares(n, new_only, old_only, margin=margin, alpha=alpha)
    assert -1 <= found.lower_limit <= found.difference
    if abs(found.p_value - alpha) > 1e-6:
        assert (found.lower_limit > -margin) == (found.p_value < alpha)
    other = two_shares(n - old_only, n, n - new_only, n, margin=margin, alpha=alpha)
    assert -1 <= other.lower_limit <= other.difference + 1e-12
    if abs(other.p_value - alpha) > 1e-6:
        assert (other.lower_limit > -margin) == (other.p_value < alpha)


def test_the_error_at_one_look_is_close_to_the_risk_at_the_margin() -> None:
    """Exact sum over all outcomes of two samples of 30 whose shares differ by exactly the margin."""
    n, margin, alpha = 30, 0.1, 0.05
    old_mass, new_mass = binom.pmf(np.arange(n + 1), n, 0.85), binom.pmf(np.arange(n + 1), n, 0.75)
    wrong = sum(
        old_mass[a] * new_mass[b]
        for a in range(10, n + 1)
        for b in range(10, n + 1)
        if old_mass[a] * new_mass[b] > 1e-6 and two_shares(a, n, b, n, margin=margin, alpha=alpha).p_value <= alpha
    )
    assert 0.03 < wrong < 0.06


def test_the_error_of_the_paired_test_is_close_to_the_risk_at_the_margin() -> None:
    rng, runs, wrong = np.random.default_rng(3), 3000, 0
    for new_only, old_only, _ in rng.multinomial(150, (0.05, 0.15, 0.80), runs):
        wrong += paired_shares(150, int(new_only), int(old_only), margin=0.1).p_value <= 0.05
    assert binom.ppf(1e-6, runs, 0.04) <= wrong <= binom.ppf(1 - 1e-6, runs, 0.06)


@pytest.mark.parametrize("right", [0, 10**9])
def test_a_billion_items_of_which_all_or_none_were_right(right: int) -> None:
    found = two_shares(right, 10**9, right, 10**9, margin=1e-6)
    assert found.p_value < 1e-6
    assert -1e-7 < found.lower_limit < 0
    paired = paired_shares(10**9, 0, 0, margin=1e-6)
    assert paired.p_value < 1e-6
    assert -1e-7 < paired.lower_limit < 0
    assert paired_shares(10**9, 10**8, 10**8, margin=1e-4).z == pytest.approx(1e-4 * 10**9 / math.sqrt(2e8), rel=1e-4)


def test_large_samples_agree_with_wald() -> None:
    wald = two_shares_wald(5 * 10**8, 10**9, 5 * 10**8 - 10**4, 10**9, margin=1e-4)
    score = two_shares(5 * 10**8, 10**9, 5 * 10**8 - 10**4, 10**9, margin=1e-4)
    assert score.z == pytest.approx(wald.z, rel=1e-4)
    assert score.lower_limit == pytest.approx(wald.lower_limit, rel=1e-4)
    assert wald.p_value == pytest.approx(norm.sf(wald.z))


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: paired_shares(10, 6, 5, margin=0.1), "items"),
        (lambda: paired_shares(0, 0, 0, margin=0.1), "items"),
        (lambda: paired_shares(10, -1, 5, margin=0.1), "new_only_right"),
        (lambda: paired_shares(10, 1, 5, margin=1), "margin"),
        (lambda: paired_shares(10, 1, 5, margin=-0.1), "margin"),
        (lambda: two_shares(5, 4, 1, 4, margin=0.1), "old"),
        (lambda: two_shares(1, 4, 1, 0, margin=0.1), "new"),
        (lambda: two_shares(1, 4, 1, 4, margin=0.1, alpha=0.5), "alpha"),
        (lambda: two_shares_wald(4, 4, 4, 4, margin=0.1), "new_right"),
        (lambda: two_shares_wald(1, 4, 1, 4, margin=math.nan), "margin"),
    ],
)
def test_what_cannot_be_tested_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
