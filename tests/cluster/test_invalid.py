"""Every wrong manifest of examples/invalid, applied as a user would: the exact words, and nothing is left behind.

What the apiserver cannot see is shown to a real operator, all at once, next to a manifest that is right and one that is as large as
it may be: a wrong one slows nobody down.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.conftest import Kube, own_namespace
from cluster.operator_process import OperatorProcess, until
from solera.api import crd
from solera.api.errors import InvalidSpec
from solera.api.llmdeployment import parse
from solera.api.metadata import MAX_NAME
from unit.api import cases, invalid
from unit.api.invalid import Wrong

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
LLMDEP = "llmdeployments.solera.dev"
OURS = {"apiVersion": "solera.dev/v1alpha1", "kind": "LLMDeployment"}
KINDS = "controllerrevisions,deployments,services,httproutes,rolloutrecords"
AT_ONCE = 4
"""kubectl processes side by side: it spends most of its time waiting."""


@pytest.fixture(scope="module")
def refusals(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """What kubectl says to each file that is refused, asked side by side; by name of the file."""
    folder = tmp_path_factory.mktemp("invalid")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = invalid.of("kubectl", "apiserver")
        said = pool.map(lambda one: applied(kube, one, folder), wrong)
        yield dict(zip([one.name for one in wrong], said, strict=True))


def applied(kube: Kube, wrong: Wrong, folder: Path) -> str:
    """Apply the file by its name; empty when it is accepted. One that edits what was there before has a namespace of its own."""
    (folder / f"{wrong.name}.yaml").write_text(yaml.safe_dump(wrong.object) if wrong.grow else wrong.text)
    if wrong.before is None:
        return apply_file(kube, folder, wrong.name)
    with own_namespace(kube) as name:
        own = Kube(name)
        before = copy.deepcopy(wrong.before)
        status = before.pop("status", None)
        own.send("apply", before)
        if status:
            own.patch(LLMDEP, before["metadata"]["name"], {"status": status}, "--subresource=status")
        stored = own.get(LLMDEP, before["metadata"]["name"])
        said = apply_file(own, folder, wrong.name)
        assert own.get(LLMDEP, before["metadata"]["name"]) == stored, "half of it was applied"
        return said


def apply_file(kube: Kube, folder: Path, name: str) -> str:
    done = kube.run("apply", "-f", f"{name}.yaml", check=False, cwd=folder)
    return done.stderr if done.returncode else ""


def lines(text: str) -> tuple[str, ...]:
    return tuple(line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("wrong", invalid.of("kubectl", "apiserver"), ids=lambda wrong: wrong.name)
def test_refused_in_exactly_these_words(refusals: Mapping[str, str], kube: Kube, wrong: Wrong) -> None:
    said = lines(refusals[wrong.name].replace(kube.namespace, "NAMESPACE"))
    assert sorted(said) == sorted(wrong.says)  # of several findings the apiserver tells now one, now another first


def test_nothing_is_left_of_them(refusals: Mapping[str, str], kube: Kube) -> None:
    assert len(refusals) > 60
    assert kube.run("get", LLMDEP, "-o", "name").stdout == ""


def test_what_is_written_instead_is_taken(kube: Kube, tmp_path: Path) -> None:
    mended = [wrong for wrong in invalid.ALL if wrong.instead and wrong.who != "history"]
    for wrong in mended:
        obj = wrong.mended
        if obj["metadata"]["name"] == "chat":
            obj["metadata"]["name"] = wrong.name[:MAX_NAME].strip("-")
        (tmp_path / f"{wrong.name}.yaml").write_text(yaml.safe_dump(obj))
    done = kube.run("apply", "--dry-run=server", "-f", str(tmp_path), check=False)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == len(mended)


def test_what_nobody_refuses_is_taken_as_it_reads(kube: Kube) -> None:
    """Known gaps, so that they are told once they close."""
    for wrong in invalid.of("lint"):
        done = kube.run("apply", "--dry-run=server", "-f", "-", stdin=wrong.text)
        assert "created (server dry run)" in done.stdout


def test_without_strictness_an_unknown_field_is_lost(kube: Kube) -> None:
    """kubectl asks for strictness by itself; clients that do not are told at most by a warning."""
    (wrong,) = (one for one in invalid.ALL if one.name == "field-at-the-wrong-level")
    done = kube.run("apply", "--validate=warn", "--dry-run=server", "-o", "json", "-f", "-", stdin=wrong.text)
    assert done.stderr.strip() == 'Warning: unknown field "spec.replicas"'
    assert "replicas" not in json.loads(done.stdout)["spec"]


# --- what an older definition took ------------------------------------------------------------------------------------


@pytest.fixture
def outgrown(cluster: Kube) -> Iterator[tuple[Kube, str]]:
    """A stored object without a guardrail's bound and with too many replicas, from before the rules that refuse it."""
    group = f"outgrown-{uuid.uuid4().hex[:6]}.solera.dev"
    definition = crd.llmdeployment()
    kind = f"outgrowns.{group}"  # names of its own, so that nobody's `kubectl get llmdep` finds it
    names = {"kind": "Outgrown", "listKind": "OutgrownList", "plural": "outgrowns", "singular": "outgrown"}
    definition["metadata"]["name"] = kind
    definition["spec"] |= {"group": group, "names": names}
    older = copy.deepcopy(definition)
    spec = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["rollout"]["properties"]["guardrails"]["items"]["x-kubernetes-validations"]
    del spec["template"]["properties"]["replicas"]["maximum"]
    obj = small("outgrown")
    obj |= {"apiVersion": f"{group}/v1alpha1", "kind": "Outgrown"}
    obj["spec"]["template"]["replicas"] = 5000
    obj["spec"]["rollout"] = {"guardrails": [{"name": "errors", "metric": "ErrorRate"}]}
    with own_namespace(cluster) as name:
        kube = Kube(name)
        cluster.run("create", "-f", "-", stdin=json.dumps(older))
        try:
            cluster.established(f"crd/{kind}")
            kube.create(obj)
            cluster.run("replace", "-f", "-", stdin=json.dumps(definition))
            again = obj | {"metadata": {"name": "another"}}
            ends = time.monotonic() + 20
            while not kube.send("create", again, "--dry-run=server", check=False).returncode:
                assert time.monotonic() < ends, "the new definition is not in force"
            yield kube, kind
        finally:
            cluster.run("delete", "crd", kind, "--wait=false")


