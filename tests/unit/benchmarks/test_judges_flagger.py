"""Flagger's rule: figures known from elsewhere, the exact form against the simulation, and each rule in a life made for it."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from benchmarks.judges import known
from benchmarks.judges.agreement import p_value
from benchmarks.judges.flagger import Rules, rollback_probability, simulate
from benchmarks.judges.lives import Outcome, Traffic, below_limit_probability, binomial_traffic, recorded_traffic


def life(*windows: tuple[float, float]) -> Traffic:
    """One life whose columns are these (requests, bad)."""
    return recorded_traffic([[requests for requests, _ in windows]], [[bad for _, bad in windows]])


GOOD, BAD = (100, 0), (100, 5)


@pytest.mark.parametrize("requests", known.FLAGGER)
def test_the_exact_form_gives_the_known_table(requests: int) -> None:
    for success, printed in zip(known.SUCCESS, known.FLAGGER[requests], strict=True):
        # Two of them were rounded first to four decimals, so all are: that changes no other.
        four = Decimal(rollback_probability(requests, success)).quantize(Decimal("0.0001"))
        assert str(four.quantize(Decimal(printed), ROUND_HALF_UP)) == printed, success


@pytest.mark.parametrize(("requests", "success"), [(40, 0.98), (200, 0.995), (400, 0.992), (1000, 0.985)])
def test_the_simulation_agrees_with_the_exact_form(requests: int, success: float) -> None:
    n = 4000
    lives = simulate(binomial_traffic(np.random.default_rng(1), requests, 1 - success), n, Rules().most_ticks)
    assert lives.count(Outcome.UNDECIDED) == 0
    exact = rollback_probability(requests, success)
    assert p_value(lives.count(Outcome.ROLLED_BACK), n, exact) > 1e-3


def test_an_identical_candidate_is_rolled_back_by_an_incident_that_both_arms_share() -> None:
    exact = np.mean([rollback_probability(600, known.incident(first)) for first in known.INCIDENT_STARTS])
    assert exact == pytest.approx(known.INCIDENT, abs=0.005)
    rng, n, ticks = np.random.default_rng(2), 4000, Rules().most_ticks
    lives = simulate(known.incident_traffic(rng, n, ticks), n, ticks)
    assert p_value(lives.count(Outcome.ROLLED_BACK), n, float(exact)) > 1e-3
    assert p_value(lives.count(Outcome.ROLLED_BACK), n, known.INCIDENT) > 1e-3
    quiet = simulate(binomial_traffic(rng, 600, 0.004), n, ticks)
    assert quiet.share(Outcome.ROLLED_BACK) < 0.06


def test_every_weight_must_pass_once_and_the_first_tick_checks_nothing() -> None:
    seen: list[float] = []

    def traffic(_tick: int, weight: np.ndarray) -> tuple[float, float]:
        seen.append(weight[0])
        return GOOD

    lives = simulate(traffic, 1, 20)
    assert seen == list(range(5, 51, 5))
    assert (lives.outcome[0], lives.tick[0], lives.served[0], lives.harmed[0]) == (Outcome.PROMOTED, 10, 1000, 0)


def test_it_rolls_back_one_tick_after_the_last_failed_check_and_harms_until_then() -> None:
    lives = simulate(life(*[BAD] * 8), 1, 8)
    assert (lives.outcome[0], lives.tick[0], lives.harmed[0]) == (Outcome.ROLLED_BACK, 6, 30)


def test_a_failed_check_holds_the_weight_and_the_count_never_falls() -> None:
    weights: list[float] = []
    windows = [BAD, GOOD, BAD, GOOD, BAD, GOOD, GOOD]

    def traffic(tick: int, weight: np.ndarray) -> tuple[float, float]:
        weights.append(weight[0])
        return windows[tick]

    lives = simulate(traffic, 1, 7, Rules(threshold=3))
    assert weights == [5, 5, 10, 10, 15, 15]
    assert (lives.outcome[0], lives.tick[0], lives.harmed[0]) == (Outcome.ROLLED_BACK, 6, 15)


def test_a_threshold_used_up_by_the_last_column_is_undecided_at_the_horizon() -> None:
    lives = simulate(life(*[BAD] * 5), 1, 5)
    assert (lives.outcome[0], lives.tick[0], lives.harmed[0]) == (Outcome.UNDECIDED, 5, 25)


@pytest.mark.parametrize("window", [(0, 0), (float("nan"), 0), (float("nan"), float("nan"))])
def test_a_window_without_data_is_a_failed_check(window: tuple[float, float]) -> None:
    lives = simulate(life(*[window] * 6), 1, 6)
    assert (lives.outcome[0], lives.tick[0], lives.harmed[0]) == (Outcome.ROLLED_BACK, 6, 0)


def test_a_metric_source_that_does_not_answer_fails_the_check_whatever_was_served() -> None:
    traffic = binomial_traffic(np.random.default_rng(3), 1000, 0.0)
    silent = np.zeros((2, 15), dtype=bool)
    silent[0, 2:7] = True
    lives = simulate(traffic, 2, 15, silent=silent)
    assert list(lives.outcome) == [Outcome.ROLLED_BACK, Outcome.PROMOTED]
    assert list(lives.tick) == [8, 10]


def test_a_window_longer_than_the_tick_reads_the_same_bad_answers_again() -> None:
    windows = [(100, 0), (100, 9), *[(100, 0)] * 13]
    assert simulate(life(*windows), 1, 15, Rules(threshold=2)).outcome[0] == Outcome.PROMOTED
    lives = simulate(life(*windows), 1, 15, Rules(threshold=2, window=6))
    assert (lives.outcome[0], lives.tick[0]) == (Outcome.ROLLED_BACK, 4)


def test_exactly_the_limit_passes() -> None:
    assert below_limit_probability(100, 0.99, 0.99) == pytest.approx(1 - 0.99**100 - 100 * 0.01 * 0.99**99, abs=1e-12)
    assert simulate(life(*[(300, 3)] * 10), 1, 10).outcome[0] == Outcome.PROMOTED


def test_a_candidate_too_small_for_a_request_per_tick_fails_its_checks() -> None:
    assert rollback_probability(4, 1.0) == 1.0
    lives = simulate(binomial_traffic(np.random.default_rng(4), 4, 0.0), 3, 15)
    assert lives.share(Outcome.ROLLED_BACK) == 1


def test_listed_weights_replace_the_linear_ones() -> None:
    rules = Rules(step_weights=(1, 10, 80))
    assert rules.weights == (1, 10, 80)
    assert simulate(life(*[GOOD] * 3), 1, 3, rules).tick[0] == 3


def test_a_binomial_split_of_the_traffic_has_the_mean_of_the_weight() -> None:
    requests, bad = binomial_traffic(np.random.default_rng(5), 400, 0.5, exact_split=False)(0, np.full(5000, 25.0))
    assert np.mean(requests) == pytest.approx(100, abs=1)
    assert np.mean(bad) == pytest.approx(50, abs=1)
    assert np.std(requests) == pytest.approx(np.sqrt(75), rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"threshold": 0}, "at least 1"),
        ({"step_weight": 20}, "no multiple of step_weight 20"),
        ({"step_weights": (10, 10)}, "weights rise"),
        ({"step_weights": (10, 120)}, "at most 100"),
    ],
)
def test_rules_that_make_no_sense_are_refused(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Rules(**arguments)


def test_input_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="window 1"):
        rollback_probability(100, 0.99, Rules(window=6))
    with pytest.raises(ValueError, match="more bad answers"):
        simulate(life((1, 2)), 1, 1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        binomial_traffic(np.random.default_rng(0), 100, 1.5)
    with pytest.raises(ValueError, match="one shape"):
        recorded_traffic([[1, 2]], [[1]])
