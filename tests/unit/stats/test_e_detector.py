from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from solera.stats.arguments import ArgumentError
from solera.stats.e_detector import PARTS, EDetector


def runs(law: Callable[[random.Random, EDetector], float], start: EDetector, count: int, most: int) -> list[int]:
    """Run lengths until the alarm, each cut off at ``most``: their mean bounds the true one from below."""
    rng, lengths = random.Random(7), []
    for _ in range(count):
        now, ran = start, 0
        while not now.alarm and ran < most:
            now, ran = now.add(law(rng, now)), ran + 1
        lengths.append(ran)
    return lengths


def largest_mean(lengths: list[int]) -> float:
    """One-sided upper limit of the mean run length at 1e-6, by its standard error."""
    mean = sum(lengths) / len(lengths)
    spread = math.sqrt(sum((length - mean) ** 2 for length in lengths) / (len(lengths) - 1))
    return mean + float(norm.isf(1e-6)) * spread / math.sqrt(len(lengths))


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.05, 0.95), st.floats(0, 1))
def test_evidence_grows_by_at_most_one_per_score_while_the_promise_is_kept(
    seen: list[float], mean: float, spread: float
) -> None:
    """E[M_t | past] = M_{t-1} + 1 for scores with just the promised mean, exactly: what the bound on the run length rests on."""
    now = EDetector(mean, 0.01)
    for score in seen:
        now = now.add(score)
    below, above = mean * (1 - spread), mean + (1 - mean) * spread
    chance = (mean - below) / (above - below) if above > below else 0.5
    expected = chance * math.exp(now.add(above).log_evidence) + (1 - chance) * math.exp(now.add(below).log_evidence)
    assert expected == pytest.approx(math.exp(now.log_evidence) + 1, rel=1e-9)


def test_it_is_the_sum_over_all_possible_beginnings_of_the_fall() -> None:
    scores, mean = [0.9, 0.2, 0.6, 0.0, 1.0, 0.3], 0.7
    now = EDetector(mean, 0.01)
    for score in scores:
        now = now.add(score)
    expected = sum(
        math.prod(1 + part / (1 - mean) * (mean - score) for score in scores[first:]) / len(PARTS)
        for part, first in product(PARTS, range(len(scores)))
    )
    assert math.exp(now.log_evidence) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "law",
    [
        lambda rng, _: float(rng.random() < 0.84),
        lambda rng, _: rng.betavariate(8.4, 1.6),
        # all or nothing once there is evidence, quiet before: the mean stays what was promised
        lambda rng, now: float(rng.random() < 0.84) if now.log_evidence > 1 else 0.84,
    ],
)
def test_false_alarms_are_as_rare_as_promised_for_every_law(law: Callable[[random.Random, EDetector], float]) -> None:
    lengths = runs(law, EDetector(0.84, 0.01), count=400, most=3000)
    assert largest_mean(lengths) >= 100
    assert sum(lengths) / len(lengths) > 95


@pytest.mark.parametrize(("mean", "low", "high"), [(0.84, 120, 170), (0.5, 102, 130)])
def test_the_bound_on_the_run_length_is_close_to_what_happens(mean: float, low: float, high: float) -> None:
    lengths = runs(lambda rng, _: float(rng.random() < mean), EDetector(mean, 0.01), count=400, most=3000)
    assert low < sum(lengths) / len(lengths) < high


@pytest.mark.parametrize(("share", "most"), [(0.51, 40), (0.74, 200), (0.79, 600)])
def test_a_fall_is_found_the_sooner_the_deeper_it_is(share: float, most: int) -> None:
    """With a thousand outcomes between false alarms at 84 %, after 200 in control."""
    rng, delays = random.Random(9), []
    for _ in range(30):
        now = EDetector(0.84, 0.001)
        for _ in range(200):
            now = now.add(float(rng.random() < 0.84))
        delay = 0
        while not now.alarm:
            now, delay = now.add(float(rng.random() < share)), delay + 1
        delays.append(delay)
    assert sum(delays) / len(delays) < most


def test_other_scales_are_the_same_detector() -> None:
    unit, points = EDetector(0.8, 0.01), EDetector(4.2, 0.01, low=1, high=5)
    for score in (0.5, 0.9, 0.1, 1.0, 0.0):
        unit, points = unit.add(score), points.add(1 + 4 * score)
    assert points.logs == pytest.approx(unit.logs)


def test_it_goes_on_for_ever_without_overflow_either_way() -> None:
    bad = good = EDetector(0.5, 1e-6)
    for _ in range(3000):
        bad, good = bad.add(0.0), good.add(1.0)
    assert 1500 < bad.log_evidence < math.inf
    assert good.log_evidence == pytest.approx(math.log(sum((1 - p) / p for p in PARTS) / len(PARTS)))
    assert not EDetector(0.5, 0.5).alarm
    near_one = EDetector(1 - 1e-12, 0.01).add(1.0).add(0.999)
    assert math.isfinite(near_one.log_evidence)


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: EDetector(0, 0.01), "mean"),
        (lambda: EDetector(1, 0.01), "mean"),
        (lambda: EDetector(0.5, 1), "alpha"),
        (lambda: EDetector(0.5, math.nan), "alpha"),
        (lambda: EDetector(0.5, 0.01, low=2), "high"),
        (lambda: EDetector(0.5, 0.01, logs=(0.0,)), "logs"),
        (lambda: EDetector(0.5, 0.01, logs=(math.nan,) * len(PARTS)), "logs"),
        (lambda: EDetector(0.5, 0.01).add(1.5), "score"),
        (lambda: EDetector(0.5, 0.01).add(math.nan), "score"),
    ],
)
def test_what_is_no_detector_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
