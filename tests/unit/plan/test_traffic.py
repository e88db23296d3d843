from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from solera.plan.memory import PROGRESS_ANNOTATION, Progress, RevisionRef
from solera.plan.traffic import desired_traffic, live_weights, refusal, route_accepted, step_in_force
from solera.plan.types import ObservedPod, ObservedRevision

STABLE = RevisionRef("v1", "chat-v1-aaaaaaaa", "aaaaaaaa")
CANDIDATE = RevisionRef("v2", "chat-v2-bbbbbbbb", "bbbbbbbb")


def revision(ref: RevisionRef, ready: int, *, answered: bool = True) -> ObservedRevision:
    pods = tuple(ObservedPod(f"p{i}", f"{ref.hash}-{i}", "10.0.0.1", True, answered) for i in range(ready))
    return ObservedRevision(ref.revision, ref.version, ref.hash, ready_endpoints=ready, pods=pods)


def world(stable: int, candidate: int, *, answered: bool = True) -> dict[str, ObservedRevision]:
    found = (revision(STABLE, stable), revision(CANDIDATE, candidate, answered=answered))
    return {r.name: r for r in found}


def route(**backends: int) -> dict[str, object]:
    refs = [{"name": name, "weight": weight} for name, weight in backends.items()]
    return {"spec": {"rules": [{"backendRefs": refs}]}}


def test_live_weights_are_shares_and_leave_out_zero() -> None:
    assert live_weights(route(a=1, b=3)) == {"a": 25, "b": 75}
    assert live_weights(route(a=0, b=7)) == {"b": 100}
    assert live_weights({"spec": {"rules": [{"backendRefs": [{"name": "a"}]}]}}) == {"a": 100}
    assert live_weights(None) == {}


def test_a_candidate_gets_its_weight_when_both_serve() -> None:
    got = desired_traffic(STABLE, CANDIDATE, 30, world(1, 1), {STABLE.revision: 100})
    assert got.weights == {STABLE.revision: 70, CANDIDATE.revision: 30}
    assert got.held is None


def test_no_weight_before_a_real_completion() -> None:
    got = desired_traffic(STABLE, CANDIDATE, 30, world(1, 1, answered=False), {STABLE.revision: 100})
    assert got.weights == {STABLE.revision: 100}
    assert got.held == "CandidateUnproven"


def test_a_candidate_keeps_its_weight_when_the_proof_was_forgotten() -> None:
    live = {STABLE.revision: 70, CANDIDATE.revision: 30}
    assert desired_traffic(STABLE, CANDIDATE, 30, world(1, 1, answered=False), live).weights == live


def test_a_candidate_without_endpoints_gives_its_weight_back() -> None:
    live = {STABLE.revision: 70, CANDIDATE.revision: 30}
    got = desired_traffic(STABLE, CANDIDATE, 30, world(1, 0), live)
    assert got.weights == {STABLE.revision: 100}
    assert got.held == "CandidateUnavailable"


def test_weight_is_never_moved_back_to_a_stable_that_cannot_carry_it() -> None:
    live = {CANDIDATE.revision: 100}
    got = desired_traffic(STABLE, None, 0, world(0, 1), live)
    assert got.weights == live
    assert got.held == "StableUnavailable"


def test_a_sole_revision_that_loses_its_pods_stays_routed() -> None:
    got = desired_traffic(STABLE, None, 0, world(0, 0), {STABLE.revision: 100})
    assert got.weights == {STABLE.revision: 100}


def test_nothing_is_routed_before_the_first_answer() -> None:
    assert desired_traffic(STABLE, None, 0, world(0, 0), {}).weights == {}


@given(
    stable=st.integers(0, 2),
    candidate=st.integers(0, 2),
    answered=st.booleans(),
    weight=st.integers(0, 100),
    live=st.sampled_from(
        [{}, {STABLE.revision: 100}, {CANDIDATE.revision: 100}, {STABLE.revision: 60, CANDIDATE.revision: 40}]
    ),
    withdrawn=st.booleans(),
)
def test_the_invariants_of_traffic(
    stable: int, candidate: int, answered: bool, weight: int, live: dict[str, int], withdrawn: bool
) -> None:
    seen = world(stable, candidate, answered=answered)
    got = desired_traffic(STABLE, None if withdrawn else CANDIDATE, weight, seen, live)
    assert sum(got.weights.values()) in {0, 100}
    for name, share in got.weights.items():
        if share > live.get(name, 0) and not live.get(name) and live:
            # New weight needs a proof; more weight for a revision that already had some needs a ready endpoint.
            assert seen[name].serving or not any(seen[n].ready_endpoints for n in live)
    if live and any(seen[n].ready_endpoints for n in live):
        assert any(seen[n].ready_endpoints for n in got.weights)
    if live:
        assert got.weights


def accepted(*conditions: tuple[str, str, int]) -> dict[str, object]:
    listed = [
        {"type": kind, "status": status, "observedGeneration": generation, "reason": "NotAllowedByListeners"}
        for kind, status, generation in conditions
    ]
    parents = [{"parentRef": {"name": "inference"}, "conditions": listed}]
    return {"metadata": {"generation": 2}, "spec": {"parentRefs": [{}]}, "status": {"parents": parents}}


def test_a_route_is_accepted_only_at_its_present_generation() -> None:
    assert route_accepted(accepted(("Accepted", "True", 2), ("ResolvedRefs", "True", 2))) is True
    assert route_accepted(accepted(("Accepted", "True", 1), ("ResolvedRefs", "True", 2))) is None
    assert route_accepted(accepted(("Accepted", "True", 2))) is None
    assert route_accepted(accepted(("Accepted", "False", 2), ("ResolvedRefs", "True", 2))) is False
    assert route_accepted(None) is None


def test_a_step_is_in_force_while_its_candidate_is_on_an_accepted_route() -> None:
    """A gateway may take a route over before anybody looks, so that nothing but the weights tells of the time between."""
    progress = Progress("r1", 2, datetime(2026, 12, 1, tzinfo=UTC))

    def step(generation: int, candidate: str | None = "new", **weights: int) -> int:
        live = accepted(("Accepted", "True", generation), ("ResolvedRefs", "True", generation)) | route(**weights)
        live["spec"] |= {"parentRefs": [{}]}  # type: ignore[operator]
        live["metadata"] |= {"annotations": {PROGRESS_ANNOTATION: progress.to_annotation()}}  # type: ignore[operator]
        return step_in_force(live, "r1", candidate)

    assert step(2, old=70, new=30) == 2
    assert step(1, old=70, new=30) == 1
    assert step(2, old=100) == step(2, old=100, new=0) == 1
    assert step(2, new=100) == 2
    assert step(2, None, old=100) == 2


def test_a_refusal_is_told_with_its_fix() -> None:
    said = refusal(accepted(("Accepted", "False", 2)))
    assert said is not None
    assert "NotAllowedByListeners" in said
    assert "allowedRoutes.namespaces" in said
    assert refusal(accepted(("Accepted", "True", 2))) is None