def test_what_today_is_refused_can_be_told_and_mended_where_it_is_stored(outgrown: tuple[Kube, str]) -> None:
    kube, kind = outgrown
    with pytest.raises(
        InvalidSpec, match=r"^spec\.template\.replicas: 5000 is too large: at most 1000 \(and 1 more\)$"
    ):
        parse(kube.get(kind, "outgrown") | OURS)
    stalled = {
        "type": "Stalled",
        "status": "True",
        "reason": "InvalidSpec",
        "lastTransitionTime": "2026-12-01T00:00:00Z",
    }
    kube.patch(kind, "outgrown", {"status": {"conditions": [stalled]}}, "--subresource=status")
    kube.patch(kind, "outgrown", {"metadata": {"annotations": {"a": "b"}}})
    kube.patch(kind, "outgrown", {"spec": {"template": {"drainTimeout": "1m"}}})
    still = {"spec": {"rollout": {"guardrails": [{"name": "errors", "metric": "ErrorRate", "action": "Hold"}]}}}
    said = kube.patch(kind, "outgrown", still, check=False).stderr
    assert "spec.rollout.guardrails[0].limit: Invalid value: write limit, or comparedToStable" in said
    mended = [{"name": "errors", "metric": "ErrorRate", "limit": "1%"}]
    kube.patch(kind, "outgrown", {"spec": {"template": {"replicas": 5}, "rollout": {"guardrails": mended}}})
    parse(kube.get(kind, "outgrown") | OURS)


