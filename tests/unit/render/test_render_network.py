"""Service, route and cache claim."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solera.api.base import LABEL
from solera.api.metadata import MAX_NAME
from solera.api.traffic import GatewayTraffic
from solera.render.cache import claim, claim_name
from solera.render.pods import PORT_NAME, deployment, overlay
from solera.render.route import http_route
from solera.render.service import SERVICE_PORT, service
from unit.render.cases import HASH, OWNER, Owner, render, render_deployment, resolved, vllm

GATEWAY = GatewayTraffic.model_validate(
    {"parentRefs": [{"name": "inference", "namespace": "gateways"}], "hostnames": ["support.models.example.com"]}
)
STABLE = ("support-assistant-v1-aaaaaaaa", "v1", 75, 8000)
CANDIDATE = ("support-assistant-v2-bbbbbbbb", "v2", 25, 8000)


def rule_of(route):
    (rule,) = route["spec"]["rules"]
    return rule


def test_service_selects_the_pods_of_its_revision_by_the_port_s_name():
    version = vllm(port=9000)
    out = service(OWNER, "r", "v1", HASH, version)
    pods = render_deployment(render("vllm-minimal")[0], version)["spec"]["template"]
    assert out["spec"]["selector"].items() <= pods["metadata"]["labels"].items()
    assert out["spec"]["ports"] == [{"name": "http", "port": SERVICE_PORT, "targetPort": "http", "protocol": "TCP"}]
    assert pods["spec"]["containers"][0]["ports"][0]["name"] == PORT_NAME


def test_service_does_not_change_with_the_engine_s_port():
    assert service(OWNER, "r", "v1", HASH, vllm(port=9000)) == service(OWNER, "r", "v1", HASH, vllm())


def test_route():
    out = http_route(OWNER, GATEWAY, [STABLE, CANDIDATE], {"solera.dev/progress": "x/1/y"})
    assert out["metadata"]["name"] == OWNER.name
    assert out["metadata"]["annotations"] == {"solera.dev/progress": "x/1/y"}
    assert out["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "solera",
        "solera.dev/llmdeployment": OWNER.name,
    }
    assert out["spec"]["hostnames"] == ["support.models.example.com"]
    assert out["spec"]["parentRefs"] == [
        {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "inference", "namespace": "gateways"}
    ]
    rule = rule_of(out)
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert [(b["name"], b["weight"], b["port"]) for b in rule["backendRefs"]] == [
        ("support-assistant-v1-aaaaaaaa", 75, 8000),
        ("support-assistant-v2-bbbbbbbb", 25, 8000),
    ]
    assert "timeouts" not in rule


def test_every_backend_says_who_answered():
    out = http_route(OWNER, GATEWAY, [STABLE, CANDIDATE], {}, {"v1": {"Deprecation": "@1796083200"}})
    headers = [
        {h["name"]: h["value"] for f in b["filters"] for h in f["responseHeaderModifier"]["set"]}
        for b in rule_of(out)["backendRefs"]
    ]
    assert headers == [
        {"x-solera-revision": "aaaaaaaa", "x-solera-version": "v1", "Deprecation": "@1796083200"},
        {"x-solera-revision": "bbbbbbbb", "x-solera-version": "v2"},
    ]
    assert "annotations" not in out["metadata"]


def test_a_backend_at_zero_is_left_out():
    out = http_route(OWNER, GATEWAY, [STABLE, (*CANDIDATE[:2], 0, 8000)], {})
    assert [b["name"] for b in rule_of(out)["backendRefs"]] == [STABLE[0]]


def test_no_backend_at_all_refuses_every_request():
    assert "backendRefs" not in rule_of(http_route(OWNER, GATEWAY, [(*STABLE[:2], 0, 8000)], {}))


def test_listener_and_port_of_a_parent_are_passed_on():
    gateway = GatewayTraffic.model_validate({"parentRefs": [{"name": "g", "sectionName": "https", "port": 8443}]})
    out = http_route(OWNER, gateway, [STABLE], {})
    assert out["spec"]["parentRefs"] == [
        {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g", "sectionName": "https", "port": 8443}
    ]
    assert "hostnames" not in out["spec"]


@pytest.mark.parametrize(("replicas", "mode"), [(0, "ReadWriteOnce"), (1, "ReadWriteOnce"), (2, "ReadWriteMany")])
def test_claim(replicas, mode):
    cache = {"persistentVolumeClaim": {"size": "100Gi", "storageClassName": "fast"}}
    out = claim(OWNER, "v1", vllm(cache=cache, replicas=replicas))
    assert out["spec"] == {
        "accessModes": [mode],
        "resources": {"requests": {"storage": "100Gi"}},
        "storageClassName": "fast",
    }
    assert out["metadata"]["labels"]["solera.dev/version"] == "v1"
    assert "solera.dev/revision" not in out["metadata"]["labels"]  # every revision of the version shares it


def test_the_pods_use_the_claim():
    version = vllm(cache={"persistentVolumeClaim": {"size": "1Gi"}})
    out = render_deployment(render("vllm-minimal")[0], version)
    volumes = {v["name"]: v for v in out["spec"]["template"]["spec"]["volumes"]}
    assert volumes["cache"] == {
        "name": "cache",
        "persistentVolumeClaim": {"claimName": claim(OWNER, "v1", version)["metadata"]["name"]},
    }
    assert "storageClassName" not in claim(OWNER, "v1", version)["spec"]


def test_nothing_is_claimed_where_nothing_is_downloaded():
    assert claim(OWNER, "v1", vllm()) is None
    assert claim(OWNER, "v1", vllm(cache={})) is None
    cache = {"persistentVolumeClaim": {"size": "1Gi"}}
    assert claim(OWNER, "v1", vllm({"uri": "pvc://weights/m"}, cache=cache)) is None
    local = resolved({"engine": {"name": "llama.cpp", "image": "e:1"}, "cache": cache}, {"uri": "image:///m.gguf"})
    assert claim(OWNER, "v1", local) is None


label = st.from_regex(LABEL, fullmatch=True)


@given(label.filter(lambda n: len(n) <= MAX_NAME), label.filter(lambda n: len(n) <= 20))
def test_every_name_and_label_is_one_that_kubernetes_takes(name, version):
    owner = Owner(name=name)
    revision = f"{name}-{version}-{HASH}"
    stored, given_version = render("vllm-minimal")
    manifests = [
        deployment(owner, revision, version, HASH, overlay(stored, given_version), given_version, 1),
        service(owner, revision, version, HASH, given_version),
        http_route(owner, GATEWAY, [(revision, version, 100, 8000)], {}),
        claim(owner, version, vllm(cache={"persistentVolumeClaim": {"size": "1Gi"}})),
    ]
    for manifest in manifests:
        child = manifest["metadata"]["name"]
        assert len(child) <= 63
        assert re.fullmatch(LABEL.strip("^$"), child)
        for value in manifest["metadata"]["labels"].values():
            assert len(value) <= 63
    assert claim_name(name, version) == manifests[3]["metadata"]["name"]
    backend = rule_of(manifests[2])["backendRefs"][0]
    assert backend["filters"][0]["responseHeaderModifier"]["set"][0]["value"] == HASH
