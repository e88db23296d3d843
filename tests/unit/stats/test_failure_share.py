from __future__ import annotations

import math
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from solera.stats.arguments import ArgumentError
from solera.stats.failure_share import (
    HIGHEST,
    LOWEST,
    RATIOS,
    Interval,
    RatioProfile,
    Step,
    log_e_of_steps,
    log_mean,
    log_wealth,
)

intervals = st.builds(
    lambda c, s, f, g: Interval(c, int(c * f), s, int(s * g)),
    st.integers(0, 5000),
    st.integers(0, 200_000),
    st.floats(0, 1),
    st.floats(0, 1),
)


def profile(of: list[Interval]) -> RatioProfile:
    built = RatioProfile()
    for interval in of:
        built = built.add(interval)
    return built


@pytest.mark.parametrize(
    ("steps", "value"),
    [
        ([(0.05, 95, 5)], 0.35699),
        ([(0.05, 90, 10)], 3.95202),
        ([(0.05, 90, 10), (0.10, 85, 15)], 8.39642),
    ],
)
def test_reference_numbers(steps: list[tuple[float, int, int]], value: float) -> None:
    """Steps of (candidate's share of requests, failures of stable, failures of the candidate), against a ratio of at most 1."""
    seen = [Interval(int(1000 * w), candidate, int(1000 * (1 - w)), stable) for w, stable, candidate in steps]
    assert math.exp(log_mean([log_wealth(seen, ratio, 1.0) for ratio in RATIOS])) == pytest.approx(value, abs=1e-5)
    assert math.exp(profile(seen).log_e_above(1.0)) == pytest.approx(value, abs=1e-5)
    in_force = [Step(share, candidate, stable) for share, stable, candidate in steps]
    assert math.exp(log_e_of_steps(in_force)) == pytest.approx(value, abs=1e-5)


@given(st.lists(intervals, max_size=8), st.floats(1, 300))
def test_the_profile_says_the_same_as_the_definition_for_any_ratio_chosen_later(
    seen: list[Interval], null: float
) -> None:
    failures = sum(i.candidate_failures + i.stable_failures for i in seen)
    told = [i for i in seen if i.candidate and i.stable]
    built = profile(seen)
    above = log_mean([log_wealth(told, min(null * k, HIGHEST), null) for k in RATIOS])
    below = log_mean([log_wealth(told, max(null / k, LOWEST), null) for k in RATIOS])
    assert built.log_e_above(null) == pytest.approx(above, abs=1e-9 * (1 + failures))
    assert built.log_e_below(null) == pytest.approx(below, abs=1e-9 * (1 + failures))


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.floats(1e-6, 1),
    st.floats(1e-6, 1),
    st.floats(1, 5),
    st.sampled_from(RATIOS),
)
def test_no_interval_can_be_expected_to_add_wealth_while_the_ratio_is_kept(
    candidate: int, stable: int, stable_share: float, fraction: float, null: float, factor: float
) -> None:
    """Exact, over all outcomes of both binomials, for shares of any size: this is what makes it hold at any look."""
    candidate_share = min(1.0, null * stable_share) * fraction
    expected = sum(
        binom.pmf(f, candidate, candidate_share)
        * binom.pmf(g, stable, stable_share)
        * math.exp(log_wealth([Interval(candidate, f, stable, g)], null * factor, null))
        for f, g in product(range(candidate + 1), range(stable + 1))
    )
    assert expected <= 1 + 1e-9


@given(st.floats(0.01, 0.99), st.floats(0.05, 1), st.floats(0.5, 5), st.floats(0, 1))
def test_with_the_share_in_force_no_request_can_be_expected_to_add_evidence(
    share: float, stable: float, null: float, fraction: float
) -> None:
    """Exact, for one request that goes to either arm by chance and fails there by chance, at any failure rates that keep the ratio."""
    candidate = min(1.0, null * stable) * fraction
    of_candidate, of_stable = share * candidate, (1 - share) * stable
    expected = (
        (1 - of_candidate - of_stable)
        + of_candidate * math.exp(log_e_of_steps([Step(share, 1, 0)], null))
        + of_stable * math.exp(log_e_of_steps([Step(share, 0, 1)], null))
    )
    assert expected <= 1 + 1e-9


def test_a_billion_failures_at_the_share_in_force_do_not_overflow() -> None:
    assert log_e_of_steps([Step(0.05, 5 * 10**7, 95 * 10**7)]) < 0
    assert 1e5 < log_e_of_steps([Step(0.05, 9 * 10**7, 91 * 10**7)]) < math.inf
    assert log_e_of_steps([]) == 0


