"""What is true when a field is left out, and how a version's overrides meet the template."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from solera.api import defaults
from solera.api.errors import InvalidSpec
from solera.api.llmdeployment import parse
from solera.api.spec import Headroom, OnRetirement, Template
from solera.api.traffic import Action, Metric, OnInconclusive
from unit.api import cases


def resolved(change: cases.Change = lambda _: None) -> defaults.ResolvedVersion:
    obj = cases.base()
    change(obj)
    spec = parse(obj).spec
    return defaults.resolve(spec, spec.versions[0])


def merged(template: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    return defaults.merge(Template.model_validate(template), Template.model_validate(override)).dump()


def test_the_defaults() -> None:
    got = resolved()
    assert (got.replicas, got.port, got.gpus, got.gpu_resource) == (1, 8000, 0, "nvidia.com/gpu")
    assert (got.startup_timeout, got.drain_timeout) == (timedelta(minutes=30), timedelta(seconds=30))
    assert (got.headroom, got.command, got.args, got.env, got.tolerations) == (Headroom.SURGE, (), (), (), ())
    assert (got.cpu, got.memory, got.cache, got.run_as_user, got.image_pull_policy) == (None,) * 5
    assert got.lifecycle == defaults.ResolvedLifecycle(None, None, None, OnRetirement.HOLD, timedelta(hours=1))
    assert got.declared.dump() == cases.BASE["spec"]["template"]


def test_the_defaults_of_a_rollout() -> None:
    got = defaults.resolve_rollout(None)
    assert [step.weight for step in got.steps] == [5, 25, 50, 100]
    assert {(step.min_duration, step.min_requests, step.max_duration, step.needs_approval) for step in got.steps} == {
        (timedelta(minutes=2), 20, timedelta(hours=2, minutes=2), False)
    }
    assert (got.guardrails, got.false_rollback, got.false_promotion) == ((), 0.05, 0.05)
    assert (got.on_inconclusive, got.keep_previous, got.metrics_source) == (
        OnInconclusive.HOLD,
        timedelta(minutes=10),
        "Direct",
    )


def test_zero_is_a_value() -> None:
    got = resolved(cases.template(replicas=0, drainTimeout="0s"))
    assert (got.replicas, got.drain_timeout) == (0, timedelta(0))
    obj = cases.base()
    cases.rollout(keepPrevious="0s", steps=[{"weight": 100, "minRequests": 0, "minDuration": "0s"}])(obj)
    rollout = defaults.resolve_rollout(parse(obj).spec.rollout)
    assert rollout.keep_previous == timedelta(0)
    assert (rollout.steps[0].min_requests, rollout.steps[0].min_duration) == (0, timedelta(0))


def test_a_successor_is_redirected_to_unless_said_otherwise() -> None:
    assert resolved(cases.life(successor="v2")).lifecycle.on_retirement is OnRetirement.REDIRECT
    assert resolved(cases.life(successor="v2", onRetirement="Hold")).lifecycle.on_retirement is OnRetirement.HOLD


def test_a_guardrail() -> None:
    obj = cases.base()
    fields = {"metric": "RequestLatency", "slowerThan": "2.5s", "limit": "5%", "comparedToStable": {"maxRatio": "1.5"}}
    cases.guardrail(**fields)(obj)
    (got,) = defaults.resolve_rollout(parse(obj).spec.rollout).guardrails
    assert got == defaults.ResolvedGuardrail(
        "g", Metric.REQUEST_LATENCY, 0.05, timedelta(seconds=2.5), 1.5, require_ratio=False, action=Action.ROLL_BACK
    )


def test_a_pause_is_an_approval_or_a_least_time() -> None:
    obj = cases.base()
    pauses = [
        {"weight": 5, "pause": {"until": "Approved"}},
        {"weight": 6, "minDuration": "1h", "pause": {"until": "3h"}},
    ]
    cases.steps(*pauses, 100)(obj)
    first, second, _ = defaults.resolve_rollout(parse(obj).spec.rollout).steps
    assert (first.needs_approval, first.min_duration) == (True, timedelta(minutes=2))
    assert (second.needs_approval, second.min_duration) == (False, timedelta(hours=3))


def test_a_long_step_has_its_own_time_before_it_is_inconclusive() -> None:
    obj = cases.base()
    cases.steps({"weight": 5, "minDuration": "24h"}, 100)(obj)
    assert defaults.resolve_rollout(parse(obj).spec.rollout).steps[0].max_duration == timedelta(hours=26)


def test_a_short_longest_time_shortens_the_least() -> None:
    obj = cases.base()
    cases.steps({"weight": 5, "maxDuration": "30s"}, 100)(obj)
    step = defaults.resolve_rollout(parse(obj).spec.rollout).steps[0]
    assert step.min_duration == step.max_duration == timedelta(seconds=30)


def test_an_adaptive_rollout_has_a_budget_and_no_step_before_100() -> None:
    plain, adaptive = cases.base(), cases.base()
    cases.rollout(strategy="Adaptive", risk={"maxHarmedRequests": 50}, guardrails=cases.ERRORS)(adaptive)
    resolved = [defaults.resolve_rollout(parse(obj).spec.rollout) for obj in (plain, adaptive)]
    assert [(r.max_harmed, [s.weight for s in r.steps]) for r in resolved] == [(None, [5, 25, 50, 100]), (50, [100])]


def test_a_version_wins_field_by_field() -> None:
    ours = {
        "engine": {"name": "vLLM", "image": "a", "args": ["--x"]},
        "resources": {"gpus": 1, "memory": "1Gi"},
        "cache": {"persistentVolumeClaim": {"size": "1Gi", "storageClassName": "fast"}},
        "replicas": 2,
    }
    theirs = {
        "engine": {"image": "b", "args": []},
        "resources": {"gpus": 2},
        "cache": {"persistentVolumeClaim": {"size": "2Gi"}},
        "port": 9000,
    }
    assert merged(ours, theirs) == {
        "engine": {"name": "vLLM", "image": "b", "args": []},
        "resources": {"gpus": 2, "memory": "1Gi"},
        "cache": {"persistentVolumeClaim": {"size": "2Gi", "storageClassName": "fast"}},
        "replicas": 2,
        "port": 9000,
    }


def test_env_is_merged_by_name_and_keeps_its_order() -> None:
    ours = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    source = {"secretKeyRef": {"name": "s", "key": "k"}}
    theirs = {"env": [{"name": "C", "value": "3"}, {"name": "A", "valueFrom": source}]}
    assert merged(ours, theirs)["env"] == [
        {"name": "A", "valueFrom": source},
        {"name": "B", "value": "2"},
        {"name": "C", "value": "3"},
    ]


def test_maps_references_and_lists_are_replaced_whole() -> None:
    ours = {
        "nodeSelector": {"a": "1"},
        "tokenSecretRef": {"name": "s", "key": "k"},
        "tolerations": [{"key": "x", "operator": "Exists"}],
    }
    theirs = {"nodeSelector": {"b": "2"}, "tokenSecretRef": {"name": "t", "key": "l"}, "tolerations": []}
    assert merged(ours, theirs) == theirs


def test_merging_with_nothing_changes_nothing() -> None:
    template = Template.model_validate(cases.BASE["spec"]["template"])
    assert defaults.merge(template, None) == defaults.merge(None, template) == template
    assert defaults.merge(None, None) == Template()


def test_an_engine_must_come_from_somewhere() -> None:
    obj = cases.base()
    spec = parse(obj).spec
    for template, word in (
        (None, "engine.name"),
        (Template.model_validate({"engine": {"name": "vLLM"}}), "engine.image"),
    ):
        with pytest.raises(InvalidSpec, match=f"{word}.*missing for v1"):
            defaults.resolve(spec.model_copy(update={"template": template}), spec.versions[0])


def test_names() -> None:
    obj = parse(cases.base())
    assert defaults.model_name(obj) == "chat"
    assert defaults.find(obj.spec, "v2").name == "v2"
    with pytest.raises(InvalidSpec, match="no version is named v3"):
        defaults.find(obj.spec, "v3")
    named = cases.base()
    cases.spec(modelName="my/model")(named)
    assert defaults.model_name(parse(named)) == "my/model"
