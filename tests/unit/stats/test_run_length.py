from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import solve
from scipy.stats import norm

from solera.stats.arguments import ArgumentError
from solera.stats.run_length import cusum_run_length, ewma_run_length

SHIFTS = (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4)


def printed(value: float, published: float) -> bool:
    """Whether ``value`` is what was published, to its printed digits."""
    digits = max(0, 3 - len(str(published).split(".", maxsplit=1)[0])) if isinstance(published, float) else 0
    return abs(value - published) <= 0.5 * 10.0**-digits + 1e-9


class TestCusumReferenceNumbers:
    """Lucas and Crosier 1982, k = 0.5; h = 5 from textbooks."""

    @pytest.mark.parametrize(
        ("h", "published"),
        [
            (4, (168, 74.2, 26.6, 13.3, 8.38, 4.75, 3.34, 2.62, 2.19, 1.71)),
            (5, (465, 139, 38.0, 17.0, 10.4, 5.75, 4.01, 3.11, 2.57, 2.01)),
        ],
    )
    def test_two_sided(self, h: float, published: tuple[float, ...]) -> None:
        for shift, value in zip(SHIFTS, published, strict=True):
            assert printed(cusum_run_length(0.5, h, shift), value), (shift, value)
            assert cusum_run_length(0.5, h, -shift) == pytest.approx(cusum_run_length(0.5, h, shift), rel=1e-9)

    def test_head_start(self) -> None:
        for shift, value in zip(SHIFTS, (149, 62.7, 20.1, 8.97, 5.29), strict=False):
            assert printed(cusum_run_length(0.5, 4, shift, start=2), value), shift

    @pytest.mark.parametrize(
        ("k", "h", "shift", "published", "slack"),
        [
            (0.5, 4, 0, 335.4, 0.05),
            (0.5, 5, 0, 930.9, 0.05),
            (0.5, 3, 0, 117.6, 0.05),
            (0.5, 3, 1.5, 3.75, 0.005),
            (0.25, 8, 2.5, 4.1500836, 2e-7),
        ],
    )
    def test_one_sided(self, k: float, h: float, shift: float, published: float, slack: float) -> None:
        assert cusum_run_length(k, h, shift, two_sided=False) == pytest.approx(published, abs=slack)


class TestEwmaReferenceNumbers:
    @pytest.mark.parametrize(
        ("smoothing", "limit", "published"),
        [
            (0.5, 3.071, (500, 255, 88.8, 35.9, 17.5, 6.53, 3.63, 1.93)),
            (0.25, 2.998, (500, 170, 48.3, 20.1, 11.1, 5.46, 3.61, 2.26)),
            (0.1, 2.814, (500, 106, 31.3, 15.9, 10.3, 6.08, 4.36, 2.87)),
            (0.05, 2.615, (500, 84.0, 28.8, 16.4, 11.4, 7.11, 5.22, 3.50)),
            (0.03, 2.437, (500, 76.7, 29.3, 17.6, 12.6, 8.07, 5.99, 4.03)),
        ],
    )
    def test_lucas_and_saccucci(self, smoothing: float, limit: float, published: tuple[float, ...]) -> None:
        for shift, value in zip((0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3), published, strict=True):
            found = ewma_run_length(smoothing, limit, shift)
            assert found == pytest.approx(value, rel=6e-3), shift

    def test_crowder_and_sas(self) -> None:
        assert ewma_run_length(0.5, 2) == pytest.approx(26.45, abs=0.005)
        assert ewma_run_length(0.5, 2, 1) == pytest.approx(4.91, abs=0.005)
        assert ewma_run_length(0.05, 2) == pytest.approx(127.53, abs=0.005)
        assert ewma_run_length(0.05, 2, 1) == pytest.approx(8.38, abs=0.005)
        assert ewma_run_length(0.25, 3, 1) == pytest.approx(11.154267016, abs=5e-10)


@pytest.mark.parametrize(("k", "h", "shift"), [(0.5, 4, 0), (0.25, 8, 0.5), (1, 2, 1)])
def test_the_cusum_agrees_with_a_fine_markov_chain(k: float, h: float, shift: float) -> None:
    """Brook and Evans 1972: 800 cells instead of an integral."""
    cells = 800
    width = h / (cells - 0.5)
    middles = np.arange(cells) * width
    edges = middles + width / 2
    reach = norm.cdf(edges[None, :] - middles[:, None] + k - shift)
    chances = np.diff(reach, axis=1, prepend=0)
    lengths = solve(np.eye(cells) - chances, np.ones(cells))
    assert cusum_run_length(k, h, shift, two_sided=False) == pytest.approx(lengths[0], rel=2e-4)
    half = cells // 2
    assert cusum_run_length(k, h, shift, two_sided=False, start=middles[half]) == pytest.approx(lengths[half], rel=2e-4)


def test_without_memory_an_ewma_is_a_shewhart_chart() -> None:
    assert ewma_run_length(1, 3) == pytest.approx(1 / (2 * norm.sf(3)), rel=1e-6)
    assert ewma_run_length(1, 3, 1) == pytest.approx(1 / (norm.sf(2) + norm.sf(4)), rel=1e-6)


def test_run_lengths_up_to_what_can_be_computed_grow_with_the_threshold_as_they_must() -> None:
    lengths = [cusum_run_length(0.5, h) for h in (5, 10, 15, 20)]
    grown = [after / before for before, after in pairwise(lengths)]
    assert grown == pytest.approx([math.exp(5)] * 3, rel=0.1)  # e^(2kh), in the limit
    assert cusum_run_length(0.5, 40, 1) == pytest.approx(40 / 0.5, rel=0.05)
    assert cusum_run_length(0.5, 40, -1) == pytest.approx(cusum_run_length(0.5, 40, 1))


@pytest.mark.parametrize(
    ("use", "argument"),
    [
        (lambda: cusum_run_length(0, 5), "k"),
        (lambda: cusum_run_length(0.5, math.nan), "h"),
        (lambda: cusum_run_length(0.5, 5, math.inf), "shift"),
        (lambda: cusum_run_length(0.5, 5, start=6), "start"),
        (lambda: cusum_run_length(0.5, 40), "h"),
        (lambda: cusum_run_length(0.5, 61, 2), "h"),
        (lambda: ewma_run_length(0, 3), "smoothing"),
        (lambda: ewma_run_length(0.001, 3), "smoothing"),
        (lambda: ewma_run_length(0.1, 0), "limit"),
        (lambda: ewma_run_length(0.1, 8), "limit"),
        (lambda: ewma_run_length(0.005, 4), "limit"),
        (lambda: ewma_run_length(0.1, 3, math.nan), "shift"),
    ],
)
def test_what_no_chart_has_is_refused_by_name(use: Callable[[], object], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        use()
    assert caught.value.argument == argument
