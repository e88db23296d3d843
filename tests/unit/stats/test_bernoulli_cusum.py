from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solera.stats.arguments import ArgumentError
from solera.stats.bernoulli_cusum import BernoulliCusum, design


def by_linear_equations(chart: BernoulliCusum, share: float) -> np.ndarray:
    """Average run length from each value: (I - Q) L = 1, solved by LAPACK."""
    size = chart.threshold
    chances = np.zeros((size, size))
    for s in range(size):
        chances[s, max(0, s - chart.down)] += 1 - share
        if s + chart.per - chart.down < size:
            chances[s, s + chart.per - chart.down] += share
    return np.linalg.solve(np.eye(size) - chances, np.ones(size))


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 15), st.integers(1, 60), st.floats(0.05, 1))
def test_the_run_length_is_the_solution_of_the_chain(down: int, more: int, threshold: int, share: float) -> None:
    chart = BernoulliCusum(down, down + more, threshold)
    expected = by_linear_equations(chart, share)
    if not np.all(expected > 0) or expected.max() > 1e9:
        return  # there the subtraction in I - Q has lost its digits, ours has none
    for start in {0, threshold // 2, threshold - 1}:
        found = BernoulliCusum(down, down + more, threshold, start).run_length(share)
        assert found == pytest.approx(expected[start], rel=1e-6)


def test_run_lengths_of_astronomic_size_are_exact() -> None:
    """A threshold of 12 bad outcomes in a row, as good as: (1/p¹² - 1)/(1/p - 1)·… in whole fractions."""
    share, row = Fraction(1, 100), 12
    # down so large that each good outcome takes all away: the classic run of ``row`` successes
    chart = BernoulliCusum(down=row, per=row + 1, threshold=row)
    exact = (1 - share**row) / ((1 - share) * share**row)
    assert chart.run_length(0.01) == pytest.approx(float(exact), rel=1e-12)
    single = BernoulliCusum(down=1, per=3, threshold=24)  # down one at a time
    by_elimination = BernoulliCusum(down=2, per=6, threshold=48)  # the same chart in halves
    assert single.run_length(0.001) == pytest.approx(by_elimination.run_length(0.001), rel=1e-12)
    assert single.run_length(0.001) > 1e30


def test_simulated_charts_run_as_long_as_computed() -> None:
    rng = random.Random(1)
    for chart, share in ((BernoulliCusum(2, 11, 60), 0.16), (BernoulliCusum(1, 6, 40), 0.30)):
        lengths = []
        for _ in range(300):
            now, ran = chart, 0
            while not now.alarm:
                now, ran = now.add(rng.random() < share), ran + 1
            lengths.append(ran)
        error = np.std(lengths) / math.sqrt(len(lengths))
        assert np.mean(lengths) == pytest.approx(chart.run_length(share), abs=5 * error)


def test_a_share_under_the_baseline_makes_alarms_rarer() -> None:
    chart = design(0.16, 0.21, 2000)
    lengths = [chart.run_length(share) for share in (0.10, 0.14, 0.16, 0.21, 0.3, 0.6, 1.0)]
    assert lengths == sorted(lengths, reverse=True)


@settings(max_examples=25)
@given(st.floats(0.005, 0.5), st.floats(1.3, 4), st.floats(10, 20_000))
def test_the_design_keeps_its_promise_with_the_smallest_threshold(
    baseline: float, factor: float, length: float
) -> None:
    worse = min(baseline * factor, 0.95)
    chart = design(baseline, worse, length)
    assert baseline < chart.down / chart.per < worse
    assert chart.run_length(baseline) >= length
    if chart.threshold > 1:
        smaller = BernoulliCusum(chart.down, chart.per, chart.threshold - 1)
        assert smaller.run_length(baseline) < length
    assert chart.run_length(worse) <= chart.run_length(baseline)


def test_it_keeps_the_promise_that_a_normal_chart_breaks_and_is_no_slower() -> None:
    """84 % right, a fall to 79 %: a normal CUSUM promised 931 outcomes and ran 182."""
    chart = design(0.16, 0.21, 931)
    assert 931 <= chart.run_length(0.16) < 1000
    assert chart.run_length(0.21) < 200
    assert chart.run_length(0.26) < 100


def test_rare_outcomes_are_designed_for_in_little_time() -> None:
    chart = design(0.001, 0.003, 1e6)
    assert chart.down == 1
    assert 1e6 <= chart.run_length(0.001) < 1.01e6
    assert chart.run_length(0.003) < 5000


def test_the_value_never_falls_below_zero_and_the_alarm_stays() -> None:
    chart = BernoulliCusum(1, 3, 4)
    assert chart.add(False).value == 0
    up = chart.add(True).add(True)
    assert up.value == 4
    assert up.alarm
    assert up.run_length(0.5) == 0
    assert up.add(True).alarm


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: BernoulliCusum(0, 3, 4), "down"),
        (lambda: BernoulliCusum(3, 3, 4), "per"),
        (lambda: BernoulliCusum(1, 3, 0), "threshold"),
        (lambda: BernoulliCusum(1, 3, 4, -1), "value"),
        (lambda: BernoulliCusum(1, 3, 4).run_length(0), "share"),
        (lambda: BernoulliCusum(1, 3, 4).run_length(1.1), "share"),
        (lambda: BernoulliCusum(1, 3, 4).run_length(math.nan), "share"),
        (lambda: BernoulliCusum(50, 300, 400).run_length(0.1), "threshold"),
        (lambda: design(0.7276, 0.7286, 1e6), "worse"),
        (lambda: design(0.2, 0.2, 100), "worse"),
        (lambda: design(0, 0.2, 100), "baseline"),
        (lambda: design(0.1, 0.2, 0), "run_length"),
        (lambda: design(0.1, 0.2, math.inf), "run_length"),
        (lambda: design(1e-9, 2e-9, 100), "worse"),
        (lambda: design(0.5, 0.5 + 1e-9, 100), "worse"),
    ],
)
def test_what_is_no_chart_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
