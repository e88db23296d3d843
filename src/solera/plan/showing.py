"""What the evidence of one source shows about one guardrail: tests and limits, before any verdict is drawn from them.

Everything that decides is shown twice: by a test for independent events at the declared risk, and at BURST_ALLOWANCE times that risk where bad events come in bursts.
For Fail both are bets per interval (``solera.stats.interval_bets``), the second kind of which keeps its risk in bursts of every size. For Pass, and for both
comparisons to stable, the first is a test of all events (``solera.stats.share``, ``solera.stats.failure_share``) and the second the same with bursts counted
for one (``solera.stats.dispersion``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from solera.plan.guardrail import GuardrailSpec
from solera.plan.intervals import bets_on, spread_of
from solera.plan.ledger import ZERO, Counter, Ledger, Pairing, add
from solera.stats.dispersion import Spread
from solera.stats.share import (
    divergence,
    log_wealth_above,
    lower_limit,
    prior_weight,
    shown_above,
    shown_below,
    upper_limit,
)

BURST_ALLOWANCE = 2.0
"""Where failures come in bursts, a risk may be so many times what is declared."""

ALLOWED = math.log(BURST_ALLOWANCE)
"""The same in units of log wealth."""

BAD_TO_PASS = 15.0
"""Bad events due at the limit when the test for Pass is tightest: the median at half the limit is then near its minimum."""

BAD_TO_FAIL = 3.0
"""The same for a share above a limit: small, since one far over it should be seen after a few bad events."""

CLEARLY_WORSE = 2.0
"""Where stable breaks the limit too and no ``max_ratio`` is set: how much worse than stable a candidate must be shown to be."""

LOOKS_WORSE = 5.0
"""The e-value from which on a candidate over its limit looks worse than stable. While both have the same fault it ever does so once in five times at most."""

LEAST_DUE = 0.3
LEAST_SHARE = 0.5
"""Stable can tell: so many bad events were due at the limit, and it had at least half as many requests as the candidate."""

CLEARER = 2.0
"""A part of the rollout is told instead of the whole when it speaks so much more clearly, in units of log wealth."""

TYPICAL_LIMIT = 0.01
"""Where the interval is made tightest when there is no limit."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Log wealth that a test must reach."""

    rollback: float
    promotion: float


@dataclass(frozen=True)
class Evidence:
    """What is known of one guardrail from one source, and how much must be shown."""

    spec: GuardrailSpec
    ledger: Ledger
    source: str
    levels: Levels

    @cached_property
    def whole(self) -> Counter:
        """All events of the candidate in this rollout."""
        return self.ledger.total(self.source, self.ledger.candidate, self.spec.name)

    @cached_property
    def pairing(self) -> Pairing:
        """Both arms in the same spans of time."""
        return self.ledger.pairings.get((self.source, self.spec.name), Pairing())

    @cached_property
    def spread(self) -> Spread:
        """How the candidate's bad events are spread over time."""
        return spread_of(self.ledger, self.source, self.ledger.candidate, self.spec.name)

    @cached_property
    def size(self) -> float:
        """How many bad events of the candidate count for one."""
        return self.spread.burst_size

    @cached_property
    def size_of_both(self) -> float:
        """The same for whichever arm has the larger bursts."""
        return max(self.size, spread_of(self.ledger, self.source, self.ledger.stable, self.spec.name).burst_size)


def breaks_limit(of: Evidence) -> bool:
    """Whether the candidate is shown to be above the limit."""
    limit = of.spec.limit
    if limit is None:
        return False
    level = of.levels.rollback
    bets = bets_on(of.ledger, of.source, of.spec.name, limit, level)
    return bets.log_e >= level - ALLOWED and bets.log_e_singly >= level


def suspect(of: Evidence) -> bool:
    """Whether the candidate would be shown to be above the limit, over the rollout or the step in force, if no failures came together.

    It tells at once what ``breaks_limit`` tells after some intervals: enough to wait, too little to roll back.
    """
    limit, ledger = of.spec.limit, of.ledger
    if limit is None:
        return False
    steps = ledger.totals.get((of.source, ledger.candidate, of.spec.name), {})
    here = ZERO if ledger.step is None else steps.get(ledger.step, ZERO)
    weight = prior_weight(limit, BAD_TO_FAIL)
    return any(shown_above(c.bad, c.total, limit, weight, of.levels.rollback) for c in (of.whole, here) if c.total)


def breaks_ratio(of: Evidence) -> bool:
    """Whether the candidate is shown to fail more than ``max_ratio`` times as often as stable."""
    return of.spec.max_ratio is not None and worse_than_stable(of, of.spec.max_ratio)


