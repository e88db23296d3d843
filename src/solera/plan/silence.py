"""Requests went in and none came out: how long nothing has come from a revision although, by its share of the traffic, it was due.

Silence alone is no verdict, since traffic may just have stopped. It is the reason to ask the pods for a completion; only those that are
ready and do not give one either are taken for hung.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from solera.plan.ledger import ALL_REQUESTS, Ledger
from solera.plan.types import ObservedRevision

DUE = 10.0
"""Answers that must have been due: that none of so many comes by chance happens once in 20,000 times (Poisson, e^-10)."""

LEAST = timedelta(seconds=10)
"""No silence is shorter: a busy engine may take as long for one prompt."""


@dataclass(frozen=True, slots=True)
class Silence:
    """``lasted`` is how long nothing came by the newest reading, ``due`` how many answers were due in that time."""

    lasted: timedelta
    due: float

    @property
    def period(self) -> timedelta:
        """In which time DUE answers are due, in whole seconds."""
        return max(LEAST, timedelta(seconds=math.ceil(self.lasted.total_seconds() * DUE / self.due)))


def silence(ledger: Ledger, guardrails: Collection[str], weight: int, since: datetime) -> Silence | None:
    """The longest silence of the ledger's candidate that means something; None when there is none.

    Any of its series may fall silent, that of all requests or one of ``guardrails``: those whose events are answers, so that a client which
    left is none. ``weight`` is its share of the traffic in percent, ``since`` when that came into force: a candidate that had lost its pods owes
    nothing for the time without them. What was due follows from what stable got meanwhile, at weight 100 from the traffic before.
    """
    series = [(source, name) for name in (ALL_REQUESTS, *guardrails) for source in ledger.sources(ledger.stable, name)]
    anew = ledger.anew
    found = [_of_series(ledger, source, name, weight, max(since, anew.get(name, since))) for source, name in series]
    return max((one for one in found if one is not None), key=lambda one: one.lasted, default=None)


def _of_series(ledger: Ledger, source: str, name: str, weight: int, since: datetime) -> Silence | None:
    candidate, stable = (source, ledger.candidate, name), (source, ledger.stable, name)
    read_at = ledger.read_at.get(candidate)
    if read_at is None and source == "gateway":  # it has no series of a backend before its first answer
        read_at = ledger.read_at.get(stable)
    if read_at is None or weight <= 0:
        return None
    beside, rose = 0, None
    for part in reversed(ledger.ring):
        if part.end <= since:
            break
        if candidate in part.counts:
            rose = part.end
            break
        beside += part.counts[stable].total if stable in part.counts else 0
    lasted = read_at - (rose or since)
    if weight < 100:
        due = beside * weight / (100 - weight)
    else:
        both = ledger.total(*candidate).total + ledger.total(*stable).total
        due = both * lasted / max(ledger.now - ledger.began, lasted, LEAST)
    return Silence(lasted, due) if lasted >= LEAST and due >= DUE else None


def hung(seen: ObservedRevision | None) -> str | None:
    """Why a revision is taken for hung: it has ready pods, and each of them was asked for a completion and gave none."""
    pods = [] if seen is None else [p for p in seen.pods if p.ready and not p.terminating]
    mute = [p.mute for p in pods if p.mute is not None]
    if not mute or len(mute) < len(pods):
        return None
    return f"{len(pods)} of {len(pods)} pods are ready and none gives a completion: {mute[0]}"
