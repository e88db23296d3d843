"""The three lives that are drawn, and the looks in them that a reader should find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.pictures.lives import Incident, Look, World, guardrail, looks

from solera.plan.verdict import CONTINUE, FAIL, PASS, SHARED_INCIDENT

LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class Mark:
    """A look with what happens at it. ``kind`` colours it, the words begin in ``row`` of those above the plot."""

    look: Look
    kind: str
    words: tuple[str, ...]
    row: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture. ``after`` are seconds that are drawn after the look that decides, ``top`` is the largest share that is drawn."""

    name: str
    title: str
    subtitle: str
    world: World
    seed: str
    decides: str
    after: int
    top: float
    marks: Callable[[Sequence[Look]], list[Mark]]
    with_stable: bool = False

    def life(self) -> tuple[list[Look], Look]:
        """All looks that are drawn, and the one that decides."""
        seen: list[Look] = []
        decisive: Look | None = None
        for look in looks(self.world, guardrail(LIMIT), self.seed, intervals=True):
            if decisive is None and look.verdict.verdict in {PASS, FAIL}:
                decisive = look
            seen.append(look)
            # A candidate that failed gets no requests any more.
            if decisive is not None and (
                decisive.verdict.verdict == FAIL or look.second >= decisive.second + self.after
            ):
                return seen, decisive
        raise AssertionError("looks never end")


def clock(second: int) -> str:
    return f"{second // 60}:{second % 60:02}"


def _counts(look: Look) -> str:
    return f"{look.verdict.bad:,} of {look.verdict.samples:,} bad"


def first(seen: Sequence[Look], verdict: str) -> Look:
    return next(look for look in seen if look.verdict.verdict == verdict)


def _healthy(seen: Sequence[Look]) -> list[Mark]:
    passed = first(seen, PASS)
    words = (f"Pass at {clock(passed.second)}", _counts(passed), "may go to 100%")
    return [Mark(passed, PASS, words)]


def _bad(seen: Sequence[Look]) -> list[Mark]:
    held = next(look for look in seen if look.verdict.suspected)
    failed = first(seen, FAIL)
    return [
        Mark(held, CONTINUE, (f"Continue at {clock(held.second)}", "held, may be one burst")),
        Mark(failed, FAIL, (f"Fail at {clock(failed.second)}", _counts(failed), "is rolled back")),
    ]


def _incident(seen: Sequence[Look]) -> list[Mark]:
    shared = [look for look in seen if look.verdict.verdict == SHARED_INCIDENT]
    over = next(after for before, after in pairwise(seen) if before is shared[-1])
    passed = first(seen, PASS)
    return [
        Mark(shared[0], SHARED_INCIDENT, (f"SharedIncident at {clock(shared[0].second)}", "held, not rolled back")),
        Mark(over, CONTINUE, (f"Continue at {clock(over.second)}", "stable and candidate are well again"), row=2),
        Mark(passed, PASS, (f"Pass at {clock(passed.second)}", _counts(passed), "may go to 100%")),
    ]


_INCIDENT = Incident(120, 210, 0.05)

SCENES = (
    Scene(
        "healthy",
        "A healthy release passes",
        "0.3% of its requests fail, the limit is 1%; 500 requests a minute to it, one look every 5 s",
        World(500, 0.003, 1500, 0.003),
        "healthy 1",
        PASS,
        60,
        0.03,
        _healthy,
    ),
    Scene(
        "bad",
        "A bad release fails",
        "2.5% of its requests fail, the limit is 1%; 500 requests a minute to it, one look every 5 s",
        World(500, 0.025, 1500, 0.003),
        "bad 11",
        FAIL,
        0,
        0.1,
        _bad,
    ),
    Scene(
        "shared-incident",
        "A shared incident holds",
        f"5% of all requests fail from {clock(_INCIDENT.begins)} to {clock(_INCIDENT.ends)}, 0.3% before and after, whichever version answers; the limit is 1%",
        World(500, 0.003, 1500, 0.003, _INCIDENT),
        "shared incident 3",
        PASS,
        60,
        0.03,
        _incident,
        with_stable=True,
    ),
)