@pytest.mark.parametrize(
    ("values", "argument"),
    [
        ((0, 1, 1), "share"),
        ((1, 1, 1), "share"),
        ((0.5, -1, 1), "candidate_failures"),
        ((0.5, 1, 0.5), "stable_failures"),
    ],
)
def test_a_step_of_other_numbers_is_refused_by_name(values: tuple[float, int, int], argument: str) -> None:
    with pytest.raises(ArgumentError, match=f"{argument} must be"):
        Step(*values)
    with pytest.raises(ArgumentError, match="null_ratio must be"):
        log_e_of_steps([], 0)


def test_with_equal_arms_and_20_looks_it_errs_as_seldom_as_computed() -> None:
    runs, wrong = 800, 0
    rng = random.Random(5)
    for _ in range(runs):
        wrong += crosses(rng, candidate=0.05, stable=0.05, null=1.0, level=math.log(20))
    assert 0 < wrong <= binom.ppf(1 - 1e-6, runs, 0.05)
    assert wrong / runs == pytest.approx(0.012, abs=0.015)


@pytest.mark.parametrize(("share", "published"), [(0.08, 0.53), (0.10, 0.94), (0.15, 1.00)])
def test_it_finds_a_candidate_that_fails_more_often_than_5_percent(share: float, published: float) -> None:
    rng, runs = random.Random(6), 200
    found = sum(crosses(rng, candidate=share, stable=0.05, null=1.0, level=math.log(20)) for _ in range(runs))
    assert binom.ppf(1e-3, runs, published - 0.005) <= found <= binom.ppf(1 - 1e-3, runs, min(1, published + 0.005))


@pytest.mark.parametrize(("share", "published"), [(0.5, 482), (0.05, 2368)])
def test_so_many_failures_it_takes_at_best_to_show_that_equal_arms_keep_a_ratio_of_1_25(
    share: float, published: int
) -> None:
    """With the true ratio as the only alternative; the mixture pays for not knowing it."""
    thousand = Interval(int(1e6 * share), int(1000 * share), int(1e6 * (1 - share)), int(1000 * (1 - share)))
    assert round(1000 * math.log(20) / log_wealth([thousand], 1.0, 1.25)) == published
    many = Interval(int(1e6 * share), int(published * share), int(1e6 * (1 - share)), int(published * (1 - share)))
    assert profile([many]).log_e_below(1.25) < math.log(20)


def test_a_common_incident_is_not_held_against_the_candidate() -> None:
    rng, runs, wrong = random.Random(8), 300, 0
    for _ in range(runs):
        built = RatioProfile()
        for look in range(30):
            share = 0.3 if 10 <= look < 15 else 0.004  # both arms suffer alike
            built = built.add(interval(rng, 30, share, 570, share))
            if built.log_e_above(1.25) >= math.log(20):
                wrong += 1
                break
    assert wrong <= binom.ppf(1 - 1e-6, runs, 0.05)


def test_showing_that_the_ratio_is_kept_takes_many_failures() -> None:
    rng = random.Random(9)
    built = RatioProfile()
    for _ in range(40):
        built = built.add(interval(rng, 100, 0.05, 100, 0.05))
    assert built.log_e_below(1.25) < math.log(20)  # 400 failures are not enough
    for _ in range(400):
        built = built.add(interval(rng, 100, 0.05, 100, 0.05))
    assert built.log_e_below(1.25) >= math.log(20)


@pytest.mark.parametrize("silent", [Interval(0, 0, 100, 5), Interval(100, 5, 0, 0), Interval(100, 0, 100, 0)])
def test_an_interval_without_both_arms_or_without_failures_tells_nothing(silent: Interval) -> None:
    assert RatioProfile().add(silent) == RatioProfile()


@pytest.mark.parametrize("ratio", [0, LOWEST, HIGHEST, math.nan])
def test_a_ratio_outside_the_profile_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio under test"):
        RatioProfile().log_e_above(ratio)


@pytest.mark.parametrize("values", [(), (0.0,) * 3, (math.nan,) * 40, (math.inf,) * 40])
def test_a_profile_of_other_numbers_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="log_likelihood must be"):
        RatioProfile(values)


def interval(rng: random.Random, candidate: int, candidate_share: float, stable: int, stable_share: float) -> Interval:
    failed = sum(rng.random() < candidate_share for _ in range(candidate))
    return Interval(candidate, failed, stable, sum(rng.random() < stable_share for _ in range(stable)))


def crosses(rng: random.Random, *, candidate: float, stable: float, null: float, level: float) -> bool:
    """20 looks of 50 requests in each arm."""
    built = RatioProfile()
    for _ in range(20):
        built = built.add(interval(rng, 50, candidate, 50, stable))
        if built.log_e_above(null) >= level:
            return True
    return False
