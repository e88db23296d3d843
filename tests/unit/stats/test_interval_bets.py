from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from solera.stats.arguments import ArgumentError
from solera.stats.interval_bets import AT_ONCE, MOST_BAD, MOST_DUE, ODDS_RATIOS, WEIGHTS, Bets


def after(intervals: list[tuple[int, int]], limit: float = 0.01) -> Bets:
    bets = Bets(limit)
    for bad, total in intervals:
        bets = bets.add(bad, total)
    return bets


def share_at(odds_ratio: float, limit: float) -> float:
    return odds_ratio * limit / (1 - limit + odds_ratio * limit)


def linear(odds_ratio: float, limit: float, bad: int, total: int) -> float:
    stake = 1 - ((1 - share_at(odds_ratio, limit)) / (1 - limit)) ** total
    return 1 - stake + stake * bad / (total * limit)


def likelihood_ratio(odds_ratio: float, limit: float, bad: int, total: int) -> float:
    share = share_at(odds_ratio, limit)
    return (share / limit) ** bad * ((1 - share) / (1 - limit)) ** (total - bad)


def by_definition(
    intervals: list[tuple[int, int]], limit: float, factor: Callable[[float, float, int, int], float]
) -> float:
    """Log of the mixture over alternatives and beginnings, written out."""
    due, waiting = 0.0, [1.0]
    for _, total in intervals:
        waiting.append((1 - AT_ONCE) / (1 + math.log1p(due)))
        due += total * limit
    logs = [math.log(waiting[-1])]
    for begin in range(len(intervals)):
        for odds_ratio, weight in zip(ODDS_RATIOS, WEIGHTS, strict=True):
            factors = [factor(odds_ratio, limit, bad, total) for bad, total in intervals[begin:]]
            money = (waiting[begin] - waiting[begin + 1]) * weight
            if money > 0 and min(factors) > 0:
                logs.append(math.log(money) + sum(map(math.log, factors)))
    return float(np.logaddexp.reduce(logs))


