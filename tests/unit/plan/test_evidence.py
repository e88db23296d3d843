from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scrapes import CANDIDATE, STABLE, T0, Process, Traffic, at, epoch, ledger, stable

from solera.plan.evidence import (
    Counter,
    EvidenceError,
    Ledger,
    Reading,
    absorb,
    count_slice,
    from_record,
    new_ledger,
    to_record,
)
from solera.plan.ledger import Slice
from solera.plan.slices import MAX_SLICES
from solera.stats.failure_share import Interval, RatioProfile


def errors(of: Ledger, revision: str = CANDIDATE, source: str = "engine") -> tuple[int, int]:
    counter = of.total(source, revision, "errors")
    return counter.total, counter.bad


def restored(of: Ledger) -> Ledger:
    return from_record(json.loads(json.dumps(to_record(of))))


class TestFirstSight:
    def test_a_process_that_started_in_the_rollout_counts_from_zero(self) -> None:
        pod = Process(began=3)
        pod.serve(10, 2)
        assert errors(absorb(ledger(), [pod.read(5)], step=0, now=at(5))) == (10, 2)

    def test_a_process_that_ran_before_the_rollout_gives_only_its_baseline(self) -> None:
        pod = stable()
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        assert errors(seen, STABLE) == (0, 0)
        assert seen.sources(STABLE, "errors") == ("engine",)  # measured, with nothing yet
        pod.serve(7, 1)
        assert errors(absorb(seen, [pod.read(10)], step=0, now=at(10)), STABLE) == (7, 1)

    @pytest.mark.parametrize("started", ["", "boot-7", "nan", "inf", "-1", "1e300", "2026-03-01T12:00:01"])
    def test_a_start_that_is_no_time_gives_only_the_baseline(self, started: str) -> None:
        pod = Process()
        pod.serve(10, 2)
        seen = absorb(ledger(), [replace(pod.read(5), started=started)], step=0, now=at(5))
        assert errors(seen) == (0, 0)

    @pytest.mark.parametrize("started", [epoch(2), "2026-03-01T12:00:02Z", "2026-03-01T14:00:02+02:00", "1772366402"])
    def test_a_start_may_be_given_in_seconds_or_as_a_date(self, started: str) -> None:
        pod = Process()
        pod.serve(10, 2)
        assert errors(absorb(ledger(), [replace(pod.read(5), started=started)], step=0, now=at(5))) == (10, 2)

    def test_a_guardrail_added_later_counts_from_its_first_reading_on(self) -> None:
        old, new = stable(), Process(began=1)
        seen = absorb(ledger(), [old.read(5), new.read(5)], step=0, now=at(5))
        for process in (old, new):
            process.counters["ttft"] = [30, 3]
        seen = absorb(seen, [old.read(10), new.read(10)], step=0, now=at(10))
        assert seen.total("engine", STABLE, "ttft") == Counter(0, 0)  # its 30 may be from before the rollout
        assert seen.total("engine", CANDIDATE, "ttft") == Counter(30, 3)  # the whole process is part of it

    def test_a_revision_of_another_rollout_is_not_counted(self) -> None:
        pod = Process(revision="chat-v0-cccccccc")
        pod.serve(10, 2)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        assert seen.totals == {}
        assert seen.instances == {}


