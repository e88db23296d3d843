"""The chart as Helm renders it and as a real apiserver takes it: rights, pod security, and who may promote."""

from __future__ import annotations

import copy
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from cluster.conftest import HOW, ROOT, Kube
from unit.api import cases

pytestmark = pytest.mark.cluster

CHART = ROOT / "charts" / "solera"
IMAGE = ("--set", "image.repository=localhost/solera/operator", "--set", "image.tag=dev")
SAYS = "may not write the annotation solera.dev/request"
REQUEST = "solera.dev/request"
NAME = f"chart-{uuid.uuid4().hex[:6]}"
ROLES = {"ClusterRole", "Role"}


def helm(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    if shutil.which("helm") is None:
        pytest.fail(f"helm is not on PATH: {HOW}")
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=60, check=False)
    if check and done.returncode:
        pytest.fail(f"helm {' '.join(arguments)}\n{done.stderr}")
    return done


def template(*options: str, image: tuple[str, ...] = IMAGE) -> list[dict[str, Any]]:
    done = helm(
        "template", NAME, str(CHART), "--namespace", "default", "--set", f"fullnameOverride={NAME}", *image, *options
    )
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


def kinds(objects: list[dict[str, Any]], *wanted: str) -> list[dict[str, Any]]:
    return [obj for obj in objects if obj["kind"] in wanted]


