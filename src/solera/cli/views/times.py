"""Points in time and spans as kubectl's users know them: `45s`, `12m`, `3h5m`, `2d5h`. Pure: the time now is an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY


def parse(text: object) -> datetime | None:
    """An RFC 3339 text of the apiserver -> an aware datetime; None for what is absent or not a point in time."""
    if not isinstance(text, str) or not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def span(value: timedelta) -> str:
    """A span in at most two units, finer while it is short: `95s`, `5m30s`, `125m`, `3h5m`, `30h`, `2d5h`, `400d`."""
    seconds = max(0, int(value.total_seconds()))
    if seconds < 2 * MINUTE:
        return f"{seconds}s"
    if seconds < 10 * MINUTE:
        return _two(seconds, MINUTE, "m", 1, "s")
    if seconds < 3 * HOUR:
        return f"{seconds // MINUTE}m"
    if seconds < 8 * HOUR:
        return _two(seconds, HOUR, "h", MINUTE, "m")
    if seconds < 2 * DAY:
        return f"{seconds // HOUR}h"
    if seconds < 8 * DAY:
        return _two(seconds, DAY, "d", HOUR, "h")
    if seconds < 2 * YEAR:
        return f"{seconds // DAY}d"
    return _two(seconds, YEAR, "y", DAY, "d")


def exact(value: timedelta) -> str:
    """A span to the second, as the API writes durations: `1h30m`, `45s`, `0s`."""
    hours, rest = divmod(int(value.total_seconds()), HOUR)
    minutes, seconds = divmod(rest, MINUTE)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def _two(seconds: int, big: int, big_name: str, small: int, small_name: str) -> str:
    whole, rest = divmod(seconds, big)
    part = rest // small
    return f"{whole}{big_name}{part}{small_name}" if part else f"{whole}{big_name}"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, without a word: `12m`; `<unknown>` when it is not known, as kubectl writes it."""
    return span(now - since) if since else "<unknown>"


def relative(at: datetime, now: datetime) -> str:
    """`in 12m`, `12m ago` or `now`."""
    if abs(at - now) < timedelta(seconds=1):
        return "now"
    return f"in {span(at - now)}" if at > now else f"{span(now - at)} ago"


def stamp(at: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes writes times."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(at: datetime | None, now: datetime) -> str:
    """`2027-03-01T00:00:00Z (in 63d)`; `-` when there is none."""
    return f"{stamp(at)} ({relative(at, now)})" if at else "-"
