"""What is wrong with this engine: declared at start by arguments or environment, changed while it runs over HTTP.

One field, three spellings: ``error_rate`` in the JSON of ``/faults``, ``--sim-error-rate`` as an argument,
``SIM_ERROR_RATE`` in the environment. A version that is bad by design declares it in its pod template.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Any

from .letters import LETTERS

DRAIN_MODES = ("finish", "abort", "hang")
METRICS_MODES = ("shown", "closed", "missing", "empty", "nan")


def _share(text: str) -> Any:
    return field(default=0.0, metadata={"text": text, "range": (0.0, 1.0)})


def _seconds(default: float, text: str) -> Any:
    return field(default=default, metadata={"text": text, "range": (0.0, 86400.0)})


@dataclass(frozen=True, slots=True)
class Faults:
    """All switches. Shares are 0..1 of the requests, times are seconds. Raises ``ValueError`` on bad values."""

    error_rate: float = _share("share answered 500 by the engine (counted as finished_reason=error)")
    reject_rate: float = _share("share answered reject_status before the engine sees them (HTTP counter only)")
    reject_status: int = field(default=429, metadata={"text": "status of rejected requests", "range": (400, 599)})
    cut_rate: float = _share("share of streams whose connection is closed half-way")
    hang_rate: float = _share("share that is never answered while /health stays 200")
    wrong_rate: float = _share("share answered wrongly, drawn for each request")
    wrong_letters: str = field(default="", metadata={"text": "letters a-z that are always continued wrongly"})
    ttft_median: float = _seconds(0.01, "median time to the first token")
    ttft_sigma: float = field(
        default=0.2, metadata={"text": "spread of it: standard deviation of its logarithm", "range": (0.0, 3.0)}
    )
    slow_share: float = _share("share whose first token comes slow_delay later")
    slow_delay: float = _seconds(0.0, "what the slow share waits on top")
    inter_token_delay: float = _seconds(0.001, "time between two tokens")
    startup_delay: float = _seconds(0.0, "time from the start of the process until the model counts as loaded")
    startup_fail: bool = field(default=False, metadata={"text": "exit with status 1 when loading would be done"})
    counter_reset_every: float = _seconds(
        0.0, "set all counters to zero each time that this much time passed; 0: never"
    )
    counter_reset_hidden: bool = field(
        default=False, metadata={"text": "leave process_start_time_seconds as it is when counters fall to zero"}
    )
    metrics_mode: str = field(
        default="shown",
        metadata={"text": "what /metrics does: shown, closed (no answer), missing (404), empty, or nan (every value)"},
    )
    metrics_delay: float = _seconds(0.0, "how long /metrics takes to answer")
    drain_mode: str = field(
        default="finish",
        metadata={"text": "on SIGTERM: finish requests, abort them, or hang (ignore it until killed)"},
    )
    drain_delay: float = _seconds(0.0, "on SIGTERM: stay at least this long, idle or not")

    def __post_init__(self) -> None:
        for f in fields(self):
            _check(f, getattr(self, f.name))
        for name, modes in (("drain_mode", DRAIN_MODES), ("metrics_mode", METRICS_MODES)):
            if getattr(self, name) not in modes:
                msg = f"{name}: {getattr(self, name)!r} is none of {', '.join(modes)}"
                raise ValueError(msg)
        if not set(self.wrong_letters) <= set(LETTERS):
            msg = f"wrong_letters: {self.wrong_letters!r} must be letters a-z"
            raise ValueError(msg)

    def changed(self, wanted: Mapping[str, Any]) -> Faults:
        """These faults with ``wanted`` on top; all or nothing. Raises ``ValueError`` naming the field that is wrong."""
        unknown = sorted(set(wanted) - NAMES)
        if unknown:
            msg = f"{unknown[0]}: no such fault; use {', '.join(sorted(NAMES))}"
            raise ValueError(msg)
        return replace(self, **wanted)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


FIELDS: tuple[Field[Any], ...] = fields(Faults)
NAMES = frozenset(f.name for f in FIELDS)


def from_text(given: Mapping[str, str]) -> Faults:
    """Faults from argument or environment strings by field name. Raises ``ValueError`` naming the field."""
    return Faults().changed({name: _parse(name, text) for name, text in given.items()})


def _parse(name: str, text: str) -> Any:
    kind = _kind(next(f for f in FIELDS if f.name == name))
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            msg = f"{name}: {text!r} must be true or false"
            raise ValueError(msg)
        return text.lower() in ("true", "1")
    try:
        return kind(text)
    except ValueError:
        msg = f"{name}: {text!r} is not a number"
        raise ValueError(msg) from None


def _kind(f: Field[Any]) -> type:
    return type(f.default)


def _check(f: Field[Any], value: Any) -> None:
    kind = _kind(f)
    number = kind in (int, float)
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits or (number and not math.isfinite(value)):
        msg = f"{f.name}: {value!r} must be a {'number' if number else kind.__name__} ({f.metadata['text']})"
        raise ValueError(msg)
    low, high = f.metadata.get("range", (value, value))
    if number and not low <= value <= high:
        msg = f"{f.name}: {value!r} must be from {low:g} to {high:g} ({f.metadata['text']})"
        raise ValueError(msg)
