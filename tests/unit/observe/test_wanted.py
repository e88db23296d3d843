from dataclasses import replace
from datetime import UTC, datetime, timedelta

from solera.observe.metrics import GuardrailQuery
from solera.observe.wanted import Request, request_of
from solera.plan.types import Observation, ObservedPod, ObservedRevision, Owner, Plan

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
BEGUN = datetime(2027, 3, 1, 11, tzinfo=UTC)
V1, V2 = "support-v1-aaaaaaaa", "support-v2-bbbbbbbb"


def pod(uid, ip="10.0.0.1", started=BEGUN, **more):
    return ObservedPod(f"pod-{uid}", uid, ip, **({"ready": True, "answered": False} | more), started=started)


def revision(name, *pods, engine="vLLM", port=8000):
    template = {
        "metadata": {"annotations": {"solera.dev/engine": engine}},
        "spec": {"containers": [{"name": "engine", "ports": [{"name": "http", "containerPort": port}]}]},
    }
    _, version, digest = name.split("-")
    return ObservedRevision(name, version, digest, {"data": {"podTemplate": template}}, pods=pods)


def observation(*revisions, **rollout):
    spec = {
        "serve": "v1",
        "modelName": "support-chat",
        "template": {"engine": {"name": "vLLM", "version": "0.18.1", "image": "vllm/vllm-openai:v0.18.1"}},
        "versions": [{"name": "v1", "model": {"uri": "pvc://weights/v1"}}],
        "traffic": {"gateway": {"parentRefs": [{"name": "inference", "namespace": "gateways"}]}},
        "rollout": rollout,
    }
    meta = {
        "name": "support",
        "namespace": "ml",
        "uid": "u",
        "generation": 1,
        "creationTimestamp": "2027-03-01T00:00:00Z",
    }
    raw = {"apiVersion": "solera.dev/v1alpha1", "kind": "LLMDeployment", "metadata": meta, "spec": spec}
    return Observation(NOW, Owner("support", "ml", "u", 1, NOW), raw, {r.name: r for r in revisions})


def plan(measure=(), probe=()):
    return Plan((), {}, measure=measure, probe=probe)


GUARDRAILS = [
    {"name": "errors", "metric": "ErrorRate", "limit": "1%"},
    {"name": "ttft", "metric": "TimeToFirstToken", "slowerThan": "2.5s", "limit": "5%", "action": "Observe"},
]


def test_what_a_plan_wants_of_the_pods_that_run():
    leaving = pod("c", terminating=True, answered=True)
    seen = observation(
        revision(V1, pod("a"), pod("b", ip=None), leaving, pod("d", started=None)),
        revision(V2, pod("e", "10.0.0.5", ready=False), engine="SGLang", port=30000),
        guardrails=GUARDRAILS,
        metrics={"source": "prod"},
    )
    wanted = request_of(seen, plan((V1, V2, "support-v9-unknown"), (V1, V2)))
    assert wanted.guardrails == (
        GuardrailQuery("errors", "ErrorRate"),
        GuardrailQuery("ttft", "TimeToFirstToken", 2.5, acts=False),
    )
    assert wanted.source == "prod"
    assert [(t.instance, t.revision, t.service, t.engine, t.port, t.answered, t.expected) for t in wanted.targets] == [
        ("a", V1, V1, "vLLM", 8000, False, True),
        ("c", V1, V1, "vLLM", 8000, True, False),
        ("e", V2, V2, "SGLang", 30000, False, False),
    ]
    assert {t.namespace for t in wanted.targets} == {"ml"}
    assert [(p.instance, p.ip, p.port, p.model, p.started) for p in wanted.probes] == [
        ("a", "10.0.0.1", 8000, "support-chat", BEGUN),
        ("e", "10.0.0.5", 30000, "support-chat", BEGUN),
    ]
    assert wanted.alive == {"a": BEGUN, "b": BEGUN, "c": BEGUN, "d": None, "e": BEGUN}


def test_the_pods_counters_are_the_source_when_none_is_named():
    assert request_of(observation(revision(V1, pod("a"))), plan((V1,))).source == "Direct"


def test_what_runs_is_asked_also_when_its_controller_revision_was_deleted():
    kept = revision(V1, pod("a"))
    assert kept.controller_revision is not None
    deployment = {"spec": {"template": kept.controller_revision["data"]["podTemplate"]}}
    wanted = request_of(observation(replace(kept, controller_revision=None, deployment=deployment)), plan((V1,), (V1,)))
    assert [p.instance for p in wanted.probes] == ["a"]
    assert [t.instance for t in wanted.targets] == ["a"]


def test_an_address_is_that_of_the_newest_pod_that_has_it():
    """A pod whose node was lost is still running by its status, and its requests would be counted once more."""
    later = BEGUN + timedelta(minutes=5)
    seen = observation(
        revision(V1, pod("lost"), pod("other", "10.0.0.2")),
        revision(V2, pod("new", started=later), pod("x", "10.0.0.3")),
    )
    wanted = request_of(seen, plan((V1, V2)))
    assert [t.instance for t in wanted.targets] == ["other", "new", "x"]
    assert wanted.alive.keys() == {"lost", "other", "new", "x"}


def test_at_rest_nothing_is_wanted_and_the_pods_are_still_known():
    assert request_of(observation(revision(V1, pod("a"))), plan()) == Request(alive={"a": BEGUN})


def test_a_spec_that_cannot_be_read_wants_nothing():
    seen = observation(revision(V1, pod("a")))
    broken = replace(seen, custom_resource=seen.custom_resource | {"spec": {}})
    assert request_of(broken, plan((V1,), (V1,))) == Request(alive={"a": BEGUN})
