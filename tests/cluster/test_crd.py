"""The definitions on a real apiserver: every rule accepts and refuses what it should, in words that help.

They are installed under another group, so that no operator in the cluster acts on what is written here.
"""

from __future__ import annotations

import copy
import json
import random
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.conftest import ROOT, Kube, own_namespace
from solera.api.errors import InvalidSpec
from solera.api.llmdeployment import PLURAL, parse
from unit.api import cases

pytestmark = pytest.mark.cluster

GROUP = f"test-{uuid.uuid4().hex[:6]}.solera.dev"  # runs at the same time do not meet
LLMDEP = f"llmdeployments.{GROUP}"
RECORD = f"rolloutrecords.{GROUP}"


class OtherGroup(Kube):
    """Sends every object under the group of these tests."""

    def send(self, verb: str, obj: cases.Object, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return super().send(verb, obj | {"apiVersion": f"{GROUP}/v1alpha1"}, *options, check=check)


@pytest.fixture(scope="module")
def kube(apiserver: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    folder = tmp_path_factory.mktemp("crds")
    for path in (ROOT / "crds").glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())
        definition["spec"]["group"] = GROUP
        definition["metadata"]["name"] = f"{definition['spec']['names']['plural']}.{GROUP}"
        (folder / path.name).write_text(json.dumps(definition))
    applied = apiserver.run("apply", "--server-side", "--field-manager=tests", "-f", str(folder))
    assert "Warning" not in applied.stderr, applied.stderr
    apiserver.established("-f", str(folder))
    with own_namespace(apiserver) as name:
        yield OtherGroup(name)
    apiserver.run("delete", "-f", str(folder), "--wait=false")


def test_the_files_themselves_are_taken(apiserver: Kube) -> None:
    done = apiserver.run("create", "--dry-run=server", "-f", str(ROOT / "crds"), check=False)
    assert done.returncode == 0 or "AlreadyExists" in done.stderr
    assert "is invalid" not in done.stderr


def refused(kube: Kube, obj: cases.Object) -> str:
    done = kube.send("create", obj, "--dry-run=server", check=False)
    assert done.returncode != 0, f"accepted:\n{json.dumps(obj, indent=1)}"
    return done.stderr


@pytest.mark.parametrize("case", cases.REFUSED, ids=lambda case: case.name)
def test_refused(kube: Kube, case: cases.Refused) -> None:
    message = refused(kube, case.object())
    assert case.cel or case.says
    assert case.path in message
    assert case.says in message
    assert case.cel in message


@pytest.mark.parametrize("case", cases.ACCEPTED, ids=lambda case: case.name)
def test_accepted(kube: Kube, case: cases.Accepted) -> None:
    kube.send("create", case.object(), "--dry-run=server")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples(kube: Kube, path: Path, tmp_path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("  namespace: ")]
    copied = tmp_path / path.name
    copied.write_text("\n".join(lines).replace("apiVersion: solera.dev/", f"apiVersion: {GROUP}/"))
    done = kube.run("apply", "--dry-run=server", "-f", str(copied))
    assert "created (server dry run)" in done.stdout
    assert "Warning" not in done.stderr


def test_both_judges_agree_on_random_successors(kube: Kube) -> None:
    """Pointing functions with and without circles: the doubling in CEL against plain following in Python."""
    generator = random.Random(20270301)
    seen = {True: 0, False: 0}
    for _ in range(30):
        size = generator.choice([2, 3, 5, 9, 17, 64])
        names = [f"m{i}" for i in range(size)]
        share = generator.choice([0.5, 0.9, 1.0])
        # Mostly forwards, so that long chains without a circle are as common as circles.
        backwards = generator.random() < 0.5
        versions = []
        for i, name in enumerate(names):
            later = names[i + 1 :] + (names[:i] if backwards else [])
            successor = generator.choice(later) if later and generator.random() < share else None
            versions.append(cases.version(name, successor))
        generator.shuffle(versions)
        obj = cases.base()
        obj["spec"] |= {"versions": versions, "serve": "m0"}
        try:
            parse(obj)
            expected = ""
        except InvalidSpec as error:
            expected = error.message
        done = kube.send("create", obj, "--dry-run=server", check=False)
        assert (done.returncode == 0) is (expected == ""), (expected, done.stderr)
        if expected:
            assert expected.startswith("successors form a circle: ")
            assert "successors form a circle: [" in done.stderr
            for member in expected.removeprefix("successors form a circle: ").split(", "):
                assert f'"{member}"' in done.stderr
        seen[expected == ""] += 1
    assert min(seen.values()) >= 5


@pytest.fixture
def deployed(kube: Kube, request: pytest.FixtureRequest) -> Any:
    """An object that is really there; its name is unique to the test."""
    obj = cases.base()
    obj["metadata"]["name"] = f"t{abs(hash(request.node.name)) % 10**8}"
    kube.create(obj)
    yield obj
    kube.run("delete", LLMDEP, obj["metadata"]["name"], "--wait=false")


def edited(kube: Kube, obj: cases.Object, change: Callable[[cases.Object], Any]) -> str:
    """What is said to an edit; empty when it is accepted."""
    changed = copy.deepcopy(obj)
    change(changed)
    done = kube.send(
        "apply", changed, "--server-side", "--field-manager=alice", "--force-conflicts", "--dry-run=server", check=False
    )
    return done.stderr if done.returncode else ""


def status(kube: Kube, obj: cases.Object, content: dict[str, Any], *, check: bool = True) -> str:
    return kube.patch(LLMDEP, obj["metadata"]["name"], {"status": content}, "--subresource=status", check=check).stderr


def test_a_published_model_cannot_change(kube: Kube, deployed: cases.Object) -> None:
    for change in (
        cases.model(uri="hf://org/other"),
        cases.model(revision="f" * 40),
        cases.model(quantization="awq"),
    ):
        says = edited(kube, deployed, change)
        assert "spec.versions[0].model: Forbidden: version v1 is published: its model cannot change" in says
        assert "add a new version instead" in says


def test_a_published_model_is_found_by_name_wherever_it_stands(kube: Kube, deployed: cases.Object) -> None:
    def reordered(obj: cases.Object) -> None:
        obj["spec"]["versions"].reverse()

    def swapped(obj: cases.Object) -> None:
        first, second = obj["spec"]["versions"]
        first["model"], second["model"] = second["model"], first["model"]

    assert edited(kube, deployed, reordered) == ""
    says = edited(
        kube, deployed, cases.both(reordered, lambda obj: obj["spec"]["versions"][1]["model"].update(uri="hf://org/x"))
    )
    assert "spec.versions[1].model: Forbidden: version v1 is published" in says
    says = edited(kube, deployed, swapped)
    assert "version v1 is published" in says
    assert "version v2 is published" in says


def test_the_rest_of_a_version_may_change(kube: Kube, deployed: cases.Object) -> None:
    def change(obj: cases.Object) -> None:
        obj["spec"]["versions"][0] |= {"lifecycle": {"successor": "v2"}, "template": {"replicas": 3}}
        obj["spec"]["versions"].append(cases.version("v3"))
        obj["spec"]["serve"] = "v3"

    assert edited(kube, deployed, change) == ""


def test_a_name_is_never_used_for_another_model_again(kube: Kube, deployed: cases.Object) -> None:
    record = {"name": "v2", "uri": "hf://org/model-v2", "modelRevision": cases.COMMIT}
    status(kube, deployed, {"observedGeneration": 1, "versions": [record]})
    without = copy.deepcopy(deployed)
    without["spec"]["versions"].pop()
    kube.send("replace", without)
    again = copy.deepcopy(without)
    again["spec"]["versions"].append({"name": "v2", "model": {"uri": "hf://org/other", "revision": cases.COMMIT}})
    says = kube.send("replace", again, check=False).stderr
    assert 'spec.versions: Forbidden: ["v2"] was used for another model before; use a new name' in says
    kube.send("replace", deployed)  # the same model under the same name is welcome


def test_a_wrong_record_is_refused_at_once_and_never_locks_the_object(kube: Kube, deployed: cases.Object) -> None:
    wrong = {"name": "v1", "uri": "hf://org/other"}
    assert '["v1"] was used for another model before' in status(kube, deployed, {"versions": [wrong]}, check=False)
    status(kube, deployed, {"versions": [{"name": "v1", "uri": "hf://org/model-v1", "modelRevision": cases.COMMIT}]})
    status(kube, deployed, {"versions": [{"name": "gone", "uri": "pvc://a/b"}]})


def test_the_version_that_carries_the_traffic_stays(kube: Kube, deployed: cases.Object) -> None:
    ref = {"version": "v1", "revision": "chat-v1-abcdefgh", "hash": "abcdefgh"}
    status(kube, deployed, {"observedGeneration": 1, "stable": ref})

    def moved(obj: cases.Object) -> None:
        obj["spec"]["versions"].pop(0)
        obj["spec"]["serve"] = "v2"

    changed = copy.deepcopy(deployed)
    moved(changed)
    says = kube.send("replace", changed, check=False).stderr
    assert "spec.versions: Forbidden: v1 carries the traffic and cannot be removed; move spec.serve to another" in says
    status(kube, deployed, {"stable": ref | {"version": "v2", "revision": "chat-v2-abcdefgh"}})
    kube.send("replace", changed)


def test_the_version_that_is_kept_warm_stays(kube: Kube, deployed: cases.Object) -> None:
    warm = {"version": "v1", "revision": "chat-v1-abcdefgh", "hash": "abcdefgh"}
    now = warm | {"version": "v2", "revision": "chat-v2-abcdefgh"}
    status(kube, deployed, {"stable": now, "previous": warm})
    changed = copy.deepcopy(deployed)
    changed["spec"]["versions"].pop(0)
    changed["spec"]["serve"] = "v2"
    says = kube.send("replace", changed, check=False).stderr
    assert "spec.versions: Forbidden: v1 is kept warm, to go back to, and cannot be removed yet; wait until" in says
    status(kube, deployed, {"previous": None})
    kube.send("replace", changed)
    # What is missing already keeps no status from being written.
    status(kube, changed, {"stable": now, "previous": warm})


def test_an_old_finding_does_not_stop_other_edits(kube: Kube, deployed: cases.Object) -> None:
    """Annotations and the removal of a finalizer go through, because no rule at the root reads spec alone."""
    name = deployed["metadata"]["name"]
    kube.patch(LLMDEP, name, {"metadata": {"finalizers": ["solera.dev/test"], "annotations": {"a": "b"}}})
    kube.patch(LLMDEP, name, {"metadata": {"finalizers": None}})


def test_a_new_object_has_a_status_that_nobody_takes_for_current(kube: Kube) -> None:
    obj = cases.base()
    obj["metadata"]["name"] = "fresh"
    obj["status"] = {"observedGeneration": 1, "state": "Idle"}
    created = kube.create(obj)
    assert created["status"] == {"observedGeneration": -1}
    assert created["metadata"]["generation"] == 1
    kube.run("wait", "--for=jsonpath={.status.observedGeneration}=-1", "--timeout=5s", f"{LLMDEP}/fresh")
    done = kube.run("wait", "--for=condition=Ready", "--timeout=1s", f"{LLMDEP}/fresh", check=False)
    assert done.returncode != 0


def test_a_status_without_observed_generation_says_so(kube: Kube, deployed: cases.Object) -> None:
    status(kube, deployed, {"observedGeneration": None, "state": "Idle"})
    assert kube.get(LLMDEP, deployed["metadata"]["name"])["status"] == {"observedGeneration": -1, "state": "Idle"}


def test_users_and_operator_do_not_get_in_each_others_way(kube: Kube, deployed: cases.Object) -> None:
    name = deployed["metadata"]["name"]
    user = ("--server-side", "--field-manager=alice", "--force-conflicts")
    kube.send("apply", deployed, *user)
    head = {key: deployed[key] for key in ("kind", "metadata")}
    operator = ("--server-side", "--field-manager=solera", "--force-conflicts", "--subresource=status")
    content = {"status": {"observedGeneration": 1, "state": "Idle", "next": "nothing to do"}}
    kube.send("apply", head | content, *operator)
    before = kube.get(LLMDEP, name)["metadata"]["resourceVersion"]
    kube.send("apply", head | content, *operator)
    kube.send("apply", deployed, *user)
    assert kube.get(LLMDEP, name)["metadata"]["resourceVersion"] == before
    done = kube.run(
        "diff",
        "-f",
        "-",
        "--server-side",
        "--field-manager=alice",
        stdin=json.dumps(
            deployed | {"apiVersion": f"{GROUP}/v1alpha1", "metadata": {"name": name, "namespace": kube.namespace}}
        ),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


STATUS = {
    "observedGeneration": 1,
    "state": "Shifting",
    "modelName": "chat",
    "stable": {"version": "v1", "revision": "chat-v1-abcdefgh", "hash": "abcdefgh"},
    "candidate": {"version": "v2", "revision": "chat-v2-abcdefgh", "hash": "abcdefgh"},
    "previous": {"version": "v0", "revision": "chat-v0-abcdefgh", "hash": "abcdefgh", "until": "2027-03-01T00:00:00Z"},
    "weight": 25,
    "next": "weight 50 in 4m",
    "rollout": {"id": "r1", "observedShare": "24.8%"},
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "OnPlan",
            "message": "all by plan",
            "lastTransitionTime": "2027-03-01T00:00:00Z",
        }
    ],
}


