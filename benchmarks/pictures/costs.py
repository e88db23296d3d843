"""How many requests a verdict takes, and how long that is: medians over lives that the operator's own code judges.

A life that ends with the other verdict, or with none by the time that ``HORIZON`` requests have come, counts as one in which this never comes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from benchmarks.pictures.lives import World, guardrail, looks

from solera.plan.verdict import FAIL, PASS

LIVES = 41
LIMITS = (0.001, 0.01, 0.05)
RATES = (10, 100, 1000)
BESIDE = 3
"""Stable has so many times the requests of the candidate: a weight of 25 %."""

STABLE_OF_LIMIT = 0.3
RELEASES = {
    0.0: "no bad request at all",
    0.5: "half the limit",
    2.0: "twice the limit",
    3.0: "three times the limit",
    5.0: "five times the limit",
}
HORIZON = 2000.0
"""Bad requests due at the limit, or at stable's share where there is no limit."""

NEAR = {0.25: "a quarter of the limit", 0.5: "half the limit", 0.7: "0.7 times the limit", 0.8: "0.8 times the limit"}
RISKS = (0.1, 0.05, 0.01)
GUARDRAILS = (1, 2, 4, 8)
RATIOS = (1.25, 1.5, 2.0, 3.0)
TRUE_RATIOS = (3.0, 5.0, 10.0)
TYPICAL_LIMIT, TYPICAL_RATE = 0.01, 100
STABLE_SHARE = 0.01
BEGIN, END = "<!-- {}:begin (written by `python -m benchmarks.pictures --costs`) -->", "<!-- {}:end -->"


def requests(
    world: World, limit: float | None, wanted: str, seed: str, ratio: float | None = None, **risk: float
) -> float:
    """Of the candidate, until the verdict ``wanted`` is there in one life; infinite when it never is."""
    most = HORIZON / (world.stable_share if limit is None else limit)
    for look in looks(world, guardrail(limit, ratio), seed, **risk):
        if look.verdict.verdict in {PASS, FAIL}:
            return look.verdict.samples if look.verdict.verdict == wanted else math.inf
        if look.verdict.samples > most:
            return math.inf
    raise AssertionError("looks never end")


def until(limit: float, times: float, per_minute: int, lives: int = LIVES, **risk: float) -> float:
    """Median requests until Pass, for ``times`` below 1, or until Fail; the true share is ``times`` the limit."""
    world = World(per_minute, times * limit, BESIDE * per_minute, STABLE_OF_LIMIT * limit)
    wanted = PASS if times < 1 else FAIL
    return median(requests(world, limit, wanted, f"{limit}/{times}/{per_minute}/{n}", **risk) for n in range(lives))


def until_ratio(allowed: float, true: float, lives: int = LIVES) -> float:
    """Median requests until Fail of a candidate that fails ``true`` times as often as stable, where ``allowed`` times are allowed."""
    world = World(TYPICAL_RATE, true * STABLE_SHARE, BESIDE * TYPICAL_RATE, STABLE_SHARE)
    return median(requests(world, None, FAIL, f"{allowed}/{true}/{n}", allowed) for n in range(lives))


def cell(count: float, per_minute: float) -> str:
    """`520 (5.2 min)`: two significant digits, more would claim to know the future."""
    if math.isinf(count):
        return "never"
    return f"{_two(count):,.0f} ({_time(count / per_minute)})"


def _two(value: float) -> float:
    digits = math.floor(math.log10(value)) - 1
    return round(value / 10**digits) * 10**digits


def _time(minutes: float) -> str:
    for unit, size in (("days", 1440), ("h", 60), ("min", 1)):
        if minutes >= 2 * size:
            return f"{_two(minutes / size):.3g} {unit}"
    return f"{max(_two(60 * minutes), 5):.3g} s"


def table(header: list[str], rows: Iterator[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def row(limit: float, times: float, lives: int = LIVES) -> list[str]:
    """One row of the first table."""
    found = [cell(until(limit, times, rate, lives), rate) for rate in RATES]
    return [f"{100 * limit:g}%", RELEASES[times], PASS if times < 1 else FAIL, *found]


def tables() -> dict[str, str]:
    """The text of every table by its name. Takes some minutes."""
    main = table(
        ["limit", "the release has", "verdict", *(f"{rate:,} a minute" for rate in RATES)],
        (row(limit, times) for limit in LIMITS for times in RELEASES),
    )
    near = table(
        ["the release has", f"Pass at a limit of {100 * TYPICAL_LIMIT:g}%"],
        ([words, cell(until(TYPICAL_LIMIT, times, TYPICAL_RATE), TYPICAL_RATE)] for times, words in NEAR.items()),
    )
    return {"costs": main, "near": near, "risks": _risks(), "ratios": _ratios()}


def _risks() -> str:
    def rows() -> Iterator[list[str]]:
        for risk in RISKS:
            passing = until(TYPICAL_LIMIT, 0.5, TYPICAL_RATE, false_promotion=risk)
            # One guardrail of several has its part of the risk: that is all that their number changes.
            failing = [until(TYPICAL_LIMIT, 3.0, TYPICAL_RATE, false_rollback=risk / count) for count in GUARDRAILS]
            yield [f"{100 * risk:g}%", *(cell(found, TYPICAL_RATE) for found in (passing, *failing))]

    many = [f"Fail, {count} guardrail{'s' if count > 1 else ''}" for count in GUARDRAILS]
    return table(["risk", "Pass", *many], rows())


def _ratios() -> str:
    def rows() -> Iterator[list[str]]:
        for allowed in RATIOS:
            found = [until_ratio(allowed, true) if true > allowed else math.inf for true in TRUE_RATIOS]
            yield [f"{allowed:g}", *(cell(count, TYPICAL_RATE) for count in found)]

    return table(["`maxRatio`", *(f"{true:g} times as bad as stable" for true in TRUE_RATIOS)], rows())
