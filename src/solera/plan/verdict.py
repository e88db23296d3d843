"""From evidence to verdicts: does each guardrail hold, as far as can be known by now, at any look?

Per guardrail and source two one-sided tests run over the whole rollout, and one against stable (``solera.plan.showing``):

- Fail: the share is shown to be above ``limit``, or more than ``max_ratio`` times that of stable. The risk of rolling back a candidate that keeps
  all of them is at most ``false_rollback``: it is divided evenly over the tests of all guardrails that can roll back, and over the sources.
- Pass: the share is shown to be below ``limit`` in every source (and below ``max_ratio``, where that must be shown). The risk of
  promoting a candidate that breaks a limit is at most ``false_promotion``; it is not divided, because all must pass.

While the share is above the limit unless that was one burst, verdict is Continue and the rollout waits.

A candidate may break only under the load of a later step, or at any other time: the test for Fail is a mixture over when it began to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta

from solera.api.scalars import format_time
from solera.plan import verdict_text as text
from solera.plan.guardrail import (
    CONTINUE,
    FAIL,
    HOLD,
    NO_DATA,
    OBSERVE,
    PASS,
    ROLL_BACK,
    SHARED_INCIDENT,
    GuardrailError,
    GuardrailSpec,
    GuardrailVerdict,
    Judgement,
)
from solera.plan.intervals import rollback_level
from solera.plan.ledger import Ledger
from solera.plan.showing import (
    Evidence,
    Levels,
    breaks_limit,
    breaks_ratio,
    clearest,
    limits,
    looks_like_stable,
    shared,
    suspect,
    under_limit,
    under_ratio,
)

__all__ = [
    "CONTINUE",
    "FAIL",
    "HOLD",
    "NO_DATA",
    "OBSERVE",
    "PASS",
    "ROLL_BACK",
    "SHARED_INCIDENT",
    "GuardrailError",
    "GuardrailSpec",
    "GuardrailVerdict",
    "Judgement",
    "conclude",
    "judge",
    "number_of_tests",
]

_WORST_FIRST = (FAIL, SHARED_INCIDENT, NO_DATA, CONTINUE, PASS)

STALE_AFTER = timedelta(minutes=3)
"""Without a valid reading for this long nothing is known about now: no Pass, and no Continue that looks like progress."""

BLIND_AFTER = timedelta(seconds=5)
"""The same for a source that is known to be unreachable: two scrapes a second apart may fail, but nothing is decided on what was before."""

_LARGEST_LOG = 700.0


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
        spec.check()
    tests = number_of_tests(specs)
    why = {"": "; ".join((unreachable or {}).values()), **(unreachable or {})}
    verdicts = []
    for spec in specs:
        sources = ledger.sources(ledger.candidate, spec.name)
        levels = Levels(rollback_level(false_rollback / tests, len(sources)), -math.log(false_promotion))
        found = [
            _in_source(Evidence(spec, ledger, s, levels), why.get(s), intervals=intervals) for s in sources or ("",)
        ]
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
        elif kind == NO_DATA:
            silent.append(line)
        elif kind in (FAIL, SHARED_INCIDENT) or (verdict is not None and verdict.suspected):
            held.append(line)
        elif kind != PASS:
            open_.append(line)
    passed = not (failed or held or silent or open_)
    lines = failed or [*held, *silent] or open_ or [f"{len(acting)} of {len(acting)} guardrails pass"]
    fell_silent = any(v is not None and v.verdict == NO_DATA and v.samples > 0 for _, v in acting)
    return Judgement(bool(failed), bool(held or silent), passed, bool(silent), "; ".join(lines), fell_silent)


def number_of_tests(specs: Sequence[GuardrailSpec]) -> int:
    """Over how many tests ``false_rollback`` is divided in each source."""
    return max(1, sum((s.limit is not None) + (s.max_ratio is not None) for s in specs if s.action == ROLL_BACK))


def _in_source(of: Evidence, blind: str | None, *, intervals: bool) -> GuardrailVerdict:
    spec, ledger, source, whole, pairing = of.spec, of.ledger, of.source, of.whole, of.pairing
    ratio_e = None if spec.max_ratio is None else pairing.profile.log_e_above(spec.max_ratio)
    low, high = limits(of) if intervals else (None, None)
    counts = text.counts(whole) + text.still_running(of)
    next_, suspected = None, False
    if spec.max_ratio is not None and breaks_ratio(of):
        verdict, reason = FAIL, f"{counts}, {text.against_stable(pairing)}: shown to be over {spec.max_ratio:g} times"
    elif spec.limit is not None and breaks_limit(of):
        since = clearest(of)
        if since.at is None:
            low = None if low is None else max(low, spec.limit)
            over = counts + ("" if low is None else f", at least {text.share(low)}")
        else:
            over = f"{text.counts(since.candidate)} since {format_time(since.at)}{text.still_running(of)}"
        over += f": over the limit of {text.share(spec.limit)}"
        alike = looks_like_stable(of, since)
        if alike and since.stable.bad <= since.stable.total * spec.limit:
            verdict, suspected, reason = CONTINUE, True, f"{over}, but not yet shown to be worse than stable"
        elif alike or shared(of, since):
            verdict = SHARED_INCIDENT
            reason = f"{over}, but stable breaks it too in the same intervals: {text.counts(since.stable)}"
        else:
            verdict, reason = FAIL, over
    elif silence := text.silence(ledger, source, spec.name, whole, BLIND_AFTER if blind else STALE_AFTER, blind):
        verdict, reason = NO_DATA, silence
    else:
        suspected = suspect(of)
        open_ = _not_shown(of, suspected)
        verdict = CONTINUE if open_ else PASS
        if low is not None and high is not None:
            if spec.limit is not None and not spec.ratio_requires_pass:
                # As the test says, which the interval only approximates.
                high = max(high, spec.limit) if open_ else min(high, spec.limit)
            counts += (
                f", between {text.share(low)} and {text.share(high)}" if open_ else f", at most {text.share(high)}"
            )
        shown = [] if spec.limit is None else [f"under the limit of {text.share(spec.limit)}"]
        shown += [f"under {spec.max_ratio:g} times stable"] if spec.ratio_requires_pass and spec.max_ratio else []
        reason = f"{counts}: {'; '.join(open_) if open_ else 'shown to be ' + ' and '.join(shown)}"
        if open_ and spec.limit is not None:
            next_ = text.forecast(of)
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
        suspected=suspected,
    )


def _not_shown(of: Evidence, suspected: bool) -> list[str]:
    """What is still missing for Pass; empty when nothing is."""
    spec, missing = of.spec, []
    if spec.limit is None:
        if not (spec.ratio_requires_pass and spec.max_ratio):
            missing.append("it can never pass without a limit or comparedToStable.require: Pass")
    elif suspected:
        missing.append(
            f"over the limit of {text.share(spec.limit)}, unless they failed together; more seconds will tell"
        )
    elif not under_limit(of):
        missing.append(f"not yet shown to be under or over the limit of {text.share(spec.limit)}")
    if spec.ratio_requires_pass and spec.max_ratio and not under_ratio(of):
        missing.append(f"not yet shown to be under {spec.max_ratio:g} times stable")
    return missing
