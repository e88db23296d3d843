"""The sentences of verdicts: what was counted, what it shows, what is missing. One sentence each, with its numbers."""

from __future__ import annotations

import math
from datetime import timedelta

from solera.plan.ledger import Counter, Ledger, Pairing, Slice
from solera.plan.overdue import overdue
from solera.plan.showing import ALLOWED, Evidence
from solera.stats.share import divergence

_RECENT = 20
_NEVER = 5_000_000
_LEAST_DUE = 0.5
_ROUNDS = 4


def share(value: float) -> str:
    """A share as a percentage with up to three significant digits."""
    return f"{100 * value:.3g}%"


def counts(counter: Counter) -> str:
    """Bad events among all, and their share."""
    if not counter.total:
        return "no requests"
    return f"{counter.bad:,} of {counter.total:,} requests bad ({share(counter.bad / counter.total)})"


def still_running(of: Evidence) -> str:
    """How many of the bad ones have not ended; empty where none is known."""
    spec = of.spec
    running = overdue(of.ledger, of.source, of.ledger.candidate, spec.name)
    return f", {running:,} of them still running after {spec.slower_than:g} s" if running and spec.slower_than else ""


def against_stable(pairing: Pairing) -> str:
    """How many times as often as stable the candidate fails, where both had requests in the same intervals."""
    both = pairing.whole
    candidate, stable = Counter(both.candidate, both.candidate_failures), Counter(both.stable, both.stable_failures)
    if not (candidate.total and stable.bad):
        return f"against {counts(stable)} of stable in the same intervals"
    ratio = candidate.bad / candidate.total / (stable.bad / stable.total)
    return f"{ratio:.3g} times the share of stable in the same intervals, {counts(stable)}"


def silence(
    ledger: Ledger, source: str, guardrail: str, whole: Counter, stale_after: timedelta, blind: str | None = None
) -> str | None:
    """Why nothing is known, or None when enough is: never measured, not believed, no requests yet, or a source that fell silent.

    ``blind`` is why the newest look at the source told nothing.
    """
    read_at = ledger.read_at.get((source, ledger.candidate, guardrail))
    why = f" ({blind})" if blind else ""
    if read_at is None:
        return f"no source has measured this for the candidate{why}{_refusals(ledger)}"
    if ledger.given_up(source, ledger.candidate):
        return (
            f"{source} gives counters that no single process can have and are not counted any more: they fell without a restart, "
            f"or a former one came back; is there one address for several processes? Before that {counts(whole)}"
        )
    quiet = ledger.now - read_at
    if quiet > stale_after:
        return (
            f"no valid reading from {source} for {duration(quiet)}{why}, before that {counts(whole)}{_refusals(ledger)}"
        )
    if not whole.total:
        return f"{source} has counted no requests of the candidate"
    return None


def _refusals(ledger: Ledger) -> str:
    """What was thrown away: the usual reason for silence where there are readings."""
    parts = [f"{times:,} {reason}" for reason, times in sorted(ledger.refused.items())]
    if ledger.resets:
        parts.append(f"{ledger.resets:,} fell without a restart")
    return f" (readings refused in this rollout: {', '.join(parts)})" if parts else ""


def forecast(of: Evidence) -> str | None:
    """When the verdict may be expected if the share stays as it is; None where it is too close to the limit to say.

    The wealth grows by the divergence per event, less half the logarithm of their number (Laplace's approximation of the mixture). What
    counts for one in bursts must reach its level too.
    """
    whole, limit = of.whole, of.spec.limit
    if limit is None or whole.total * limit < _LEAST_DUE:
        return None  # so few requests that the prior alone would speak
    gain = divergence(whole.bad / whole.total, limit)
    if gain * _NEVER < 1:
        return None
    passing = whole.bad < limit * whole.total
    needed = float(whole.total)
    for _ in range(_ROUNDS):
        due = 0.5 * math.log1p(needed * limit)
        if passing:
            size = of.spread.burst_size_after(max(needed / whole.total, 1.0))
            allowed = of.levels.promotion - ALLOWED
            needed = max(of.levels.promotion + due, size * (allowed + due)) / gain
        else:
            needed = (of.levels.rollback + due) / gain
    more = needed - whole.total
    if needed > _NEVER:
        return None
    verdict = "Pass" if passing else "Fail"
    if more < 1:
        return f"{verdict} soon, if the share stays as it is"
    rate = _rate(of.ledger, of.source, of.spec.name)
    when = (
        f", about {duration(timedelta(seconds=more / rate))} at the present rate" if rate and more / rate < 1e8 else ""
    )
    return f"{verdict} after about {_rounded(more):,} more requests{when}, if the share stays as it is"


def duration(span: timedelta) -> str:
    """A length of time in its largest fitting unit."""
    seconds = span.total_seconds()
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def _rounded(value: float) -> int:
    """Two significant digits: more would claim to know the future."""
    digits = max(int(math.log10(value)) - 1, 0)
    return int(math.ceil(value / 10**digits) * 10**digits)


def _rate(ledger: Ledger, source: str, guardrail: str) -> float | None:
    """Requests of the candidate per second, in the newest slices of the step in force."""
    recent: list[Slice] = [part for part in ledger.ring[-_RECENT:] if part.step == ledger.step]
    if not recent:
        return None
    seconds = (ledger.now - recent[0].start).total_seconds()
    series = (source, ledger.candidate, guardrail)
    requests = sum(part.counts[series].total for part in recent if series in part.counts)
    return requests / seconds if requests and seconds > 0 else None