class TestTheWealth:
    @given(
        st.lists(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), max_size=12),
        st.floats(0.001, 0.6),
    )
    def test_it_is_the_mixture_of_the_definition(self, intervals: list[tuple[int, int]], limit: float) -> None:
        bets = after(intervals, limit)
        assert bets.log_e == pytest.approx(by_definition(intervals, limit, linear), abs=1e-8)
        # At a level that is out of reach, where nothing lies beyond it to be given away.
        singly = Bets(limit, level=1e4)
        for bad, total in intervals:
            singly = singly.add(bad, total)
        assert singly.log_e_singly == pytest.approx(by_definition(intervals, limit, likelihood_ratio), abs=1e-8)

    @pytest.mark.parametrize("limit", [0.001, 0.01, 0.3])
    def test_one_event_at_a_time_it_is_the_likelihood_ratio(self, limit: float) -> None:
        bets = after([(1, 1)], limit)
        for odds_ratio, log_wealth in zip(ODDS_RATIOS, bets.running, strict=True):
            assert math.exp(log_wealth) == pytest.approx(AT_ONCE * share_at(odds_ratio, limit) / limit)

    def test_a_burst_multiplies_it_by_no_more_than_how_many_times_as_many_there_were(self) -> None:
        before = after([(2, 200)] * 10)
        for bad in (4, 20, 200):
            assert before.add(bad, 200).log_e - before.log_e <= math.log(bad / 2)

    def test_an_interval_without_events_says_nothing(self) -> None:
        assert after([(1, 10), (0, 0)]) == after([(1, 10)])

    def test_whatever_was_lost_it_can_win_again(self) -> None:
        bets = after([(0, 100_000)] * 100)
        assert all(math.isfinite(value) for value in bets.running)
        assert math.isfinite(bets.log_e)
        for _ in range(12):
            bets = bets.add(500, 1000)
        assert bets.log_e > math.log(20)

    @given(st.integers(0, 50), st.integers(1, 50), st.floats(0.001, 0.6))
    def test_on_average_no_interval_gains_at_the_limit(self, before: int, total: int, limit: float) -> None:
        bets = after([(before // 5, 50)], limit)
        # Linear in the bad events, so only their mean counts: half of the events bad in some intervals, none in others, is as fair.
        mean = sum(binom.pmf(k, total, limit) * math.exp(bets.add(k, total).log_e) for k in range(total + 1))
        assert mean == pytest.approx(math.exp(bets.log_e), rel=1e-6)
        together = (1 - limit) * math.exp(bets.add(0, total).log_e) + limit * math.exp(bets.add(total, total).log_e)
        assert together == pytest.approx(math.exp(bets.log_e), rel=1e-6)


class TestWhatIsShownSingly:
    @given(
        st.lists(st.tuples(st.integers(0, 3), st.integers(3, 60)), max_size=8),
        st.integers(1, 60),
        st.floats(0.001, 0.3),
        st.floats(0.7, 6),
    )
    def test_what_is_given_away_leaves_the_mean_as_it_was(
        self, intervals: list[tuple[int, int]], total: int, limit: float, level: float
    ) -> None:
        bets = Bets(limit, level=level)
        for bad, of in intervals:
            bets = bets.add(bad, of)
        if bets.shown >= level:
            return
        after_ = [bets.add(k, total) for k in range(total + 1)]
        mean = sum(binom.pmf(k, total, limit) * math.exp(b.shown) for k, b in enumerate(after_))
        assert mean <= math.exp(bets.shown) * (1 + 1e-9)
        assert all(b.shown <= level for b in after_)
        if any(b.shown >= level for b in after_[: MOST_BAD + 1]) and total * limit <= MOST_DUE:
            assert mean == pytest.approx(math.exp(bets.shown), rel=1e-9)

    def test_it_comes_sooner_than_the_likelihood_ratio_alone(self) -> None:
        near, far = Bets(0.01), Bets(0.01, level=50.0)
        intervals = [(1, 10), (0, 10), (1, 10), (1, 10), *[(0, 10)] * 3]
        ahead = []
        for bad, total in intervals:
            near, far = near.add(bad, total), far.add(bad, total)
            ahead.append(near.log_e_singly - far.log_e_singly)
        assert ahead == sorted(ahead)
        assert ahead[-1] > 0.2
        assert near.shown < near.level

    def test_a_level_once_reached_stays_until_the_bets_are_lost(self) -> None:
        bets = after([(3, 10)] * 3)
        assert bets.shown == bets.level
        kept = bets.add(0, 10)
        assert kept.shown == kept.level
        lost = kept
        while lost.log_e > 0:
            lost = lost.add(0, 200)
        assert lost.shown < lost.level

    def test_another_level_keeps_no_more_than_was_shown_without_giving_away(self) -> None:
        bets = after([(1, 10), (0, 10), (1, 10)])
        same = bets.at(bets.level)
        other = bets.at(bets.level + 1)
        plain = Bets(0.01, level=1e4)
        for bad in (1, 0, 1):
            plain = plain.add(bad, 10)
        assert same is bets
        assert other.shown == pytest.approx(plain.log_e_singly)
        assert other.shown <= bets.shown

    def test_beyond_its_level_it_still_tells_the_wealth(self) -> None:
        assert after([(9, 10)] * 4).log_e_singly > 20


def singles(rng: random.Random, total: int, share: float) -> int:
    return sum(rng.random() < share for _ in range(total))


def all_together(rng: random.Random, total: int, share: float) -> int:
    return total if rng.random() < share else 0


def bursts(rng: random.Random, total: int, share: float) -> int:
    return sum(5 for _ in range(total // 5) if rng.random() < share)


@pytest.mark.parametrize("draw", [singles, bursts, all_together])
@pytest.mark.parametrize("total", [5, 50])
def test_the_risk_holds_at_every_look_whatever_comes_together(
    draw: Callable[[random.Random, int, float], int], total: int
) -> None:
    lives, wrong, rng = 400, 0, random.Random(7)
    for _ in range(lives):
        bets = Bets(0.1)
        for _ in range(60):
            bets = bets.add(draw(rng, total, 0.1), total)
            if bets.log_e >= math.log(10):
                wrong += 1
                break
    assert wrong <= binom.ppf(1 - 1e-6, lives, 0.1)


@pytest.mark.parametrize(
    "arguments", [(0.0, 1, 1), (1.0, 1, 1), (math.nan, 1, 1), (0.1, 2, 1), (0.1, -1, 1), (0.1, 0.5, 1)]
)
def test_what_is_no_evidence_is_refused_by_name(arguments: tuple[float, float, float]) -> None:
    limit, bad, total = arguments
    with pytest.raises(ArgumentError, match=r"limit|bad|total"):
        Bets(limit).add(bad, total)  # type: ignore[arg-type]
