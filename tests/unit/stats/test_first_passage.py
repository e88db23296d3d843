from __future__ import annotations

import math
import random
from itertools import accumulate, pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from solera.stats.arguments import ArgumentError
from solera.stats.first_passage import Boundary, boundary, first_passage, least_good, look_schedule


def passes(bad: int, total: int) -> bool:
    return total >= 4 and bad <= (total - 4) // 3


def fails(bad: int, total: int) -> bool:
    return bad >= 2 + total // 2


def enumerated(looks: tuple[int, ...], share: float) -> list[tuple[float, float]]:
    """Every sequence of events, one by one."""
    ended = {look: [0.0, 0.0] for look in looks}
    for events in product((0, 1), repeat=looks[-1]):
        chance = math.prod(share if bad else 1 - share for bad in events)
        for look in looks:
            bad = sum(events[:look])
            if fails(bad, look) or passes(bad, look):
                ended[look][fails(bad, look)] += chance
                break
    total, out = [0.0, 0.0], []
    for look in looks:
        total = [a + b for a, b in zip(total, ended[look], strict=True)]
        out.append((total[0], total[1]))
    return out


@pytest.mark.parametrize("looks", [tuple(range(1, 13)), (3, 4, 9, 12), (12,)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.83, 1.0])
def test_it_is_what_counting_every_sequence_gives(looks: tuple[int, ...], share: float) -> None:
    found = first_passage(boundary(passes, fails, looks), share)
    for got, (passed, failed) in zip(
        zip(found.passed, found.failed, strict=True), enumerated(looks, share), strict=True
    ):
        assert got == pytest.approx((passed, failed), abs=1e-12)


@pytest.mark.parametrize("share", [1e-4, 0.01, 0.3, 0.999])
def test_a_single_look_is_the_binomial_distribution(share: float) -> None:
    total = 5000
    low, high = binom.ppf([0.2, 0.9], total, share)
    found = first_passage(Boundary((total,), (0,), (int(low),), (int(high) + 1,)), share)
    assert found.passed[0] == pytest.approx(binom.cdf(low, total, share), abs=1e-12)
    assert found.failed[0] == pytest.approx(binom.sf(high, total, share), abs=1e-12)


def test_it_may_pass_with_a_few_bad_ones_where_it_does_not_with_none() -> None:
    def some(bad: int, total: int) -> bool:
        return 2 <= bad <= 3 and total >= 6

    def many(bad: int, total: int) -> bool:
        return bad >= 6

    looks = (3, 6, 9, 12)
    found = first_passage(boundary(some, many, looks), 0.3)
    ended = {look: [0.0, 0.0] for look in looks}
    for events in product((0, 1), repeat=12):
        for look in looks:
            bad = sum(events[:look])
            if some(bad, look) or many(bad, look):
                ended[look][many(bad, look)] += math.prod(0.3 if event else 0.7 for event in events)
                break
    assert found.passed == pytest.approx(list(accumulate(ended[look][0] for look in looks)))
    assert found.failed == pytest.approx(list(accumulate(ended[look][1] for look in looks)))


def test_between_looks_nothing_is_lost_however_far_they_are_apart() -> None:
    for looks in ((10, 1000, 200_000), (1, 2, 3)):
        found = first_passage(Boundary(looks, (0, 0, 0), (-1, -1, -1), (10**9,) * 3), 0.037)
        assert (found.passed[-1], found.failed[-1]) == (0.0, 0.0)
    # All of it ends at the last look, whatever the way there.
    last = Boundary((10, 1000, 200_000), (0, 0, 0), (-1, -1, 7400), (10**9, 10**9, 7401))
    found = first_passage(last, 0.037)
    assert found.passed[-1] + found.failed[-1] == pytest.approx(1, abs=1e-11)
    assert found.passed[-1] == pytest.approx(binom.cdf(7400, 200_000, 0.037), abs=1e-11)


