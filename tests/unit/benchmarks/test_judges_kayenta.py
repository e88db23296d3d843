"""Kayenta's rule: figures known from elsewhere, the interval beside a root search, labels, scores, intervals."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.judges import known
from benchmarks.judges.agreement import p_value, p_value_of_two
from benchmarks.judges.kayenta import (
    Direction,
    Effect,
    Label,
    Metric,
    Result,
    Verdict,
    aggregate,
    classify,
    error_rates,
    judge,
    judge_lives,
    score,
    windows,
    without_outliers,
)
from benchmarks.judges.lives import Outcome
from benchmarks.judges.rank_sum import by_root_search, shift_intervals, superiority, tie_terms

NAN = float("nan")


def label(control: object, experiment: object, **metric: object) -> Label:
    found = classify([control], [experiment], np.random.default_rng(0), Metric(**metric))
    return Label(found.label[0])


def flagged(control: np.ndarray, experiment: np.ndarray, **metric: object) -> int:
    found = classify(control, experiment, np.random.default_rng(0), Metric(**metric))
    return int((found.label != Label.PASS).sum())


# Known figures


@pytest.mark.parametrize("points", known.FALSE_FLAGS)
def test_false_flags_at_two_and_three_points(points: int) -> None:
    n, rng = 4000, np.random.default_rng(1)
    count = flagged(*rng.normal(100, 1, (2, n, points)))
    share = known.FALSE_FLAGS[points]
    assert p_value_of_two(count, n, round(1000 * share), 1000) > 1e-3
    assert p_value(count, n, share * 1.3) < 1e-3


@pytest.mark.parametrize("points", [5, 8, 20])
def test_false_flags_are_rare_from_five_points_on(points: int) -> None:
    n, rng = 4000, np.random.default_rng(2)
    assert flagged(*rng.normal(100, 1, (2, n, points))) <= known.FALSE_FLAGS_AT_MOST * n


def test_four_points_are_flagged_more_often_than_is_known() -> None:
    n, rng = 10_000, np.random.default_rng(3)
    count = flagged(*rng.normal(100, 1, (2, n, 4)))
    assert p_value(count, n, known.FALSE_FLAGS_OF_FOUR) > 1e-3
    assert p_value(count, n, known.FALSE_FLAGS_AT_MOST) < 1e-6


@pytest.mark.parametrize(("coefficient", "points"), known.AUTOREGRESSIVE)
def test_false_flags_of_points_that_depend_on_each_other(coefficient: float, points: int) -> None:
    n, rng = 1500, np.random.default_rng(4)
    control, experiment = (known.autoregressive(rng, n, points, coefficient) for _ in range(2))
    share = known.AUTOREGRESSIVE[coefficient, points]
    count = flagged(control, experiment)
    assert p_value_of_two(count, n, round(known.RUNS * share), known.RUNS) > 1e-3
    assert p_value(count, n, 0.02) < 1e-6  # the nominal rate


@pytest.mark.parametrize(("case", "n"), [((0.3, 240), 300), ((0.15, 1000), 40)])
def test_small_shifts_are_flagged_because_the_tolerance_shrinks_with_them(case: tuple[float, int], n: int) -> None:
    shift, points = case
    rng = np.random.default_rng(5)
    found = classify(rng.normal(100, 1, (n, points)), rng.normal(100 + shift, 1, (n, points)), rng)
    by_the_rule = int((found.label != Label.PASS).sum())
    assert p_value(by_the_rule, n, known.SHIFTS_BY_THE_RULE[case]) > 1e-3
    as_known = int((found.lower > known.SHIFTS_TOLERANCE * np.abs(found.estimate)).sum())
    assert p_value_of_two(as_known, n, round(known.RUNS * known.SHIFTS[case]), known.RUNS) > 1e-3
    assert as_known > by_the_rule


def test_the_tolerance_is_a_share_of_the_estimate() -> None:
    rng = np.random.default_rng(12)
    control, experiment = rng.normal(100, 1, (50, 20)), rng.normal(101, 1, (50, 20))
    found = classify(control, experiment, rng)
    for tolerance in (0.2, 0.25, 0.6):
        high = found.lower > tolerance * np.abs(found.estimate)
        assert 0 < high.sum() < 50
        assert flagged(control, experiment, tolerance=tolerance) == high.sum()


def test_seven_of_ten_broken_points_pass_and_eight_do_not() -> None:
    for broken, expected in ((7, Label.PASS), (8, Label.HIGH)):
        assert label([1] * 10, [100] * broken + [1] * (10 - broken)) is expected
    # With a baseline that is not constant there is no tie correction, and it takes nine.
    spread = list(np.linspace(0.99, 1.01, 10))
    for broken, expected in ((8, Label.PASS), (9, Label.HIGH)):
        assert label(spread, [100 * x for x in spread[:broken]] + [x + 1e-4 for x in spread[broken:]]) is expected


def test_sparse_errors_beside_none_pass() -> None:
    assert label([0] * 6, [0, 1, 2, 1, 0, 0]) is Label.PASS


# The interval


def samples(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n = 30
    if kind == "normal":
        return rng.normal(100, 1, n), rng.normal(100.4, 2, n - 7)
    if kind == "rates":
        requests = rng.poisson(500, (2, n))
        return tuple(rng.binomial(requests, 0.01) / requests)
    if kind == "coarse":
        return rng.binomial(100, 0.01, n) / 100, rng.binomial(100, 0.03, n) / 100
    return rng.normal(100, 1, 3), rng.normal(100, 1, 4)


@pytest.mark.parametrize("kind", ["normal", "rates", "coarse", "few"])
def test_the_interval_by_rank_is_the_one_that_a_root_search_finds(kind: str) -> None:
    rng = np.random.default_rng(6)
    for _ in range(12):
        control, experiment = samples(kind, rng)
        found = shift_intervals(control[None], experiment[None])
        lower, upper, estimate = by_root_search(control, experiment)
        assert found.lower[0] == pytest.approx(lower, abs=1.1e-6)
        assert found.upper[0] == pytest.approx(upper, abs=1.1e-6)
        middle = np.sort((experiment[:, None] - control).ravel())
        low, high = middle[(len(middle) - 1) // 2], middle[len(middle) // 2]
        assert low - 1e-6 <= estimate <= high + 1e-6
        assert found.estimate[0] == pytest.approx((low + high) / 2, abs=1e-12)


def test_missing_points_are_left_out_of_the_interval_in_many_lives_at_once() -> None:
    rng = np.random.default_rng(7)
    control, experiment = rng.normal(0, 1, (2, 40, 12)).round(1)
    control[rng.random(control.shape) < 0.4] = NAN
    experiment[rng.random(experiment.shape) < 0.4] = NAN
    experiment[3] = NAN
    found = shift_intervals(control, experiment)
    for life in range(40):
        y, x = (rows[life][~np.isnan(rows[life])] for rows in (control, experiment))
        if life == 3:
            assert np.isnan([found.lower[3], found.upper[3], found.estimate[3]]).all()
            continue
        alone = shift_intervals(y[None], x[None])
        assert (found.lower[life], found.upper[life], found.estimate[life]) == (
            alone.lower[0],
            alone.upper[0],
            alone.estimate[0],
        )


def test_lives_that_need_more_memory_than_is_taken_at_once_are_judged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    control, experiment = np.random.default_rng(8).normal(0, 1, (2, 50, 10))
    whole = shift_intervals(control, experiment)
    monkeypatch.setattr("benchmarks.judges.rank_sum._AT_ONCE", 700)
    parts = shift_intervals(control, experiment)
    assert (whole.lower == parts.lower).all()
    assert (whole.upper == parts.upper).all()


def test_ties_are_counted_by_row() -> None:
    rows = np.array([[1, 1, 1, 2, 2, 3], [4, 4, NAN, NAN, NAN, 4], [NAN] * 6, [5] * 6])
    assert list(tie_terms(rows)) == [24 + 6, 24, 0, 210]


def test_superiority() -> None:
    assert list(superiority([[1, 2, 3], [1, 1, NAN]], [[2, 2, 9], [1, 5, 0]])) == [pytest.approx(6 / 9), 0.5]


# Labels


RISING, HIGHER = list(range(100, 120)), list(range(130, 150))


def test_directions() -> None:
    assert label(RISING, HIGHER) is Label.HIGH
    assert label(HIGHER, RISING) is Label.LOW
    assert label(RISING, HIGHER, direction=Direction.DECREASE) is Label.PASS
    assert label(HIGHER, RISING, direction=Direction.INCREASE) is Label.PASS
    assert label(RISING, HIGHER, direction=Direction.INCREASE) is Label.HIGH
    assert label(HIGHER, RISING, direction=Direction.DECREASE) is Label.LOW


def test_effect_sizes_that_are_allowed() -> None:
    found = classify([RISING], [HIGHER], np.random.default_rng(0))
    assert found.effect[0] == pytest.approx(np.mean(HIGHER) / np.mean(RISING))
    assert label(RISING, HIGHER, allowed_increase=1.2) is Label.HIGH
    assert label(RISING, HIGHER, allowed_increase=1.3) is Label.PASS
    assert label(HIGHER, RISING, allowed_decrease=0.9) is Label.LOW
    assert label(HIGHER, RISING, allowed_decrease=0.7) is Label.PASS
    assert label(RISING, HIGHER, effect=Effect.CLES) is Label.HIGH
    assert label(RISING, HIGHER, effect=Effect.CLES, allowed_increase=1.01) is Label.PASS
    assert label(HIGHER, RISING, effect=Effect.CLES) is Label.LOW


def test_arms_with_the_same_values_pass() -> None:
    assert label([1, 2, 9], [9, 1, 2]) is Label.PASS
    assert label([7] * 5, [7] * 3) is Label.PASS
    assert label([0] * 5, [0] * 5) is Label.PASS


def test_two_constant_arms_get_noise_so_that_the_limits_depend_on_chance() -> None:
    first, second = (classify([[2] * 6], [[4] * 6], np.random.default_rng(seed)) for seed in (1, 2))
    assert first.lower[0] != second.lower[0]
    assert first.lower[0] == pytest.approx(2, abs=1e-3)
    assert Label(first.label[0]) is Label.HIGH
    unmoved = classify([[2] * 6], [[4] * 5 + [5]], np.random.default_rng(1))
    assert unmoved.lower[0] == 2  # one arm varies: no noise


def test_arms_without_data() -> None:
    none = [NAN] * 4
    for control, experiment in ((none, [1, 2, 3, 4]), ([1, 2, 3, 4], none), (none, none), ([], [1, 2])):
        assert label(control, experiment) is Label.NODATA
        assert label(control, experiment, must_have_data=True) is Label.NODATA_FAIL
        assert label(control, experiment, replace_missing=True, must_have_data=True) in (
            Label.PASS,
            Label.HIGH,
            Label.LOW,
        )
    assert label([], [1, 2], replace_missing=True) is Label.PASS
    assert label(none, none, replace_missing=True) is Label.PASS


def test_missing_points_are_left_out_or_zero() -> None:
    # Most of the control is missing: left out nothing differs, as zeros it is lower.
    control, experiment = [5.0, 6.0, 5.5, 6.5] * 2 + [NAN] * 32, [5.0, 6.0, 5.5, 6.5] * 10
    assert label(control, experiment) is Label.PASS
    assert label(control, experiment, replace_missing=True) is Label.HIGH


def test_outliers() -> None:
    row = [*range(100), 1000.0, NAN]
    kept = without_outliers(np.array([row, [NAN] * 102]))
    assert np.isnan(kept[0, 100:]).all()
    assert (kept[0, :100] == range(100)).all()
    assert np.isnan(kept[1]).all()
    broken = [1.0, 1.1, 0.9, 1.05, 0.95] * 30 + [500.0]
    assert classify([broken[:-1]], [broken[1:]], np.random.default_rng(0)).effect[0] > 2
    cleaned = classify([broken[:-1]], [broken[1:]], np.random.default_rng(0), Metric(remove_outliers=True))
    assert cleaned.effect[0] == pytest.approx(1, abs=0.01)


# Scores


def results(*labels: Label, group: str = "a") -> list[Result]:
    return [Result(group, one) for one in labels]


P, H, L, N, M = Label.PASS, Label.HIGH, Label.LOW, Label.NODATA, Label.NODATA_FAIL


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([P], 100),
        ([H], 0),
        ([P, P, H], 66.67),
        ([P, L, H, P], 50),
        ([P, P, N], 100),
        ([P, P, M], 66.67),
        ([P, N], 0),  # half of the metrics
        ([N], 0),
        ([P, M], 50),  # required data that is missing is no Nodata
    ],
)
def test_the_score_of_one_group(labels: list[Label], expected: float) -> None:
    assert score(results(*labels)) == expected


def test_a_critical_metric_that_does_not_pass_makes_the_score_0() -> None:
    for bad in (H, L, N, M):
        assert score([*results(P, P, P), Result("a", bad, critical=True)]) == 0
    assert score([*results(P, H), Result("a", P, critical=True)]) == 66.67


def test_groups_are_weighted_and_the_others_share_the_rest() -> None:
    runs = [*results(P, group="a"), *results(H, group="b"), *results(P, H, group="c")]
    assert score(runs) == 50
    assert score(runs, {"a": 60}) == 60 + 20 * 0 + 20 * 0.5
    assert score(runs, {"a": 50, "b": 30, "c": 20}) == 60
    assert score([*results(P, P, H, group="a"), *results(N, group="b")]) == pytest.approx(
        83.33
    )  # Nodata alone counts as 100


def test_weights_that_make_no_sense_are_refused() -> None:
    for weights in ({"a": 120}, {"a": 50}, {"a": -1}):
        with pytest.raises(ValueError, match="percentages"):
            score(results(P), weights)
    with pytest.raises(ValueError, match="weighted groups"):
        score(results(P), {"z": 10})
    with pytest.raises(ValueError, match="no metric"):
        score([])


def test_one_run_and_many_runs_treat_equality_differently() -> None:
    assert [judge(run) for run in (95, 94.99, 75, 74.99)] == [
        Verdict.PASS,
        Verdict.MARGINAL,
        Verdict.MARGINAL,
        Verdict.FAIL,
    ]
    assert aggregate([75]) == (Verdict.FAIL, 1)
    assert aggregate([80, 100]) == (Verdict.PASS, 2)
    assert aggregate([100, 80]) == (Verdict.MARGINAL, 2)
    assert aggregate([100, 60, 100]) == (Verdict.FAIL, 2)
    assert aggregate([100], 100, 100) == (Verdict.FAIL, 1)
    with pytest.raises(ValueError, match="marginal"):
        judge(80, 70, 90)
    with pytest.raises(ValueError, match="no score"):
        aggregate([])


def test_windows_grow_or_slide() -> None:
    assert windows(60, 3) == [(0, 20), (0, 40), (0, 60)]
    assert windows(60, 3, lookback=30) == [(0, 20), (10, 40), (30, 60)]
    assert windows(10, 4) == [(0, 2), (0, 5), (0, 7), (0, 10)]
    with pytest.raises(ValueError, match="intervals <= points"):
        windows(2, 3)


# Whole lives


def test_lives_are_judged_at_the_end_of_each_interval() -> None:
    rng = np.random.default_rng(9)
    requests = np.full((3, 30), 1000)
    bad = np.full((3, 30), 10) + rng.integers(-2, 3, (3, 30))
    broken = bad.copy()
    broken[1] += 40  # from the start
    broken[2, 8:] += 40  # 12 of 20 points are too few for the rule, 22 of 30 are enough
    lives = judge_lives(
        error_rates(requests, bad), error_rates(requests, broken), 3, rng, requests=requests, bad=broken
    )
    assert list(lives.outcome) == [Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.ROLLED_BACK]
    assert list(lives.tick) == [30, 10, 30]
    assert list(lives.served) == [30_000, 10_000, 30_000]
    assert list(lives.harmed) == [bad[0].sum(), broken[1, :10].sum(), broken[2].sum()]
    sliding = judge_lives(error_rates(requests, bad), error_rates(requests, broken), 3, rng, lookback=10)
    assert list(sliding.tick) == [30, 10, 20]
    assert list(sliding.harmed) == [0, 0, 0]


def test_a_candidate_without_requests_is_rolled_back_and_one_that_is_better_too_unless_only_increases_count() -> None:
    rng = np.random.default_rng(10)
    control = rng.normal(0.05, 0.005, (1, 20))
    assert judge_lives(control, np.full((1, 20), NAN), 2, rng).tick[0] == 10
    better = control / 5
    assert judge_lives(control, better, 2, rng).outcome[0] == Outcome.ROLLED_BACK
    assert judge_lives(control, better, 2, rng, Metric(direction=Direction.INCREASE)).outcome[0] == Outcome.PROMOTED


def test_a_perfect_score_rolls_back_when_it_is_the_marginal_one() -> None:
    same, rng = [[0.01, 0.02, 0.03, 0.04]], np.random.default_rng(0)
    assert judge_lives(same, same, 2, rng, pass_score=100).outcome[0] == Outcome.PROMOTED
    lives = judge_lives(same, same, 2, rng, pass_score=100, marginal_score=100)
    assert (lives.outcome[0], lives.tick[0]) == (Outcome.ROLLED_BACK, 2)


def test_a_life_is_what_its_runs_are_one_by_one() -> None:
    rng = np.random.default_rng(11)
    requests = rng.poisson(30, (2, 60, 24))
    y, x = error_rates(requests, rng.binomial(requests, [[[0.03]], [[0.06]]]))
    lives = judge_lives(y, x, 4, rng)
    assert len({*lives.outcome}) == 2
    for life in range(60):
        scores = [score([Result("", label(y[life, :end], x[life, :end]))]) for _, end in windows(24, 4)]
        verdict, after = aggregate(scores)
        assert lives.outcome[life] == (Outcome.PROMOTED if verdict is Verdict.PASS else Outcome.ROLLED_BACK)
        assert lives.tick[life] == windows(24, 4)[after - 1][1]


def test_input_that_makes_no_sense_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="one shape"):
        judge_lives([[1, 2]], [[1]], 1, rng)
    with pytest.raises(ValueError, match="finite"):
        classify([[1, float("inf")]], [[1, 2]], rng)
    with pytest.raises(ValueError, match="as many lives"):
        shift_intervals([[1]], [[1], [2]])
