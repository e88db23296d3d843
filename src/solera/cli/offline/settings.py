"""What `--set` and `--risk` change in the settings of a recording. Pure.

KEY=VALUE for what there is once, KEY=GUARDRAIL=VALUE and KEY=STEP=VALUE for the rest; values as in a manifest. Steps count from 1.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from solera.errors import SoleraError

OF_GUARDRAILS = ("limit", "maxRatio", "require", "action")
OF_STEPS = ("minDuration", "minRequests", "maxDuration")
ONCE = ("onInconclusive",)
RISKS = ("falseRollback", "falsePromotion")
NONE = "none"
"""The value that takes a limit or a comparison away."""

FORMS = "limit=errors=2%, maxRatio=errors=1.5, require=errors=Pass, action=errors=Observe, minRequests=2=100, minDuration=2=10m, maxDuration=2=1h or onInconclusive=RollBack"
SAY_SLOWER_THAN = "only how many requests were slower was counted, so another slowerThan cannot be replayed; its limit can: limit={name}=5%"


class SettingError(SoleraError):
    """A flag that cannot be read, and what to write instead."""


def changed(settings: Mapping[str, Any], sets: Iterable[str], risks: Iterable[str]) -> dict[str, Any]:
    """The settings (in the form of spec.rollout) with these flags applied, in their order. Values are not looked at here.

    Raises:
        SettingError: there is no such setting, guardrail or step.
    """
    out = copy.deepcopy(dict(settings))
    for text in sets:
        key, *rest = text.split("=")
        if key == "slowerThan":
            raise SettingError(f"--set {text}: {SAY_SLOWER_THAN.format(name=rest[0] if rest else 'NAME')}")
        if key in ONCE and len(rest) == 1:
            out[key] = rest[0]
        elif key in OF_GUARDRAILS and len(rest) == 2:
            _set_guardrail(_guardrail(out, rest[0], text), key, rest[1])
        elif key in OF_STEPS and len(rest) == 2:
            _step(out, rest[0], text)[key] = _whole(rest[1]) if key == "minRequests" else rest[1]
        else:
            raise SettingError(f"--set {text} cannot be read: write {FORMS}")
    for key, value in read_risks(risks):
        out["risk"] = {**out.get("risk", {}), key: value}
    return out


def read_risks(risks: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and value of each `--risk`; the value is not looked at.

    Raises:
        SettingError: there is no such risk.
    """
    for text in risks:
        key, _, value = text.partition("=")
        if key not in RISKS or not value:
            raise SettingError(f"--risk {text} cannot be read: write {' or '.join(f'{risk}=1%' for risk in RISKS)}")
        yield key, value


def _guardrail(settings: Mapping[str, Any], name: str, text: str) -> dict[str, Any]:
    guardrails: list[dict[str, Any]] = settings.get("guardrails") or []
    for guardrail in guardrails:
        if guardrail["name"] == name:
            return guardrail
    names = ", ".join(g["name"] for g in guardrails) or "none"
    raise SettingError(f"--set {text}: there is no guardrail {name}; there is {names}")


def _set_guardrail(guardrail: dict[str, Any], key: str, value: str) -> None:
    compared = dict(guardrail.pop("comparedToStable", None) or {})
    if key in {"maxRatio", "require"}:
        compared |= {key: value}
        compared = {} if key == "maxRatio" and value == NONE else {k: v for k, v in compared.items() if v != NONE}
    elif value == NONE:
        guardrail.pop(key, None)
    else:
        guardrail[key] = value
    if compared:
        guardrail["comparedToStable"] = compared


def _step(settings: Mapping[str, Any], number: str, text: str) -> dict[str, Any]:
    steps: list[dict[str, Any]] = settings.get("steps") or []
    if not (number.isdecimal() and 1 <= int(number) <= len(steps)):
        raise SettingError(f"--set {text}: there is no step {number}; write a number from 1 to {len(steps)}")
    return steps[int(number) - 1]


def _whole(value: str) -> int | str:
    """A number where it is one; what is none is told of with the field's name, like every other value."""
    return int(value) if value.isdecimal() else value


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str | None, str | None]]:
    """What two settings do not have in common: a name, and the value on each side (None where there is none)."""
    old, new = dict(_flat(before)), dict(_flat(after))
    for name in sorted({*old, *new}, key=[*old, *new].index):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def _flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for number, step in enumerate(settings.get("steps") or (), 1):
        yield from _leaves(f"step {number}", step)
    for guardrail in settings.get("guardrails") or ():
        yield from _leaves(guardrail["name"], {k: v for k, v in guardrail.items() if k != "name"})
    yield from _leaves("", {k: v for k, v in settings.items() if k not in {"steps", "guardrails"}})


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name} {key}".strip(), inner)
    else:
        yield name, str(value)
