"""Durations, percentages, ratios, dates and quantities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.api import scalars
from solera.api.errors import InvalidValue


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("2m", 120), ("500ms", 0.5), ("1h30m", 5400), ("2.5s", 2.5), ("0s", 0), ("1h2m3.5s4ms", 3723.504)],
)
def test_durations(text: str, seconds: float) -> None:
    assert scalars.parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "1d", "-1s", "1.5h", "5m1h", "1 m", "1m\n", "99999h", "1us", "٣m"])
def test_no_durations(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"^spec\.x: .*write a duration"):
        scalars.parse_duration(text, "spec.x")


@given(st.integers(0, 9999 * 3_600_000))
def test_durations_are_read_back_as_they_were_written(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert scalars.parse_duration(scalars.format_duration(value)) == value


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (5400, "1h30m"), (2.5, "2.5s"), (3600, "1h"), (61, "1m1s")])
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert scalars.format_duration(timedelta(seconds=seconds)) == text


def test_a_negative_duration_is_not_written() -> None:
    with pytest.raises(InvalidValue, match="cannot be negative"):
        scalars.format_duration(timedelta(seconds=-1))


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.5%", 0.005), ("100%", 1), ("100.0%", 1), ("0%", 0)])
def test_percentages(text: str, share: float) -> None:
    assert scalars.parse_percent(text) == share


@pytest.mark.parametrize("text", ["5", "%", "101%", "-1%", "5 %", "5%\n", "100.1%", ".5%", "1e1%"])
def test_no_percentages(text: str) -> None:
    with pytest.raises(InvalidValue, match="write a percentage"):
        scalars.parse_percent(text)


@pytest.mark.parametrize(
    ("share", "text"), [(0.05, "5%"), (0.0512, "5.12%"), (1.0, "100%"), (1.2, "100%"), (-1e-9, "0%"), (0.1, "10%")]
)
def test_percentages_are_written_short(share: float, text: str) -> None:
    assert scalars.format_percent(share) == text


def test_ratios() -> None:
    assert scalars.parse_ratio("1.25") == 1.25
    for text in ("", "1,25", "-1", "1.", "1e3", "1.25\n"):
        with pytest.raises(InvalidValue, match="write a decimal number"):
            scalars.parse_ratio(text)


def test_times_keep_their_offset() -> None:
    value = scalars.parse_time("2027-03-01T09:00:00+09:00")
    assert value == datetime(2027, 3, 1, tzinfo=UTC)
    assert value.utcoffset() == timedelta(hours=9)
    assert scalars.parse_time("2027-03-01T00:00:00.25Z").microsecond == 250_000


@pytest.mark.parametrize(
    "text",
    [
        "2027-03-01",
        "2027-03-01T00:00:00",
        "2027-02-30T00:00:00Z",
        "2027-03-01T24:00:00Z",
        "2027-03-01T00:00:60Z",
        "2027-03-01t00:00:00z",
        "2027-03-01 00:00:00Z",
        "2027-03-01T00:00:00,5Z",
        "2027-03-01T00:00:00+0900",
        "2027-03-01T00:00:00+25:00",
        "2027-03-01T00:00:00Z\n",
        "1999-12-31T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_no_times(text: str) -> None:
    with pytest.raises(InvalidValue, match="write date, time and offset"):
        scalars.parse_time(text)


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001 - the zone is drawn separately
    st.integers(-14 * 60, 14 * 60),
)
def test_times_are_read_back_as_they_were_written(naive: datetime, offset: int) -> None:
    value = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    assert scalars.parse_time(scalars.format_time(value)) == value


def test_a_time_without_offset_is_not_written() -> None:
    with pytest.raises(InvalidValue, match="without an offset"):
        scalars.format_time(datetime(2027, 1, 1))  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (8, 8),
        ("8", 8),
        ("500m", "0.5"),
        ("64Gi", 64 * 2**30),
        ("1e3", 1000),
        ("1.5e-3", "0.0015"),
        ("1E", 10**18),
        ("2k", 2000),
    ],
)
def test_quantities(text: int | str, value: int | str) -> None:
    assert scalars.parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", [0, -1, True, "", "0", "0Gi", "-1", "1gb", "1 Gi", "1.2.3", "lots", "1Gi\n", "9" * 40])
def test_no_quantities(text: int | str) -> None:
    with pytest.raises(InvalidValue, match="write a quantity above 0"):
        scalars.parse_quantity(text)
