from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom, binomtest

from solera.stats.arguments import ArgumentError
from solera.stats.discordant import log_e_not_worse, log_e_worse, mcnemar, mcnemar_worse

counts = st.integers(0, 400)


@pytest.mark.parametrize(("old", "new", "value"), [(5, 15, 6.393537), (10, 30, 58.507583), (20, 40, 13.893262)])
def test_reference_numbers_of_the_e_process(old: int, new: int, value: float) -> None:
    assert math.exp(log_e_worse(old, new)) == pytest.approx(value, abs=1e-6)


def test_reference_numbers_of_mcnemar() -> None:
    assert mcnemar(25, 12) == pytest.approx(0.0470310, abs=1e-7)
    # 1 and 7 discordant pairs: 0.0703 exact and 0.0391 mid-p in Fagerland, Lydersen, Laake 2013
    assert (mcnemar(1, 7), mcnemar(1, 7, mid_p=True)) == (pytest.approx(18 / 256), pytest.approx(10 / 256))


@given(counts, counts)
def test_mcnemar_is_the_binomial_test_of_an_even_share(old: int, new: int) -> None:
    expected = binomtest(new, old + new, 0.5).pvalue if old + new else 1.0
    assert mcnemar(old, new) == pytest.approx(expected, rel=1e-8)


@given(counts, counts)
def test_mid_p_is_the_chance_of_more_extreme_outcomes_and_half_of_equally_extreme_ones(old: int, new: int) -> None:
    n, distance = old + new, abs(old - new)
    outcomes = np.arange(n + 1)
    mass, apart = binom.pmf(outcomes, n, 0.5), np.abs(2 * outcomes - n)
    expected = mass[apart > distance].sum() + mass[apart == distance].sum() / 2 if n else 1.0
    assert mcnemar(old, new, mid_p=True) == pytest.approx(expected, rel=1e-8)
    worse = mass[outcomes > new].sum() + mass[new] * 0.5 if n else 1.0
    assert mcnemar_worse(old, new, mid_p=True) == pytest.approx(worse, rel=1e-8, abs=1e-12)
    assert mcnemar_worse(old, new) == pytest.approx(mass[outcomes >= new].sum(), rel=1e-8)


def test_the_error_of_one_planned_look_exactly() -> None:
    """The exact test keeps its level for every number of discordant items, mid-p on average over them (40 of 100 items, say)."""
    average = {False: 0.0, True: 0.0}
    for n in range(15, 71):
        for mid_p, most in ((False, 0.05), (True, 0.077)):
            wrong = sum(binom.pmf(k, n, 0.5) for k in range(n // 2) if mcnemar(n - k, k, mid_p=mid_p) <= 0.05) * 2
            assert 0.005 < wrong <= most
            average[mid_p] += wrong * binom.pmf(n, 100, 0.4)
    assert average[False] < 0.04 < average[True] < 0.055


@pytest.mark.parametrize(("old", "new"), [(0, 0), (3, 0), (0, 3), (12, 25)])
@pytest.mark.parametrize("share", [0.5, 0.6])
def test_the_e_value_is_the_integral_over_the_prior_cut_off_at_the_share(old: int, new: int, share: float) -> None:
    prior = beta(10 * share, 10 * (1 - share))

    def ratio(q: float) -> float:
        return (q / share) ** new * ((1 - q) / (1 - share)) ** old * prior.pdf(q)

    worse = quad(ratio, share, 1)[0] / prior.sf(share)
    not_worse = quad(ratio, 0, share)[0] / prior.cdf(share)
    assert math.exp(log_e_worse(old, new, share=share)) == pytest.approx(worse, rel=1e-7)
    assert math.exp(log_e_not_worse(old, new, share=share)) == pytest.approx(not_worse, rel=1e-7)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_who_stops_at_the_first_crossing_errs_at_most_as_often_as_promised_exactly(alpha: float) -> None:
    """All sequences of 300 discordant items at an even share, by dynamic programming; no simulation."""
    mass, crossed = np.zeros(302), 0.0
    mass[0] = 1.0
    first = 0
    for n in range(1, 301):
        mass[1:] = (mass[1:] + mass[:-1]) / 2
        mass[0] /= 2
        while first <= n and log_e_worse(n - first, first) < -math.log(alpha):
            first += 1
        crossed += float(mass[first:].sum())
        mass[first:] = 0
    assert alpha / 5 < crossed <= alpha


@given(counts, counts)
def test_one_more_item_cannot_be_expected_to_add_evidence(old: int, new: int) -> None:
    now = log_e_worse(old, new)
    after = (math.exp(log_e_worse(old + 1, new) - now) + math.exp(log_e_worse(old, new + 1) - now)) / 2
    assert after == pytest.approx(1, abs=1e-7)


def test_a_billion_items_neither_overflow_nor_lose_the_sign() -> None:
    half = 5 * 10**8
    assert mcnemar(half, half) == 1
    assert mcnemar(half, half, mid_p=True) == pytest.approx(1 - 0.5 / math.sqrt(math.pi * half), rel=1e-3)
    assert mcnemar(half - 10**6, half) < 1e-100
    assert mcnemar_worse(half, half + 31_623) == pytest.approx(0.16, abs=0.01)
    assert log_e_worse(half, half + 10**6) > 400
    assert log_e_worse(half, half) < 0 < log_e_not_worse(half, half, share=0.6)


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: mcnemar(-1, 2), "old_only_wrong"),
        (lambda: mcnemar(1, 2.5), "new_only_wrong"),
        (lambda: mcnemar_worse(1, 10**13), "new_only_wrong"),
        (lambda: log_e_worse(math.nan, 1), "old_only_wrong"),
        (lambda: log_e_worse(1, 1, share=1), "share"),
        (lambda: log_e_not_worse(1, 1, share=0.6, prior=0), "prior"),
    ],
)
def test_what_are_no_counts_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
