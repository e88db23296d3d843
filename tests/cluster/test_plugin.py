"""kubectl-solera on a real apiserver: started by kubectl, as users start it. The test writes status; no operator may run here."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Self

import pytest
import yaml

from cluster.conftest import ROOT, Kube
from cluster.operator_process import OperatorProcess, until
from unit.cli.objects import V2, ago, at_rest, llmd, rolling, waiting_for_approval

pytestmark = pytest.mark.cluster

NAME = "support-assistant"
DONE = subprocess.CompletedProcess[str]


def environment(kubeconfig: Path | None = None) -> dict[str, str]:
    """The plugin of this checkout on PATH, where kubectl looks for it."""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return env | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})


def plugin(kube: Kube, *arguments: str, kubeconfig: Path | None = None) -> DONE:
    command = ["kubectl", "solera", *arguments, "-n", kube.namespace]
    return subprocess.run(command, env=environment(kubeconfig), capture_output=True, text=True, timeout=60, check=False)


class Started:
    """A plugin that goes on: what it prints is collected as it comes."""

    def __init__(self, kube: Kube, *arguments: str) -> None:
        # What a script starts in the background ignores Ctrl-C, and so would all that the tests start.
        command = ["env", "--default-signal=INT", "kubectl", "solera", *arguments, "-n", kube.namespace]
        self.process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        streams = ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        self.readers = [threading.Thread(target=self.collect, args=each) for each in streams]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def collect(stream: IO[str], lines: list[str]) -> None:
        with stream:
            for line in stream:
                lines += [line]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join()

    def ended(self) -> int:
        code = self.process.wait(20)
        for reader in self.readers:
            reader.join()
        return code


def write_status(kube: Kube, status: dict[str, Any]) -> None:
    generation = kube.get("llmdep", NAME)["metadata"]["generation"]
    body = {"observedGeneration": generation, **{k: v for k, v in status.items() if v is not None}}
    patch = [{"op": "add", "path": "/status", "value": body}]
    kube.run("patch", "llmdep", NAME, "--subresource=status", "--type=json", "-p", json.dumps(patch))


def eventually(what: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it did not come about in time"
        time.sleep(0.1)


def left_alone(kube: Kube, number: int) -> bool:
    """Does nobody write the status of a new object?"""
    name = f"lonely-{number}"
    made = kube.create({k: v for k, v in llmd().items() if k != "status"} | {"metadata": {"name": name}})
    assert made["status"] == {"observedGeneration": -1}
    time.sleep(2)
    alone = kube.get("llmdep", name)["status"]["observedGeneration"] == -1
    kube.run("delete", "llmdep", name)
    return alone


@pytest.fixture(scope="module", autouse=True)
def _no_operator(kube: Kube) -> Iterator[None]:
    """An operator that runs in this cluster is kept out of this namespace: here the test itself plays the operator."""
    if left_alone(kube, 0):
        yield
        return
    me = json.loads(kube.run("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]["username"]
    name = f"{kube.namespace}-shield"
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": kube.namespace}},
            "resourceRules": [
                {
                    "apiGroups": ["solera.dev"],
                    "apiVersions": ["*"],
                    "operations": ["*"],
                    "resources": ["llmdeployments/status"],
                }
            ],
        },
        "validations": [{"expression": f"request.userInfo.username == '{me}'"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    shield = yaml.safe_dump_all(
        [
            kind | {"kind": "ValidatingAdmissionPolicy", "spec": policy},
            kind | {"kind": "ValidatingAdmissionPolicyBinding", "spec": binding},
        ]
    )
    kube.run("apply", "-f", "-", stdin=shield)
    try:
        if not any(left_alone(kube, number) for number in range(1, 8)):
            pytest.fail(
                f"an operator runs in this cluster as {me} and writes the status that these tests write: stop it"
            )
        yield
    finally:
        kube.run("delete", "-f", "-", stdin=shield)


@pytest.fixture
def obj(kube: Kube) -> Iterator[dict[str, Any]]:
    """One LLMDeployment that nobody has looked at."""
    fresh = {k: v for k, v in llmd().items() if k != "status"} | {"metadata": {"name": NAME}}
    yield kube.create(fresh)
    kube.run("delete", "llmdep", NAME, "--ignore-not-found")


def test_an_object_that_nobody_has_looked_at(kube: Kube, obj: dict[str, Any]) -> None:
    listed = plugin(kube, "get")
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[:6] for line in listed.stdout.splitlines()] == [
        ["NAME", "READY", "STABLE", "CANDIDATE", "WEIGHT", "STATE"],
        [NAME, "Unknown", "-", "-", "-", "-"],
    ]
    told = plugin(kube, "explain", NAME)
    assert told.returncode == 0
    assert told.stdout.startswith(f"The operator has not looked at {NAME} yet")
    assert plugin(kube, "promote", NAME, "--yes").returncode == 4


def test_a_rollout_in_progress(kube: Kube, obj: dict[str, Any]) -> None:
    write_status(kube, waiting_for_approval())
    shown = plugin(kube, "get", NAME)
    assert shown.returncode == 0, shown.stderr
    for text in ("Held, step 3 of 4 (50%)", "v1 50%, v2 50%; the candidate got 49.7% of the requests", "0.1% to 1.3%"):
        assert text in shown.stdout
    told = plugin(kube, "explain", NAME).stdout.splitlines()
    assert told[0] == "v2 stays at 50% until a person approves it: step 3 of 4 (50%) waits for approval"
    assert told[-1] == f"  kubectl solera promote {NAME} -n {kube.namespace}"
    document = json.loads(plugin(kube, "get", NAME, "-o", "json").stdout)
    assert document["rollout"]["waitsForApproval"] is True
    assert document["generation"] == document["observedGeneration"] == 1


def test_what_is_not_there(kube: Kube) -> None:
    done = plugin(kube, "explain", "nobody")
    assert (done.returncode, done.stderr) == (
        3,
        f"Error: there is no LLMDeployment nobody in namespace {kube.namespace}\n",
    )


def test_a_name_that_is_nearly_right(kube: Kube, obj: dict[str, Any]) -> None:
    done = plugin(kube, "get", "suport-asistant")
    assert done.returncode == 3
    assert done.stderr.endswith(f"; did you mean {NAME}?\n")
    assert plugin(kube, "get", "nobody", "-w").returncode == 3


def operator(kube: Kube, answer: dict[str, Any]) -> threading.Thread:
    """Answers the next request as the operator does: the echo, and what it did, in one write of status."""

    def run() -> None:
        eventually(lambda: "solera.dev/request" in kube.get("llmdep", NAME)["metadata"].get("annotations", {}))
        request = kube.get("llmdep", NAME)["metadata"]["annotations"]["solera.dev/request"]
        write_status(kube, answer | {"lastHandledRequest": request})

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_promote_writes_one_annotation_and_tells_the_answer(kube: Kube, obj: dict[str, Any]) -> None:
    write_status(kube, waiting_for_approval())
    approved = waiting_for_approval(rollout={"approvedSteps": [2]})
    approved["history"] += [{"at": ago(seconds=0), "event": "Approved", "message": "step 3 of v2 is approved"}]
    thread = operator(kube, approved)
    done = plugin(kube, "promote", NAME, "--yes", "--timeout", "30s")
    thread.join()
    assert (done.returncode, done.stdout) == (0, f"promote {NAME}: step 3 of v2 is approved\n"), done.stderr
    after = json.loads(kube.run("get", "llmdep", NAME, "-o", "json", "--show-managed-fields").stdout)
    assert after["spec"] == obj["spec"]
    assert after["metadata"]["generation"] == obj["metadata"]["generation"]
    annotation = after["metadata"]["annotations"]["solera.dev/request"]
    assert annotation.startswith(f"promote@{V2['hash']}/2#")
    me = json.loads(kube.run("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]["username"]
    assert after["metadata"]["annotations"]["solera.dev/requested-by"] == f"{annotation} {me}"
    ours = [m for m in after["metadata"]["managedFields"] if m["manager"] == "kubectl-solera"]
    keys = {".": {}, "f:solera.dev/request": {}, "f:solera.dev/requested-by": {}}
    assert [m["fieldsV1"] for m in ours] == [{"f:metadata": {"f:annotations": keys}}]
    assert plugin(kube, "promote", NAME, "--yes").returncode == 4  # approved already


def test_abort_that_is_refused(kube: Kube, obj: dict[str, Any]) -> None:
    write_status(kube, rolling("Shifting", "MinDuration", "step 2 of 4 (25%) lasts"))
    said = f"abort: {V2['hash']} is not the candidate"
    refused = at_rest(history=[{"at": ago(seconds=0), "event": "RequestRefused", "message": said}])
    thread = operator(kube, refused)
    done = plugin(kube, "abort", NAME, "--timeout", "30s")
    thread.join()
    assert (done.returncode, done.stderr) == (5, f"Error: abort {NAME}: {said.removeprefix('abort: ')}\n")


def test_nobody_answers(kube: Kube, obj: dict[str, Any]) -> None:
    write_status(kube, waiting_for_approval())
    done = plugin(kube, "promote", NAME, "--yes", "--timeout", "1s")
    assert done.returncode == 124
    assert "is the operator running?" in done.stderr
    assert "request not handled yet: promote@" in plugin(kube, "explain", NAME).stdout


def test_status_is_written_all_the_time_and_the_request_still_arrives(kube: Kube, obj: dict[str, Any]) -> None:
    write_status(kube, waiting_for_approval())
    stop = threading.Event()

    def busy() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            patch = {"status": {"guardrails": [{"name": "errors", "samples": count}]}}
            kube.patch("llmdep", NAME, patch, "--subresource=status")

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        done = plugin(kube, "promote", NAME, "--yes", "--no-wait")
    finally:
        stop.set()
        thread.join()
    assert done.returncode == 0, done.stderr
    assert kube.get("llmdep", NAME)["metadata"]["annotations"]["solera.dev/request"].startswith("promote@")


def test_a_watch_follows_until_the_object_is_gone(kube: Kube, obj: dict[str, Any]) -> None:
    write_status(kube, rolling("Provisioning", "Provisioning", "0 of 2 pods", step=None))
    with Started(kube, "get", NAME, "-w") as watch:
        eventually(lambda: len(watch.lines) == 2)
        write_status(kube, rolling("Shifting", "MinDuration", "x", step=0, weight=5))
        eventually(lambda: len(watch.lines) == 3)
        write_status(kube, at_rest())
        eventually(lambda: len(watch.lines) == 4)
        kube.run("delete", "llmdep", NAME)
        assert watch.ended() == 0
    states = [line.split() for line in watch.lines[1:]]
    assert [s[4:6] for s in states] == [["0%", "Provisioning"], ["5%", "Shifting"], ["-", "Idle"]]
    assert watch.errors == [f"{NAME} in namespace {kube.namespace} was deleted\n"]


def test_ctrl_c_ends_a_watch_with_130(kube: Kube, obj: dict[str, Any]) -> None:
    with Started(kube, "get", "-w") as watch:
        eventually(lambda: len(watch.lines) == 2)
        watch.process.send_signal(signal.SIGINT)
        assert watch.ended() == 130
    assert watch.errors == []


@pytest.fixture
def policy(kube: Kube) -> Iterator[None]:
    """The chart's own policy, held to the namespace of this test."""
    name = f"{kube.namespace}-policy"
    values = ["--set", f"fullnameOverride={name}", "--set", "image.repository=localhost/x"]
    only = ["--show-only", "templates/promote-policy.yaml"]
    made = subprocess.run(
        ["helm", "template", "t", str(ROOT / "charts/solera"), *values, *only],
        capture_output=True,
        text=True,
        check=True,
    )
    policy, binding = yaml.safe_load_all(made.stdout)
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": kube.namespace}}}
    binding["spec"]["matchResources"] = here
    documents = yaml.safe_dump_all([policy, binding])
    kube.run("apply", "-f", "-", stdin=documents)
    yield
    kube.run("delete", "-f", "-", stdin=documents)


