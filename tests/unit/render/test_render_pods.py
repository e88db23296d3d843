from __future__ import annotations

import copy

import pytest

from solera.api.errors import InvalidSpec
from solera.api.fields import ROLES, Role
from solera.render.pods import controller_revision, deployment, overlay, pod_template
from unit.render.cases import CASES, HASH, OWNER, Owner, render, render_deployment, resolved, vllm


def template(version):
    return pod_template(version, llmdeployment=OWNER.name, model_name=OWNER.name)


def engine_of(manifest):
    return manifest["spec"]["containers"][0]


def env_of(container):
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


@pytest.mark.parametrize("name", CASES)
def test_overlay_twice_is_overlay_once(name):
    stored, version = render(name)
    once = overlay(stored, version)
    assert overlay(once, version) == once


@pytest.mark.parametrize("name", CASES)
def test_overlay_leaves_the_stored_template_alone(name):
    stored, version = render(name)
    before = copy.deepcopy(stored)
    render_deployment(stored, version)
    assert stored == before


OPERATIONAL_CHANGES = {
    "template.resources.cpu": {"resources": {"cpu": 3}},
    "template.resources.memory": {"resources": {"memory": "9Gi"}},
    "template.replicas": {"replicas": 7},
    "template.cache.persistentVolumeClaim.size": {"cache": {"persistentVolumeClaim": {"size": "9Gi"}}},
    "template.cache.persistentVolumeClaim.storageClassName": {
        "cache": {"persistentVolumeClaim": {"size": "9Gi", "storageClassName": "slow"}}
    },
    "template.startupTimeout": {"startupTimeout": "7m"},
    "template.drainTimeout": {"drainTimeout": "7m"},
    "template.nodeSelector": {"nodeSelector": {"a": "b"}},
    "template.tolerations": {"tolerations": [{"operator": "Exists"}]},
    "template.priorityClassName": {"priorityClassName": "high"},
    "template.imagePullSecrets": {"imagePullSecrets": ["one"]},
    "template.imagePullPolicy": {"imagePullPolicy": "Always"},
    "template.serviceAccountName": {"serviceAccountName": "models"},
    "template.runAsUser": {"runAsUser": 1000},
    "template.headroom": {"headroom": "None"},
    "template.tokenSecretRef": {"tokenSecretRef": {"name": "hub", "key": "token"}},
}


def test_the_list_of_operational_changes_is_complete():
    operational = {path for path, role in ROLES.items() if role is Role.OPERATIONAL}
    assert operational == set(OPERATIONAL_CHANGES)


@pytest.mark.parametrize("path", OPERATIONAL_CHANGES)
def test_operational_field_is_not_in_the_stored_template(path):
    assert template(vllm(**OPERATIONAL_CHANGES[path])) == template(vllm())


IN_THE_CLAIM = "template.cache.persistentVolumeClaim.storageClassName"


@pytest.mark.parametrize("path", [path for path in OPERATIONAL_CHANGES if path != IN_THE_CLAIM])
def test_operational_field_reaches_the_deployment(path):
    stored = template(vllm())
    assert render_deployment(stored, vllm(**OPERATIONAL_CHANGES[path])) != render_deployment(stored, vllm())


