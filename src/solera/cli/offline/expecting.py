"""What can be expected of a guardrail, as data for programs and in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from solera.api.scalars import format_percent
from solera.cli.views import times
from solera.cli.views.table import plain
from solera.plan.power import Asked, Expectation, Pace, Wait, expectations, good_requests, waited

AFTER = tuple(timedelta(minutes=m) for m in (5, 15, 30, 60, 120, 360, 720, 1440, 2880, 10080))
"""Times after which the chances are told."""

DIGITS = 4
ASSUMED = "Requests are taken to be bad independently of each other, by the same chance from the first to the last."


@dataclass(frozen=True, slots=True)
class By:
    """The chances after a time, in which so many requests came to the candidate."""

    after: timedelta
    requests: int
    passed: float
    failed: float
    undecided: float


@dataclass(frozen=True, slots=True)
class Expected:
    """One true share (a text such as `0.5%`): the chances at the horizon, and when there is a verdict in half and in nine tenths of all cases."""

    share: str
    passed: float
    failed: float
    undecided: float
    horizon: Wait
    median: Wait | None
    ninety: Wait | None
    by: tuple[By, ...] = ()


@dataclass(frozen=True, slots=True)
class PowerStep:
    """Weight in percent, and how long it lasts; None for the last one, which lasts until there is a verdict."""

    weight: int
    lasts: timedelta | None


@dataclass(frozen=True, slots=True)
class Power:
    """Everything that `solera power` tells."""

    limit: str
    false_rollback: str
    false_promotion: str
    tests: int
    requests_per_minute: float
    steps: tuple[PowerStep, ...]
    within: timedelta
    least_good: Wait | None
    expected: tuple[Expected, ...]


def power(asked: Asked, shares: Sequence[float], pace: Pace, within: timedelta) -> Power:
    """Reckon it. `pace` is that of the candidate, `within` how far it is reckoned at most."""
    good = good_requests(asked, pace)
    steps = [PowerStep(round(weight * 100), lasts) for weight, lasts in pace.steps]
    return Power(
        limit=_percent(asked.limit),
        false_rollback=_percent(asked.false_rollback),
        false_promotion=_percent(asked.false_promotion),
        tests=asked.tests,
        requests_per_minute=pace.rate * 60,
        steps=(*steps[:-1], PowerStep(steps[-1].weight, None)),
        within=within,
        least_good=None if good is None else waited(good, pace),
        expected=tuple(
            expected(found, _by(found, pace, within)) for found in expectations(asked, shares, pace, within=within)
        ),
    )


def expected(found: Expectation, by: Iterable[By] = ()) -> Expected:
    """One expectation in the form in which it is printed."""
    return Expected(
        share=_percent(found.share),
        passed=round(found.passed, DIGITS),
        failed=round(found.failed, DIGITS),
        undecided=round(found.undecided, DIGITS),
        horizon=found.horizon,
        median=found.median,
        ninety=found.ninety,
        by=tuple(by),
    )


def _by(found: Expectation, pace: Pace, within: timedelta) -> Iterator[By]:
    decided = found.undecided < 10**-DIGITS
    for after in sorted({*(at for at in AFTER if at < within), within}):
        requests = pace.requests_by(after)
        if requests > found.horizon.requests and not decided:
            return
        passed, failed = found.curve.by(requests)
        yield By(after, requests, *(round(c, DIGITS) for c in (passed, failed, max(0.0, 1 - passed - failed))))


def _percent(share: float) -> str:
    return format_percent(share, 6)


def told(p: Power) -> Iterator[str]:
    """Blocks of text, to be parted by empty lines."""
    rate = f"{p.requests_per_minute:g} requests a minute"
    *before, last = p.steps
    steps = [f"{s.weight}% for {times.exact(s.lasts or timedelta())}" for s in before]
    to = ", then ".join([*steps, f"{last.weight}%" + (" until there is a verdict" if before else "")])
    tests = f"{p.tests} test{'' if p.tests == 1 else 's'}"
    risk = f"falseRollback {p.false_rollback} over {tests}, falsePromotion {p.false_promotion}"
    yield f"{rate}, of which the candidate gets {to}.\nLimit {p.limit}, {risk}.\n{ASSUMED}"
    good = "more than can be reckoned with" if p.least_good is None else arrival(p.least_good)
    yield f"Requests to pass if none is bad: {good}"
    rows = [
        [e.share, *map(_chance, (e.passed, e.failed, e.undecided)), _end(e.median), _end(e.ninety)] for e in p.expected
    ]
    yield plain(("TRUE SHARE", "PASS", "FAIL", "UNDECIDED", "VERDICT IN HALF OF ALL CASES", "IN NINE TENTHS"), rows)
    horizon = p.expected[0].horizon
    time = f" ({times.exact(horizon.time)})" if horizon.time else ""
    yield f"PASS, FAIL and UNDECIDED are the chances after {horizon.requests:,} requests of the candidate{time}."
    longest = max((e.by for e in p.expected), key=len)
    rows = [
        [times.exact(b.after), f"{b.requests:,}", *(_cell(e.by[i]) if i < len(e.by) else "-" for e in p.expected)]
        for i, b in enumerate(longest)
    ]
    if rows:
        yield plain(("AFTER", "REQUESTS", *(e.share for e in p.expected)), rows)


def arrival(wait: Wait) -> str:
    """`521 (8m41s)`, or `521` where the rate is not known."""
    return f"{wait.requests:,}" + ("" if wait.time is None else f" ({times.span(wait.time)})")


def _end(wait: Wait | None) -> str:
    return "-" if wait is None else arrival(wait)


def _chance(value: float) -> str:
    return format_percent(value, 1)


def _cell(b: By) -> str:
    return f"Pass {_chance(b.passed)}, Fail {_chance(b.failed)}"