def user(kube: Kube, tmp_path: Path, name: str, *verbs: str) -> Path:
    """A service account that may do that with LLMDeployments, and its kubeconfig."""
    kube.run("create", "serviceaccount", name)
    if verbs:
        rules = [{"apiGroups": ["solera.dev"], "resources": ["llmdeployments"], "verbs": list(verbs)}]
        kube.create(
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules}
        )
        kube.run("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={kube.namespace}:{name}")
    token = kube.run("create", "token", name).stdout.strip()
    admin = yaml.safe_load(kube.run("config", "view", "--raw", "--minify", "--flatten").stdout)
    admin["users"] = [{"name": admin["users"][0]["name"], "user": {"token": token}}]
    certificate = admin["clusters"][0]["cluster"].get("certificate-authority-data")
    assert certificate is None or base64.b64decode(certificate)
    file = tmp_path / name
    file.write_text(yaml.safe_dump(admin))
    return file


def test_only_an_approver_may_promote_and_the_others_are_told_who_may(
    kube: Kube, obj: dict[str, Any], policy: None, tmp_path: Path
) -> None:
    write_status(kube, waiting_for_approval())
    editor = user(kube, tmp_path, "editor", "get", "list", "watch", "patch", "update")
    approver = user(kube, tmp_path, "approver", "get", "patch", "promote")
    stranger = user(kube, tmp_path, "stranger")

    done = plugin(kube, "get", NAME, kubeconfig=stranger)
    assert done.returncode == 5
    assert f'User "system:serviceaccount:{kube.namespace}:stranger" cannot get resource' in done.stderr

    def denied() -> bool:  # a policy needs a moment until it is in force
        tried = plugin(kube, "promote", NAME, "--yes", "--no-wait", kubeconfig=editor)
        return tried.returncode == 5

    eventually(denied)
    done = plugin(kube, "promote", NAME, "--yes", "--no-wait", kubeconfig=editor)
    assert done.returncode == 5
    assert "ValidatingAdmissionPolicy" in done.stderr
    assert (
        f"system:serviceaccount:{kube.namespace}:editor may not write the annotation solera.dev/request" in done.stderr
    )
    assert "It takes the RBAC verbs get, patch and promote" in done.stderr

    kube.run("create", "role", "reads-rbac", "--verb=list", "--resource=roles,rolebindings")
    kube.run("create", "rolebinding", "reads-rbac", "--role=reads-rbac", f"--serviceaccount={kube.namespace}:editor")

    def told() -> bool:
        tried = plugin(kube, "promote", NAME, "--yes", "--no-wait", kubeconfig=editor)
        return f"  ServiceAccount {kube.namespace}/approver (by RoleBinding approver)\n" in tried.stderr

    eventually(told)
    done = plugin(kube, "promote", NAME, "--yes", "--no-wait", kubeconfig=approver)
    assert done.returncode == 0, done.stderr

    # The same right for each of the verbs, and nobody asks under another's name.
    asked = kube.get("llmdep", NAME)["metadata"]["annotations"]
    account = f"system:serviceaccount:{kube.namespace}"
    assert asked["solera.dev/requested-by"] == f"{asked['solera.dev/request']} {account}:approver"
    done = plugin(kube, "pause", NAME, "--no-wait", kubeconfig=approver)
    assert done.returncode == 1
    assert "promote was asked of support-assistant and is not answered yet" in done.stderr
    write_status(kube, waiting_for_approval() | {"lastHandledRequest": asked["solera.dev/request"]})
    assert plugin(kube, "pause", NAME, "--no-wait", kubeconfig=editor).returncode == 5
    done = plugin(kube, "pause", NAME, "--no-wait", kubeconfig=approver)
    assert done.returncode == 0, done.stderr
    assert forged(
        kube, {"solera.dev/request": "resume@x/0#1", "solera.dev/requested-by": "resume@x/0#1 boss"}, approver
    )
    assert forged(kube, {"solera.dev/requested-by": "resume@x/0#1 boss"}, editor)
    own = f"abort@x/0#1 {account}:approver"
    assert not forged(kube, {"solera.dev/request": "abort@x/0#1", "solera.dev/requested-by": own}, approver)
    assert not forged(kube, {"solera.dev/request": "abort@x/0#2"}, approver)  # unsigned, by kubectl annotate
    # The signature that still stands there belongs to another request; asking that one again would be asking under its name.
    assert forged(kube, {"solera.dev/request": "abort@x/0#1"}, None)


