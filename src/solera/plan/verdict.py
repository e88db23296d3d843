"""From evidence to verdicts: does each guardrail hold, as far as can be known by now, at any look?

Per guardrail and source two one-sided tests run over the whole rollout (``solera.stats.share``), and one against stable
(``solera.stats.failure_share``):

- Fail: the share is shown to be above ``limit``, or more than ``max_ratio`` times that of stable. The risk of rolling back a candidate that keeps
  all of them is at most ``false_rollback``: it is divided evenly over the tests of all guardrails that can roll back, and over the sources.
- Pass: the share is shown to be below ``limit`` in every source (and below ``max_ratio``, where that must be shown). The risk of
  promoting a candidate that breaks a limit is at most ``false_promotion``; it is not divided, because all must pass.

A candidate may break only under the load of a later step. So the test for Fail is a mixture: most of its weight on the rollout as a
whole, the rest on the rollout from each later step on. The mixture of fixed weights keeps the guarantee.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from solera.errors import SoleraError
from solera.plan import verdict_text as text
from solera.plan.ledger import Counter, Ledger, Pairing, add
from solera.stats.share import far_above, log_wealth_above, lower_limit, prior_weight, shown_below, upper_limit

OBSERVE, HOLD, ROLL_BACK = "Observe", "Hold", "RollBack"
PASS, FAIL, CONTINUE, NO_DATA, SHARED_INCIDENT = "Pass", "Fail", "Continue", "NoData", "SharedIncident"

_WORST_FIRST = (FAIL, SHARED_INCIDENT, NO_DATA, CONTINUE, PASS)

STALE_AFTER = timedelta(minutes=3)
"""Without a valid reading for this long nothing is known about now: no Pass, and no Continue that looks like progress."""

BLIND_AFTER = timedelta(seconds=5)
"""The same for a source that is known to be unreachable: two scrapes a second apart may fail, but nothing is decided on what was before."""

BAD_TO_PASS = 15.0
"""Bad events due at the limit when the test for Pass is tightest: the median at half the limit is then near its minimum."""

BAD_TO_FAIL = 3.0
"""The same for Fail: small, since a candidate far over its limit should be caught after a few bad events."""

WHOLE_ROLLOUT = 0.8
"""Weight of the rollout as a whole in the test for Fail; the step of index j >= 1 starts a test of weight 0.2/(j (j + 1))."""

CLEARLY_WORSE = 2.0
"""Where stable breaks the limit too and no ``max_ratio`` is set: how much worse than stable a candidate must be shown to be."""

TYPICAL_LIMIT = 0.01
"""Where the interval is made tightest when there is no limit."""

_LARGEST_LOG = 700.0
_NEGLIGIBLE = 4.0

Steps = Sequence[tuple[int, Counter]]


class GuardrailError(SoleraError):
    """A guardrail or a risk that cannot be judged, and what to write instead."""


@dataclass(frozen=True, slots=True)
class GuardrailSpec:
    """One guardrail as declared. Shares in (0, 1); ``slower_than`` in seconds, for those who read it; ``action`` Observe, Hold or RollBack."""

    name: str
    metric: str
    limit: float | None
    slower_than: float | None
    max_ratio: float | None
    ratio_requires_pass: bool
    action: str


@dataclass(frozen=True, slots=True)
class GuardrailVerdict:
    """What the evidence says about one guardrail.

    ``estimate`` is the share of bad events, ``low`` and ``high`` its confidence limits (each one-sided; None without samples or when not
    asked for), all over the whole rollout and from ``source``, the worst one. ``ratio_e_value`` is the evidence that the candidate fails
    more than ``max_ratio`` times as often as stable: 1 is none, 20 is strong.
    """

    name: str
    verdict: str
    estimate: float | None
    low: float | None
    high: float | None
    limit: float | None
    samples: int
    bad: int
    ratio_e_value: float | None
    source: str
    reason: str
    forecast: str | None
    metric: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all verdicts together ask for. ``fail`` wins over ``hold``, ``hold`` over ``passed``. ``fell_silent``: there were data before."""

    fail: bool
    hold: bool
    passed: bool
    no_data: bool
    reason: str
    fell_silent: bool = False


@dataclass(frozen=True, slots=True)
class _Levels:
    """Log wealth that a test must reach."""

    rollback: float
    promotion: float


