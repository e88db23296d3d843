from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, ttest_rel
from statsmodels.regression.linear_model import OLS

from solera.stats.arguments import ArgumentError
from solera.stats.paired import items_needed, paired_difference

OLD = [0] * 12 + [1] * 25 + [1] * 363
NEW = [1] * 12 + [0] * 25 + [1] * 363
"""400 items, 12 that only the new version got right and 25 that only the old one did."""


def test_reference_numbers() -> None:
    found = paired_difference(OLD, NEW)
    assert (found.mean, found.items, found.clusters) == (-0.0325, 400, 400)
    assert found.error == pytest.approx(0.0151388, abs=1e-7)
    assert found.interval(0.05, normal=True) == pytest.approx((-0.0621714, -0.0028286), abs=1e-7)


def test_the_number_of_items_needed_of_miller_2024() -> None:
    assert items_needed(0.03, variance=1 / 9) == 969
    assert items_needed(-0.03, variance=1 / 9) == 969
    assert items_needed(0.03, variance=1 / 18, sampling_variance=1 / 18) == 969
    assert items_needed(5.0, variance=1e-9) == 2


def test_so_many_items_find_the_difference_as_often_as_promised() -> None:
    rng, runs = np.random.default_rng(1), 2000
    n = items_needed(0.3, variance=1.0)
    differences = rng.normal(0.3, 1.0, (runs, n))
    found = np.abs(differences.mean(axis=1)) > 1.959964 * differences.std(axis=1, ddof=1) / np.sqrt(n)
    assert binom.ppf(1e-6, runs, 0.78) <= found.sum() <= binom.ppf(1 - 1e-6, runs, 0.83)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=50))
def test_without_clusters_it_is_the_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    old, new = [p[0] for p in pairs], [p[1] for p in pairs]
    differences = np.subtract(new, old)
    found = paired_difference(old, new)
    assert found.mean == pytest.approx(differences.mean(), abs=1e-12)
    assert found.error == pytest.approx(differences.std(ddof=1) / np.sqrt(len(pairs)), abs=1e-9)
    if found.error > 1e-6:
        limits = ttest_rel(new, old).confidence_interval(0.95)
        assert found.interval(0.05) == pytest.approx((limits.low, limits.high), abs=1e-6)
        one_sided = ttest_rel(new, old, alternative="greater").confidence_interval(0.95)
        assert found.lower_limit(0.05) == pytest.approx(one_sided.low, abs=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(3, 12))
def test_with_clusters_it_is_the_regression_with_robust_errors(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    names = np.concatenate((np.arange(groups), rng.integers(0, groups, 40)))
    shift = rng.normal(0, 0.3, groups)
    old = rng.uniform(size=len(names))
    new = old + shift[names] + rng.normal(0, 0.1, len(names))
    found = paired_difference(list(old), list(new), list(names))
    fitted = OLS(new - old, np.ones(len(names))).fit(cov_type="cluster", cov_kwds={"groups": names}, use_t=True)
    assert found.clusters == groups
    assert found.mean == pytest.approx(fitted.params[0], abs=1e-12)
    assert found.error == pytest.approx(fitted.bse[0], rel=1e-9)
    assert found.interval(0.1) == pytest.approx(tuple(fitted.conf_int(0.1)[0]), abs=1e-6)


def test_clusters_that_share_their_luck_are_covered_and_would_not_be_without_saying_so() -> None:
    """40 sessions of 10 turns: the truth is a difference of 0."""
    rng, runs, alpha = random.Random(5), 250, 0.1
    names = [c for c in range(40) for _ in range(10)]
    missed = naive = 0
    for _ in range(runs):
        shift = [rng.gauss(0, 1) for _ in range(40)]
        new = [shift[c] + rng.gauss(0, 0.5) for c in names]
        zeros = [0.0] * len(new)
        missed += not _covers(paired_difference(zeros, new, names).interval(alpha))
        naive += not _covers(paired_difference(zeros, new).interval(alpha))
    assert binom.ppf(1e-6, runs, alpha * 0.8) <= missed <= binom.ppf(1 - 1e-6, runs, alpha * 1.2)
    assert naive > runs * 0.3


def test_the_gain_of_pairing_has_the_sign_of_the_correlation() -> None:
    easy = [0.1 * (i % 10) for i in range(200)]
    alike = paired_difference(easy, [score + 0.01 * (i % 3) for i, score in enumerate(easy)])
    against = paired_difference(easy, [1 - score for score in easy])
    assert alike.pairing_gain > 0.99
    assert against.pairing_gain == pytest.approx(-1, abs=1e-9)
    assert paired_difference([1, 1], [0, 0]).pairing_gain == 0


def test_huge_scores_do_not_lose_the_difference() -> None:
    found = paired_difference([1e12] * 100, [1e12 + (i % 2) for i in range(100)])
    assert found.mean == 0.5
    assert found.error == pytest.approx(0.5 / np.sqrt(99), rel=1e-9)


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: paired_difference([1, 2], [1]), "new"),
        (lambda: paired_difference([1, 2], [1, float("nan")]), "new[1]"),
        (lambda: paired_difference([1, float("inf")], [1, 2]), "old[1]"),
        (lambda: paired_difference([1, 2], [1, 2], ["a"]), "clusters"),
        (lambda: paired_difference([1, 2], [1, 2], ["a", "a"]), "clusters"),
        (lambda: paired_difference([], []), "clusters"),
        (lambda: paired_difference([1, 2], [1, 3]).interval(0), "alpha"),
        (lambda: paired_difference([1, 2], [1, 3]).lower_limit(1), "alpha"),
        (lambda: items_needed(0, variance=1), "difference"),
        (lambda: items_needed(0.1, variance=0), "variance"),
        (lambda: items_needed(0.1, variance=1, power=1), "power"),
        (lambda: items_needed(0.1, variance=1, alpha=0), "alpha"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument


def _covers(interval: tuple[float, float]) -> bool:
    return interval[0] <= 0 <= interval[1]