def forged(kube: Kube, annotations: dict[str, str], kubeconfig: Path | None) -> bool:
    """Is this write refused because of whose name it carries?"""
    patch = json.dumps({"metadata": {"annotations": annotations}})
    command = ["kubectl", "patch", "llmdep", NAME, "-n", kube.namespace, "--type=merge", "-p", patch]
    done = subprocess.run(command, env=environment(kubeconfig), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or "solera.dev/requested-by must be" in done.stderr, done.stderr
    return done.returncode != 0


def test_status_waits_and_history_tells(kube: Kube, obj: dict[str, Any]) -> None:
    write_status(kube, waiting_for_approval())
    done = plugin(kube, "status", NAME, "--for=complete", "--timeout", "20s", "--or-held")
    assert (done.returncode, "waits for a person" in done.stderr) == (7, True)
    with Started(kube, "status", NAME, "--for=complete", "--timeout", "1m") as waiting:
        eventually(lambda: len(waiting.lines) == 1)
        write_status(
            kube, at_rest(history=[{"at": ago(seconds=1), "event": "Promoted", "message": "v2 carries all traffic"}])
        )
        assert waiting.ended() == 0, waiting.errors
    assert waiting.lines[-1].endswith("Idle, v2 100%: v2 carries all traffic\n")
    told = json.loads(plugin(kube, "history", NAME, "-o", "json").stdout)
    assert [r["result"] for r in told["rollouts"]] == ["Promoted"]
    assert told["evidence"] is None


def test_a_rollback_fails_a_pipeline(kube: Kube, obj: dict[str, Any]) -> None:
    failed = "v2 is rolled back: errors: over the limit"
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": "RolledBack",
            "message": failed,
            "lastTransitionTime": ago(seconds=1),
        }
        for kind, status in (("Ready", "False"), ("Stalled", "True"), ("RolloutComplete", "False"))
    ]
    write_status(kube, at_rest(conditions=conditions))
    done = plugin(kube, "status", NAME, "--for=complete", "--timeout", "1m")
    assert (done.returncode, failed in done.stderr) == (6, True)


