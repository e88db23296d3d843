from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import binom

from solera.stats.arguments import ArgumentError
from solera.stats.split import Split, log_e_off


def test_reference_numbers_of_three_arms_watched_one_request_at_a_time() -> None:
    """The example of savvi: 0.1, 0.3, 0.6 in truth against 0.1, 0.4, 0.5, drawn by NumPy's old generator with seed 1."""
    draws = np.random.RandomState(1).multinomial(1, [0.1, 0.3, 0.6], 1000)
    split, stopped = Split((0.1, 0.4, 0.5)), 0
    for stopped, drawn in enumerate(draws, 1):  # noqa: B007 - the number is what is compared
        split = split.add([int(arm) for arm in drawn])
        if split.log_e >= math.log(20):
            break
    assert stopped == 402
    assert split.counts == (40, 129, 233)
    assert math.exp(-split.log_e) == pytest.approx(0.04845591105969517, rel=1e-9)


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=4),
    st.lists(st.integers(1, 100), min_size=4, max_size=4),
    st.floats(0.5, 1000),
)
def test_no_request_can_be_expected_to_add_evidence_while_the_split_is_right(
    counts: list[int], weights: list[int], concentration: float
) -> None:
    """Exact: the expectation of the next e-value is the present one."""
    weights = weights[: len(counts)]
    shares = tuple(weight / sum(weights) for weight in weights)
    now = Split(shares, tuple(counts), concentration)
    after = 0.0
    for arm, share in enumerate(shares):
        one = [int(arm == other) for other in range(len(shares))]
        after += share * math.exp(now.add(one).log_e - now.log_e)
    assert after == pytest.approx(1, abs=1e-7)


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=3), st.floats(1, 500))
def test_it_is_the_bayes_factor_of_a_dirichlet(counts: list[int], concentration: float) -> None:
    shares = np.array([0.2, 0.3, 0.5])
    prior = concentration * shares

    def log_beta(v: np.ndarray) -> float:
        return float(gammaln(v).sum() - gammaln(v.sum()))

    expected = log_beta(prior + counts) - log_beta(prior) - float((np.array(counts) * np.log(shares)).sum())
    found = Split(tuple(shares), tuple(counts), concentration).log_e
    assert found == pytest.approx(expected, abs=1e-7)


def test_when_the_weights_change_the_evidence_is_multiplied() -> None:
    first, second = Split((0.05, 0.95), (9, 91)), Split((0.25, 0.75), (20, 80))
    both = Split((0.05, 0.95)).add((9, 91)).add((12, 38), (0.25, 0.75)).add((8, 42), (0.25, 0.75))
    assert both.counts == (20, 80)
    assert both.log_e == pytest.approx(first.log_e + second.log_e, abs=1e-12)


def test_over_all_sequences_the_chance_of_ever_crossing_is_at_most_the_risk_exactly() -> None:
    wrong, share = Fraction(0), Fraction(1, 4)
    for arms in product((0, 1), repeat=12):
        split = Split((0.25, 0.75), (), 4.0)
        for arm in arms:
            split = split.add((1, 0) if arm else (0, 1))
            if split.log_e >= math.log(5):
                wrong += share ** sum(arms) * (1 - share) ** (12 - sum(arms))
                break
    assert Fraction(1, 100) < wrong <= Fraction(1, 5)


def test_a_split_that_drifts_within_the_tolerance_is_not_held_against_the_route() -> None:
    rng, runs, wrong = np.random.default_rng(4), 150, 0
    for _ in range(runs):
        candidate = total = 0
        for _ in range(60):
            share = 0.06 if candidate >= 0.055 * total else 0.04  # pushes outward from where it is, within 5 % ± 1 %
            candidate += int(rng.binomial(100, share))
            total += 100
            if log_e_off(candidate, total, 0.05, 0.01) >= math.log(10):
                wrong += 1
                break
    assert wrong <= binom.ppf(1 - 1e-6, runs, 0.1)


@given(st.integers(0, 400), st.integers(0, 4000), st.floats(-1, 1))
def test_no_request_can_be_expected_to_add_evidence_while_the_split_is_within_the_tolerance(
    candidate: int, stable: int, where: float
) -> None:
    total, chance = candidate + stable, 0.05 + 0.01 * where
    now = log_e_off(candidate, total, 0.05, 0.01)
    after_one = math.exp(log_e_off(candidate + 1, total + 1, 0.05, 0.01) - now)
    after_other = math.exp(log_e_off(candidate, total + 1, 0.05, 0.01) - now)
    assert chance * after_one + (1 - chance) * after_other <= 1 + 1e-7


@pytest.mark.parametrize(("share", "most"), [(0.10, 600), (0.25, 60), (0.0, 230)])
def test_a_split_that_is_far_off_is_seen_soon(share: float, most: int) -> None:
    found = next(n for n in range(10, 5000, 10) if log_e_off(round(share * n), n, 0.05, 0.01) >= math.log(20))
    assert found <= most


def test_a_billion_requests_neither_overflow_nor_tell_what_does_not_matter() -> None:
    assert Split((0.05, 0.95), (5 * 10**7, 95 * 10**7)).log_e == pytest.approx(-8.0757, abs=1e-3)
    assert log_e_off(51 * 10**6, 10**9, 0.05, 0.01) < 0
    assert log_e_off(61 * 10**6, 10**9, 0.05, 0.01) > 1000
    assert log_e_off(39 * 10**6, 10**9, 0.05, 0.01) > 1000


def test_where_the_tolerance_leaves_one_side_only_that_one_is_watched() -> None:
    assert log_e_off(0, 10**6, 0.005, 0.01) < 0
    assert log_e_off(10**4, 10**5, 0.005, 0.01) > 10
    assert log_e_off(10**6, 10**6, 0.995, 0.01) < 0
    assert log_e_off(0, 0, 0.05, 0.01) == pytest.approx(0, abs=1e-9)
    assert Split((0.5, 0.5)).log_e == 0


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: Split((1.0,)), "shares"),
        (lambda: Split((0.5, 0.6)), "shares"),
        (lambda: Split((0.0, 1.0)), "shares[0]"),
        (lambda: Split((0.5, math.nan)), "shares[1]"),
        (lambda: Split((0.5, 0.5), concentration=0), "concentration"),
        (lambda: Split((0.5, 0.5)).add((1,)), "counts"),
        (lambda: Split((0.5, 0.5)).add((1, -1)), "counts[1]"),
        (lambda: Split((0.5, 0.5), (1, 2, 3)), "counts"),
        (lambda: log_e_off(3, 2, 0.05, 0.01), "total"),
        (lambda: log_e_off(-1, 2, 0.05, 0.01), "candidate"),
        (lambda: log_e_off(1, 2, 1.05, 0.01), "share"),
        (lambda: log_e_off(1, 2, 0.5, 0.5), "tolerance"),
        (lambda: log_e_off(1, 2, 0.5, math.nan), "tolerance"),
        (lambda: log_e_off(1, 2, 0.5, -0.1), "tolerance"),
    ],
)
def test_what_is_no_split_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