def judge(
    specs: Sequence[GuardrailSpec],
    ledger: Ledger,
    *,
    false_rollback: float,
    false_promotion: float,
    unreachable: Mapping[str, str] | None = None,
    intervals: bool = True,
) -> tuple[GuardrailVerdict, ...]:
    """One verdict per guardrail, in the order of ``specs``; the risks are probabilities over the whole rollout.

    ``unreachable`` maps a source of the ledger to why its newest look told nothing. Without ``intervals`` no roots are sought: ``low`` and ``high`` are None, the verdicts are the same.

    Raises:
        GuardrailError: a limit, ratio, action or risk that makes no test.
    """
    for name, risk in (("falseRollback", false_rollback), ("falsePromotion", false_promotion)):
        if not 0 < risk < 0.5:
            raise GuardrailError(f"risk.{name} must lie between 0% and 50%, got {risk:g}; write for example 5%")
    for spec in specs:
        _check(spec)
    tests = sum((s.limit is not None) + (s.max_ratio is not None) for s in specs if s.action == ROLL_BACK)
    why = {"": "; ".join((unreachable or {}).values()), **(unreachable or {})}
    verdicts = []
    for spec in specs:
        sources = ledger.sources(ledger.candidate, spec.name)
        levels = _Levels(math.log(max(tests, 1) * max(len(sources), 1) / false_rollback), -math.log(false_promotion))
        found = [_in_source(spec, ledger, s, levels, why.get(s), intervals=intervals) for s in sources or ("",)]
        verdicts.append(min(found, key=lambda v: _WORST_FIRST.index(v.verdict)))
    return tuple(verdicts)


def conclude(verdicts: Sequence[GuardrailVerdict], specs: Sequence[GuardrailSpec]) -> Judgement:
    """All verdicts together. A guardrail that is only observed decides nothing; one without a verdict counts as NoData."""
    by_name = {v.name: v for v in verdicts}
    acting = [(spec, by_name.get(spec.name)) for spec in specs if spec.action != OBSERVE]
    failed, held, open_, silent = [], [], [], []
    for spec, verdict in acting:
        line = f"{spec.name}: {verdict.reason if verdict else 'was not judged'}"
        kind = verdict.verdict if verdict else NO_DATA
        if kind == FAIL and spec.action == ROLL_BACK:
            failed.append(line)
        elif kind in (FAIL, SHARED_INCIDENT):
            held.append(line)
        elif kind == NO_DATA:
            silent.append(line)
        elif kind != PASS:
            open_.append(line)
    passed = not (failed or held or silent or open_)
    lines = failed or [*held, *silent] or open_ or [f"{len(acting)} of {len(acting)} guardrails pass"]
    fell_silent = any(v is not None and v.verdict == NO_DATA and v.samples > 0 for _, v in acting)
    return Judgement(bool(failed), bool(held or silent), passed, bool(silent), "; ".join(lines), fell_silent)


def _check(spec: GuardrailSpec) -> None:
    at = f"guardrail {spec.name!r}"
    if spec.action not in (OBSERVE, HOLD, ROLL_BACK):
        raise GuardrailError(f"{at}: action must be Observe, Hold or RollBack, got {spec.action!r}")
    if spec.limit is not None and not 0 < spec.limit < 1:
        raise GuardrailError(f"{at}: limit must lie between 0% and 100%, both excluded, got {spec.limit:g}")
    if spec.max_ratio is not None and not 1 <= spec.max_ratio <= 1000:
        raise GuardrailError(f"{at}: comparedToStable.maxRatio must lie between 1 and 1000, got {spec.max_ratio:g}")


def _in_source(
    spec: GuardrailSpec, ledger: Ledger, source: str, levels: _Levels, blind: str | None, *, intervals: bool
) -> GuardrailVerdict:
    steps = ledger.steps(source, ledger.candidate, spec.name)
    whole = _sum(steps)
    pairing = ledger.pairings.get((source, spec.name), Pairing())
    ratio_e = None if spec.max_ratio is None else pairing.profile.log_e_above(spec.max_ratio)
    low, high = _interval(spec.limit, whole, levels) if intervals else (None, None)
    counts = text.counts(whole)
    next_ = None
    broken_since = None if spec.limit is None else _breaks(steps, spec.limit, levels.rollback)
    if spec.max_ratio is not None and ratio_e is not None and ratio_e >= levels.rollback:
        verdict, reason = FAIL, f"{counts}, {text.against_stable(pairing)}: shown to be over {spec.max_ratio:g} times"
    elif spec.limit is not None and broken_since is not None:
        later = broken_since > 0
        over = f"{text.counts(_sum(steps[broken_since:]))} since step {steps[broken_since][0]}" if later else counts
        over += f"{'' if low is None or later else f', at least {text.share(low)}'}: over the limit of {text.share(spec.limit)}"
        stable = _stable_since(pairing, steps[broken_since][0])
        if _shared(spec, pairing, stable, levels.rollback):
            verdict = SHARED_INCIDENT
            reason = f"{over}, but stable breaks it too in the same intervals: {text.counts(stable)}"
        else:
            verdict, reason = FAIL, over
    elif silence := text.silence(ledger, source, spec.name, whole, BLIND_AFTER if blind else STALE_AFTER, blind):
        verdict, reason = NO_DATA, silence
    else:
        open_ = _not_shown(spec, whole, pairing, levels.promotion)
        verdict = CONTINUE if open_ else PASS
        if low is not None and high is not None:
            high = min(high, spec.limit) if verdict == PASS and spec.limit is not None else high
            counts += (
                f", between {text.share(low)} and {text.share(high)}" if open_ else f", at most {text.share(high)}"
            )
        shown = [] if spec.limit is None else [f"under the limit of {text.share(spec.limit)}"]
        shown += [f"under {spec.max_ratio:g} times stable"] if spec.ratio_requires_pass and spec.max_ratio else []
        reason = f"{counts}: {'; '.join(open_) if open_ else 'shown to be ' + ' and '.join(shown)}"
        if open_ and spec.limit is not None:
            next_ = text.forecast(ledger, source, spec.name, whole, spec.limit, levels.promotion, levels.rollback)
    return GuardrailVerdict(
        name=spec.name,
        verdict=verdict,
        estimate=whole.bad / whole.total if whole.total else None,
        low=low,
        high=high,
        limit=spec.limit,
        samples=whole.total,
        bad=whole.bad,
        ratio_e_value=None if ratio_e is None else math.exp(min(ratio_e, _LARGEST_LOG)),
        source=source,
        reason=reason,
        forecast=next_,
        metric=spec.metric,
    )


