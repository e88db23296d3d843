from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.cli.views import times

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (95, "95s"),
        (119.9, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (600, "10m"),
        (7_500, "125m"),
        (11_100, "3h5m"),
        (10_800, "3h"),
        (108_000, "30h"),
        (190_800, "2d5h"),
        (8 * 86_400, "8d"),
        (400 * 86_400, "400d"),
        (760 * 86_400, "2y30d"),
    ],
)
def test_a_span_has_at_most_two_units(seconds: float, text: str) -> None:
    assert times.span(timedelta(seconds=seconds)) == text


@given(st.integers(0, 10**9))
def test_a_span_says_less_than_it_is_and_loses_under_a_seventh(seconds: int) -> None:
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "y": 365 * 86_400}
    said, number = 0, ""
    for char in times.span(timedelta(seconds=seconds)):
        if char in unit:
            said, number = said + int(number) * unit[char], ""
        else:
            number += char
    assert said <= seconds < max(said * 7 / 6, said + 1)


@pytest.mark.parametrize(
    ("shift", "text"), [(720, "in 12m"), (-720, "12m ago"), (0, "now"), (0.4, "now"), (86_400 * 63, "in 63d")]
)
def test_relative(shift: float, text: str) -> None:
    assert times.relative(NOW + timedelta(seconds=shift), NOW) == text


def test_points_in_time_are_read_tolerantly_and_written_in_utc() -> None:
    tokyo = datetime(2027, 3, 1, 9, 0, tzinfo=timezone(timedelta(hours=9)))
    assert times.parse("2027-03-01T09:00:00+09:00") == tokyo
    assert times.stamp(tokyo) == "2027-03-01T00:00:00Z"
    assert times.parse("2027-03-01T00:00:00Z") == tokyo
    assert times.parse("2027-03-01T00:00:00") == tokyo
    for nothing in (None, "", "soon", 12, "2027-02-30T00:00:00Z"):
        assert times.parse(nothing) is None
    assert times.moment(tokyo, NOW) == "2027-03-01T00:00:00Z (in 97d)"
    assert times.moment(None, NOW) == "-"
    assert times.age(None, NOW) == "<unknown>"