def test_identity_of_an_old_revision_is_kept_when_the_spec_already_says_otherwise():
    stored = template(vllm(resources={"gpus": 1}, port=8000))
    today = vllm(
        engine={"image": "other:1", "version": "0.9.0"}, resources={"gpus": 8, "gpuResource": "amd.com/gpu"}, port=9000
    )
    out = render_deployment(stored, today)["spec"]["template"]
    container = engine_of(out)
    assert container["image"] == "vllm/vllm-openai:v0.18.1"
    assert container["resources"] == {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
    assert container["ports"][0]["containerPort"] == 8000
    assert out["metadata"]["annotations"]["prometheus.io/port"] == "8000"
    assert out["spec"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert "--shutdown-timeout=30" in container["args"]


def test_a_user_s_own_toleration_of_the_accelerator_is_not_doubled():
    mine = {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"}
    version = vllm(resources={"gpus": 1}, tolerations=[mine])
    assert overlay(template(version), version)["spec"]["tolerations"] == [mine]


@pytest.mark.parametrize(
    ("engine", "drain", "sleep", "grace"),
    [
        # it ends requests itself after SIGTERM
        ({"name": "vLLM", "version": "0.18.1"}, "2m", 5, 135),
        ({"name": "vLLM", "version": "v0.20"}, "90.5s", 5, 106),
        ({"name": "SGLang"}, "2m", 5, 135),
        # it cuts them, or nobody knows: the pod waits before SIGTERM
        ({"name": "vLLM", "version": "0.17.9"}, "2m", 125, 135),
        ({"name": "vLLM", "version": "nightly"}, "2m", 125, 135),
        ({"name": "vLLM", "version": None}, "2m", 125, 135),
        ({"name": "OpenAI"}, "30s", 35, 45),
        ({"name": "OpenAI"}, "0s", 5, 15),
    ],
)
def test_requests_in_flight_have_their_time(engine, drain, sleep, grace):
    engine = {key: value for key, value in engine.items() if value is not None}
    version = resolved({"engine": {"image": "example.com/e:1", **engine}, "drainTimeout": drain})
    spec = overlay(template(version), version)["spec"]
    assert spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == sleep
    assert spec["terminationGracePeriodSeconds"] == grace


@pytest.mark.parametrize("name", CASES)
def test_the_grace_period_covers_the_wait_and_the_drain(name):
    stored, version = render(name)
    spec = overlay(stored, version)["spec"]
    sleep = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep >= 5
    assert spec["terminationGracePeriodSeconds"] > version.drain_timeout.total_seconds() + 5
    assert spec["terminationGracePeriodSeconds"] > sleep


@pytest.mark.parametrize(("timeout", "failures"), [("30m", 1800), ("2.5s", 3), ("100ms", 1)])
def test_startup_timeout(timeout, failures):
    version = vllm(startupTimeout=timeout)
    out = render_deployment(template(version), version)
    assert engine_of(out["spec"]["template"])["startupProbe"]["failureThreshold"] == failures
    assert out["spec"]["progressDeadlineSeconds"] == failures


@pytest.mark.parametrize(
    ("headroom", "replicas", "strategy"),
    [
        (None, 1, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        ("Surge", 5, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        ("None", 2, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        ("None", 1, {"type": "Recreate"}),
        ("None", 0, {"type": "Recreate"}),
    ],
)
def test_strategy(headroom, replicas, strategy):
    version = vllm(**({"headroom": headroom} if headroom else {}), replicas=replicas)
    out = render_deployment(template(version), version)
    assert out["spec"]["strategy"] == strategy
    assert out["spec"]["replicas"] == replicas


def test_pods_are_found_by_their_revision_alone():
    out = render_deployment(*render("vllm-minimal"))
    selected = out["spec"]["selector"]["matchLabels"]
    assert selected == {"solera.dev/llmdeployment": OWNER.name, "solera.dev/revision": HASH}
    assert selected.items() <= out["spec"]["template"]["metadata"]["labels"].items()


def test_children_belong_to_their_owner():
    child = controller_revision(OWNER, "r", "v1", HASH, {"hash": HASH}, 3)
    (reference,) = child["metadata"]["ownerReferences"]
    assert reference == {
        "apiVersion": "solera.dev/v1alpha1",
        "kind": "LLMDeployment",
        "name": OWNER.name,
        "uid": OWNER.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    assert child["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "solera",
        "solera.dev/llmdeployment": OWNER.name,
        "solera.dev/version": "v1",
        "solera.dev/revision": HASH,
    }
    assert (child["kind"], child["revision"], child["data"]) == ("ControllerRevision", 3, {"hash": HASH})


def test_no_secret_is_copied_and_no_token_mounted():
    version = vllm(tokenSecretRef={"name": "hub", "key": "token"})
    spec = overlay(template(version), version)["spec"]
    assert env_of(spec["containers"][0])["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert spec["automountServiceAccountToken"] is False


def test_the_token_replaces_one_that_an_older_template_carries():
    stored = template(vllm(env=[{"name": "HF_TOKEN", "value": ""}]))
    today = vllm(tokenSecretRef={"name": "hub", "key": "token"})
    env = overlay(stored, today)["spec"]["containers"][0]["env"]
    assert [item["name"] for item in env].count("HF_TOKEN") == 1


@pytest.mark.parametrize(("user", "non_root"), [(0, False), (1000, True)])
def test_run_as_user(user, non_root):
    version = vllm(runAsUser=user)
    context = overlay(template(version), version)["spec"]["securityContext"]
    assert (context["runAsUser"], context["fsGroup"], context["runAsNonRoot"]) == (user, user, non_root)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_image_s_own_user_is_left_alone():
    version = vllm()
    assert overlay(template(version), version)["spec"]["securityContext"] == {
        "seccompProfile": {"type": "RuntimeDefault"}
    }


@pytest.mark.parametrize(("gpus", "size"), [(None, "2Gi"), (1, "2Gi"), (2, "8Gi"), (4, "8Gi"), (8, "16Gi")])
def test_shared_memory(gpus, size):
    version = vllm(**({} if gpus is None else {"resources": {"gpus": gpus}}))
    volumes = {v["name"]: v for v in template(version)["spec"]["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": size}


@pytest.mark.parametrize("resources", [None, {"gpus": 0}, {"gpus": 0, "gpuResource": "amd.com/gpu"}])
def test_without_accelerators_none_is_asked_for(resources):
    version = vllm(**({"resources": resources} if resources else {}))
    out = overlay(template(version), version)["spec"]
    assert out["containers"][0]["resources"] == {}
    assert "tolerations" not in out


def test_environment_of_the_user_comes_after_ours_and_keeps_its_order():
    names = [
        item["name"]
        for item in engine_of(template(vllm(env=[{"name": "B", "value": "1"}, {"name": "A", "value": ""}])))["env"]
    ]
    assert names == ["SOLERA_REVISION", "HF_HOME", "B", "A"]


def test_an_openai_server_is_told_by_environment_only():
    model = {"uri": "pvc://weights/m", "revision": "r1", "quantization": "awq"}
    version = resolved({"engine": {"name": "OpenAI", "image": "e:1"}, "port": 9000}, model)
    container = engine_of(pod_template(version, llmdeployment="chat", model_name="chat-model"))
    assert "args" not in container
    assert "command" not in container
    env = env_of(container)
    env.pop("SOLERA_REVISION")
    assert env == {
        "SOLERA_MODEL": "/solera/model/m",
        "SOLERA_MODEL_NAME": "chat-model",
        "SOLERA_PORT": "9000",
        "SOLERA_MODEL_REVISION": "r1",
        "SOLERA_MODEL_QUANTIZATION": "awq",
    }


@pytest.mark.parametrize(
    ("name", "value", "extra", "words"),
    [
        ("HF_HOME", "/x", {}, "template.cache"),
        ("VLLM_API_KEY", "", {}, "Gateway"),
        ("SOLERA_REVISION", "x", {}, "operator"),
        ("HF_TOKEN", "", {"tokenSecretRef": {"name": "hub", "key": "token"}}, "template.tokenSecretRef"),
    ],
)
def test_reserved_environment(name, value, extra, words):
    version = vllm(env=[{"name": "OK", "value": "1"}, {"name": name, "value": value}], **extra)
    with pytest.raises(InvalidSpec, match=words) as caught:
        template(version)
    assert caught.value.path == "template.env[1].name"


def test_two_owners_of_one_name_get_their_own_reference():
    stored, version = render("vllm-minimal")
    one = deployment(OWNER, "r", "v1", HASH, overlay(stored, version), version, 1)
    other = deployment(Owner(uid="other"), "r", "v1", HASH, overlay(stored, version), version, 1)
    assert one["metadata"]["ownerReferences"] != other["metadata"]["ownerReferences"]
    assert one["spec"] == other["spec"]