class TestDifferences:
    def test_a_restart_counts_from_zero(self) -> None:
        pod = Process(began=1)
        pod.serve(10, 2)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        pod.restart(began=7)
        pod.serve(4, 1)
        seen = absorb(seen, [pod.read(10)], step=0, now=at(10))
        assert errors(seen) == (14, 3)
        assert seen.resets == 0

    def test_a_restart_to_a_higher_count_is_still_a_restart(self) -> None:
        pod = Process(began=1)
        pod.serve(10, 2)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        pod.restart(began=7)
        pod.serve(40, 1)
        assert errors(absorb(seen, [pod.read(10)], step=0, now=at(10))) == (50, 3)

    def test_a_restart_of_stable_counts_from_zero_too(self) -> None:
        pod = stable()
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        pod.restart(began=7)
        pod.serve(4, 1)
        assert errors(absorb(seen, [pod.read(10)], step=0, now=at(10)), STABLE) == (4, 1)

    def test_a_counter_that_falls_without_a_restart_counts_nothing_and_is_a_reset(self) -> None:
        pod = Process(began=1)
        pod.serve(100, 50)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        pod.counters["errors"] = [60, 55]
        seen = absorb(seen, [pod.read(10)], step=0, now=at(10))
        assert errors(seen) == (100, 50)
        assert seen.resets == 1

    def test_after_a_fall_counting_goes_on_once_the_counter_has_risen_twice(self) -> None:
        pod = Process(began=1)
        pod.serve(100)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        pod.restart(began=1)
        counted = []
        for look in range(2, 7):
            pod.serve(10, 1)
            seen = absorb(seen, [pod.read(5 * look)], step=0, now=at(5 * look))
            counted.append(errors(seen)[0])
        assert counted == [100, 100, 100, 110, 120]

    def test_two_processes_behind_one_address_never_add_up(self) -> None:
        one, other = Process(began=1), Process(began=1)
        one.serve(1000)
        other.serve(400, 399)
        seen = absorb(ledger(), [one.read(5)], step=0, now=at(5))
        rng = random.Random(1)
        for look in range(2, 200):
            one.serve(1)
            other.serve(1, 1)
            seen = absorb(seen, [rng.choice((one, other)).read(5 * look)], step=0, now=at(5 * look))
        assert errors(seen)[1] == 0
        assert seen.resets >= 3

    def test_starts_that_come_back_are_two_processes_and_never_counted_again(self) -> None:
        one, other = Process(began=1), Process(began=2)
        one.serve(100, 1)
        other.serve(100, 90)
        seen = ledger()
        for look in range(1, 50):
            seen = absorb(seen, [(one, other)[look % 2].read(5 * look)], step=0, now=at(5 * look))
        assert errors(seen)[0] <= 200
        assert seen.resets >= 1
        again = seen
        for look in range(60, 70):
            one.serve(1000, 1000)
            again = absorb(again, [one.read(5 * look)], step=0, now=at(5 * look))
        assert errors(again) == errors(seen)

    def test_starts_that_are_no_times_and_come_back_are_two_processes_as_well(self) -> None:
        seen, counted = ledger(), []
        for look in range(1, 20):
            pod = Process(counters={"errors": [10 * look, 10 * look]})
            reading = replace(pod.read(5 * look), started=f"boot-{look % 3}")
            seen = absorb(seen, [reading], step=0, now=at(5 * look))
            counted.append(errors(seen)[0])
        assert counted[2:] == [counted[2]] * 17
        assert counted[2] == 20 + 30  # the first of the three only gave its baseline
        assert seen.resets == 16

    def test_an_address_that_proved_to_be_many_processes_is_not_believed_after_a_restart_either(self) -> None:
        pod, seen = Process(began=1), ledger()
        for look in range(1, 5):
            pod.counters["errors"] = [100 - look, 0]
            seen = absorb(seen, [pod.read(look)], step=0, now=at(look))
        before = errors(seen)
        pod.restart(began=100)
        pod.serve(10, 10)
        assert errors(absorb(seen, [pod.read(105)], step=0, now=at(105))) == before

    def test_a_start_from_before_the_last_reading_is_no_restart(self) -> None:
        pod = stable()
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        pod.began = -9000.0
        seen = absorb(seen, [pod.read(10)], step=0, now=at(10))
        assert errors(seen, STABLE) == (0, 0)
        assert seen.resets == 1

    def test_more_bad_than_all_between_two_readings_waits_until_it_fits(self) -> None:
        pod = Process(began=1)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        pod.counters["errors"] = [0, 0]
        pod.counters["errors"][0] += 3
        seen = absorb(seen, [pod.read(10)], step=0, now=at(10))
        pod.counters["errors"] = [3, 2]  # scraped between the two increments of one request
        seen = absorb(seen, [pod.read(15)], step=0, now=at(15))
        assert errors(seen) == (3, 0)
        pod.counters["errors"] = [6, 2]
        assert errors(absorb(seen, [pod.read(20)], step=0, now=at(20))) == (6, 2)

    def test_counts_belong_to_the_step_in_force(self) -> None:
        pod = Process(began=1)
        seen = ledger()
        for step in range(3):
            pod.serve(10 * (step + 1), step)
            seen = absorb(seen, [pod.read(5 * step + 5)], step=step, now=at(5 * step + 5))
        assert seen.steps("engine", CANDIDATE, "errors") == (
            (0, Counter(10, 0)),
            (1, Counter(20, 1)),
            (2, Counter(30, 2)),
        )
        assert errors(seen) == (60, 3)