def test_columns(kube: Kube, deployed: cases.Object) -> None:
    status(kube, deployed, STATUS)
    name = deployed["metadata"]["name"]
    header, row = kube.run("get", LLMDEP, name).stdout.splitlines()
    assert header.split() == ["NAME", "READY", "STABLE", "CANDIDATE", "WEIGHT", "STATE", "NEXT", "AGE"]
    assert row.split()[1:10] == ["True", "v1", "v2", "25", "Shifting", "weight", "50", "in", "4m"]
    header, row = kube.run("get", LLMDEP, name, "-o", "wide").stdout.splitlines()
    assert header.split()[8:] == ["SERVE", "MODEL", "SHARE", "PREVIOUS", "REASON", "MESSAGE"]
    assert row.split()[11:] == ["v1", "chat", "24.8%", "v0", "OnPlan", "all", "by", "plan"]


def test_found_by_category_and_by_field(kube: Kube, deployed: cases.Object) -> None:
    status(kube, deployed, STATUS)
    name = deployed["metadata"]["name"]
    assert f"llmdeployment.{GROUP}/{name}" in kube.run("get", "solera", "-o", "name").stdout
    selector = "spec.serve=v1,status.state=Shifting,status.candidate.version=v2"
    assert name in kube.run("get", LLMDEP, "-o", "name", "--field-selector", selector).stdout
    assert not kube.run("get", LLMDEP, "-o", "name", "--field-selector", "status.state=Idle").stdout


