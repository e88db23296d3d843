from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from solera.stats.arguments import ArgumentError
from solera.stats.drift import Cusum, Ewma
from solera.stats.run_length import cusum_run_length, ewma_run_length

SD = math.sqrt(0.84 * 0.16)
"""Standard deviation of one outcome of which 84 % are right."""


def run_lengths(chart: Cusum | Ewma, values: np.ndarray, which: str = "rise fall") -> list[int]:
    """How long the chart ran until each of its alarms, begun anew after each; the unfinished last run is left out."""
    lengths, now, since = [], chart, 0
    for value in values:
        now, since = now.add(float(value)), since + 1
        if now.alarm is not None and now.alarm in which:
            lengths.append(since)
            now, since = chart, 0
    return lengths


def lower(mean: float, sd: float, values: np.ndarray) -> list[int]:
    """Only the lower side: the upper one is kept from ever alarming."""
    lengths, low, since = [], Cusum(mean, sd), 0
    for value in values:
        low, since = low.add(float(value)), since + 1
        if low.low > low.h:
            lengths.append(since)
            low, since = Cusum(mean, sd), 0
    return lengths


def close(lengths: list[int], expected: float, times: float = 5.0) -> bool:
    """Within ``times`` standard errors of what was computed."""
    assert len(lengths) > 30
    return abs(np.mean(lengths) - expected) < times * np.std(lengths) / math.sqrt(len(lengths))


def test_both_charts_by_hand() -> None:
    cusum = Cusum(10, 2, k=0.5, h=4).add(13).add(13).add(9)
    assert (cusum.high, cusum.low) == (1.0, 0.0)
    assert cusum.add(3).low == 3.0
    ewma = Ewma(10, 2, smoothing=0.5, limit=3).add(14).add(10)
    assert ewma.value == 0.5


def test_each_side_has_its_own_alarm() -> None:
    assert Cusum(0, 1).add(5.5).alarm is None  # exactly at the threshold
    assert Cusum(0, 1).add(5.6).alarm == "rise"
    assert Cusum(0, 1).add(-5.6).alarm == "fall"
    limit = 3 * math.sqrt(0.1 / 1.9)
    assert Ewma(0, 1, 0.1, 3).add(limit * 9.99).alarm is None
    assert Ewma(0, 1, 0.1, 3).add(limit * 10.01).alarm == "rise"
    assert Ewma(0, 1, 0.1, 3).add(limit * -10.01).alarm == "fall"


@pytest.mark.parametrize(("shift", "draws"), [(0, 60_000), (1, 6000), (-2, 3000)])
def test_the_charts_run_as_long_as_computed(shift: float, draws: int) -> None:
    values = 3 + 0.1 * np.random.default_rng(2).normal(shift, 1, draws)
    assert close(run_lengths(Cusum(3, 0.1, 0.5, 4), values), cusum_run_length(0.5, 4, shift))
    assert close(run_lengths(Ewma(3, 0.1, 0.25, 2.5), values), ewma_run_length(0.25, 2.5, shift))


def test_a_head_start_finds_sooner_what_was_wrong_from_the_beginning() -> None:
    values = np.random.default_rng(3).normal(1, 1, 6000)
    assert close(run_lengths(Cusum(0, 1, 0.5, 4, high=2, low=2), values), cusum_run_length(0.5, 4, 1, start=2))


class TestOwnRunsThatSetTheDefaults:
    def test_single_outcomes_are_too_skewed(self) -> None:
        """A lower CUSUM promises 931 for normal values and runs 182 on bits of which 84 % are right."""
        bits = np.random.default_rng(5).random(60_000) < 0.84
        assert close(lower(0.84, SD, bits), 182)

    @pytest.mark.parametrize(
        ("items", "share", "published", "runs"),
        [
            (50, 0.84, 667, 40_000),
            (50, 0.79, 10.8, 6000),
            (50, 0.74, 4.3, 3000),
            (20, 0.84, 647, 40_000),
            (20, 0.79, 23.9, 8000),
            (20, 0.74, 7.9, 3000),
        ],
    )
    def test_means_of_runs_behave(self, items: int, share: float, published: float, runs: int) -> None:
        means = np.random.default_rng(items).binomial(items, share, runs) / items
        lengths = lower(0.84, SD / math.sqrt(items), means)
        assert close(lengths, published)
        assert np.mean(lengths) == pytest.approx(published, rel=0.4)

    @pytest.mark.parametrize(("known", "published"), [(None, 0.18), (500, 0.19), (100, 0.28), (30, 0.41)])
    def test_an_estimated_baseline_breaks_the_promise(self, known: int | None, published: float) -> None:
        """Chance of a false alarm within 100 values."""
        rng, runs, alarms = np.random.default_rng(known or 1), 300, 0
        for _ in range(runs):
            mean, sd = 0.0, 1.0
            if known:
                estimated_from = rng.normal(size=known)
                mean, sd = float(estimated_from.mean()), float(estimated_from.std(ddof=1))
            chart = Cusum(mean, sd)
            for value in rng.normal(size=100).tolist():
                chart = chart.add(value)
                if chart.alarm:
                    alarms += 1
                    break
        assert binom.ppf(1e-4, runs, published - 0.02) <= alarms <= binom.ppf(1 - 1e-4, runs, published + 0.02)


def test_values_far_out_do_not_overflow() -> None:
    assert Cusum(0, 1).add(1e300).add(1e300).alarm == "rise"
    assert Ewma(0, 1).add(-1e300).alarm == "fall"
    chart = Cusum(0.5, 1e-9)
    for _ in range(1000):
        chart = chart.add(0.5)
    assert chart.alarm is None


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: Cusum(math.nan, 1), "mean"),
        (lambda: Cusum(0, 0), "sd"),
        (lambda: Cusum(0, 1, k=-1), "k"),
        (lambda: Cusum(0, 1, h=0), "h"),
        (lambda: Cusum(0, 1, high=-1), "high"),
        (lambda: Cusum(0, 1, low=math.nan), "low"),
        (lambda: Cusum(0, 1).add(math.nan), "value"),
        (lambda: Ewma(0, math.inf), "sd"),
        (lambda: Ewma(0, 1, smoothing=0), "smoothing"),
        (lambda: Ewma(0, 1, smoothing=1.1), "smoothing"),
        (lambda: Ewma(0, 1, limit=0), "limit"),
        (lambda: Ewma(0, 1).add(math.inf), "value"),
        (lambda: Ewma(0, 1, value=math.nan), "value"),
    ],
)
def test_what_is_no_chart_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