class TestWhatIsNeverCounted:
    def test_a_duplicate(self) -> None:
        pod = Process(began=1)
        pod.serve(10, 2)
        reading = pod.read(5)
        seen = absorb(ledger(), [reading, reading], step=0, now=at(5))
        again = absorb(seen, [reading, reading], step=0, now=at(6))
        assert errors(again) == (10, 2)
        assert again.refused == {"repeated or late": 1}

    def test_reordered_readings_in_one_look(self) -> None:
        pod, readings = Process(began=1), []
        for look in range(1, 6):
            pod.serve(10, 1)
            readings.append(pod.read(look))
        assert errors(absorb(ledger(), readings[::-1], step=0, now=at(6))) == (50, 5)

    def test_reordered_readings_of_a_process_and_its_successor(self) -> None:
        pod = Process(began=1)
        pod.serve(30, 3)
        last = pod.read(3)
        pod.restart(began=4)
        pod.serve(2, 1)
        assert errors(absorb(ledger(), [pod.read(5), last], step=0, now=at(6))) == (32, 4)

    def test_a_late_reading(self) -> None:
        pod = Process(began=1)
        pod.serve(10, 2)
        early = pod.read(3)
        pod.serve(10, 2)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        seen = absorb(seen, [early], step=0, now=at(6))
        assert errors(seen) == (20, 4)
        assert seen.resets == 0

    def test_a_late_reading_of_a_former_process(self) -> None:
        pod = Process(began=1)
        pod.serve(30)
        early = pod.read(3)
        pod.restart(began=4)
        pod.serve(2)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        assert errors(absorb(seen, [early], step=0, now=at(6))) == (2, 0)

    def test_a_reading_from_the_future(self) -> None:
        pod = Process(began=1)
        pod.serve(10, 10)
        assert errors(absorb(ledger(), [pod.read(10.0)], step=0, now=at(5))) == (10, 10)  # 5 s are the clocks' due
        seen = absorb(ledger(), [pod.read(10.1)], step=0, now=at(5))
        assert seen.totals == {}
        assert seen.refused == {"from the future": 1}

    def test_a_reading_from_before_the_rollout(self) -> None:
        seen = absorb(ledger(), [Process(began=-5).read(-1)], step=0, now=at(5))
        assert (seen.totals, seen.refused) == ({}, {"from before the rollout": 1})

    def test_a_reading_without_time_zone(self) -> None:
        reading = replace(Process().read(3), at=datetime(2026, 3, 1, 12, 0, 3))  # noqa: DTZ001 - that is the point
        seen = absorb(ledger(), [reading], step=0, now=at(5))
        assert (seen.totals, seen.refused) == ({}, {"no time zone": 1})

    @pytest.mark.parametrize(
        "counter",
        [
            Counter(math.nan, 0),  # type: ignore[arg-type]
            Counter(10, math.nan),  # type: ignore[arg-type]
            Counter(math.inf, 0),  # type: ignore[arg-type]
            Counter(10, math.inf),  # type: ignore[arg-type]
            Counter(-1, 0),
            Counter(10, -1),
            Counter(10, 11),
            Counter(10.5, 0),  # type: ignore[arg-type]
            Counter(2**60, 0),
            Counter("10", 0),  # type: ignore[arg-type]
            Counter(None, 0),  # type: ignore[arg-type]
            Counter(True, 0),
        ],
        ids=str,
    )
    def test_what_is_no_count(self, counter: Counter) -> None:
        reading = Process().read(5)
        seen = absorb(ledger(), [replace(reading, counters={"errors": counter})], step=0, now=at(5))
        assert seen.totals == {}
        assert seen.refused == {"not a count": 1}

    def test_what_is_no_count_leaves_the_baseline_and_the_other_counters_alone(self) -> None:
        pod = Process(began=1)
        pod.serve(10, 1)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5))
        bad = pod.read(10)
        bad = replace(bad, counters={"": Counter(12, 0), "errors": Counter(math.nan, 0)})  # type: ignore[arg-type]
        seen = absorb(seen, [bad], step=0, now=at(10))
        assert errors(seen) == (10, 1)
        assert seen.total("engine", CANDIDATE) == Counter(12, 0)
        pod.serve(5, 1)
        assert errors(absorb(seen, [pod.read(15)], step=0, now=at(15))) == (15, 2)

    def test_a_whole_number_that_came_as_float_is_a_count(self) -> None:
        reading = replace(Process().read(5), counters={"errors": Counter(10.0, 2.0)})  # type: ignore[arg-type]
        seen = absorb(ledger(), [reading], step=0, now=at(5))
        assert errors(seen) == (10, 2)
        assert isinstance(errors(seen)[0], int)

    def test_nothing(self) -> None:
        seen = absorb(ledger(), [], step=0, now=at(5))
        assert (seen.totals, seen.ring, seen.now) == ({}, (), at(5))
        seen = absorb(ledger(), [replace(Process().read(5), counters={})], step=0, now=at(5))
        assert seen.totals == {}

    def test_a_clock_that_goes_back(self) -> None:
        seen = absorb(ledger(), [], step=0, now=at(50))
        assert absorb(seen, [], step=0, now=at(20)).now == at(50)


