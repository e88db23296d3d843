"""Readers and writers of the scalars that people type in YAML. Each raises `InvalidValue` with the field's path."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from solera.api.errors import InvalidValue

# The same expressions stand in the CRD (rules.py). Only `[0-9]`, never `\d`: RE2 reads it as ASCII, Python as Unicode.
DURATION = "^([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,5}([.][0-9]{1,3})?s)?([0-9]{1,5}ms)?$"
PERCENT = "^(100([.]0+)?|[0-9]{1,2}([.][0-9]{1,6})?)%$"
RATIO = "^[0-9]{1,3}([.][0-9]{1,4})?$"
_DAY = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))"
_OFFSET = "(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
DATE = f"^[0-9]{{4}}-{_DAY}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{{1,6}})?{_OFFSET}$"
QUANTITY = "^[0-9]{1,15}([.][0-9]{1,9})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?$"

SAY_DURATION = "write a duration in h, m, s and ms, for example 30m, 1h30m, 2.5s or 500ms"
SAY_PERCENT = "write a percentage from 0% to 100%, for example 5% or 0.5%"
SAY_RATIO = 'write a decimal number in quotes, for example "1.25"'
SAY_DATE = "write date, time and offset, for example 2027-03-01T00:00:00Z or 2027-03-01T09:00:00+09:00"
SAY_QUANTITY = "write a quantity above 0, for example 8, 500m or 64Gi"

_DURATION_PARTS = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ms|h|m|s)")
_UNIT_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_QUANTITY_PARTS = re.compile(r"^([0-9.]+)(.*)$")
_SUFFIX = {
    "": Decimal(1),
    **{s: Decimal(10) ** e for s, e in (("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12))},
    **{s: Decimal(10) ** e for s, e in (("P", 15), ("E", 18))},
    **{s: Decimal(2) ** e for s, e in (("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60))},
}
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def parse_duration(text: str, path: str = "") -> timedelta:
    """`1h30m` -> 90 minutes. Units h, m, s, ms in this order; Go's other units and days are refused."""
    if not text or not re.match(DURATION, text) or text.endswith("\n"):
        raise InvalidValue(path, f"{text!r} is not a duration: {SAY_DURATION}")
    milliseconds = sum(Decimal(n) * _UNIT_MILLISECONDS[unit] for n, unit in _DURATION_PARTS.findall(text))
    return timedelta(microseconds=int(milliseconds * 1000))


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back to the same value (to the millisecond): `1h30m`, `2.5s`, `0s`."""
    milliseconds = round(value / timedelta(milliseconds=1))
    if milliseconds < 0:
        raise InvalidValue("", f"a duration cannot be negative: {value}")
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds = f"{Decimal(rest) / 1000:f}".rstrip("0").rstrip(".") if rest % 1000 else str(rest // 1000)
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "") + (f"{seconds}s" if rest else "")
    return text or "0s"


def parse_percent(text: str, path: str = "") -> float:
    """`5%` -> 0.05, a share between 0 and 1."""
    if not re.match(PERCENT, text) or text.endswith("\n"):
        raise InvalidValue(path, f"{text!r} is not a percentage: {SAY_PERCENT}")
    return float(Decimal(text[:-1]) / 100)


def format_percent(share: float, digits: int = 2) -> str:
    """0.05 -> `5%`; `share` is clamped to [0, 1], since estimates of a share may step over by rounding."""
    percent = f"{min(max(share, 0.0), 1.0) * 100:.{digits}f}"
    return (percent.rstrip("0").rstrip(".") if "." in percent else percent) + "%"


def parse_ratio(text: str, path: str = "") -> float:
    """`1.25` -> 1.25."""
    if not re.match(RATIO, text) or text.endswith("\n"):
        raise InvalidValue(path, f"{text!r} is not a ratio: {SAY_RATIO}")
    return float(text)


def parse_time(text: str, path: str = "") -> datetime:
    """An RFC 3339 date and time with its offset -> an aware datetime that keeps the offset."""
    try:
        value = datetime.fromisoformat(text) if re.match(DATE, text) and not text.endswith("\n") else None
    except ValueError:  # 29 February of most years
        value = None
    if value is None:
        raise InvalidValue(path, f"{text!r} is not a point in time: {SAY_DATE}")
    if value <= _EARLIEST:
        raise InvalidValue(path, f"{text!r} is too long ago: {SAY_DATE}")
    return value


def format_time(value: datetime) -> str:
    """An aware datetime -> RFC 3339 in UTC with whole seconds, as Kubernetes writes times."""
    if value.tzinfo is None:
        raise InvalidValue("", f"a time without an offset cannot be written: {value!r}")
    return value.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def parse_quantity(value: int | str, path: str = "") -> Decimal:
    """A Kubernetes quantity above 0 (`8`, `500m`, `64Gi`, `1e3`) -> its exact value."""
    problem = InvalidValue(path, f"{value!r} is not a quantity: {SAY_QUANTITY}")
    text = str(value)
    if isinstance(value, bool) or len(text) > 32 or not re.match(QUANTITY, text) or text.endswith("\n"):
        raise problem
    number, suffix = _QUANTITY_PARTS.match(text).groups()  # type: ignore[union-attr]  # QUANTITY has matched
    try:
        factor = _SUFFIX[suffix] if suffix in _SUFFIX else Decimal(10) ** int(suffix[1:])
        result = Decimal(number) * factor
    except InvalidOperation:
        raise problem from None
    if result <= 0:
        raise problem
    return result