def test_short_names(kube: Kube) -> None:
    rows = kube.run("api-resources", f"--api-group={GROUP}", "--no-headers").stdout.splitlines()
    assert sorted(row.split()[:2] for row in rows) == [["llmdeployments", "llmdep"], ["rolloutrecords", "rr"]]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (PLURAL, "A self-hosted language model through its life"),
        (f"{PLURAL}.spec.serve", "Changing it starts a rollout"),
        (f"{PLURAL}.spec.versions.model", "hf://ORG/NAME"),
        (f"{PLURAL}.spec.versions.lifecycle.onRetirement", "ENUM: Redirect Refuse Hold"),
        (f"{PLURAL}.spec.rollout.guardrails", "slowerThan"),
        (f"{PLURAL}.status.state", "Idle Provisioning Evaluating Shifting"),
        ("rolloutrecords.data", "may change between releases"),
    ],
)
def test_explain(kube: Kube, path: str, says: str) -> None:
    text = kube.run("explain", path, f"--api-version={GROUP}/v1alpha1").stdout
    assert says in " ".join(text.split())
    assert "<no description>" not in text


def test_a_full_object_is_written_quickly(kube: Kube) -> None:
    """64 versions with long models: rules run at every status write, so their real time matters, not only their bound."""
    obj = cases.base()
    obj["metadata"]["name"] = "full"
    obj["spec"]["versions"] = [
        cases.version(f"v{i}", f"v{i + 1}" if i < 63 else None) | {"template": {"replicas": 1, "drainTimeout": "30s"}}
        for i in range(64)
    ]
    obj["spec"]["serve"] = "v0"
    kube.create(obj)
    records = [
        {"name": f"v{i}", "uri": f"hf://org/model-v{i}", "modelRevision": cases.COMMIT, "phase": "Active"}
        for i in range(64)
    ]
    times = []
    for i in range(5):
        start = time.monotonic()
        status(kube, obj, {"observedGeneration": 1, "versions": records, "next": str(i)})
        times.append(time.monotonic() - start)
    assert min(times) < 1.0  # kubectl's own start included; a rule that loops in a loop adds seconds


def test_a_record_keeps_whatever_the_operator_writes(kube: Kube) -> None:
    record = {
        "apiVersion": "solera.dev/v1alpha1",
        "kind": "RolloutRecord",
        "metadata": {"name": "chat"},
        "spec": {"llmdeployment": "chat", "rolloutId": "r1"},
        "data": {"totals": {"0": {"chat-v1-abcdefgh": {"errors": [1, 2]}}}, "ring": [[1.5, None]]},
    }
    assert kube.create(record)["data"] == record["data"]
    assert "r1" in kube.run("get", RECORD, "chat").stdout
    bad = copy.deepcopy(record)
    bad["metadata"]["name"] = "other"
    del bad["spec"]["rolloutId"]
    assert "spec.rolloutId: Required value" in kube.send("create", bad, check=False).stderr