@given(st.integers(1, 400), st.data())
def test_the_boundary_is_where_the_rule_turns(most: int, data: st.DataObject) -> None:
    """For any rule that passes with one run of numbers and fails from one on, whichever way these move."""
    looks = look_schedule(most, every=data.draw(st.integers(1, 50)))
    low = {n: data.draw(st.integers(0, n)) for n in looks}
    high = {n: data.draw(st.integers(-1, n)) for n in looks}
    edge = {n: data.draw(st.integers(0, n + 1)) for n in looks}
    found = boundary(lambda bad, n: low[n] <= bad <= high[n], lambda bad, n: bad >= edge[n], looks)
    assert found.looks == looks
    assert found.fails == tuple(edge[n] for n in looks)
    for n, least, most_ in zip(looks, found.least, found.most, strict=True):
        ends = low[n], min(high[n], edge[n] - 1)
        assert (least, most_) == (ends if ends[0] <= ends[1] else (0, -1))


def test_looks_are_close_together_at_first_and_then_as_the_events_grow() -> None:
    looks = look_schedule(100_000, every=3, fineness=50)
    assert looks[:4] == (3, 6, 9, 12)
    assert looks[-1] == 100_000
    assert all(0 < b - a <= max(3, b / 50) for a, b in pairwise(looks))
    assert look_schedule(5, every=10) == (5,)
    assert len(look_schedule(10_000_000)) < 2000


def test_more_looks_than_the_schedule_has_change_little() -> None:
    def over(bad: int, total: int) -> bool:
        return bad > 0.1 * total + 3 * math.sqrt(0.09 * total)

    def under(bad: int, total: int) -> bool:
        return bad < 0.1 * total - 3 * math.sqrt(0.09 * total)

    every = first_passage(boundary(under, over, look_schedule(20_000, fineness=10**9)), 0.07)
    few = first_passage(boundary(under, over, look_schedule(20_000)), 0.07)
    for chance in (0.5, 0.9):
        a, b = every.quantile(chance), few.quantile(chance)
        assert a is not None
        assert b is not None
        assert a <= b <= a * 1.02 + 1


def test_chances_by_a_number_and_quantiles() -> None:
    found = first_passage(boundary(passes, fails, (4, 8, 12)), 0.1)
    assert found.by(3) == (0.0, 0.0)
    assert found.by(8) == found.by(11.5) == (found.passed[1], found.failed[1])
    assert found.by(10**9) == (found.passed[-1], found.failed[-1])
    assert found.passed[0] == pytest.approx(0.9**4)
    assert found.quantile(0.5) == 4
    assert found.quantile(0.7) == 8
    assert first_passage(boundary(passes, fails, (4,)), 0.1).quantile(0.9) is None


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_the_least_number_of_good_events(needed: int, most: int) -> None:
    found = least_good(lambda bad, total: bad == 0 and total >= needed, most)
    assert found == (needed if needed <= most else None)


def test_a_random_walk_between_two_lines_ends_as_simulated() -> None:
    looks = look_schedule(400, every=7)
    found = first_passage(boundary(passes, fails, looks), 0.36)
    rng, runs, passed = random.Random(3), 4000, 0
    for _ in range(runs):
        bad = before = 0
        for look in looks:
            bad += sum(rng.random() < 0.36 for _ in range(look - before))
            before = look
            if passes(bad, look) or fails(bad, look):
                passed += passes(bad, look)
                break
    low, high = binom.ppf([1e-6, 1 - 1e-6], runs, found.passed[-1])
    assert 0.05 < found.passed[-1] < 0.95
    assert low <= passed <= high


@pytest.mark.parametrize("looks", [(), (0, 1), (3, 3), (5, 4)])
def test_looks_that_make_no_schedule_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="looks must be"):
        boundary(passes, fails, looks)


def test_arguments_that_make_no_sense_are_refused() -> None:
    for arguments in ({"most": 0}, {"most": 5, "every": 0}, {"most": 5, "fineness": 0}, {"most": 2.5}):
        with pytest.raises(ArgumentError):
            look_schedule(**arguments)  # type: ignore[arg-type]
    of = boundary(passes, fails, (4, 8))
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match="share must be"):
            first_passage(of, share)
    with pytest.raises(ArgumentError, match="chance must be"):
        first_passage(of, 0.5).quantile(1.0)
