from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betainc, betaln

from solera.stats.special import log_beta, log_incomplete_beta

sizes = st.floats(1e-2, 1e5)


@given(sizes, sizes)
def test_the_complete_beta_function_agrees_with_scipy(a: float, b: float) -> None:
    assert log_beta(a, b) == pytest.approx(betaln(a, b), rel=1e-9, abs=1e-7)


@given(sizes, sizes, st.floats(1e-4, 1 - 1e-4))
def test_the_incomplete_beta_function_agrees_with_scipy(a: float, b: float, x: float) -> None:
    regularised = betainc(a, b, x)
    if regularised < 1e-250:  # scipy underflows there, logarithms do not
        assert log_incomplete_beta(a, b, x) < betaln(a, b) - 500
    else:
        assert log_incomplete_beta(a, b, x) - betaln(a, b) == pytest.approx(math.log(regularised), rel=1e-8, abs=1e-7)


def test_the_ends_of_the_incomplete_beta_function() -> None:
    assert log_incomplete_beta(2, 3, 0) == -math.inf
    assert log_incomplete_beta(2, 3, 1) == log_beta(2, 3) == pytest.approx(math.log(1 / 12))


@pytest.mark.parametrize(("a", "b", "x"), [(8820.9999, 1e-4, 0.9999), (50.0, 1e-6, 0.999), (1.0, 1e-5, 0.5)])
def test_next_to_a_pole_the_digits_are_not_lost_in_a_difference(a: float, b: float, x: float) -> None:
    # t = x e^(-s/a) turns the integral into one without a pole
    integral = quad(lambda s: math.exp(-s) * (1 - x * math.exp(-s / a)) ** (b - 1), 0, math.inf, epsrel=1e-12)[0]
    assert log_incomplete_beta(a, b, x) == pytest.approx(a * math.log(x) - math.log(a) + math.log(integral), abs=1e-8)


@pytest.mark.parametrize("size", [1e9, 1e12])
@pytest.mark.parametrize("deviations", [-6, -1, 0, 1, 6])
def test_it_neither_fails_nor_hangs_at_counts_beyond_all_need(size: float, deviations: float) -> None:
    a, b = 0.01 * size, 0.99 * size
    x = 0.01 + deviations * math.sqrt(0.01 * 0.99 / size)
    found = log_incomplete_beta(a, b, x) - log_beta(a, b)
    assert found == pytest.approx(math.log(betainc(a, b, x)), abs=0.01)


def test_counts_of_a_hundred_million_neither_overflow_nor_lose_the_tail() -> None:
    # B_x(1, n) = (1 - (1-x)^n)/n in closed form
    assert log_incomplete_beta(1, 1e8, 1e-8) == pytest.approx(math.log((1 - (1 - 1e-8) ** 1e8) / 1e8), rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "x"), [(0, 1, 0.5), (1, -1, 0.5), (1, 1, 1.5), (math.nan, 1, 0.5), (1, 1, math.nan)]
)
def test_what_is_no_beta_function_is_refused(a: float, b: float, x: float) -> None:
    with pytest.raises(ValueError, match="log_incomplete_beta needs"):
        log_incomplete_beta(a, b, x)