def test_plan_and_lint_take_what_the_apiserver_takes(kube: Kube, obj: dict[str, Any]) -> None:
    """The live object through a pipe: what was admitted has no mistakes, and changes nothing."""
    live = kube.run("get", "llmdep", NAME, "-o", "yaml").stdout
    command = ["kubectl", "solera", "lint", "-"]
    done = subprocess.run(
        command, env=environment(), input=live, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.startswith("1 LLMDeployment: 0 mistakes")) == (0, True), done.stdout
    command = ["kubectl", "solera", "plan", "-", "-o", "json"]
    done = subprocess.run(
        command, env=environment(), input=live, capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(done.stdout)["name"] == NAME


# -- with the real operator. No pod ever starts here, so the rollout stays before its first step; traffic is in tests/sim and tests/e2e.


@pytest.fixture
def own(cluster: Kube) -> Iterator[Kube]:
    """A namespace for this test and its operator alone."""
    name = f"verbs-{uuid.uuid4().hex[:8]}"
    cluster.run("create", "namespace", name)
    yield Kube(name)
    cluster.run("delete", "namespace", name, "--wait=false")


def without_pods(serve: str) -> dict[str, Any]:
    engine = {"name": "vLLM", "version": "0.18.1", "image": "localhost/solera/none:0"}
    gateway = {"parentRefs": [{"name": "inference"}], "hostnames": ["verbs.example.com"]}
    return {
        "apiVersion": "solera.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": "chat"},
        "spec": {
            "serve": serve,
            "template": {"engine": engine, "replicas": 1, "nodeSelector": {"solera.test/none": "here"}},
            "versions": [{"name": v, "model": {"uri": f"image:///models/{v}"}} for v in ("v1", "v2")],
            "traffic": {"gateway": gateway},
        },
    }