def test_parts_of_one_scrape_are_put_together() -> None:
    pod = Process(began=1)
    pod.serve(10, 2)
    whole = pod.read(5)
    parts = [replace(whole, counters={name: counter}) for name, counter in whole.counters.items()]
    assert absorb(ledger(), parts, step=0, now=at(5)) == absorb(ledger(), [whole], step=0, now=at(5))


class TestPodsThatGo:
    def test_a_pod_that_vanished_is_reported_as_unobserved(self) -> None:
        pod = Process(began=1)
        pod.serve(10, 2)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5), alive={"pod-1"})
        assert seen.unobserved == ()
        seen = absorb(seen, [], step=0, now=at(10), alive=set())
        assert [(u.source, u.revision, u.instance, u.last_read) for u in seen.unobserved] == [
            ("engine", CANDIDATE, "pod-1", at(5))
        ]
        seen = absorb(seen, [], step=0, now=at(15), alive=set())
        assert seen.unobserved_total == 1
        assert errors(seen) == (10, 2)

    def test_a_pod_that_was_only_missing_from_a_list_goes_on_where_it_was(self) -> None:
        pod = Process(began=1)
        pod.serve(10, 2)
        seen = absorb(ledger(), [pod.read(5)], step=0, now=at(5), alive=set())
        pod.serve(5, 1)
        seen = absorb(seen, [pod.read(10)], step=0, now=at(10), alive={"pod-1"})
        assert errors(seen) == (15, 3)
        assert (seen.unobserved, seen.unobserved_total) == ((), 0)

    def test_gateways_are_not_pods(self) -> None:
        gateway = Process(instance="gw-1", source="gateway")
        assert absorb(ledger(), [gateway.read(5)], step=0, now=at(5), alive=set()).unobserved == ()

    def test_more_pods_than_fit_never_make_one_count_twice(self) -> None:
        seen, truth = ledger(), 0
        first = Process(instance="pod-first", began=1)
        first.serve(10)
        seen = absorb(seen, [first.read(2)], step=0, now=at(2), alive={"pod-first"})
        for i in range(400):
            pod = Process(instance=f"pod-{i}", began=3 + i)
            pod.serve(1)
            truth += 1
            seen = absorb(seen, [pod.read(4 + i)], step=0, now=at(4 + i), alive={f"pod-{i}"})
        assert len(seen.instances) == 256
        assert errors(seen)[0] == truth + 10
        first.serve(3)  # given up long ago, and back
        assert errors(absorb(seen, [first.read(500)], step=0, now=at(500)))[0] == truth + 10

    def test_live_pods_are_never_given_up_for_others(self) -> None:
        pods = [Process(instance=f"pod-{i:03}", began=1) for i in range(300)]
        for pod in pods:
            pod.serve(1)
        alive = {pod.instance for pod in pods}
        seen = absorb(ledger(), [pod.read(5) for pod in pods], step=0, now=at(5), alive=alive)
        assert errors(seen)[0] == 256
        assert seen.refused == {"too many instances": 44}