def _breaks(steps: Steps, limit: float, log_level: float) -> int | None:
    """The index of the step from which on the limit is broken most clearly, None while it is not shown to be broken."""
    since: list[Counter] = []
    for _, counter in reversed(steps):
        since.append(add(since[-1], counter) if since else counter)
    since.reverse()
    if not any(far_above(c.bad, c.total, limit, log_level) for c in since):
        return None
    weight = prior_weight(limit, BAD_TO_FAIL)
    wealth = {
        index: math.log(_start_weight(index)) + log_wealth_above(c.bad, c.total, limit, weight)
        for index, c in enumerate(since)
        if far_above(c.bad, c.total, limit, log_level - _NEGLIGIBLE)  # leaving the others out only lowers the mixture
    }
    clearest = max(wealth, key=wealth.__getitem__)
    top = wealth[clearest]
    return clearest if top + math.log(sum(math.exp(w - top) for w in wealth.values())) >= log_level else None


def _start_weight(index: int) -> float:
    return WHOLE_ROLLOUT if index == 0 else (1 - WHOLE_ROLLOUT) / (index * (index + 1))


def _stable_since(pairing: Pairing, step: int) -> Counter:
    spans = [span for at, span in pairing.steps.items() if at >= step]
    return Counter(sum(s.stable for s in spans), sum(s.stable_failures for s in spans))


def _shared(spec: GuardrailSpec, pairing: Pairing, stable: Counter, log_level: float) -> bool:
    """Whether stable breaks the limit as well (more likely than not is enough), and the candidate is not clearly worse."""
    if spec.limit is None or stable.bad <= stable.total * spec.limit:
        return False
    weight = prior_weight(spec.limit, BAD_TO_FAIL)
    if log_wealth_above(stable.bad, stable.total, spec.limit, weight) < 0:
        return False
    return pairing.profile.log_e_above(spec.max_ratio or CLEARLY_WORSE) < log_level


def _not_shown(spec: GuardrailSpec, whole: Counter, pairing: Pairing, log_level: float) -> list[str]:
    """What is still missing for Pass; empty when nothing is."""
    missing = []
    if spec.limit is None:
        if not (spec.ratio_requires_pass and spec.max_ratio):
            missing.append("it can never pass without a limit or comparedToStable.require: Pass")
    elif not shown_below(whole.bad, whole.total, spec.limit, prior_weight(spec.limit, BAD_TO_PASS), log_level):
        missing.append(f"not yet shown to be under or over the limit of {text.share(spec.limit)}")
    if spec.ratio_requires_pass and spec.max_ratio and pairing.profile.log_e_below(spec.max_ratio) < log_level:
        missing.append(f"not yet shown to be under {spec.max_ratio:g} times stable")
    return missing


def _interval(limit: float | None, whole: Counter, levels: _Levels) -> tuple[float | None, float | None]:
    if not whole.total:
        return None, None
    near = TYPICAL_LIMIT if limit is None else limit
    low_level = levels.rollback - math.log(WHOLE_ROLLOUT)
    low = lower_limit(whole.bad, whole.total, prior_weight(near, BAD_TO_FAIL), low_level)
    return low, upper_limit(whole.bad, whole.total, prior_weight(near, BAD_TO_PASS), levels.promotion)


def _sum(steps: Steps) -> Counter:
    return Counter(sum(c.total for _, c in steps), sum(c.bad for _, c in steps))
