"""Does the candidate fail more often than stable? Which arm did each failure come from, given how many requests each arm had.

Source: the multinomial e-process of Lindon and Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022), for two arms and
a mixture of fixed rate ratios. If the candidate's failure rate is r times that of stable, a failure comes from the candidate
with chance q(r) = n_c·r/(n_c·r + n_s), n_c and n_s being the requests that the arms really had in the interval (never the
weights: gateways restart their schedule at each reload). Against "the ratio is at most r0" the wealth of the alternative r > r0 is

    product over intervals of (q(r)/q(r0))^f_c · ((1 - q(r))/(1 - q(r0)))^f_s        f_c, f_s = failures of the two arms

and the e-value is the mean over the alternatives. Load and faults common to both arms cancel out.

The guarantee. Let requests fail independently given the past, with chance p_s in stable and at most r0·p_s in the candidate, p_s free to
change from interval to interval. Then each factor has expectation at most 1 (1 + x <= eˣ turns both binomials into the case with
equality), for shares of any size, not only small ones: the e-value ever reaches 1/alpha with probability at most alpha. The same holds for
alternatives r < r0 against "the ratio is at least r0". It does not hold when n_c and n_s come from different spans of time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul

from solera.stats.arguments import count, open_interval, positive

RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0)
"""The alternatives, as multiples of the ratio under test; equal weights."""

LOWEST, HIGHEST = 0.2, 2000.0
"""The ratios that a profile covers."""

_NODES = 40
_CENTRE = (math.log(HIGHEST) + math.log(LOWEST)) / 2
_HALF = (math.log(HIGHEST) - math.log(LOWEST)) / 2
# Chebyshev points of the second kind, on the scale of the logarithm of the ratio, and their barycentric weights.
_LOG_RATIOS = tuple(_CENTRE + _HALF * math.cos(math.pi * k / (_NODES - 1)) for k in range(_NODES))
_AT_NODES = tuple(math.exp(value) for value in _LOG_RATIOS)
_WEIGHTS = tuple((-1.0) ** k * (0.5 if k in (0, _NODES - 1) else 1.0) for k in range(_NODES))


@dataclass(frozen=True, slots=True)
class Interval:
    """What both arms did in the same span of time: requests and the failures among them, as counts."""

    candidate: int
    candidate_failures: int
    stable: int
    stable_failures: int


def log_wealth(intervals: Iterable[Interval], ratio: float, null_ratio: float) -> float:
    """Log wealth of one alternative ``ratio`` against ``null_ratio``: the definition, one pass over all intervals."""
    return sum(_log_likelihood(i, ratio) - _log_likelihood(i, null_ratio) for i in intervals)


def log_mean(log_values: Sequence[float]) -> float:
    """Logarithm of the mean of the exponentials: the mixture of equal weights."""
    top = max(log_values)
    return top + math.log(sum(math.exp(value - top) for value in log_values) / len(log_values))


@dataclass(frozen=True, slots=True)
class Step:
    """Failures of both arms while the candidate's ``share`` of all requests (0 < share < 1) was in force, as counts."""

    share: float
    candidate_failures: int
    stable_failures: int

    def __post_init__(self) -> None:
        open_interval("share", self.share)
        count("candidate_failures", self.candidate_failures)
        count("stable_failures", self.stable_failures)


def log_e_of_steps(steps: Iterable[Step], null_ratio: float = 1.0) -> float:
    """Log e-value of "the ratio is above ``null_ratio``" where only the shares in force are known, not how many requests each arm had.

    The same mixture as ``RatioProfile.log_e_above``. Holds when each request is given to the candidate with the chance ``share``, whatever
    came before and whatever the request is; a gateway that starts its schedule anew at each reload does not, so prefer counts.

    Raises:
        ArgumentError: ``null_ratio`` is not positive and finite.
    """
    positive("null_ratio", null_ratio)
    seen = tuple(steps)
    nulls = math.fsum(_log_likelihood_of(s.share, s.candidate_failures, s.stable_failures, null_ratio) for s in seen)
    return log_mean(
        [
            math.fsum(
                _log_likelihood_of(s.share, s.candidate_failures, s.stable_failures, null_ratio * k) for s in seen
            )
            - nulls
            for k in RATIOS
        ]
    )