# --- what only the operator sees -------------------------------------------------------------------------------------


def largest(name: str) -> Object:
    """A manifest near what the cluster can store: 64 versions in one chain, each with many arguments; more than a megabyte."""
    obj = small(name)
    args = [f"--set={i}={'x' * 240}" for i in range(64)]
    obj["spec"]["versions"] = [
        cases.version(f"v{i}", f"v{i + 1}" if i < 63 else None) | {"template": {"engine": {"args": args}}}
        for i in range(64)
    ]
    assert len(json.dumps(obj)) > 1_000_000
    return obj


def small(name: str) -> Object:
    obj = cases.base()
    obj["metadata"]["name"] = name
    obj["spec"]["template"]["nodeSelector"] = {"example.com/none": "here"}  # its pods never start
    obj["spec"]["traffic"]["gateway"]["hostnames"] = [f"{name}.test.example.com"]
    return obj


@pytest.fixture
async def operator(cluster: Kube, tmp_path: Path) -> AsyncIterator[OperatorProcess]:
    with own_namespace(cluster) as name:
        process = OperatorProcess(tmp_path, name, os.environ["KUBECONFIG"])
        try:
            yield await process.start()
        finally:
            await process.end(signal.SIGKILL)
            print(process.log[-20_000:])


def condition(obj: Object, kind: str) -> Object | None:
    return next((one for one in obj["status"].get("conditions", ()) if one["type"] == kind), None)


def told(wrong: Wrong, obj: Object) -> str:
    """What the status says to a wrong manifest; empty until it says anything."""
    if wrong.who == "history":
        history = obj["status"].get("history")
        return f"{history[-1]['event']}: {history[-1]['message']}" if history else ""
    stalled = condition(obj, "Stalled")
    return f"{stalled['reason']}: {stalled['message']}" if stalled else ""


async def test_the_operator_says_what_the_apiserver_cannot_see(operator: OperatorProcess) -> None:
    kube = Kube(operator.namespace)
    wrong = {one.name: one for one in invalid.of("operator", "history")}
    for one in wrong.values():
        if one.before:
            kube.send("apply", one.before)
    large_and_wrong = largest("large-and-wrong")
    large_and_wrong["spec"]["versions"][1]["template"]["engine"]["args"] = ["--port=9000"]
    kube.run("apply", *(part for one in wrong.values() for part in ("-f", str(invalid.FOLDER / f"{one.name}.yaml"))))
    kube.send("create", large_and_wrong)
    kube.send("create", largest("large"))
    kube.send("create", small("right"))
    began = time.monotonic()

    def objects() -> dict[str, Object]:
        found = json.loads(kube.run("get", LLMDEP, "-o", "json").stdout)["items"]
        return {obj["metadata"]["name"]: obj for obj in found}

    def children_of(name: str) -> list[str]:
        return kube.run("get", KINDS, "-l", f"solera.dev/llmdeployment={name}", "-o", "name").stdout.split()

    await until("the right one has its children", lambda: len(children_of("right")) == 3, 5)
    assert time.monotonic() - began < 5, "those before it, large or wrong, were no hindrance"
    await until("each has its answer", lambda: all(told(one, objects()[name]) for name, one in wrong.items()))
    await until("the large one has its children", lambda: len(children_of("large")) == 3)
    found = objects()
    for name, one in wrong.items():
        assert told(one, found[name]).replace(kube.namespace, "NAMESPACE") == "\n".join(one.says), name
        assert len(children_of(name)) == (0 if one.who == "operator" else 3), "nothing is half done"
    stalled = condition(found["large-and-wrong"], "Stalled")
    assert stalled is not None
    assert stalled["message"].startswith(
        "spec.versions[1].template.engine.args[0]: version v1: '--port=9000' cannot be set"
    )
    assert children_of("large-and-wrong") == []
    for name in ("right", "large"):
        assert condition(found[name], "Stalled") is None
    assert await operator.metric("solera_reconcile_errors_total") == 0