def operator_rules(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    (role,) = [role for role in kinds(objects, *ROLES) if role["metadata"]["name"].endswith("-operator")]
    return role["rules"]


def eventually(check: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.2)
    return False


# --- what Helm renders --------------------------------------------------------------------------------------------


def test_lint() -> None:
    helm("lint", "--strict", str(CHART), *IMAGE)


def test_the_image_must_be_named() -> None:
    done = helm("template", NAME, str(CHART), check=False)
    assert done.returncode != 0
    assert "image.repository: write where the operator's image is" in done.stderr


@pytest.mark.parametrize(
    ("option", "path"),
    [("imagee.tag=1", "imagee"), ("crds.instal=false", "crds"), ("config.metrics.gatway=x", "config/metrics")],
)
def test_a_misspelt_value_is_refused(option: str, path: str) -> None:
    done = helm("template", NAME, str(CHART), *IMAGE, "--set", option, check=False)
    assert done.returncode != 0
    assert path in done.stderr
    assert "additional properties" in done.stderr


@pytest.mark.parametrize("keep", [True, False])
def test_definitions_are_those_of_the_repository(keep: bool) -> None:
    rendered = kinds(template("--set", f"crds.keep={str(keep).lower()}"), "CustomResourceDefinition")
    expected = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    if keep:
        for obj in expected:
            obj["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    by_name = {obj["metadata"]["name"]: obj for obj in rendered}
    assert by_name == {obj["metadata"]["name"]: obj for obj in expected}


def test_definitions_can_be_left_to_somebody_else() -> None:
    assert not kinds(template("--set", "crds.install=false"), "CustomResourceDefinition")


def test_a_digest_wins_over_the_tag() -> None:
    digest = f"sha256:{'a' * 64}"
    (deployment,) = kinds(template("--set", f"image.digest={digest}"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"localhost/solera/operator@{digest}"


def test_configuration_reaches_the_pod_and_restarts_it() -> None:
    plain, changed = template(), template("--set", "config.metricsPort=9000", "--set", "config.logFormat=json")
    (config,) = kinds(changed, "ConfigMap")
    assert yaml.safe_load(config["data"]["config.yaml"]) == {
        "metricsPort": 9000,
        "logFormat": "json",
        "leaderElection": {"name": NAME},
    }
    before, after = (kinds(objects, "Deployment")[0]["spec"]["template"] for objects in (plain, changed))
    assert before["metadata"]["annotations"]["checksum/config"] != after["metadata"]["annotations"]["checksum/config"]
    assert after["metadata"]["annotations"]["prometheus.io/port"] == "9000"
    assert {p["name"]: p["containerPort"] for p in after["spec"]["containers"][0]["ports"]} == {
        "metrics": 9000,
        "health": 8081,
    }


def test_credentials_of_a_metric_source_can_be_mounted() -> None:
    options = ("volumes[0].name=token", "volumes[0].secret.secretName=prometheus")
    options += ("volumeMounts[0].name=token", "volumeMounts[0].mountPath=/etc/token")
    (deployment,) = kinds(template(*(word for option in options for word in ("--set", option))), "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    assert {"name": "token", "secret": {"secretName": "prometheus"}} in spec["volumes"]
    assert {"name": "token", "mountPath": "/etc/token"} in spec["containers"][0]["volumeMounts"]


def test_two_pods_of_which_one_is_always_there() -> None:
    objects = template()
    (deployment,) = kinds(objects, "Deployment")
    assert deployment["spec"]["replicas"] == 2
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    assert deployment["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    pod = deployment["spec"]["template"]
    (budget,) = kinds(objects, "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == 1
    wanted = budget["spec"]["selector"]["matchLabels"].items()
    assert wanted <= pod["metadata"]["labels"].items()
    spread = pod["spec"]["topologySpreadConstraints"]
    assert {s["topologyKey"] for s in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    for one in spread:
        assert one["whenUnsatisfiable"] == "ScheduleAnyway", "on a single node both must run"
        assert one["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_one_pod_needs_no_budget() -> None:
    objects = template("--set", "replicas=1")
    assert not kinds(objects, "PodDisruptionBudget")
    (deployment,) = kinds(objects, "Deployment")
    assert "topologySpreadConstraints" not in deployment["spec"]["template"]["spec"]
    assert kinds(objects, "Lease"), "an upgrade makes a second one for a moment"


def test_without_leader_election_there_is_one_writer_at_a_time() -> None:
    off = ("--set", "config.leaderElection.enabled=false")
    objects = template(*off, "--set", "replicas=1")
    (deployment,) = kinds(objects, "Deployment")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert not kinds(objects, "Lease")
    assert not [o for o in objects if o["metadata"]["name"] == f"{NAME}-leader"]
    done = helm("template", NAME, str(CHART), *IMAGE, *off, check=False)
    assert done.returncode != 0
    assert "replicas: 2 would write at once; write 1, or config.leaderElection.enabled: true" in done.stderr


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ((), ("default", NAME)),
        (
            ("--set", "config.leaderElection.name=mine", "--set", "config.leaderElection.namespace=there"),
            ("there", "mine"),
        ),
    ],
    ids=["default", "elsewhere"],
)
def test_the_lease_and_the_right_to_it_are_where_the_operator_looks(options: tuple[str, ...], place: Any) -> None:
    objects = template(*options)
    (config,) = kinds(objects, "ConfigMap")
    election = yaml.safe_load(config["data"]["config.yaml"])["leaderElection"]
    assert (election.get("namespace", "default"), election["name"]) == place
    (lease,) = kinds(objects, "Lease")
    assert (lease["metadata"]["namespace"], lease["metadata"]["name"]) == place
    assert "spec" not in lease, "Helm must never own what the leader writes"
    role, binding = (o for o in kinds(objects, "Role", "RoleBinding") if o["metadata"]["name"] == f"{NAME}-leader")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == place[0]
    limited, creation = role["rules"]
    assert (limited["resourceNames"], limited["verbs"]) == ([place[1]], ["get", "update"])
    assert creation["verbs"] == ["create"]
    (deployment,) = kinds(objects, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told = {e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in container["env"]}
    assert told == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}


# --- rights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--set", "config.namespaces[0]=ml")], ids=["cluster", "namespaced"])
def test_no_role_holds_more_than_it_needs(options: tuple[str, ...]) -> None:
    for role in kinds(template(*options), *ROLES):
        for rule in role["rules"]:
            words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not any("*" in word for word in words), (role["metadata"]["name"], rule)
            assert "nonResourceURLs" not in rule
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
            assert not {"secrets", "namespaces", "nodes", "serviceaccounts", "customresourcedefinitions"} & set(
                rule["resources"]
            )
            assert "rbac.authorization.k8s.io" not in rule["apiGroups"]
            assert not any(resource.startswith("pods/") for resource in rule["resources"])


def test_the_operator_writes_status_only() -> None:
    verbs = {
        resource: set(rule["verbs"])
        for rule in operator_rules(template())
        for resource in rule["resources"]
        if "solera.dev" in rule["apiGroups"]
    }
    assert verbs["llmdeployments"] == {"get", "list", "watch"}
    assert verbs["llmdeployments/status"] == {"patch"}


def test_who_may_edit_may_not_forge_evidence() -> None:
    for role in kinds(template(), "ClusterRole"):
        if role["metadata"]["name"].endswith("-operator"):
            continue
        for rule in role["rules"]:
            if {"rolloutrecords", "llmdeployments/status"} & set(rule["resources"]):
                assert set(rule["verbs"]) == {"get", "list", "watch"}, role["metadata"]["name"]


def test_in_named_namespaces_the_operator_has_no_rights_elsewhere() -> None:
    objects = template("--set", "config.namespaces={ml,chat}", "--set", "rbac.userRoles=false")
    assert not kinds(objects, "ClusterRole", "ClusterRoleBinding")
    rights = kinds(objects, "Role", "RoleBinding")
    places = sorted(
        (o["kind"], o["metadata"]["namespace"]) for o in rights if o["metadata"]["name"] == f"{NAME}-operator"
    )
    assert places == [("Role", "chat"), ("Role", "ml"), ("RoleBinding", "chat"), ("RoleBinding", "ml")]
    (one, other) = (o for o in kinds(objects, "Role") if o["metadata"]["name"] == f"{NAME}-operator")
    assert one["rules"] == other["rules"] == operator_rules(template())


# --- a real apiserver -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def restricted(cluster: Kube) -> Iterator[Kube]:
    name = f"restricted-{uuid.uuid4().hex[:8]}"
    cluster.run("create", "namespace", name)
    cluster.run("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield Kube(name)
    cluster.run("delete", "namespace", name, "--wait=false")


def operator_pod() -> dict[str, Any]:
    (deployment,) = kinds(template(), "Deployment")
    spec = deployment["spec"]["template"]["spec"] | {"serviceAccountName": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": spec}


def test_the_operator_s_pod_keeps_the_restricted_standard(restricted: Kube) -> None:
    restricted.send("create", operator_pod(), "--dry-run=server")


@pytest.mark.parametrize(
    ("loosen", "words"),
    [
        (lambda s: s["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
        (lambda s: s["containers"][0]["securityContext"].pop("capabilities"), "capabilities"),
        (lambda s: s["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"), "allowPrivilegeEscalation"),
        (lambda s: s["securityContext"].pop("seccompProfile"), "seccompProfile"),
    ],
)
def test_the_restricted_standard_is_really_checked(restricted: Kube, loosen: Any, words: str) -> None:
    pod = operator_pod()
    loosen(pod["spec"])
    done = restricted.send("create", pod, "--dry-run=server", check=False)
    assert done.returncode != 0
    assert words in done.stderr


def test_the_apiserver_takes_every_object_without_a_warning(cluster: Kube) -> None:
    for obj in template():
        if obj["kind"] == "CustomResourceDefinition":
            continue  # installed for all tests by conftest.py
        done = cluster.send("apply", obj, "--dry-run=server", "--server-side", "--force-conflicts", "--validate=strict")
        assert "Warning" not in done.stderr, (obj["kind"], done.stderr)


@pytest.fixture(scope="module")
def people(cluster: Kube, kube: Kube) -> Iterator[Kube]:
    """Roles and policy of the chart in force; alice edits, carol approves, dora does both, in the namespace of `kube`."""
    text = yaml.safe_dump_all(
        kinds(template(), "ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    )
    cluster.run("apply", "-f", "-", stdin=text)
    for user, roles in {
        "alice": ["editor"],
        "carol": ["approver"],
        "dora": ["editor", "approver"],
        "victor": ["viewer"],
    }.items():
        for role in roles:
            kube.run("create", "rolebinding", f"{user}-{role}", f"--clusterrole={NAME}-{role}", f"--user={user}")
    for user, role in {"vera": "view", "eddi": "edit", "anna": "admin"}.items():
        kube.run("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}")
    kube.create(cases.base())
    # A policy is in force only a while after it was created; until then nothing is checked.
    assert eventually(lambda: SAYS in annotate(kube, "alice", "probe", "--dry-run=server").stderr)
    yield kube
    cluster.run("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=text)


def annotate(kube: Kube, user: str, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    patch = {"metadata": {"annotations": {REQUEST: text}}}
    return kube.patch("llmdep", "chat", patch, f"--as={user}", *options, check=False)


def may(kube: Kube, user: str, verb: str, resource: str) -> bool:
    kind, _, subresource = resource.partition("/")  # kubectl would take what stands behind / for a name
    part = [f"--subresource={subresource}"] if subresource else []
    return kube.run("auth", "can-i", verb, kind, *part, f"--as={user}", check=False).stdout.strip() == "yes"


def test_an_editor_may_not_promote(people: Kube) -> None:
    done = annotate(people, "alice", "promote@aaaaaaaa/0#1")
    assert done.returncode != 0
    assert f"alice {SAYS}" in done.stderr
    assert "verb promote" in done.stderr
    assert REQUEST not in people.get("llmdep", "chat")["metadata"].get("annotations", {})


def test_an_editor_may_not_promote_at_creation_or_by_apply(people: Kube) -> None:
    obj = cases.base()
    obj["metadata"] |= {"name": "other", "annotations": {REQUEST: "promote@aaaaaaaa/0#1"}}
    for verb, *options in (("create",), ("apply",), ("apply", "--server-side")):
        done = people.send(verb, obj, "--as=alice", *options, check=False)
        assert done.returncode != 0
        assert f"alice {SAYS}" in done.stderr


def test_an_editor_may_do_everything_else(people: Kube) -> None:
    for user in ("alice", "dora"):
        people.patch(
            "llmdep", "chat", {"metadata": {"labels": {"by": user}}, "spec": {"owner": {"team": user}}}, f"--as={user}"
        )


def test_an_approver_may_promote_and_an_editor_may_still_edit_then(people: Kube) -> None:
    assert annotate(people, "carol", "promote@aaaaaaaa/0#2").returncode == 0
    assert people.get("llmdep", "chat")["metadata"]["annotations"][REQUEST] == "promote@aaaaaaaa/0#2"
    people.patch("llmdep", "chat", {"spec": {"owner": {"team": "after"}}}, "--as=alice")
    done = people.patch("llmdep", "chat", {"metadata": {"annotations": {REQUEST: None}}}, "--as=alice", check=False)
    assert done.returncode != 0  # taking a request away is writing it, too


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"serve": "v2"}},
        {"metadata": {"labels": {"x": "y"}}},
        {"metadata": {"finalizers": ["example.com/stay"]}},
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "0"}]}},
    ],
    ids=["spec", "labels", "finalizers", "owner"],
)
def test_an_approver_may_write_the_request_and_nothing_else(people: Kube, patch: dict[str, Any]) -> None:
    together = copy.deepcopy(patch)
    together.setdefault("metadata", {})["annotations"] = {REQUEST: "promote@aaaaaaaa/0#3"}
    for attempt in (patch, together):
        done = people.patch("llmdep", "chat", attempt, "--as=carol", check=False)
        assert done.returncode != 0
        assert "needs the verb update" in done.stderr
    assert people.patch("llmdep", "chat", patch, "--as=dora", "--dry-run=server", check=False).returncode == 0


def test_a_viewer_may_only_look(people: Kube) -> None:
    assert may(people, "victor", "get", "llmdeployments")
    assert not may(people, "victor", "patch", "llmdeployments")


def test_the_cluster_s_own_roles_learn_about_the_resource(people: Kube) -> None:
    def learned() -> bool:
        return may(people, "anna", "promote", "llmdeployments") and may(people, "vera", "get", "llmdeployments")

    assert eventually(learned)  # the aggregation controller takes a moment
    expected = {
        ("vera", "get", "llmdeployments"): True,
        ("vera", "get", "rolloutrecords"): True,
        ("vera", "patch", "llmdeployments"): False,
        ("eddi", "create", "llmdeployments"): True,
        ("eddi", "promote", "llmdeployments"): False,
        ("eddi", "patch", "llmdeployments/status"): False,
        ("eddi", "patch", "rolloutrecords"): False,
        ("anna", "promote", "llmdeployments"): True,
        ("anna", "patch", "llmdeployments/status"): False,
        ("anna", "delete", "rolloutrecords"): False,
    }
    found = {question: may(people, *question) for question in expected}
    assert found == expected


def test_the_operator_s_account_may_do_its_work_and_no_more(people: Kube, cluster: Kube) -> None:
    rights = kinds(template(), "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount")
    names = {NAME, f"{NAME}-operator", f"{NAME}-leader"}
    text = yaml.safe_dump_all([obj for obj in rights if obj["metadata"]["name"] in names])
    cluster.run("apply", "-f", "-", stdin=text)
    account = f"system:serviceaccount:default:{NAME}"
    try:
        assert eventually(lambda: may(people, account, "list", "llmdeployments"))
        expected = {
            ("patch", "llmdeployments/status"): True,
            ("patch", "llmdeployments"): False,
            ("update", "llmdeployments"): False,
            ("promote", "llmdeployments"): False,
            ("create", "deployments.apps"): True,
            ("patch", "httproutes.gateway.networking.k8s.io"): True,
            ("get", "secrets"): False,
            ("list", "secrets"): False,
            ("create", "pods"): False,
            ("create", "pods/exec"): False,
            ("get", "pods/proxy"): False,
            ("get", "nodes"): False,
            ("create", "serviceaccounts/token"): False,
            ("create", "rolebindings.rbac.authorization.k8s.io"): False,
        }
        assert {question: may(people, account, *question) for question in expected} == expected
        assert may(cluster, account, "create", "leases")
        asked = {
            (verb, name): cluster.run(
                "auth", "can-i", verb, f"lease/{name}", f"--as={account}", check=False
            ).stdout.strip()
            for verb in ("get", "update", "patch", "delete")
            for name in (NAME, "another")
        }
        assert [question for question, answer in asked.items() if answer == "yes"] == [("get", NAME), ("update", NAME)]
    finally:
        cluster.run("delete", "--ignore-not-found", "-f", "-", stdin=text)


def test_the_policy_is_about_this_annotation_alone(people: Kube) -> None:
    people.patch("llmdep", "chat", {"metadata": {"annotations": {"example.com/note": "x"}}}, "--as=alice")


def test_cluster_admin_may_promote(people: Kube) -> None:
    people.patch("llmdep", "chat", {"metadata": {"annotations": {REQUEST: "abort@aaaaaaaa/0#4"}}})
