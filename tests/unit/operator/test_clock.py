"""The operator's time while the system clock is moved under it."""

from __future__ import annotations

from datetime import datetime

import pytest

from solera.operator.clock import SteadyClock

HOUR = 3600.0


class Machine:
    def __init__(self) -> None:
        self.system = 1_800_000_000.0
        self.monotonic = 50.0
        self.clock = SteadyClock(lambda: self.system, lambda: self.monotonic)

    def pass_(self, seconds: float) -> datetime:
        self.system += seconds
        self.monotonic += seconds
        return self.clock()

    def behind(self) -> float:
        """Seconds from the operator's time to the system's."""
        return (self.clock.system() - self.clock()).total_seconds()


def test_it_is_the_system_clock_while_nobody_moves_that() -> None:
    machine = Machine()
    for seconds in (0, 0.001, 1, 600, 86400):
        assert machine.pass_(seconds) == machine.clock.system()
    assert machine.clock.problem() is None


def test_small_corrections_are_followed_but_never_backwards() -> None:
    machine = Machine()
    before = machine.pass_(1)
    machine.system -= 0.4
    assert machine.pass_(0.1) == before
    assert machine.pass_(0.5) == machine.clock.system()
    machine.system += 0.7
    assert machine.pass_(0.1) == machine.clock.system()


@pytest.mark.parametrize("moved", [HOUR, -HOUR])
def test_moved_by_an_hour_time_goes_on_and_is_drawn_towards_it(moved: float, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    start = machine.pass_(10)
    machine.system += moved
    after = machine.pass_(10)
    assert (after - start).total_seconds() == pytest.approx(10, rel=0.11)
    assert abs(machine.behind()) > 3590
    last = after
    for _ in range(int(11 * HOUR / 60)):
        now = machine.pass_(60)
        assert 53 <= (now - last).total_seconds() <= 67
        last = now
    assert machine.behind() == pytest.approx(0, abs=1.0)
    assert [r.getMessage().partition(";")[0] for r in caplog.records] == [
        f"the system clock was moved by {moved:+.0f} s"
    ]


def test_forth_and_back_leaves_nothing_behind() -> None:
    machine = Machine()
    machine.pass_(10)
    machine.system += HOUR
    machine.pass_(30)
    machine.system -= HOUR
    assert abs(machine.pass_(30).timestamp() - machine.system) < 5
    machine.pass_(60)
    assert machine.behind() == pytest.approx(0, abs=1.0)


def test_a_clock_that_was_plainly_wrong_is_taken_over_by_a_restart() -> None:
    machine = Machine()
    machine.system += 40 * 365 * 86400
    assert "moved by +350400 h since the start" in (machine.clock.problem() or "")
    machine.pass_(10)
    assert machine.clock.problem() is not None
    assert SteadyClock(lambda: machine.system, lambda: machine.monotonic).problem() is None


def test_time_never_goes_back_whatever_the_clocks_do() -> None:
    machine = Machine()
    last = machine.clock()
    for moved in (-5, 5, -0.5, 0.5, -7200, 3600, 90000, -90000, 0):
        machine.system += moved
        for seconds in (0, 0.2, 3):
            now = machine.pass_(seconds)
            assert now >= last
            last = now
