"""A guardrail as declared, and the words for what is found about it."""

from __future__ import annotations

from dataclasses import dataclass

from solera.errors import SoleraError

OBSERVE, HOLD, ROLL_BACK = "Observe", "Hold", "RollBack"
PASS, FAIL, CONTINUE, NO_DATA, SHARED_INCIDENT = "Pass", "Fail", "Continue", "NoData", "SharedIncident"


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

    def check(self) -> None:
        """Refuse what makes no test.

        Raises:
            GuardrailError: an unknown action, a limit outside (0, 1) or a ratio outside [1, 1000].
        """
        at = f"guardrail {self.name!r}"
        if self.action not in (OBSERVE, HOLD, ROLL_BACK):
            raise GuardrailError(f"{at}: action must be Observe, Hold or RollBack, got {self.action!r}")
        if self.limit is not None and not 0 < self.limit < 1:
            raise GuardrailError(f"{at}: limit must lie between 0% and 100%, both excluded, got {self.limit:g}")
        if self.max_ratio is not None and not 1 <= self.max_ratio <= 1000:
            raise GuardrailError(f"{at}: comparedToStable.maxRatio must lie between 1 and 1000, got {self.max_ratio:g}")


@dataclass(frozen=True, slots=True)
class GuardrailVerdict:
    """What the evidence says about one guardrail.

    ``estimate`` is the share of bad events, ``low`` and ``high`` its confidence limits (each one-sided; None without samples or when not
    asked for), all over the whole rollout and from ``source``, the worst one. ``suspected``: over the limit, unless it was one burst. ``ratio_e_value`` is the evidence that the candidate fails
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
    suspected: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all verdicts together ask for. ``fail`` wins over ``hold``, ``hold`` over ``passed``. ``fell_silent``: there were data before."""

    fail: bool
    hold: bool
    passed: bool
    no_data: bool
    reason: str
    fell_silent: bool = False
