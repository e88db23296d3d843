"""A version that no engine can serve never becomes a candidate; a cache that is declared later is claimed."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from solera.api.llmdeployment import parse
from solera.plan.children import desired_children
from solera.plan.intent import read_intent
from solera.plan.plan import plan
from solera.plan.types import Apply, Observation, ObservedPod, ObservedRevision, Owner
from unit.api.cases import base

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OWNER = Owner("chat", "default", "u1", 1, NOW)


def resource(**version: Any) -> dict[str, Any]:
    obj = base()
    obj["metadata"] |= {"uid": "u1", "generation": 1, "creationTimestamp": "2026-11-23T12:00:00Z"}
    obj["spec"]["versions"][0].update(version)
    return obj


def look(obj: dict[str, Any], **seen: Any):
    return plan(Observation(NOW, OWNER, obj, **seen))


def conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in status["conditions"]}


@pytest.mark.parametrize(
    ("obj", "place"),
    [
        (resource(template={"engine": {"args": ["--port=1"]}}), "spec.versions[0].template.engine.args[0]"),
        (resource(model={"uri": "hf://a/b/c.gguf", "revision": "a" * 40}), "spec.versions[0].model.uri"),
    ],
)
def test_what_cannot_be_rendered_is_stalled_at_its_field(obj, place):
    out = look(obj)
    assert out.actions == ()
    stalled = conditions(out.status)["Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec")
    assert stalled["message"].startswith(f"{place}: version v1: ")
    assert conditions(out.status)["Ready"]["status"] == "False"
    assert out.look_again_at is None or out.look_again_at > NOW  # nothing is tried again until somebody edits it


def test_a_field_of_the_shared_template_is_named_there():
    obj = resource()
    obj["spec"]["template"]["engine"]["args"] = ["--port=1"]
    assert conditions(look(obj).status)["Stalled"]["message"].startswith("spec.template.engine.args[0]: version v1: ")


def serving(obj: dict[str, Any]) -> ObservedRevision:
    intent = read_intent(parse(obj))
    version = intent.versions["v1"]
    (revision,) = desired_children(OWNER, intent, version, version.ref, None, "first")
    seen = ObservedRevision(version.ref.revision, "v1", version.ref.hash, controller_revision=revision.manifest)
    *_, workload = desired_children(OWNER, intent, version, version.ref, seen, "first")
    return ObservedRevision(
        version.ref.revision,
        "v1",
        version.ref.hash,
        controller_revision=revision.manifest,
        deployment=workload.manifest,
    )


def test_a_revision_that_runs_is_not_asked_again():
    """A newer operator may refuse what an older one rendered: what serves goes on serving."""
    obj = resource()
    seen = serving(obj)
    stricter = copy.deepcopy(obj)
    intent = read_intent(parse(obj))
    ref = intent.versions["v1"].ref
    stricter["status"] = {"observedGeneration": 1, "stable": ref.to_status()}
    out = look(stricter, revisions={ref.revision: seen})
    assert "Stalled" not in conditions(out.status)


def test_an_invalid_edit_leaves_the_stable_revision_alone():
    obj = resource()
    seen = serving(obj)
    ref = read_intent(parse(obj)).versions["v1"].ref
    edited = resource(template={"engine": {"args": ["--port=1"]}})
    edited["status"] = {"observedGeneration": 1, "stable": ref.to_status()}
    out = look(edited, revisions={ref.revision: seen})
    assert conditions(out.status)["Stalled"]["reason"] == "InvalidSpec"
    assert out.status["stable"]["revision"] == ref.revision
    assert "candidate" not in out.status
    assert not [
        a for a in out.actions if isinstance(a, Apply) and a.manifest["kind"] in {"ControllerRevision", "Deployment"}
    ]


def claims(obj: dict[str, Any], seen: ObservedRevision | None) -> list[str]:
    intent = read_intent(parse(obj))
    version = intent.versions["v1"]
    writes = desired_children(OWNER, intent, version, version.ref, seen, "stable")
    return [a.manifest["kind"] for a in writes]


def test_a_cache_that_is_declared_later_is_claimed_before_the_pods_ask_for_it():
    seen = serving(resource())
    later = resource()
    later["spec"]["template"]["cache"] = {"persistentVolumeClaim": {"size": "1Gi"}}
    assert claims(later, seen) == ["PersistentVolumeClaim", "Service", "Deployment"]


def test_a_claim_that_the_scheduler_does_not_find_is_made_again():
    """It was deleted while pods of an earlier life still held it, and went with them."""
    cached = resource()
    cached["spec"]["template"]["cache"] = {"persistentVolumeClaim": {"size": "1Gi"}}
    why = 'Unschedulable: 0/3 nodes are available: persistentvolumeclaim "chat-v1-cache" not found.'
    waiting = ObservedPod("p", "u", None, ready=False, answered=False, problem=why)
    assert claims(cached, replace(serving(cached), pods=(waiting,))) == ["PersistentVolumeClaim", "Service"]


def test_a_claim_in_use_is_left_alone():
    cached = resource()
    cached["spec"]["template"]["cache"] = {"persistentVolumeClaim": {"size": "1Gi"}}
    larger = copy.deepcopy(cached)
    larger["spec"]["template"]["cache"]["persistentVolumeClaim"]["size"] = "2Gi"
    assert claims(larger, serving(cached)) == ["Service"]
