from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.operator.workqueue import FIRST_BACKOFF, LAST_BACKOFF, Schedule, WorkQueue


def drain(schedule: Schedule[str], now: float) -> list[str]:
    """Take and finish everything that is ready."""
    out = []
    while (key := schedule.take(now)) is not None:
        schedule.done(key, now)
        out.append(key)
    return out


def test_a_key_stands_in_the_queue_once() -> None:
    schedule: Schedule[str] = Schedule()
    for key in ("a", "b", "a", "a"):
        schedule.add(key, 0)
    assert schedule.depth() == 2
    assert drain(schedule, 0) == ["a", "b"]


def test_a_key_that_is_worked_on_is_not_given_out_again_but_comes_back() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0)
    assert schedule.take(0) == "a"
    schedule.add("a", 1)
    schedule.add("a", 1)
    assert schedule.take(1) is None
    schedule.done("a", 2)
    assert schedule.take(2) == "a"
    schedule.done("a", 3)
    assert schedule.take(3) is None


def test_of_several_times_the_earliest_counts() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add_at("a", 50)
    schedule.add_at("a", 10)
    schedule.add_at("a", 30)
    assert schedule.next_due() == 10
    assert drain(schedule, 9.9) == []
    assert drain(schedule, 10) == ["a"]
    assert schedule.next_due() is None, "looking once serves all the later times"
    assert drain(schedule, 100) == []


def test_any_work_on_a_key_clears_its_delay() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add_at("a", 50)
    schedule.add("a", 0)
    assert drain(schedule, 0) == ["a"]
    assert drain(schedule, 60) == []


def test_a_delay_set_while_the_key_is_worked_on_holds() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0)
    assert schedule.take(0) == "a"
    schedule.add_at("a", 5)
    schedule.done("a", 1)
    assert drain(schedule, 4) == []
    assert drain(schedule, 5) == ["a"]


def test_a_delay_that_ends_while_the_key_is_worked_on_is_not_lost() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0)
    assert schedule.take(0) == "a"
    schedule.add_at("a", 5)
    assert schedule.take(6) is None
    schedule.done("a", 7)
    assert schedule.take(7) == "a"


def test_backoff_doubles_up_to_its_limit_for_each_key_alone() -> None:
    schedule: Schedule[str] = Schedule()
    delays = []
    for _ in range(12):
        delays.append(schedule.retry_at("a", 0))
        schedule.forget("b")
    assert delays[:4] == [FIRST_BACKOFF, 0.4, 0.8, 1.6]
    assert delays[-1] == LAST_BACKOFF
    assert schedule.retry_at("b", 0) == FIRST_BACKOFF
    schedule.succeeded("a")
    assert schedule.retry_at("a", 0) == FIRST_BACKOFF


def test_backoff_of_a_key_that_fails_for_days_does_not_overflow() -> None:
    schedule: Schedule[str] = Schedule()
    for _ in range(5000):
        assert schedule.retry_at("a", 0) <= LAST_BACKOFF


def test_a_forgotten_key_is_not_looked_at_again() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add_at("a", 5)
    schedule.forget("a")
    assert schedule.next_due() is None
    assert drain(schedule, 10) == []


def test_since_when_something_waits() -> None:
    schedule: Schedule[str] = Schedule()
    assert schedule.oldest() is None
    schedule.add("a", 3)
    schedule.add("b", 5)
    assert schedule.oldest() == 3
    schedule.take(9)
    assert schedule.oldest() == 5, "b waits since then"
    schedule.take(9)
    assert schedule.oldest() == 9


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "delay", "take", "done", "retry", "forget"]), st.integers(0, 3), st.integers(0, 20)
    ),
    max_size=80,
)


@given(OPERATIONS)
def test_whatever_happens_nothing_is_lost_and_no_key_is_worked_on_twice_at_a_time(
    operations: list[tuple[str, int, int]],
) -> None:
    schedule: Schedule[int] = Schedule()
    working: set[int] = set()
    owed: set[int] = set()
    now = 0.0
    for operation, key, amount in operations:
        now += 1
        if operation == "add":
            schedule.add(key, now)
            owed.add(key)
        elif operation == "delay":
            schedule.add_at(key, now + amount)
            owed.add(key)
        elif operation == "retry":
            schedule.retry_at(key, now)
            owed.add(key)
        elif operation == "take":
            taken = schedule.take(now)
            if taken is not None:
                assert taken not in working
                working.add(taken)
                owed.discard(taken)
        elif operation == "done" and key in working:
            working.discard(key)
            schedule.done(key, now)
    for key in list(working):
        schedule.done(key, now)
    assert owed <= set(drain_ints(schedule, now + 1000))


def drain_ints(schedule: Schedule[int], now: float) -> list[int]:
    out = []
    while (key := schedule.take(now)) is not None:
        schedule.done(key, now)
        out.append(key)
    return out


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_waiting_worker_is_woken() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    async with asyncio.timeout(30):
        assert await waiting == "a"


async def test_a_delayed_key_wakes_a_waiting_worker_in_time() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_after("later", 60)
    queue.add_after("soon", 0.02)
    async with asyncio.timeout(30):
        assert await waiting == "soon"


async def test_two_workers_never_have_the_same_key() -> None:
    queue: WorkQueue[int] = WorkQueue()
    working: set[int] = set()
    count = 0

    async def worker() -> None:
        nonlocal count
        while True:
            key = await queue.get()
            assert key not in working
            working.add(key)
            await asyncio.sleep(0)
            queue.add(key % 3)
            await asyncio.sleep(0)
            working.discard(key)
            count += 1
            queue.done(key)

    tasks = [asyncio.create_task(worker()) for _ in range(5)]
    for key in range(3):
        queue.add(key)
    for _ in range(300):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(r, asyncio.CancelledError) for r in results), results
    assert count > 30


async def test_stuck_means_that_nothing_was_finished_while_something_waited() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    clock.now = 100
    assert queue.stuck_for() == 0
    queue.add("a")
    queue.add("b")
    clock.now = 130
    assert queue.stuck_for() == 30
    assert await queue.get() == "a"
    queue.done("a")
    clock.now = 140
    assert queue.stuck_for() == 10, "a long queue that moves is not stuck"


async def test_a_worker_that_stops_waiting_leaves_nothing_behind() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    queue.add("a")
    assert await queue.get() == "a"


async def test_an_end_that_comes_together_with_news_is_heard() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("later", 60)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await queue.get() == "a"
