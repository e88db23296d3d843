"""Argo Rollouts' rule: figures known from elsewhere, counters and their order, runs in the background of a rollout."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.judges import known
from benchmarks.judges.agreement import p_value
from benchmarks.judges.argo import Counters, Metric, Phase, abort_probability, background, phases_of, run, verdict
from benchmarks.judges.lives import Outcome, Traffic, binomial_traffic, recorded_traffic

NAN = float("nan")
STEPS = [(20, 5), (50, 5)]


@pytest.mark.parametrize("requests", known.ARGO)
def test_the_exact_form_gives_the_known_figures(requests: int) -> None:
    none_may_fail, three_may_fail = known.ARGO[requests]
    assert f"{abort_probability(requests, 0.995):.2f}" == none_may_fail
    assert f"{abort_probability(requests, 0.995, Metric(failure_limit=3)):.3f}" == three_may_fail


def test_a_bad_version_is_mostly_let_through_at_low_traffic() -> None:
    assert f"{abort_probability(20, 0.985, Metric(failure_limit=3)):.2f}" == known.ARGO_BAD


@pytest.mark.parametrize(("requests", "limit"), [(20, 0), (50, 3), (100, 0), (20, 3)])
def test_the_simulation_agrees_with_the_exact_form(requests: int, limit: int) -> None:
    n, metric = 4000, Metric(failure_limit=limit)
    bad = np.random.default_rng(1).binomial(requests, 0.005, (n, 10))
    phase, _ = run(np.full((n, 10), requests), bad, metric)
    assert set(phase) == {Phase.SUCCESSFUL, Phase.FAILED}
    assert p_value(int((phase == Phase.FAILED).sum()), n, abort_probability(requests, 0.995, metric)) > 1e-3


@pytest.mark.parametrize(
    ("metric", "phases"),  # of the rates 0.995, 0.95, 0.90, NaN
    [
        (Metric(success_at_least=None), "SUCCESSFUL SUCCESSFUL SUCCESSFUL SUCCESSFUL"),
        (Metric(), "SUCCESSFUL FAILED FAILED FAILED"),
        (Metric(success_at_least=None, failure_below=0.94), "SUCCESSFUL SUCCESSFUL FAILED SUCCESSFUL"),
        (Metric(failure_below=0.94), "SUCCESSFUL INCONCLUSIVE FAILED INCONCLUSIVE"),
        (Metric(success_at_least=0.9, failure_below=0.94), "SUCCESSFUL SUCCESSFUL FAILED INCONCLUSIVE"),
    ],
)
def test_conditions_make_phases(metric: Metric, phases: str) -> None:
    assert " ".join(Phase(p).name for p in phases_of(metric, [0.995, 0.95, 0.90, NAN])) == phases


S, F, I, E = Phase.SUCCESSFUL, Phase.FAILED, Phase.INCONCLUSIVE, Phase.ERROR  # noqa: E741


def counted(*phases: Phase) -> Counters:
    counters = Counters(1)
    for phase in phases:
        counters.add([phase])
    return counters


def test_counters() -> None:
    c = counted(S, S, E, E, F, E, I, E, E)
    assert [c.count[0], c.successful[0], c.failed[0], c.inconclusive[0], c.error[0]] == [4, 2, 1, 1, 5]
    assert (c.consecutive_error[0], c.consecutive_success[0]) == (2, 0)
    assert counted(F, S, S).consecutive_success[0] == 2
    assert counted(S, E).consecutive_success[0] == 0


def test_a_measurement_that_was_not_taken_changes_no_counter() -> None:
    c = Counters(2)
    for phase in (S, E):
        c.add([phase, phase], [True, False])
    assert [list(x) for x in (c.count, c.error, c.consecutive_error)] == [[1, 0], [1, 0], [1, 0]]
    c.add([E, F], [False, True])
    assert (list(c.consecutive_error), list(c.failed)) == ([1, 0], [0, 1])


@pytest.mark.parametrize(
    ("metric", "measurements", "expected"),
    [
        (Metric(), [], Phase.RUNNING),
        (Metric(failure_limit=1), [F], Phase.RUNNING),
        (Metric(failure_limit=1), [F, F], F),
        (Metric(failure_limit=-1), [F] * 9, Phase.RUNNING),
        (Metric(failure_limit=-1), [F] * 10, S),
        (Metric(failure_limit=3), [F, F, F, *[S] * 7], S),
        (Metric(count=2), [S, E, S], S),
        (Metric(count=2), [S, E], Phase.RUNNING),
        (Metric(), [E] * 4, Phase.RUNNING),
        (Metric(), [E] * 5, E),
        (Metric(count=None), [E, E, E, E, S] * 50, Phase.RUNNING),
        (Metric(), [F, I], I),  # each overwrites the one before: over both limits is Inconclusive
        (Metric(), [I, F], I),
        (Metric(), [F, I, *[E] * 5], E),  # and Error masks both
        (Metric(count=2), [S, F], F),  # a limit comes before the count
        (Metric(successes_in_a_row=2), [S, S], S),
        (Metric(successes_in_a_row=2, count=3, failure_limit=2), [S, F, S], I),
        (Metric(successes_in_a_row=2, count=3, failure_limit=-1), [S, F, S], F),
        (Metric(successes_in_a_row=3, failure_limit=0), [S, S, F], F),
    ],
)
def test_verdicts(metric: Metric, measurements: list[Phase], expected: Phase) -> None:
    assert Phase(verdict(metric, counted(*measurements))[0]) == expected


@pytest.mark.parametrize(
    ("measurements", "expected"), [([], S), ([E] * 4, S), ([S, E, E], S), ([F], F), ([E] * 5, E), ([I], I)]
)
def test_termination_is_success_unless_a_limit_is_passed(measurements: list[Phase], expected: Phase) -> None:
    assert Phase(verdict(Metric(), counted(*measurements), terminating=True)[0]) == expected


def test_a_run_ends_with_the_measurement_that_decides() -> None:
    bad = [[0] * 12, [0, 0, 5, *[0] * 9], [0, 5, 5, 0, 5, 5, *[0] * 6]]
    phase, after = run(np.full((3, 12), 100), bad)
    assert (list(phase), list(after)) == ([S, F, F], [10, 3, 2])
    phase, after = run(np.full((3, 12), 100), bad, Metric(failure_limit=3))
    assert (list(phase), list(after)) == ([S, S, F], [10, 10, 6])


def test_a_run_without_answers_is_an_error_after_five_and_a_success_when_terminated_before() -> None:
    requests, none = np.full((1, 6), 100), np.zeros((1, 6))
    assert [x[0] for x in run(requests, none, silent=[True] * 6)] == [E, 5]
    assert run(requests[:, :4], none[:, :4], silent=[True] * 4)[0][0] == S
    assert run(requests[:, :4], none[:, :4], silent=[True] * 4, terminated=False)[0][0] == Phase.RUNNING
    assert run(none, none)[0][0] == E  # no requests: an empty vector
    assert [x[0] for x in run(none, none, Metric(no_requests=F))] == [F, 1]


def shares(*bad: float) -> Traffic:
    return binomial_traffic(np.random.default_rng(2), 10_000, list(bad))


def test_a_good_candidate_is_promoted_with_the_last_step() -> None:
    lives = background(shares(*[0.0] * 10), 3, STEPS)
    assert set(lives.outcome) == {Outcome.PROMOTED}
    assert (lives.tick[0], lives.served[0], lives.harmed[0]) == (10, 5 * 2000 + 5 * 5000, 0)


def test_a_failed_measurement_takes_the_weight_away_at_once() -> None:
    lives = background(shares(0, 0, 0, *[1] * 7), 1, STEPS)
    assert (lives.outcome[0], lives.tick[0], lives.harmed[0], lives.served[0]) == (Outcome.ROLLED_BACK, 4, 2000, 8000)


def test_the_measurement_before_any_traffic_is_an_error_or_fails_the_rollout() -> None:
    assert background(shares(*[0.0] * 10), 1, STEPS).outcome[0] == Outcome.PROMOTED
    strict = Metric(count=None, no_requests=Phase.FAILED)
    lives = background(shares(*[0.0] * 10), 1, STEPS, strict)
    assert (lives.outcome[0], lives.tick[0], lives.served[0]) == (Outcome.ROLLED_BACK, 0, 0)
    assert background(shares(*[0.0] * 10), 1, STEPS, strict, initial_delay=1).outcome[0] == Outcome.PROMOTED


def test_after_its_count_a_run_sees_nothing_more() -> None:
    traffic = shares(*[0] * 5, *[1] * 5)
    assert background(traffic, 1, STEPS).outcome[0] == Outcome.ROLLED_BACK
    assert background(traffic, 1, STEPS, Metric(count=5)).outcome[0] == Outcome.PROMOTED


def test_measurements_are_an_interval_apart_and_closer_after_an_error() -> None:
    silent = np.zeros(10, dtype=bool)
    bad = [0.0] * 10
    bad[4] = 1.0  # a tick that a measurement every third tick, from tick 1, does not see
    assert background(shares(*bad), 1, STEPS, interval=3, initial_delay=1).outcome[0] == Outcome.PROMOTED
    assert background(shares(*bad), 1, STEPS, interval=3, initial_delay=1, window=3).tick[0] == 7
    silent[3] = True  # the measurement at tick 4 is an error, so the next is at tick 5, which sees it
    assert background(shares(*bad), 1, STEPS, interval=3, initial_delay=1, silent=silent).tick[0] == 5


def test_an_outage_of_five_measurements_aborts_a_healthy_candidate() -> None:
    silent = np.array([[1] * 4 + [0] * 6, [0] * 3 + [1] * 5 + [0] * 2, [0] * 6 + [1] * 4], dtype=bool)
    lives = background(shares(*[0.0] * 10), 3, STEPS, initial_delay=1, silent=silent)
    assert list(lives.outcome) == [Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.PROMOTED]
    assert lives.tick[1] == 8


def test_an_inconclusive_run_pauses_and_goes_on_harming_at_its_weight() -> None:
    traffic = recorded_traffic([[100] * 10], [[0, 5, 1, 1, 1, 1, 1, 1, 1, 1]])
    seen: list[float] = []

    def spy(tick: int, weight: np.ndarray) -> tuple[object, object]:
        seen.append(weight[0])
        return traffic(tick, weight)

    lives = background(spy, 1, [(20, 2), (50, 8)], Metric(count=None, failure_below=0.9))
    assert (lives.outcome[0], lives.tick[0], lives.harmed[0]) == (Outcome.PAUSED, 2, 13)
    assert seen == [20] * 10


def test_the_background_agrees_with_the_exact_form() -> None:
    n = 4000
    lives = background(
        binomial_traffic(np.random.default_rng(3), 200, 0.005), n, [(50, 10)], Metric(count=10), initial_delay=1
    )
    assert p_value(lives.count(Outcome.ROLLED_BACK), n, abort_probability(100, 0.995)) > 1e-3


def test_input_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least -1"):
        Metric(failure_limit=-2)
    with pytest.raises(ValueError, match="not RUNNING"):
        Metric(no_requests=Phase.RUNNING)
    with pytest.raises(ValueError, match="count is at least 1"):
        Metric(count=0)
    with pytest.raises(ValueError, match="success condition only"):
        abort_probability(20, 0.99, Metric(failure_below=0.9))
    with pytest.raises(ValueError, match="there is a step"):
        background(shares(0), 1, [])
    with pytest.raises(ValueError, match="one shape"):
        run([[1, 2]], [[1]])