async def test_the_real_operator_answers_and_a_pause_outlives_it(own: Kube, tmp_path: Path) -> None:
    def status() -> dict[str, Any]:
        return dict(own.get("llmdep", "chat")["status"])

    def revisions() -> str:
        return own.run("get", "controllerrevision", "-o", "name").stdout.rpartition("/")[2].strip()

    def rollout() -> dict[str, Any]:
        return status().get("rollout") or {}

    def asked(verb: str) -> str:
        done = plugin(own, verb, "chat", "--timeout", "30s")
        assert done.returncode == 0, done.stderr
        return done.stdout

    own.create(without_pods("v1"))
    operator = OperatorProcess(tmp_path, own.namespace, os.environ["KUBECONFIG"])
    await operator.start()
    try:
        await until("v1 has a revision", revisions)
        revision = revisions()
        await operator.end()
        # It served once: the test says so in place of pods that cannot start here.
        stable = {"version": "v1", "revision": revision, "hash": revision.rsplit("-", 1)[1]}
        own.patch("llmdep", "chat", {"status": {"stable": stable}}, "--subresource=status")
        own.patch("llmdep", "chat", {"spec": {"serve": "v2"}})
        await operator.start()
        await until("the rollout has begun", lambda: status().get("candidate"))

        me = json.loads(own.run("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]["username"]
        assert asked("pause") == f"pause chat: v2 is paused before its first step by {me}\n"
        assert (status()["state"], rollout()["reason"], rollout()["pausedBy"]) == ("Held", "Paused", me)
        at = rollout()["pausedAt"]
        await operator.end(signal.SIGKILL)
        await operator.start()
        assert plugin(own, "pause", "chat").returncode == 4
        assert (rollout()["pausedAt"], rollout()["reason"]) == (at, "Paused")
        assert plugin(own, "status", "chat", "--for=complete", "--or-held", "--timeout=10s").returncode == 7

        assert asked("resume").startswith("resume chat: v2 goes on after a pause of ")
        assert "pausedAt" not in rollout()
        before = rollout()["id"]
        assert asked("abort") == f"abort chat: v2 was aborted by {me}\n"
        assert plugin(own, "status", "chat", "--for=complete", "--timeout=10s").returncode == 6
        assert asked("retry").endswith(f" is let in anew, asked for by {me}\n")
        await until("another rollout has begun", lambda: status().get("candidate") and rollout()["id"] != before)
        assert not status().get("rejected")
        events = [e["event"] for e in json.loads(plugin(own, "history", "chat", "-o", "json").stdout)["events"]]
        assert events[:6] == ["RolloutStarted", "Retried", "Aborted", "Resumed", "Paused", "RolloutStarted"]
    finally:
        await operator.end()
