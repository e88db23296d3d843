from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from benchmarks.peer import contender
from benchmarks.peer.acceptor import accepted

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
PARENT = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "inference", "namespace": "gateways"}


def route(*backends: tuple[str, int], generation: int = 1, **status: Any) -> dict[str, Any]:
    refs = [{"name": name, "weight": weight} for name, weight in backends]
    return {
        "metadata": {"namespace": "n", "name": "m-000", "generation": generation},
        "spec": {"parentRefs": [PARENT], "rules": [{"backendRefs": refs}]},
        "status": status,
    }


def resource(generation: int = 1, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "m-000", "generation": generation}, "status": status}


def test_a_route_is_accepted_at_its_generation_for_each_parent_as_it_is_written() -> None:
    status = accepted(route(generation=3), NOW)
    assert status is not None
    [parent] = status["parents"]
    assert parent["parentRef"] == PARENT
    said = {c["type"]: (c["status"], c["observedGeneration"], c["lastTransitionTime"]) for c in parent["conditions"]}
    assert said == dict.fromkeys(("Accepted", "ResolvedRefs"), ("True", 3, "2026-12-01T12:00:00Z"))


def test_a_route_that_is_accepted_already_is_left_alone_until_it_changes() -> None:
    status = accepted(route(generation=3), NOW)
    assert status is not None
    assert accepted(route(generation=3, **status), NOW) is None
    assert accepted(route(generation=4, **status), NOW) is not None


def test_solera_is_ready_when_its_first_version_is_stable_and_says_so_of_this_generation() -> None:
    side = contender.solera("n")
    conditions = [{"type": "Ready", "status": "True", "observedGeneration": 1}]
    assert side.ready(resource(stable={"version": "v1"}, conditions=conditions))
    assert not side.ready(resource(2, stable={"version": "v1"}, conditions=conditions))
    assert not side.ready(resource(stable=None, conditions=conditions))
    assert not side.ready(resource())


def test_solera_has_promoted_when_the_second_version_is_stable_and_the_rollout_complete() -> None:
    side = contender.solera("n")
    conditions = [{"type": "RolloutComplete", "status": "True", "observedGeneration": 1}]
    assert side.promoted(resource(stable={"version": "v2"}, conditions=conditions))
    assert not side.promoted(resource(stable={"version": "v1"}, conditions=conditions))
    assert not side.promoted(resource(stable={"version": "v2"}, conditions=[]))
    assert side.failed(resource(rejected=[{"version": "v2", "reason": "errors"}]))
    assert side.failed(resource()) is None


def test_flagger_is_judged_by_its_phase() -> None:
    side = contender.flagger("n")
    assert side.ready(resource(phase="Initialized"))
    assert not side.ready(resource(phase="Initializing"))
    assert side.promoted(resource(phase="Succeeded"))
    assert not side.promoted(resource(phase="Finalising"))
    assert side.failed(resource(phase="Failed")) == "phase Failed"


def test_the_weight_of_the_new_version_is_its_share_of_all() -> None:
    ours, theirs = contender.solera("n"), contender.flagger("n")
    assert ours.weight(route(("m-000-v1-abcdefgh", 95), ("m-000-v2-abcdefgh", 5))) == 5
    assert ours.weight(route(("m-000-v2-abcdefgh", 1))) == 100
    assert theirs.weight(route(("m-000-primary", 75), ("m-000-canary", 25))) == 25
    assert theirs.weight(route()) == 0


def test_both_change_the_version_and_nothing_else() -> None:
    assert contender.solera("n").change("m-000")[:2] == ("LLMDeployment", "m-000")
    assert contender.flagger("n").change("m-000")[:2] == ("Deployment", "m-000")
    kinds = [[obj["kind"] for obj in side("n").objects("m-000")] for side in (contender.solera, contender.flagger)]
    assert kinds == [["LLMDeployment"], ["Deployment", "Canary"]]