class TestObservedShare:
    def test_it_is_the_share_of_requests_in_the_step_in_force(self) -> None:
        traffic = Traffic()
        traffic.run((10, 0), (90, 0), step=0)
        assert traffic.ledger.observed_share(CANDIDATE) == pytest.approx(0.1)
        traffic.run((50, 0), (50, 0), step=1)
        assert traffic.ledger.observed_share(CANDIDATE) == pytest.approx(0.5)
        assert traffic.ledger.observed_share(CANDIDATE, step=0) == pytest.approx(0.1)
        assert traffic.ledger.observed_share(STABLE, step=0) == pytest.approx(0.9)
        assert traffic.ledger.requests(CANDIDATE) == 50
        assert traffic.ledger.requests(STABLE, step=0) == 90

    def test_without_requests_there_is_none(self) -> None:
        assert ledger().observed_share(CANDIDATE) is None
        assert ledger().requests(CANDIDATE) == 0
        assert Traffic().ledger.observed_share(CANDIDATE) is None

    def test_the_gateway_knows_better_than_the_engines(self) -> None:
        traffic = Traffic()
        traffic.run((10, 0), (10, 0))
        gateways = [Process(STABLE, "gw", 1, "gateway"), Process(CANDIDATE, "gw", 1, "gateway")]
        gateways[0].serve(30)
        gateways[1].serve(10)
        seen = absorb(traffic.ledger, [g.read(11) for g in gateways], step=0, now=at(11))
        assert seen.observed_share(CANDIDATE) == pytest.approx(0.25)
        assert seen.sources(CANDIDATE) == ("gateway", "engine")


class TestPairs:
    def test_both_arms_are_compared_in_the_same_looks(self) -> None:
        traffic, profile, rng = Traffic(), RatioProfile(), random.Random(4)
        for _ in range(20):
            candidate, of_stable = rng.randint(1, 40), rng.randint(1, 400)
            traffic.new.serve(candidate, f := rng.randint(0, candidate))
            traffic.old.serve(of_stable, g := rng.randint(0, of_stable))
            traffic.look()
            profile = profile.add(Interval(candidate, f, of_stable, g))
        assert traffic.ledger.pairings["engine", "errors"].profile == profile

    def test_requests_of_one_arm_wait_for_the_other(self) -> None:
        traffic = Traffic()
        traffic.run((0, 0), (100, 1.0))
        traffic.run((10, 1.0), (0, 0))
        pairing = traffic.ledger.pairings["engine", "errors"]
        assert pairing.steps[0] == Interval(10, 10, 100, 100)
        assert pairing.waiting == Interval(0, 0, 0, 0)

    def test_but_not_for_longer_than_they_are_of_the_same_time(self) -> None:
        traffic = Traffic()
        traffic.run((0, 0), (100, 1.0))
        traffic.seconds += 200
        traffic.look()
        traffic.run((10, 1.0), (20, 0))
        assert traffic.ledger.pairings["engine", "errors"].steps[0] == Interval(10, 10, 20, 0)

    def test_stable_before_the_candidate_had_any_traffic_is_not_compared(self) -> None:
        traffic = Traffic()
        for _ in range(100):
            traffic.run((0, 0), (100, 1.0))
        traffic.run((10, 0), (20, 0))
        assert traffic.ledger.pairings["engine", "errors"].steps[0].stable <= 100 * 25 + 20


