from __future__ import annotations

import math
import random
from statistics import fmean, stdev

import pytest
from scipy.stats import hypergeom

from solera.stats.arguments import ArgumentError
from solera.stats.interval_bets import ODDS_RATIOS, Bets
from solera.stats.typical_bets import _hypergeometric, typical_bets


def spread_by_chance(bad: int, total: int, limit: float, each: int, seed: int) -> Bets:
    events = [1] * bad + [0] * (total - bad)
    random.Random(seed).shuffle(events)
    bets = Bets(limit)
    for at in range(0, total - each + 1, each):
        bets = bets.add(sum(events[at : at + each]), each)
    return bets


@pytest.mark.parametrize(("bad", "each"), [(0, 10), (1, 10), (4, 10), (10, 10), (3, 1), (7, 500)])
def test_one_interval_is_one_bet(bad: int, each: int) -> None:
    if bad <= each:
        got, bets = typical_bets(bad, each, 0.02, each), Bets(0.02).add(bad, each)
        assert got.running == pytest.approx(bets.running)
        assert got.singly == pytest.approx(bets.singly)
        assert (got.waiting, got.due) == pytest.approx((bets.waiting, bets.due))


def test_what_is_not_over_says_nothing() -> None:
    assert typical_bets(5, 9, 0.1, 10) == Bets(0.1)
    whole, more = typical_bets(40, 1000, 0.1, 10), typical_bets(40, 1009, 0.1, 10)
    assert more.due == whole.due


@pytest.mark.parametrize("each", [1, 7, 40])
def test_where_chance_has_no_say_nothing_is_approximate_but_the_beginnings(each: int) -> None:
    for share in (0, 1):
        bets, intervals = Bets(0.05), 120
        for _ in range(intervals):
            bets = bets.add(share * each, each)
        got = typical_bets(share * each * intervals, each * intervals, 0.05, each)
        assert got.log_e == pytest.approx(bets.log_e, rel=2e-3)
        assert (got.waiting, got.due) == pytest.approx((bets.waiting, bets.due))


@pytest.mark.parametrize(
    ("bad", "total", "limit", "each"),
    [(12, 400, 0.01, 5), (30, 1000, 0.01, 50), (60, 900, 0.05, 30), (12, 300, 0.01, 1)],
)
def test_the_wealth_is_near_the_mean_of_many_orders(bad: int, total: int, limit: float, each: int) -> None:
    got = typical_bets(bad, total, limit, each)
    seen = [spread_by_chance(bad, total, limit, each, seed) for seed in range(150)]
    error = 5 * stdev([b.log_e for b in seen]) / math.sqrt(len(seen))
    # Late beginnings may be lucky, so it errs on the low side, by less than half a unit where some three are asked for.
    assert fmean([b.log_e for b in seen]) - error - 0.5 <= got.log_e <= fmean([b.log_e for b in seen]) + error
    assert {round(b.waiting, 12) for b in seen} == {round(got.waiting, 12)}
    assert len(got.running) == len(ODDS_RATIOS)


def test_more_bad_ones_are_more_evidence() -> None:
    logs = [typical_bets(bad, 2000, 0.01, 25).log_e for bad in range(20, 120)]
    assert logs == sorted(logs)
    assert logs[-1] > 10


@pytest.mark.parametrize(
    ("bad", "total", "each"), [(0, 50, 10), (50, 50, 10), (3, 50, 50), (30, 50, 40), (200, 10_000, 500), (1, 10**6, 5)]
)
def test_the_chances_of_an_interval_are_hypergeometric(bad: int, total: int, each: int) -> None:
    got = dict(_hypergeometric(bad, total, each))
    for k in range(min(bad, each) + 1):
        assert got.get(k, 0.0) == pytest.approx(hypergeom.pmf(k, total, bad, each), abs=1e-9)


def test_what_makes_no_sense_is_refused() -> None:
    for arguments in ((-1, 5, 0.1, 1), (6, 5, 0.1, 1), (1, 5, 0.1, 0), (1, 5, 1.0, 1), (0.5, 5, 0.1, 1)):
        with pytest.raises(ArgumentError):
            typical_bets(*arguments)  # type: ignore[arg-type]
