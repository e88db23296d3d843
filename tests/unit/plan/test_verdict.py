from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapes import STABLE, Process, Traffic, at, ledger

from solera.api.scalars import format_time
from solera.plan.evidence import Counter, Ledger, absorb, from_record, to_record
from solera.plan.verdict import (
    CONTINUE,
    FAIL,
    NO_DATA,
    PASS,
    SHARED_INCIDENT,
    GuardrailError,
    GuardrailSpec,
    GuardrailVerdict,
    conclude,
    judge,
)

ERRORS = GuardrailSpec("errors", "ErrorRate", 0.01, None, None, ratio_requires_pass=False, action="RollBack")
COMPARED = replace(ERRORS, max_ratio=1.25)


def verdict(of: Ledger, spec: GuardrailSpec = ERRORS, risk: float = 0.05) -> GuardrailVerdict:
    return judge([spec], of, false_rollback=risk, false_promotion=0.05)[0]


counts = st.one_of(st.integers(-1000, 1000), st.integers(0, 10**6), st.integers(0, 10**13), st.floats())


LOOKS = 20


def counted(total: int, bad: int, **other: Counter) -> Ledger:
    """A candidate with these counts, spread evenly over LOOKS intervals of 5 seconds, and nothing of stable."""
    of, pod, ends = ledger(), Process(began=1), {"errors": Counter(total, bad), **other}
    for look in range(1, LOOKS + 1):
        so_far = {name: Counter(c.total * look // LOOKS, c.bad * look // LOOKS) for name, c in ends.items()}
        of = absorb(of, [replace(pod.read(5 * look), counters=so_far)], step=0, now=at(5 * look))
    return of


class TestTheAbsoluteLimit:
    @pytest.mark.parametrize(
        ("total", "bad", "expected"),
        [
            (10, 0, CONTINUE),
            (300, 0, CONTINUE),
            (900, 0, CONTINUE),
            (3000, 0, PASS),
            (2000, 10, CONTINUE),
            (3000, 15, PASS),
            (100_000, 950, CONTINUE),
            (1_000_000, 9500, PASS),
            (100_000, 1050, CONTINUE),
            (1_000_000, 10_500, CONTINUE),
            (1_000_000, 15_000, FAIL),
            (100, 3, CONTINUE),
            (100, 8, FAIL),
            (1, 1, CONTINUE),
            (2, 2, CONTINUE),
            (3, 3, FAIL),
        ],
    )
    def test_counts_and_their_verdicts(self, total: int, bad: int, expected: str) -> None:
        found = verdict(counted(total, bad))
        assert found.verdict == expected
        assert (found.samples, found.bad, found.estimate) == (total, bad, bad / total)

    def test_pass_means_that_the_upper_confidence_limit_is_under_the_limit(self) -> None:
        for total in range(100, 3000, 50):
            found = verdict(counted(total, total // 250))
            assert found.high is not None
            assert (found.verdict == PASS) == (found.high < 0.01 * 0.999)

    def test_fail_means_that_the_lower_confidence_limit_is_not_under_the_limit(self) -> None:
        for total in range(50, 1500, 25):
            found = verdict(counted(total, total // 25))
            assert found.low is not None
            assert (found.verdict == FAIL) == (found.low >= 0.01)

    def test_leaving_the_intervals_out_changes_nothing_else(self) -> None:
        for total, bad in [(10, 0), (3000, 15), (100, 8)]:
            full = verdict(counted(total, bad))
            lean = judge([ERRORS], counted(total, bad), false_rollback=0.05, false_promotion=0.05, intervals=False)[0]
            assert (lean.low, lean.high) == (None, None)
            assert (lean.verdict, lean.estimate, lean.forecast) == (full.verdict, full.estimate, full.forecast)

    def test_a_smaller_risk_needs_more_evidence(self) -> None:
        assert verdict(counted(100, 6), risk=0.05).verdict == FAIL
        assert verdict(counted(100, 6), risk=0.001).verdict == CONTINUE

    def test_a_candidate_that_breaks_only_at_a_later_step_is_caught_there(self) -> None:
        traffic = Traffic()
        for _ in range(100):
            traffic.run((500, 0.004), step=0)
        began = traffic.seconds
        for _ in range(10):
            traffic.run((40, 0.08), step=1)
        found = verdict(traffic.ledger)
        assert found.estimate is not None
        assert found.estimate < 0.01
        assert found.verdict == FAIL
        assert f"since {format_time(at(began))}: over the limit" in found.reason

    def test_a_candidate_that_breaks_in_the_middle_of_a_step_is_caught_as_well(self) -> None:
        traffic = Traffic()
        for _ in range(200):
            traffic.run((250, 0.004))
        looks = 0
        while verdict(traffic.run((250, 0.05))).verdict != FAIL:
            looks += 1
        assert looks <= 8

    def test_one_burst_is_one_piece_of_evidence_however_many_fail_in_it(self) -> None:
        traffic = Traffic()
        for _ in range(10):
            traffic.run((200, 0.0))
        for _ in range(2):
            found = verdict(traffic.run((200, 0.2)))
            assert found.verdict == CONTINUE
            assert found.suspected
            assert "over the limit of 1%, unless they failed together" in found.reason
            assert conclude((found,), [ERRORS]).hold
        for _ in range(3):
            traffic.run((200, 0.2))
        assert verdict(traffic.ledger).verdict == FAIL

    def test_failures_that_come_in_bursts_need_more_requests_to_pass(self) -> None:
        single, bursts = Traffic(), Traffic()
        for look in range(100):
            for traffic, bad in ((single, look % 5 == 0), (bursts, 10 * (look % 50 == 0))):
                traffic.new.serve(40, int(bad))
                traffic.look()
        assert (verdict(single.ledger).samples, verdict(single.ledger).bad) == (4000, 20)
        assert (verdict(bursts.ledger).samples, verdict(bursts.ledger).bad) == (4000, 20)
        assert verdict(single.ledger).verdict == PASS
        assert verdict(bursts.ledger).verdict == CONTINUE

    def test_evidence_is_not_thrown_away_between_steps(self) -> None:
        traffic = Traffic()
        for step in range(4):
            traffic.run((700, 0.004), step=step)
        assert verdict(traffic.ledger).verdict == PASS


class TestRisks:
    def test_the_risk_of_rolling_back_is_divided_over_what_can_roll_back(self) -> None:
        others = [replace(ERRORS, name=f"other-{i}", max_ratio=1.25) for i in range(4)]

        def failures(*specs: GuardrailSpec, risk: float = 0.05) -> int:
            judged = [
                judge(specs, counted(n, 6), false_rollback=risk, false_promotion=0.05)[0].verdict
                for n in range(40, 160)
            ]
            return judged.count(FAIL)

        alone = failures(ERRORS)
        assert failures(ERRORS, *(replace(other, action="Observe") for other in others)) == alone
        assert failures(ERRORS, *(replace(other, action="Hold") for other in others)) == alone
        assert failures(ERRORS, *others) == failures(ERRORS, risk=0.05 / 9) < alone
        assert failures(COMPARED) == failures(ERRORS, risk=0.025) < alone

    def test_the_risk_of_promoting_is_not_divided(self) -> None:
        of = counted(3000, 15, ttft=Counter(3000, 30))
        specs = [ERRORS, replace(ERRORS, name="ttft", limit=0.05), replace(ERRORS, name="other")]
        assert judge(specs, of, false_rollback=0.05, false_promotion=0.05)[0].verdict == PASS

    @pytest.mark.parametrize("risks", [(0, 0.05), (0.5, 0.05), (math.nan, 0.05), (0.05, 0), (0.05, 1)])
    def test_a_risk_that_is_none_is_refused_by_its_field(self, risks: tuple[float, float]) -> None:
        with pytest.raises(GuardrailError, match=r"risk.false(Rollback|Promotion) must lie between"):
            judge([ERRORS], ledger(), false_rollback=risks[0], false_promotion=risks[1])

    @pytest.mark.parametrize(
        "spec",
        [
            replace(ERRORS, limit=0.0),
            replace(ERRORS, limit=1.0),
            replace(ERRORS, limit=math.nan),
            replace(ERRORS, max_ratio=0.9),
            replace(ERRORS, max_ratio=math.inf),
            replace(ERRORS, action="Explode"),
        ],
    )
    def test_a_guardrail_that_makes_no_test_is_refused_by_name(self, spec: GuardrailSpec) -> None:
        with pytest.raises(GuardrailError, match="guardrail 'errors': "):
            verdict(ledger(), spec)


class TestAgainstStable:
    def test_a_candidate_that_keeps_its_limit_can_still_fail_against_stable(self) -> None:
        traffic = Traffic()
        for _ in range(20):
            traffic.run((500, 0.004), (500, 0.0005))
        assert verdict(traffic.ledger, ERRORS).verdict == PASS
        found = verdict(traffic.ledger, COMPARED)
        assert found.verdict == FAIL
        assert found.ratio_e_value is not None
        assert found.ratio_e_value >= 2 / 0.05
        assert "times the share of stable" in found.reason

    def test_being_better_than_stable_is_not_enough_to_pass(self) -> None:
        traffic = Traffic()
        traffic.run((100, 0), (2000, 0.009))
        assert verdict(traffic.ledger, COMPARED).verdict == CONTINUE

    def test_a_candidate_like_stable_passes_by_its_limit(self) -> None:
        traffic = Traffic()
        for _ in range(10):
            traffic.run((400, 0.003), (400, 0.003))
        assert verdict(traffic.ledger, COMPARED).verdict == PASS

    def test_a_ratio_that_must_be_shown_keeps_it_open_until_it_is(self) -> None:
        spec = replace(COMPARED, limit=0.2, ratio_requires_pass=True)
        traffic = Traffic()
        for _ in range(10):
            traffic.run((400, 0.05), (400, 0.1))
        assert verdict(traffic.ledger, spec).verdict == PASS
        close = Traffic()
        for _ in range(10):
            close.run((40, 0.1), (40, 0.1))
        found = verdict(close.ledger, spec)
        assert found.verdict == CONTINUE
        assert "not yet shown to be under 1.25 times stable" in found.reason

    def test_a_ratio_alone_can_be_shown_without_a_limit(self) -> None:
        spec = replace(COMPARED, limit=None, ratio_requires_pass=True)
        traffic = Traffic()
        traffic.run((40, 0.05), (40, 0.1))
        assert verdict(traffic.ledger, spec).verdict == CONTINUE
        for _ in range(10):
            traffic.run((400, 0.05), (400, 0.1))
        assert verdict(traffic.ledger, spec).verdict == PASS

    def test_without_limit_and_without_require_it_never_passes(self) -> None:
        traffic = Traffic()
        for _ in range(10):
            traffic.run((4000, 0.0), (4000, 0.1))
        found = verdict(traffic.ledger, replace(COMPARED, limit=None))
        assert found.verdict == CONTINUE
        assert "can never pass" in found.reason

    @pytest.mark.parametrize("ratio", [1.0, 1.0001, 50, 999.9999])
    def test_every_ratio_that_may_be_written_can_be_judged(self, ratio: float) -> None:
        traffic = Traffic()
        traffic.run((100, 0.05), (100, 0.1))
        assert verdict(traffic.ledger, replace(COMPARED, limit=0.5, max_ratio=ratio)).verdict in {PASS, CONTINUE}


class TestSharedIncidents:
    def test_stable_breaking_the_same_limit_at_the_same_time_is_no_fault_of_the_candidate(self) -> None:
        traffic = Traffic()
        for _ in range(10):
            traffic.run((50, 0.1), (950, 0.1))
        found = verdict(traffic.ledger)
        assert found.verdict == SHARED_INCIDENT
        assert "but stable breaks it too" in found.reason
        assert conclude([found], [ERRORS]).hold

    def test_stable_having_broken_it_before_excuses_nothing(self) -> None:
        traffic = Traffic()
        for _ in range(40):
            traffic.run((0, 0), (950, 0.1))
        traffic.seconds += 300
        for _ in range(10):
            traffic.run((50, 0.1), (950, 0.001))
        assert verdict(traffic.ledger).verdict == FAIL

    def test_stable_having_broken_it_at_an_earlier_step_excuses_nothing(self) -> None:
        traffic = Traffic()
        for _ in range(40):
            traffic.run((500, 0.001), (25, 0.1), step=0)
        for _ in range(10):
            traffic.run((40, 0.08), (40, 0.001), step=1)
        assert verdict(traffic.ledger).verdict == FAIL

    def test_stable_being_over_it_by_a_hair_excuses_nothing(self) -> None:
        for of_stable, expected in (((1, 2), FAIL), ((3, 6), SHARED_INCIDENT)):
            traffic = Traffic()
            for look in range(20):
                traffic.new.serve(50, 1 + look % 2 + 1)
                traffic.old.serve(100, of_stable[look % 2] if look < 18 else 0)
                traffic.look()
            assert verdict(traffic.ledger).verdict == expected

    def test_a_candidate_far_worse_than_a_broken_stable_fails_all_the_same(self) -> None:
        traffic = Traffic()
        for _ in range(10):
            traffic.run((50, 0.5), (950, 0.02))
        assert verdict(traffic.ledger).verdict == FAIL
        assert verdict(traffic.ledger, COMPARED).verdict == FAIL

    def test_a_stable_that_keeps_the_limit_excuses_nothing(self) -> None:
        for seed in range(20):
            traffic = Traffic(rng=random.Random(seed), limits={"errors": 0.01})
            for _ in range(20):
                traffic.run((50, 0.05), (950, 0.005))
            assert verdict(traffic.ledger).verdict == FAIL


class TestWhatIsNoEvidence:
    """Never a pass and never a fail, whatever the numbers claim."""

    def undecided(self, of: Ledger) -> None:
        for spec in (ERRORS, COMPARED, replace(COMPARED, limit=None, ratio_requires_pass=True)):
            found = verdict(of, spec)
            assert found.verdict == NO_DATA
            judged = conclude([found], [spec])
            assert (judged.fail, judged.passed, judged.hold, judged.no_data) == (False, False, True, True)

    def test_empty(self) -> None:
        self.undecided(ledger())
        self.undecided(absorb(ledger(), [], step=0, now=at(5)))
        self.undecided(absorb(ledger(), [replace(Process().read(5), counters={})], step=0, now=at(5)))

    def test_zero_requests(self) -> None:
        self.undecided(absorb(ledger(), [Process(began=1).read(5)], step=0, now=at(5)))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, -1e9, 1e300, 0.5])
    @pytest.mark.parametrize("field", ["total", "bad"])
    def test_nan_inf_and_negative(self, value: float, field: str) -> None:
        for counter in (Counter(10**6, 0), Counter(10**6, 10**6)):
            broken = replace(counter, **{field: value})
            reading = replace(Process(began=1).read(5), counters={"": broken, "errors": broken})
            self.undecided(absorb(ledger(), [reading], step=0, now=at(5)))

    @pytest.mark.parametrize("share", [0.0, 1.0])
    def test_future_dated(self, share: float) -> None:
        pod = Process(began=1)
        pod.serve(10**6, int(10**6 * share))
        self.undecided(absorb(ledger(), [pod.read(60)], step=0, now=at(5)))

    @pytest.mark.parametrize("share", [0.0, 1.0])
    def test_what_happened_before_the_rollout(self, share: float) -> None:
        pod = Process(began=-600)
        pod.serve(10**6, int(10**6 * share))
        self.undecided(absorb(ledger(), [pod.read(5)], step=0, now=at(5)))

    @pytest.mark.parametrize("bad", [0, 4])
    def test_duplicated(self, bad: int) -> None:
        """What is undecided once stays so, however often it is said."""
        pod = Process(began=1)
        pod.serve(200, bad)
        reading = pod.read(5)
        of = absorb(ledger(), [reading] * 50, step=0, now=at(5))
        once = verdict(of)
        for look in range(50):
            of = absorb(of, [reading] * 50, step=0, now=at(6 + look))
        again = verdict(of)
        assert (again.verdict, again.samples, again.bad) == (once.verdict, 200, bad)
        assert once.verdict == CONTINUE

    def test_reordered(self) -> None:
        pod, readings = Process(began=1), []
        for look in range(1, 40):
            pod.serve(5, 0)
            readings.append(pod.read(look))
        random.Random(3).shuffle(readings)
        of = ledger()
        for i in range(0, 39, 3):
            of = absorb(of, readings[i : i + 3], step=0, now=at(40))
        assert verdict(of).samples == 39 * 5
        assert verdict(of).verdict == CONTINUE

    @pytest.mark.parametrize("bad", [0, 25])
    def test_reset(self, bad: int) -> None:
        """A counter that falls again and again without a restart."""
        pod, of = Process(began=-3600), ledger()
        for look in range(1, 60):
            pod.counters["errors"] = [10_000 - 100 * look + 25 * (look % 2), bad * (60 - look)]
            of = absorb(of, [pod.read(look)], step=0, now=at(look))
        assert of.resets > 3
        self.undecided(of)

    @pytest.mark.parametrize("bad", [0, 25])
    def test_two_processes_behind_one_address(self, bad: int) -> None:
        one, other = Process(began=-3600), Process(began=-60)
        other.serve(100_000, 50_000)
        of = ledger()
        for look in range(1, 60):
            one.serve(25, bad)
            other.serve(25, bad)
            of = absorb(of, [(other, one)[look % 2].read(look)], step=0, now=at(look))
        assert of.resets > 3
        self.undecided(of)

    def test_a_source_that_fell_silent(self) -> None:
        of = counted(5000, 10)
        assert verdict(of).verdict == PASS
        of = absorb(of, [], step=0, now=at(100) + timedelta(minutes=3))
        assert verdict(of).verdict == PASS
        of = absorb(of, [], step=0, now=at(101) + timedelta(minutes=3))
        self.undecided(of)
        assert "no valid reading from engine for 3 min, before that 10 of 5,000 requests bad" in verdict(of).reason

    @pytest.mark.parametrize("bad", [10, 500])
    def test_a_source_that_is_known_to_be_unreachable_tells_nothing_after_seconds(self, bad: int) -> None:
        why = {"engine": "Direct: Unreachable: cannot connect to 10.0.0.1:8000: Connection refused"}

        def look(seconds: float) -> GuardrailVerdict:
            of = absorb(counted(5000, bad), [], step=0, now=at(seconds))
            return judge([ERRORS], of, false_rollback=0.05, false_promotion=0.05, unreachable=why)[0]

        seen = FAIL if bad == 500 else PASS
        assert look(105).verdict == seen  # one or two scrapes that fail are no silence
        assert look(106).verdict == (FAIL if bad == 500 else NO_DATA)
        if bad == 10:
            assert "no valid reading from engine for 6 s (Direct: Unreachable: cannot connect" in look(106).reason

    def test_another_source_that_is_unreachable_takes_nothing_away(self) -> None:
        of = absorb(counted(5000, 10), [], step=0, now=at(160))
        found = judge([ERRORS], of, false_rollback=0.05, false_promotion=0.05, unreachable={"gateway": "gone"})[0]
        assert found.verdict == PASS

    def test_why_nothing_was_ever_measured(self) -> None:
        found = judge([ERRORS], ledger(), false_rollback=0.05, false_promotion=0.05, unreachable={"prometheus": "gone"})
        assert found[0].reason == "no source has measured this for the candidate (gone)"

    def test_what_fell_silent_is_told_apart_from_what_has_not_spoken_yet(self) -> None:
        gone = absorb(counted(5000, 10), [], step=0, now=at(3600))
        for of, fell_silent in ((gone, True), (ledger(), False)):
            found = conclude((verdict(of),), [ERRORS])
            assert (found.hold, found.no_data, found.fell_silent) == (True, True, fell_silent)

    def test_a_source_that_answers_with_what_it_knew_long_ago(self) -> None:
        pod = Process(began=1)
        pod.serve(5000, 10)
        self.undecided(absorb(ledger(), [pod.read(5)], step=0, now=at(300)))

    def test_a_source_that_only_gives_nonsense_fell_silent_too(self) -> None:
        pod = Process(began=1)
        pod.serve(5000, 10)
        of = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        for look in range(2, 50):
            broken = replace(pod.read(5 * look), counters={"errors": Counter(math.nan, 0)})  # type: ignore[arg-type]
            of = absorb(of, [broken], step=0, now=at(5 * look))
        found = verdict(of)
        assert found.verdict == NO_DATA
        assert "48 not a count" in found.reason

    def test_counters_that_fall_again_and_again_are_no_evidence_at_once(self) -> None:
        of, one, other = counted(5000, 10), Process(began=1), Process(began=1)
        one.serve(5000, 10)
        other.serve(3000, 6)
        seconds, seen = 100.0, []
        for _ in range(3):
            for behind_the_address in (other, one):
                seconds += 5
                of = absorb(of, [behind_the_address.read(seconds)], step=0, now=at(seconds))
            seen.append(verdict(of).verdict)
        assert seen == [PASS, PASS, NO_DATA]
        assert verdict(of).reason == (
            "engine gives counters that no single process can have and are not counted any more: they fell without a restart, "
            "or a former one came back; is there one address for several processes? Before that 10 of 5,000 requests bad (0.2%)"
        )
        again = Process(instance="pod-2", began=120)
        again.serve(10)
        assert verdict(absorb(of, [again.read(140)], step=0, now=at(140))).verdict == PASS
        gone = absorb(of, [], step=0, now=at(141), alive=set())
        assert verdict(gone).verdict == PASS

    def test_a_failure_that_was_seen_stays_one_when_the_source_falls_silent(self) -> None:
        of = absorb(counted(100, 50), [], step=0, now=at(3600))
        assert verdict(of).verdict == FAIL

    def test_a_silent_stable_is_no_evidence_against_the_candidate(self) -> None:
        traffic = Traffic()
        for _ in range(20):
            traffic.new.serve(100, 1)
            traffic.seconds += 5
            traffic.ledger = absorb(
                traffic.ledger, [traffic.new.read(traffic.seconds)], step=0, now=at(traffic.seconds)
            )
        found = verdict(traffic.ledger, replace(COMPARED, limit=0.05))
        assert found.verdict == PASS
        assert found.ratio_e_value == 1

    @given(
        st.lists(
            st.tuples(
                counts,
                counts,
                st.floats(-60, 60),
            ),
            max_size=12,
        )
    )
    @settings(deadline=None, max_examples=200)
    def test_no_reading_can_make_it_raise(self, readings: list[tuple[float, float, float]]) -> None:
        of = ledger()
        for look, (total, bad, shift) in enumerate(readings):
            counters = {"": Counter(total, 0), "errors": Counter(total, bad)}  # type: ignore[arg-type]
            reading = replace(Process(began=1).read(look * 5 + shift), counters=counters)
            of = absorb(of, [reading], step=0, now=at(look * 5))
        found = verdict(of, COMPARED)
        assert found.verdict in {PASS, FAIL, CONTINUE, NO_DATA}
        assert from_record(to_record(of)) == of


class TestSources:
    def both(self, engine: tuple[int, int], gateway: tuple[int, int]) -> Ledger:
        of = ledger()
        for look in range(1, LOOKS + 1):
            readings = []
            for source, (total, bad) in (("engine", engine), ("gateway", gateway)):
                pod = Process(source=source, instance=source)
                pod.serve(total * look // LOOKS, bad * look // LOOKS)
                readings.append(pod.read(5 * look))
            of = absorb(of, readings, step=0, now=at(5 * look))
        return of

    @pytest.mark.parametrize(
        ("engine", "gateway", "expected", "source"),
        [
            ((3000, 10), (3000, 10), PASS, "gateway"),
            ((3000, 10), (3000, 300), FAIL, "gateway"),
            ((3000, 300), (3000, 10), FAIL, "engine"),
            ((3000, 10), (30, 0), CONTINUE, "gateway"),
            ((3000, 10), (0, 0), NO_DATA, "gateway"),
            ((0, 0), (40, 40), FAIL, "gateway"),
        ],
    )
    def test_the_worse_of_two_sources_counts(
        self, engine: tuple[int, int], gateway: tuple[int, int], expected: str, source: str
    ) -> None:
        found = verdict(self.both(engine, gateway))
        assert (found.verdict, found.source) == (expected, source)

    def test_two_sources_share_the_risk_of_rolling_back(self) -> None:
        totals = range(40, 160)
        alone = [verdict(counted(total, 6)).verdict for total in totals]
        shared = [verdict(self.both((total, 6), (total, 6))).verdict for total in totals]
        halved = [verdict(counted(total, 6), risk=0.025).verdict for total in totals]
        assert shared == halved
        assert shared.count(FAIL) < alone.count(FAIL)

    def test_a_guardrail_that_one_source_cannot_measure_is_judged_by_the_other(self) -> None:
        gateway = Process(source="gateway", counters={"": [5000, 0]})
        pod = Process()
        pod.serve(5000, 5)
        of = absorb(ledger(), [gateway.read(5), pod.read(5)], step=0, now=at(5))
        assert verdict(of).verdict == PASS


class TestConclusion:
    @staticmethod
    def of(kind: str, name: str = "errors") -> GuardrailVerdict:
        return GuardrailVerdict(name, kind, None, None, None, None, 0, 0, None, "engine", f"is {kind}", None)

    @pytest.mark.parametrize(
        ("action", "kind", "fail", "hold", "passed", "no_data"),
        [
            ("RollBack", PASS, False, False, True, False),
            ("RollBack", FAIL, True, False, False, False),
            ("RollBack", CONTINUE, False, False, False, False),
            ("RollBack", NO_DATA, False, True, False, True),
            ("RollBack", SHARED_INCIDENT, False, True, False, False),
            ("Hold", PASS, False, False, True, False),
            ("Hold", FAIL, False, True, False, False),
            ("Hold", CONTINUE, False, False, False, False),
            ("Hold", NO_DATA, False, True, False, True),
            ("Hold", SHARED_INCIDENT, False, True, False, False),
            ("Observe", PASS, False, False, True, False),
            ("Observe", FAIL, False, False, True, False),
            ("Observe", CONTINUE, False, False, True, False),
            ("Observe", NO_DATA, False, False, True, False),
            ("Observe", SHARED_INCIDENT, False, False, True, False),
        ],
    )
    def test_one_guardrail(self, action: str, kind: str, fail: bool, hold: bool, passed: bool, no_data: bool) -> None:
        judged = conclude([self.of(kind)], [replace(ERRORS, action=action)])
        assert (judged.fail, judged.hold, judged.passed, judged.no_data) == (fail, hold, passed, no_data)
        assert judged.reason

    def test_all_must_pass_and_one_failure_is_enough(self) -> None:
        specs = [replace(ERRORS, name=name) for name in "abc"]
        judged = conclude([self.of(PASS, "a"), self.of(PASS, "b"), self.of(CONTINUE, "c")], specs)
        assert not judged.passed
        assert judged.reason == "c: is Continue"
        judged = conclude([self.of(PASS, "a"), self.of(NO_DATA, "b"), self.of(FAIL, "c")], specs)
        assert (judged.fail, judged.hold, judged.no_data) == (True, True, True)
        assert judged.reason == "c: is Fail"

    def test_a_guardrail_without_a_verdict_is_no_data(self) -> None:
        judged = conclude([], [ERRORS])
        assert (judged.passed, judged.hold, judged.no_data) == (False, True, True)

    def test_a_verdict_without_a_guardrail_decides_nothing(self) -> None:
        assert conclude([self.of(FAIL)], []).passed


class TestSentences:
    def test_they_name_the_counts_the_bounds_and_the_limit(self) -> None:
        assert verdict(counted(3000, 12)).reason == (
            "12 of 3,000 requests bad (0.4%), at most 0.811%: shown to be under the limit of 1%"
        )
        assert verdict(counted(800, 5)).reason == (
            "5 of 800 requests bad (0.625%), between 0.127% and 2%: not yet shown to be under or over the limit of 1%"
        )
        assert verdict(counted(900, 41)).reason == (
            "41 of 900 requests bad (4.56%), at least 2.85%: over the limit of 1%"
        )
        assert verdict(ledger()).reason == "no source has measured this for the candidate"

    def test_the_forecast_says_when_to_expect_the_verdict(self) -> None:
        traffic = Traffic()
        for _ in range(10):
            traffic.run((100, 0.0), (0, 0))
        traffic.new.serve(0)
        found = verdict(traffic.ledger, replace(ERRORS, limit=0.005))
        assert found.verdict == CONTINUE
        assert found.forecast is not None
        assert found.forecast.startswith("Pass after about ")
        assert "more requests, about" in found.forecast

    def test_a_forecast_of_failure(self) -> None:
        found = verdict(counted(100, 3))
        assert found.forecast is not None
        assert found.forecast.startswith("Fail after about ")

    def test_there_is_no_forecast_at_the_limit_itself(self) -> None:
        assert verdict(counted(9999, 99)).forecast is None

    def test_there_is_none_where_nothing_is_open(self) -> None:
        assert verdict(counted(3000, 12)).forecast is None
        assert verdict(ledger()).forecast is None

    @pytest.mark.parametrize(("total", "bad", "more"), [(200, 0, 2700), (1000, 4, 1000)])
    def test_forecasts_come_true_within_a_factor_of_two(self, total: int, bad: int, more: int) -> None:
        forecast = verdict(counted(total, bad)).forecast
        assert forecast is not None
        promised = int(forecast.split("about ")[1].split(" more")[0].replace(",", ""))
        assert more / 2 <= promised <= more * 2


def test_verdicts_do_not_depend_on_who_kept_the_books() -> None:
    traffic = Traffic()
    for look in range(50):
        traffic.run((40, 0.02), (400, 0.01), step=look // 20)
    assert verdict(from_record(to_record(traffic.ledger)), COMPARED) == verdict(traffic.ledger, COMPARED)


def test_stable_is_never_judged() -> None:
    old = Process(STABLE, "pod-0")
    old.serve(1000, 900)
    assert verdict(absorb(ledger(), [old.read(5)], step=0, now=at(5))).verdict == NO_DATA