class TestTheRing:
    def test_it_keeps_what_every_look_counted(self) -> None:
        traffic = Traffic()
        traffic.run((3, 0), (4, 0), step=2)
        traffic.run((0, 0), (0, 0), step=2)
        key = ("engine", CANDIDATE, "errors")
        assert [(s.start, s.end, s.step, s.counts[key].total) for s in traffic.ledger.ring] == [(at(5), at(10), 2, 3)]

    def test_it_grows_coarser_instead_of_longer_and_loses_nothing(self) -> None:
        traffic = Traffic()
        for look in range(1500):
            traffic.new.serve(1 + look % 3, look % 2)
            traffic.old.serve(5, 1)
            traffic.look(step=look // 500)
        seen = traffic.ledger
        assert MAX_SLICES / 3 < len(seen.ring) <= MAX_SLICES
        for series, steps in seen.totals.items():
            for step, counter in steps.items():
                parts = [s.counts.get(series, Counter(0, 0)) for s in seen.ring if s.step == step]
                assert (sum(p.total for p in parts), sum(p.bad for p in parts)) == (counter.total, counter.bad)
        assert all(a.end <= b.start for a, b in zip(seen.ring, seen.ring[1:], strict=False))

    def test_slices_of_different_steps_are_never_merged(self) -> None:
        seen = ledger()
        pod = Process(began=1)
        for look in range(400):
            pod.serve(1)
            seen = absorb(seen, [pod.read(look + 2)], step=look, now=at(look + 2))
        assert len(seen.ring) == MAX_SLICES
        assert all(isinstance(s, Slice) and s.counts["engine", CANDIDATE, "errors"].total == 1 for s in seen.ring)


class TestTheRecord:
    def test_it_is_given_back_exactly(self) -> None:
        traffic = Traffic()
        for look in range(30):
            traffic.run((7, 0.3), (50, 0.1), step=look // 10)
        traffic.ledger = absorb(traffic.ledger, [], step=2, now=at(500), alive=set())
        assert traffic.ledger.unobserved
        assert restored(traffic.ledger) == traffic.ledger

    def test_doubts_about_an_instance_are_given_back_too(self) -> None:
        pod, seen = Process(began=1), ledger()
        pod.serve(10)
        seen = absorb(seen, [pod.read(5)], step=0, now=at(5), alive={"pod-1"})
        pod.restart(began=80)
        seen = absorb(seen, [pod.read(90)], step=0, now=at(90), alive={"pod-1"})
        pod.serve(7)
        seen = absorb(seen, [pod.read(95)], step=0, now=at(95), alive={"pod-1"})
        pod.counters["errors"] = [3, 0]
        seen = absorb(seen, [pod.read(100), replace(pod.read(101), at=at(500))], step=0, now=at(100), alive=set())
        (instance,) = seen.instances.values()
        assert (instance.falls, instance.quarantine, len(instance.earlier), instance.gone) == (1, 2, 1, True)
        assert (seen.resets, seen.unobserved_total, seen.refused) == (1, 1, {"from the future": 1})
        assert restored(seen) == seen

    def test_a_new_ledger_is_given_back_exactly(self) -> None:
        assert restored(ledger()) == ledger()

    def test_numbers_that_came_back_in_another_notation_are_the_same(self) -> None:
        """An apiserver may write 3.0 as 3."""
        record = to_record(ledger())
        record["pairs"] = [
            {
                "source": "engine",
                "guardrail": "errors",
                "logLikelihood": [0] * 40,
                "steps": {"0": [1.0, 0, 2, 0]},
                "waiting": [0, 0, 0, 0],
                "waitingSince": None,
            }
        ]
        pairing = from_record(record).pairings["engine", "errors"]
        assert pairing.profile == RatioProfile()
        assert pairing.steps == {0: Interval(1, 0, 2, 0)}

    def test_it_stays_small_whatever_happens(self) -> None:
        seen = ledger()
        names = ["", *(f"guardrail-{i}" for i in range(16))]
        counters = {name: Counter(10**9, 10**8 if name else 0) for name in names}
        for look in range(300):
            readings = [
                Reading(at(look + 1), source, revision, f"{look:08}-aaaa-bbbb-cccc-{i:012}", epoch(look), counters)
                for source in ("engine", "gateway")
                for revision in (STABLE, CANDIDATE)
                for i in range(2)
            ]
            seen = absorb(seen, readings, step=look % 50, now=at(look + 1), alive=set())
        assert len(json.dumps(to_record(seen))) < 600_000
        assert restored(seen) == seen

    def test_an_hour_of_an_ordinary_rollout_takes_less_than_100_kb(self) -> None:
        traffic = Traffic()
        for name in ("ttft", "latency"):
            traffic.new.counters[name] = [0, 0]
            traffic.old.counters[name] = [0, 0]
        for look in range(720):
            traffic.run((20, 0.01), (80, 0.01), step=look // 200)
        assert len(json.dumps(to_record(traffic.ledger))) < 100_000

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            ({"format": 2}, "record.format must be 1, got 2"),
            ({"stable": None, "totals": [{"revision": "v9"}]}, "is missing"),
            ({"began": "yesterday"}, "cannot be read"),
            ({"began": "2026-03-01T12:00:00"}, "no time zone"),
            ({"resets": -1}, "no count"),
            ({"resets": float("nan")}, "no count"),
            ({"refused": {"x": True}}, "no count"),
            ({"ring": {"columns": [["engine", "stable", "x"]], "rows": [["2026-03-01T12:00:00Z"]]}}, "cannot be read"),
            ({"ring": None}, "cannot be read"),
        ],
    )
    def test_a_record_changed_by_hand_is_refused(self, damage: dict[str, Any], message: str) -> None:
        with pytest.raises(EvidenceError, match=message):
            from_record(to_record(ledger()) | damage)

    def test_a_record_that_does_not_say_since_when_its_step_is_in_force_can_be_read(self) -> None:
        seen = Traffic().run((10, 0.5), (10, 0))
        assert seen.step_since is not None
        record = to_record(seen)
        del record["stepSince"]
        assert from_record(record) == replace(seen, step_since=None)

    def test_more_bad_than_all_in_a_record_is_refused(self) -> None:
        record = to_record(Traffic().run((10, 0.5), (10, 0)))
        record["totals"][0]["steps"]["0"] = [1, 2]
        with pytest.raises(EvidenceError, match="2 bad of 1 events"):
            from_record(record)


class TestNewLedger:
    def test_one_revision_is_no_rollout(self) -> None:
        with pytest.raises(EvidenceError, match="must differ"):
            new_ledger("r", STABLE, STABLE, T0)

    def test_the_time_needs_a_zone(self) -> None:
        with pytest.raises(EvidenceError, match="time zone"):
            new_ledger("r", STABLE, CANDIDATE, T0.replace(tzinfo=None))


@st.composite
def lives(draw: Any) -> list[tuple[str, Any]]:
    """What may happen to four processes and their readings, second by second."""
    pod = st.integers(0, 3)
    return draw(
        st.lists(
            st.one_of(
                st.tuples(st.just("serve"), st.tuples(pod, st.integers(0, 30), st.floats(0, 1))),
                st.tuples(st.just("restart"), pod),
                st.tuples(st.just("scrape"), st.lists(pod, max_size=4)),
                st.tuples(st.just("repeat"), st.integers(0, 5)),
                st.tuples(st.just("step"), st.none()),
                st.tuples(st.just("operator"), st.none()),
            ),
            max_size=40,
        )
    )


def live(events: list[tuple[str, Any]], *, restarts: bool) -> tuple[Ledger, dict[str, list[int]]]:
    """Play ``events``. Returns the ledger, and what really happened until each process was last read."""
    pods = [stable("pod-0"), stable("pod-1"), Process(instance="pod-2"), Process(instance="pod-3", source="gateway")]
    seen = absorb(ledger(), [pod.read(2) for pod in pods], step=0, now=at(2))
    truth, pending, sent, step, seconds = {STABLE: [0, 0], CANDIDATE: [0, 0]}, {}, [], 0, 2.0
    for kind, what in events:
        seconds += 70  # more than the clocks may differ by, so that every restart is one beyond doubt
        if kind == "serve":
            i, total, share = what
            pods[i].serve(total, int(total * share))
            more = pending.setdefault(i, [0, 0])
            more[0] += total
            more[1] += int(total * share)
        elif kind == "restart":
            pods[what].restart(seconds)
            pending.pop(what, None)  # what no reading saw before the process ended is lost
        elif kind == "scrape":
            readings = [pods[i].read(seconds) for i in what]
            sent += readings
            seen = absorb(seen, readings[::-1], step=step, now=at(seconds))
            for i in what:
                for k, more in enumerate(pending.pop(i, [0, 0])):
                    truth[pods[i].revision][k] += more
        elif kind == "repeat" and sent:
            seen = absorb(seen, sent[-what - 1 :], step=step, now=at(seconds))
        elif kind == "step":
            step += 1
        elif kind == "operator" and restarts:
            seen = restored(seen)
    return seen, truth


@given(lives())
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_every_request_that_was_seen_is_counted_once_whatever_happens(events: list[tuple[str, Any]]) -> None:
    seen, truth = live(events, restarts=False)
    for revision, expected in truth.items():
        counted = [seen.total(source, revision, "errors") for source in ("engine", "gateway")]
        assert [sum(c.total for c in counted), sum(c.bad for c in counted)] == expected


@given(lives())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_an_operator_that_restarts_ends_with_the_same_ledger(events: list[tuple[str, Any]]) -> None:
    assert live(events, restarts=True)[0] == live(events, restarts=False)[0]


@given(st.integers(0, 20), st.integers(0, 20), st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_an_operator_that_crashes_goes_on_from_its_last_write(write: int, crash: int, served: list[int]) -> None:
    """Looks between the last write and the crash are forgotten, the requests in them are not."""
    pods = [stable(), Process()]
    seen = absorb(ledger(), [pod.read(1) for pod in pods], step=0, now=at(1))
    written = to_record(seen)
    for look, total in enumerate(served):
        for pod in pods:
            pod.serve(total, total // 3)
        if look == crash:
            seen = from_record(written)
        seen = absorb(seen, [pod.read(look + 2) for pod in pods], step=0, now=at(look + 2))
        if look == write:
            written = to_record(seen)
    expected = (sum(served), sum(total // 3 for total in served))
    assert errors(seen, STABLE) == errors(seen, CANDIDATE) == expected


def counted_again(of: Ledger) -> Ledger:
    """The ledger that the slices of another one give; its series are known from the first look on."""
    began = new_ledger(of.rollout_id, of.stable, of.candidate, of.began)
    again = replace(began, totals={series: {0: Counter(0, 0)} for series in of.totals})
    for part in of.ring:
        again = count_slice(again, part)
    return again


@given(
    served=st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(0, 60), st.integers(0, 5), st.booleans()),
        max_size=40,
    )
)
def test_slices_counted_again_give_what_readings_gave(served: list[tuple[int, int, int, int, bool]]) -> None:
    traffic, step = Traffic(), -1
    for total, bad, beside, beside_bad, onward in served:
        traffic.new.serve(total, min(total, bad))
        traffic.old.serve(beside, min(beside, beside_bad))
        step += onward
        traffic.look(step)
    again = counted_again(traffic.ledger)
    assert again.ring == traffic.ledger.ring
    assert again.pairings == traffic.ledger.pairings
    # Steps in which nothing at all happened have no slice.
    counted = {0, *(part.step for part in traffic.ledger.ring)}
    for series, steps in traffic.ledger.totals.items():
        assert {k: c for k, c in steps.items() if k in counted} == again.totals[series]


def test_slices_that_were_merged_lose_no_request() -> None:
    traffic = Traffic()
    for look in range(3 * MAX_SLICES):
        traffic.run((4, 0.1), (40, 0.1), step=look // 200)
    again = counted_again(traffic.ledger)
    assert len(again.ring) < 3 * MAX_SLICES
    for series, steps in traffic.ledger.totals.items():
        assert steps == again.totals[series]


def test_a_slice_counts_every_series_as_read() -> None:
    """Who keeps only counts cannot tell a quiet series from a blind one: it is taken for quiet."""
    part = Slice(at(0), at(5), 0, {("engine", CANDIDATE, "errors"): Counter(3, 1)})
    later = Slice(at(400), at(405), 1, {("engine", STABLE, "errors"): Counter(9, 0)})
    seen = count_slice(count_slice(ledger(), part), later)
    assert seen.read_at == {("engine", CANDIDATE, "errors"): at(405), ("engine", STABLE, "errors"): at(405)}
    assert (seen.now, seen.step, seen.step_since) == (at(405), 1, at(405))
    assert errors(seen) == (3, 1)
    assert seen.totals["engine", CANDIDATE, "errors"] == {0: Counter(3, 1), 1: Counter(0, 0)}


def test_a_look_without_news_changes_nothing_but_its_own_time() -> None:
    traffic = Traffic()
    before = traffic.look()
    after = absorb(before, [], step=0, now=before.now + timedelta(seconds=5))
    assert replace(after, now=before.now) == before
