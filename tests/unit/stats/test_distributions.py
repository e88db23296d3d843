from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm, t

from solera.stats.arguments import ArgumentError
from solera.stats.distributions import (
    binomial_at_least,
    log_binomial,
    normal_density,
    normal_quantile,
    normal_tail,
    student_quantile,
    student_tail,
)


@given(st.floats(-37, 37))
def test_the_normal_tail_and_density_agree_with_scipy(z: float) -> None:
    assert normal_tail(z) == pytest.approx(norm.sf(z), rel=1e-11)
    assert normal_density(z) == pytest.approx(norm.pdf(z), rel=1e-12)


@given(st.floats(1e-300, 1 - 1e-12))
def test_the_normal_quantile_agrees_with_scipy(level: float) -> None:
    assert normal_quantile(level) == pytest.approx(norm.ppf(level), rel=1e-9, abs=1e-12)


@settings(max_examples=40)
@given(st.floats(1e-9, 1 - 1e-9), st.one_of(st.floats(1, 200), st.floats(200, 1e9)))
def test_the_student_quantile_agrees_with_scipy(level: float, degrees: float) -> None:
    assert student_quantile(level, degrees) == pytest.approx(t.ppf(level, degrees), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("degrees", [9e5, 1.1e6, 1e8])
def test_the_step_to_the_nearly_normal_tail_is_not_to_be_seen(degrees: float) -> None:
    for value in (0.5, 2, 5):
        assert student_tail(value, degrees) == pytest.approx(t.sf(value, degrees), rel=1e-8)


def test_student_with_one_degree_is_cauchy_far_out() -> None:
    assert student_quantile(1e-9, 1) == pytest.approx(-1 / (math.pi * 1e-9), rel=1e-6)
    assert student_tail(0, 5) == student_tail(0, 1e8) == 0.5
    assert student_tail(-2, 5) == pytest.approx(1 - t.sf(2, 5))


@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(1e-6, 1 - 1e-6))
def test_the_binomial_agrees_with_scipy(k: int, more: int, share: float) -> None:
    n = k + more
    assert log_binomial(k, n, share) == pytest.approx(binom.logpmf(k, n, share), rel=1e-8, abs=1e-7)
    assert binomial_at_least(k, n, share) == pytest.approx(binom.sf(k - 1, n, share), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("deviations", [-5, 0, 5])
def test_a_binomial_of_a_billion_is_close_to_normal(deviations: int) -> None:
    n = 10**9
    k = n // 2 + int(deviations * math.sqrt(n) / 2)
    assert binomial_at_least(k, n, 0.5) == pytest.approx(norm.sf((k - 0.5 - n / 2) / math.sqrt(n / 4)), rel=1e-3)


def test_certain_and_impossible_counts() -> None:
    assert log_binomial(0, 5, 0) == log_binomial(5, 5, 1) == 0
    assert log_binomial(1, 5, 0) == log_binomial(4, 5, 1) == -math.inf
    assert binomial_at_least(0, 5, 0.3) == 1
    assert binomial_at_least(1, 5, 0) == 0
    assert binomial_at_least(5, 5, 1) == 1


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: normal_quantile(0), "level"),
        (lambda: normal_quantile(math.nan), "level"),
        (lambda: student_quantile(0.5, 0), "degrees"),
        (lambda: student_quantile(1, 3), "level"),
        (lambda: student_tail(math.inf, 3), "t"),
        (lambda: log_binomial(3, 2, 0.5), "k"),
        (lambda: log_binomial(1, -1, 0.5), "n"),
        (lambda: binomial_at_least(1, 2, 1.5), "share"),
    ],
)
def test_what_is_no_distribution_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