@dataclass(frozen=True, slots=True)
class RatioProfile:
    """All evidence about the ratio so far, in a few numbers that can be stored and go on: the log-likelihood of every ratio.

    ``log_likelihood`` holds it at fixed Chebyshev points of log ratio between ``LOWEST`` and ``HIGHEST``; in between it is
    interpolated with an error below 1e-10 per failure. So the ratio under test need not be known while the evidence is gathered,
    and may be changed later without losing any.
    """

    log_likelihood: tuple[float, ...] = (0.0,) * _NODES

    def __post_init__(self) -> None:
        if len(self.log_likelihood) != _NODES or not all(map(math.isfinite, self.log_likelihood)):
            raise ValueError(f"log_likelihood must be {_NODES} finite numbers")

    def add(self, interval: Interval) -> RatioProfile:
        """The profile with one more interval. One in which an arm had no request, or nothing failed, tells nothing."""
        if not (interval.candidate and interval.stable and interval.candidate_failures + interval.stable_failures):
            return self
        pairs = zip(self.log_likelihood, _AT_NODES, strict=True)
        return RatioProfile(tuple(old + _log_likelihood(interval, ratio) for old, ratio in pairs))

    def log_e_above(self, null_ratio: float, burst_size: float = 1.0) -> float:
        """Log e-value of "the ratio is above ``null_ratio``": crosses ln(1/alpha) with probability <= alpha if it never is.

        With a ``burst_size`` above 1 every so many failures count for one (``solera.stats.dispersion``).
        """
        return self._log_e(null_ratio, [min(null_ratio * factor, HIGHEST) for factor in RATIOS], burst_size)

    def log_e_below(self, null_ratio: float, burst_size: float = 1.0) -> float:
        """Log e-value of "the ratio is below ``null_ratio``": crosses ln(1/alpha) with probability <= alpha if it never is.

        ``burst_size`` is as for ``log_e_above``.
        """
        return self._log_e(null_ratio, [max(null_ratio / factor, LOWEST) for factor in RATIOS], burst_size)

    def _log_e(self, null_ratio: float, ratios: Sequence[float], burst_size: float) -> float:
        if not LOWEST < null_ratio < HIGHEST:
            raise ValueError(f"the ratio under test must lie between {LOWEST} and {HIGHEST}, got {null_ratio}")
        if not any(self.log_likelihood):
            return 0.0
        base = self._at(null_ratio)
        return log_mean([(self._at(ratio) - base) / burst_size for ratio in ratios])

    def _at(self, ratio: float) -> float:
        return math.fsum(map(mul, _coefficients(ratio), self.log_likelihood))


@lru_cache(maxsize=1024)
def _coefficients(ratio: float) -> tuple[float, ...]:
    """What each node contributes to the interpolated value at ``ratio``: the barycentric formula."""
    gaps = [math.log(ratio) - node for node in _LOG_RATIOS]
    if min(map(abs, gaps)) < 1e-13:
        return tuple(float(abs(gap) < 1e-13) for gap in gaps)
    pulls = [weight / gap for weight, gap in zip(_WEIGHTS, gaps, strict=True)]
    total = sum(pulls)
    return tuple(pull / total for pull in pulls)


def _log_likelihood(interval: Interval, ratio: float) -> float:
    """f_c·ln q + f_s·ln(1 - q), less what it would be at ratio 1: sizes stay those of the evidence, not of the counts."""
    share = interval.candidate / (interval.candidate + interval.stable)
    return _log_likelihood_of(share, interval.candidate_failures, interval.stable_failures, ratio)


def _log_likelihood_of(share: float, candidate_failures: int, stable_failures: int, ratio: float) -> float:
    total = math.log1p(share * (ratio - 1))
    return candidate_failures * math.log(ratio) - (candidate_failures + stable_failures) * total