def worse_than_stable(of: Evidence, ratio: float) -> bool:
    """Whether the candidate is shown to fail more than ``ratio`` times as often as stable, bursts of either arm considered."""
    profile, level = of.pairing.profile, of.levels.rollback
    if profile.log_e_above(ratio) < level:
        return False
    return profile.log_e_above(ratio, of.size_of_both) >= level - ALLOWED


def under_limit(of: Evidence) -> bool:
    """Whether the candidate is shown to be below the limit, which it must have."""
    limit, whole, size, level = of.spec.limit, of.whole, of.size, of.levels.promotion
    assert limit is not None
    weight = prior_weight(limit, BAD_TO_PASS)
    if not shown_below(whole.bad, whole.total, limit, weight, level):
        return False
    return shown_below(whole.bad / size, whole.total / size, limit, weight, level - ALLOWED)


def under_ratio(of: Evidence) -> bool:
    """Whether the candidate is shown to fail less than ``max_ratio`` times as often as stable, which must be set."""
    ratio, profile, level = of.spec.max_ratio, of.pairing.profile, of.levels.promotion
    assert ratio is not None
    if profile.log_e_below(ratio) < level:
        return False
    return profile.log_e_below(ratio, of.size_of_both) >= level - ALLOWED


def limits(of: Evidence) -> tuple[float | None, float | None]:
    """Lower and upper confidence limit of the candidate's share, each one-sided at its risk; None without events."""
    whole, size = of.whole, of.size
    if not whole.total:
        return None, None
    near = TYPICAL_LIMIT if of.spec.limit is None else of.spec.limit
    low = lower_limit(whole.bad, whole.total, prior_weight(near, BAD_TO_FAIL), of.levels.rollback)
    weight, level = prior_weight(near, BAD_TO_PASS), of.levels.promotion
    # The wider of two limits, told without seeking both: the square of its distance grows with the level and the size.
    if size * (level - ALLOWED) > level:
        # A hundredth of an event is far below what shows; such steps let the cache of the roots serve many looks.
        return low, upper_limit(round(whole.bad / size, 2), round(whole.total / size, 2), weight, level - ALLOWED)
    return low, upper_limit(whole.bad, whole.total, weight, level)


@dataclass(frozen=True, slots=True)
class Since:
    """What both arms did from ``at`` on; None if that is all of the rollout."""

    at: datetime | None
    candidate: Counter
    stable: Counter


def clearest(of: Evidence) -> Since:
    """The end of the rollout in which the candidate breaks the limit most clearly, and what stable did in it."""
    limit, ledger = of.spec.limit, of.ledger
    assert limit is not None
    ours = (of.source, ledger.candidate, of.spec.name)
    theirs = (of.source, ledger.stable, of.spec.name)
    candidate = stable = ZERO
    whole = of.whole
    pairs = of.pairing.whole
    found = Since(None, whole, Counter(pairs.stable, pairs.stable_failures))
    best = CLEARER + (_clearness(whole, limit) if whole.total else 0.0)
    for part in reversed(ledger.ring):
        if ours not in part.counts:
            continue  # what stable did while the candidate had no requests excuses nothing
        candidate = add(candidate, part.counts[ours])
        stable = add(stable, part.counts.get(theirs, ZERO))
        if candidate != whole and (clear := _clearness(candidate, limit)) >= best:
            best, found = clear, Since(part.start, candidate, stable)
    return found


def looks_like_stable(of: Evidence, since: Since) -> bool:
    """Whether stable, with requests enough to tell, does not look better than the candidate: what is wrong may be wrong with both.

    It must also have had them while the candidate broke its limit: what stable was before it lost its requests excuses nothing.
    """
    pairs, limit = of.pairing.whole, of.spec.limit
    both = (pairs.stable, pairs.candidate), (since.stable.total, since.candidate.total)
    if limit is None or any(stable * limit < LEAST_DUE or stable < LEAST_SHARE * ours for stable, ours in both):
        return False
    return of.pairing.profile.log_e_above(1.0) < math.log(LOOKS_WORSE)


def _clearness(counter: Counter, limit: float) -> float:
    """The most evidence that these counts can give against "at most ``limit``", in units of log wealth."""
    share = counter.bad / counter.total
    return counter.total * divergence(share, limit) if share > limit else 0.0


def shared(of: Evidence, since: Since) -> bool:
    """Whether stable breaks the limit as well (more likely than not is enough), and the candidate is not clearly worse."""
    limit, stable = of.spec.limit, since.stable
    if limit is None or stable.bad <= stable.total * limit:
        return False
    if log_wealth_above(stable.bad, stable.total, limit, prior_weight(limit, BAD_TO_FAIL)) < 0:
        return False
    return not worse_than_stable(of, of.spec.max_ratio or CLEARLY_WORSE)
