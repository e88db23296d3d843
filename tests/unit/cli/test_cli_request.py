from __future__ import annotations

import json
from typing import Any

import pytest

from solera.cli.cluster import request
from solera.cli.errors import Unreachable
from solera.cli.verbs import requests as verbs
from solera.plan.requests import parse_request
from unit.cli.apiserver import Sent
from unit.cli.objects import NOW, V1, V2, ago, at_rest, llmd, rolling, waiting_for_approval, weights
from unit.cli.test_cli_get import Terminal

TOKEN = "promote@b7d3m8xz/2#1a2b3c4d"


def history(event: str, message: str) -> list[dict[str, str]]:
    old = waiting_for_approval()["history"]
    return [*old, {"at": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), "event": event, "message": message}]


def terminal(obj: dict[str, Any] | None = None, **answer: Any) -> Terminal:
    """A terminal at which the operator answers at once with that status; with none it never does."""
    t = Terminal(obj or llmd(waiting_for_approval()))
    if answer:

        def operator(patched: dict[str, Any]) -> None:
            handled = patched["metadata"]["annotations"]["solera.dev/request"]
            t.twin.change("support-assistant", lastHandledRequest=handled, **answer)

        t.twin.on_patch = operator
    return t


def approving() -> Terminal:
    told = history("Approved", "step 3 of v2 is approved")
    return terminal(rollout=waiting_for_approval(rollout={"approvedSteps": [2]})["rollout"], history=told)


def annotation(t: Terminal) -> str | None:
    meta = t.twin.objects["ml", "support-assistant"]["metadata"]
    return meta.get("annotations", {}).get("solera.dev/request")


def test_promote_binds_the_request_to_candidate_and_step_and_tells_the_answer() -> None:
    t = approving()
    result = t.run("promote", "support-assistant", "--yes")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "promote support-assistant: step 3 of v2 is approved\n",
        "",
    )
    assert annotation(t) == TOKEN
    patch = next(s for s in t.twin.sent if s.method == "PATCH")
    before = t.twin.log[0][2]["metadata"]
    assert patch.body == {
        "metadata": {
            "uid": before["uid"],
            "resourceVersion": before["resourceVersion"],
            "annotations": {"solera.dev/request": TOKEN},
        }
    }
    assert patch.query["fieldManager"] == "kubectl-solera"


def test_what_is_written_is_what_the_operator_reads() -> None:
    t = approving()
    t.run("promote", "support-assistant", "--yes")
    parsed = parse_request(annotation(t) or "")
    assert parsed is not None
    assert (parsed.verb, parsed.candidate, parsed.step, parsed.nonce) == ("promote", "b7d3m8xz", 2, "1a2b3c4d")


def test_promote_as_json() -> None:
    result = approving().run("promote", "support-assistant", "--yes", "-o", "json")
    assert json.loads(result.stdout) == {
        "apiVersion": "cli.solera.dev/v1",
        "kind": "RequestResult",
        "namespace": "ml",
        "name": "support-assistant",
        "verb": "promote",
        "version": "v2",
        "hash": "b7d3m8xz",
        "candidate": V2 | {"since": None, "until": None},
        "step": 3,
        "request": TOKEN,
        "handled": True,
        "accepted": True,
        "message": "step 3 of v2 is approved",
    }


def test_promote_counts_as_accepted_when_the_rollout_has_gone_on_meanwhile() -> None:
    told = history("Approved", "step 3 of v2 is approved")
    t = terminal(state="Idle", stable=V2, candidate=None, history=told)
    assert t.run("promote", "support-assistant", "--yes").exit_code == 0


@pytest.mark.parametrize("form", [(), ("-o", "json")])
def test_a_request_that_the_operator_refuses_ends_with_5_and_its_words(form: tuple[str, ...]) -> None:
    said = "promote: the rollout is at step 1, not 2; look again and repeat"
    result = terminal(history=history("RequestRefused", said)).run("promote", "support-assistant", "--yes", *form)
    assert (result.exit_code, result.stderr) == (
        5,
        f"Error: promote support-assistant: {said.removeprefix('promote: ')}\n",
    )
    if form:
        assert json.loads(result.stdout)["accepted"] is False


def test_the_same_refusal_twice_in_one_second_is_still_seen() -> None:
    told = history("RequestRefused", "promote: x is not the candidate")
    t = terminal(llmd(waiting_for_approval(history=told)), history=[*told, told[-1]])
    assert t.run("promote", "support-assistant", "--yes").exit_code == 5


def test_an_echo_without_effect_is_no_success() -> None:
    result = terminal(conditions=[]).run("promote", "support-assistant", "--yes")
    assert result.exit_code == 5
    assert "step 3 of 4 (50%) waits for approval" in result.stderr


def test_no_answer_ends_with_124_and_the_request_stays() -> None:
    t = terminal()
    result = t.run("promote", "support-assistant", "--yes")
    assert result.exit_code == 124
    assert t.slept == 10
    assert "has not answered within 10s" in result.stderr
    assert "is the operator running?" in result.stderr
    assert annotation(t) == TOKEN


def test_no_wait_does_not_wait() -> None:
    t = terminal()
    result = t.run("promote", "support-assistant", "--yes", "--no-wait", "-o", "json")
    assert result.exit_code == 0
    got = json.loads(result.stdout)
    assert (got["handled"], got["accepted"]) == (False, None)
    assert [s.method for s in t.twin.sent] == ["GET", "POST", "PATCH"]


def test_waiting_outlives_a_short_silence_of_the_apiserver() -> None:
    t = approving()
    send, silent = t.twin.send, iter([True, True, False])

    def flaky(method: str, path: str, **more: Any) -> Any:
        patched = any(s.method == "PATCH" for s in t.twin.sent)
        if patched and next(silent, False):
            raise Unreachable("connection reset")
        return send(method, path, **more)

    t.twin.send = flaky  # type: ignore[method-assign]
    assert t.run("promote", "support-assistant", "--yes", "--timeout", "1m").exit_code == 0


def test_another_request_taking_the_place_is_said() -> None:
    t = terminal()

    def other(patched: dict[str, Any]) -> None:
        patched["metadata"]["annotations"]["solera.dev/request"] = "abort@b7d3m8xz/2#99"
        t.twin.put(patched)

    t.twin.on_patch = other
    result = t.run("promote", "support-assistant", "--yes")
    assert result.exit_code == 1
    assert "another request took the place of this one" in result.stderr
    assert "abort@b7d3m8xz/2#99" in result.stderr


REASONS_NOT_TO = {
    "idle": (llmd(at_rest()), (), 4, "no rollout of support-assistant is in progress: v2 carries the requests"),
    "not seen": (llmd(), (), 4, "the operator has not looked at support-assistant yet: no rollout is in progress"),
    "first revision": (
        llmd({"state": "Provisioning"}),
        (),
        4,
        "no rollout of support-assistant is in progress: nothing serves yet",
    ),
    "rolling back": (
        llmd(at_rest(state="RollingBack", stable=V1, draining=[V2])),
        (),
        4,
        "no rollout of support-assistant is in progress: v2 is being rolled back already",
    ),
    "no traffic yet": (
        llmd(rolling("Provisioning", "Provisioning", "0 of 2 pods", step=None)),
        (),
        4,
        "v2 gets no requests yet (Provisioning): no step waits for approval",
    ),
    "not paused": (
        llmd(rolling("Shifting", "TooFewRequests", "step 2 of 4 (25%) waits for requests: 7 of 20")),
        (),
        4,
        "step 2 of 4 (25%) of v2 needs no approval, it goes on by itself: step 2 of 4 (25%) waits for requests: 7 of 20",
    ),
    "approved already": (
        llmd(waiting_for_approval(rollout={"approvedSteps": [2]})),
        (),
        4,
        "step 3 of 4 (50%) of v2 is approved already",
    ),
    "another step": (
        llmd(waiting_for_approval()),
        ("--step", "2"),
        4,
        "--step 2: not in force, v2 is at step 3 of 4 (50%)",
    ),
}


@pytest.mark.parametrize(("obj", "flags", "code", "words"), REASONS_NOT_TO.values(), ids=REASONS_NOT_TO)
def test_promote_with_nothing_to_do_says_so_and_writes_nothing(
    obj: dict[str, Any], flags: tuple[str, ...], code: int, words: str
) -> None:
    t = terminal(obj)
    result = t.run("promote", "support-assistant", "--yes", *flags)
    assert (result.exit_code, result.stderr) == (code, f"Error: {words}\n")
    assert [s.method for s in t.twin.sent] == ["GET"]


def test_a_step_that_does_not_exist_is_wrong_usage() -> None:
    result = terminal().run("promote", "support-assistant", "--yes", "--step", "5")
    assert result.exit_code == 2
    assert "this rollout has the steps 1 to 4" in result.stderr


def test_the_step_in_force_may_be_named_and_may_be_approved_early() -> None:
    assert approving().run("promote", "support-assistant", "--yes", "--step", "3").exit_code == 0
    early = rolling("Shifting", "TooFewRequests", "step 3 of 4 (50%) waits for requests", step=2, weight=50)
    approved = early["rollout"] | {"approvedSteps": [2]}
    t = terminal(llmd(early), rollout=approved, history=history("Approved", "step 3 of v2 is approved"))
    assert t.run("promote", "support-assistant", "--yes").exit_code == 0


def test_a_pipe_cannot_be_asked() -> None:
    t = terminal()
    result = t.run("promote", "support-assistant")
    assert result.exit_code == 2
    assert "pass --yes" in result.stderr
    assert annotation(t) is None


@pytest.mark.parametrize(("answer", "code", "written"), [("y\n", 0, TOKEN), ("n\n", 4, None), ("", 130, None)])
def test_a_person_is_asked(answer: str, code: int, written: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "_is_terminal", lambda: True)
    t = approving()
    result = t.run("promote", "support-assistant", stdin=answer)
    assert result.exit_code == code
    assert "v2 (b7d3m8xz) is at step 3 of 4 (50%); the next step gives it 100%." in result.stderr
    assert "errors: Continue" in result.stderr
    assert annotation(t) == written


def test_a_status_written_in_between_does_not_stop_a_request_for_the_same_step() -> None:
    t = approving()
    writes = iter(range(3))

    def busy(sent: Sent) -> None:
        if sent.method == "PATCH" and next(writes, None) is not None:
            t.twin.change("support-assistant", next="100% to v2 at last")

    t.twin.refuse = busy
    assert t.run("promote", "support-assistant", "--yes").exit_code == 0
    assert sum(s.method == "PATCH" for s in t.twin.sent) == 4


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            rolling("Shifting", "MinDuration", "x", candidate=V2 | {"version": "v3", "hash": "newer"}),
            "v3 is at step 2 of 4 (25%)",
        ),
        (waiting_for_approval(rollout={"step": 3, "weight": 100}), "v2 is at step 4 of 4 (100%)"),
        (at_rest(candidate=None), "the rollout is over"),
    ],
)
def test_a_click_that_comes_late_promotes_nothing_newer(status: dict[str, Any], words: str) -> None:
    t = approving()

    def meanwhile(sent: Sent) -> None:
        if sent.method == "PATCH":
            t.twin.change("support-assistant", **status)

    t.twin.refuse = meanwhile
    result = t.run("promote", "support-assistant", "--yes")
    assert result.exit_code == 1
    assert f"the rollout went on while you asked ({words}): look again" in result.stderr
    assert annotation(t) is None


def test_only_the_candidate_that_was_looked_at_is_approved() -> None:
    t = approving()
    result = t.run("promote", "support-assistant", "--yes", "--candidate", "00000000")
    assert result.exit_code == 4
    assert "--candidate 00000000: the candidate is v2 (b7d3m8xz)" in result.stderr
    assert annotation(t) is None
    assert t.run("promote", "support-assistant", "--yes", "--candidate", "b7d3m8xz").exit_code == 0


ABORT = "abort@b7d3m8xz/2#00000001"


def asked_before(request: str) -> Terminal:
    t = approving()
    t.twin.put(llmd(waiting_for_approval(), annotations={"solera.dev/request": request}))
    return t


def test_a_request_that_waits_for_its_answer_is_not_replaced_by_another() -> None:
    t = asked_before(ABORT)
    result = t.run("promote", "support-assistant", "--yes")
    assert result.exit_code == 1
    assert "abort was asked of support-assistant and is not answered yet, and would be lost" in result.stderr
    assert annotation(t) == ABORT


@pytest.mark.parametrize("request_before", [ABORT.replace("abort", "pause"), TOKEN.replace("#1a2b3c4d", "#00000001")])
def test_an_abort_and_the_same_request_once_more_may_replace_one(request_before: str) -> None:
    t = asked_before(request_before)
    verb = "promote" if request_before.startswith("promote") else "abort"
    result = t.run(verb, "support-assistant", "--no-wait", *(["--yes"] if verb == "promote" else []))
    assert annotation(t) != request_before, result.stderr


def test_an_object_made_anew_under_the_same_name_is_another() -> None:
    t = approving()

    def meanwhile(sent: Sent) -> None:
        if sent.method == "PATCH":
            t.twin.delete("support-assistant")
            t.twin.put(llmd(waiting_for_approval(), uid="another"))

    t.twin.refuse = meanwhile
    result = t.run("promote", "support-assistant", "--yes")
    assert result.exit_code == 1
    assert "deleted and made anew" in result.stderr


def test_it_gives_up_when_the_object_is_written_without_pause() -> None:
    t = approving()

    def busy(sent: Sent) -> None:
        if sent.method == "PATCH":
            t.twin.change("support-assistant", next="again")

    t.twin.refuse = busy
    result = t.run("promote", "support-assistant", "--yes")
    assert result.exit_code == 1
    assert "the object has been modified" in result.stderr
    assert sum(s.method == "PATCH" for s in t.twin.sent) == request.WRITE_TRIES


def test_abort_needs_no_answer_to_a_question_and_works_in_every_step() -> None:
    said = "v2 was aborted by request"
    for obj, step in (
        (llmd(waiting_for_approval()), 2),
        (llmd(rolling("Provisioning", "Provisioning", "0 of 2 pods", step=None)), 0),
        (llmd(rolling("Promoting", "MinDuration", "x", step=3, weight=100)), 3),
    ):
        gone = {"candidate": None, "state": "RollingBack", "draining": [V2], "weights": weights(50, 50)}
        t = terminal(obj, **gone, history=history("Aborted", said))
        result = t.run("abort", "support-assistant")
        assert (result.exit_code, result.stdout) == (0, f"abort support-assistant: {said}\n")
        assert annotation(t) == f"abort@b7d3m8xz/{step}#1a2b3c4d"


def test_abort_without_a_rollout_is_nothing_to_do() -> None:
    result = terminal(llmd(at_rest())).run("abort", "support-assistant")
    assert (result.exit_code, result.stderr) == (
        4,
        "Error: no rollout of support-assistant is in progress: v2 carries the requests\n",
    )


def test_abort_that_comes_too_late_is_refused() -> None:
    said = "abort: b7d3m8xz is not the candidate"
    t = terminal(candidate=None, stable=V2, state="Idle", history=history("RequestRefused", said))
    result = t.run("abort", "support-assistant")
    assert (result.exit_code, result.stderr) == (5, f"Error: abort support-assistant: {said.removeprefix('abort: ')}\n")


DENIED = (
    "llmdeployments.solera.dev \"support-assistant\" is forbidden: ValidatingAdmissionPolicy 'solera-requests' with binding "
    "'solera-requests' denied request: bob may not write the annotation solera.dev/request"
)
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def denying(code: int = 403) -> Terminal:
    t = terminal()
    denied = {"kind": "Status", "code": code, "reason": "Forbidden", "message": DENIED}
    t.twin.refuse = lambda sent: denied if sent.method == "PATCH" else None
    return t


def rule(verbs: list[str], **more: Any) -> list[dict[str, Any]]:
    return [{"apiGroups": ["solera.dev"], "resources": ["llmdeployments"], "verbs": verbs} | more]


def role(name: str, rules: list[dict[str, Any]], **meta: str) -> dict[str, Any]:
    return {"metadata": {"name": name} | meta, "rules": rules}


def binding(name: str, kind: str, ref: str, *subjects: dict[str, str], **meta: str) -> dict[str, Any]:
    return {"metadata": {"name": name} | meta, "roleRef": {"kind": kind, "name": ref}, "subjects": list(subjects)}


@pytest.mark.parametrize("code", [403, 422])
def test_a_policy_that_forbids_it_is_told_with_who_may(code: int) -> None:
    t = denying(code)
    t.twin.others = {
        f"{RBAC}/namespaces/ml/roles": [
            role("leads", rule(["get", "promote"]), namespace="ml"),
            role("readers", rule(["get"]), namespace="ml"),
            role("elsewhere", rule(["promote"], resourceNames=["search"]), namespace="ml"),
        ],
        f"{RBAC}/clusterroles": [
            role("solera-approver", rule(["patch", "promote"])),
            role("cluster-admin", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
            role("others", [{"apiGroups": ["apps"], "resources": ["*"], "verbs": ["promote"]}]),
        ],
        f"{RBAC}/namespaces/ml/rolebindings": [
            binding("leads", "Role", "leads", {"kind": "User", "name": "alice"}, namespace="ml"),
            binding("read", "Role", "readers", {"kind": "User", "name": "bob"}, namespace="ml"),
            binding("no", "Role", "elsewhere", {"kind": "User", "name": "carol"}, namespace="ml"),
            binding(
                "ci",
                "ClusterRole",
                "solera-approver",
                {"kind": "ServiceAccount", "name": "ci", "namespace": "ci"},
                namespace="ml",
            ),
        ],
        f"{RBAC}/clusterrolebindings": [
            binding("admins", "ClusterRole", "cluster-admin", {"kind": "Group", "name": "system:masters"}),
            binding("odd", "ClusterRole", "leads", {"kind": "User", "name": "mallory"}),
            binding("else", "ClusterRole", "others", {"kind": "User", "name": "dave"}),
        ],
    }
    result = t.run("promote", "support-assistant", "--yes")
    assert result.exit_code == 5
    assert result.stderr == (
        f"Error: {DENIED}\n"
        "Who may (RBAC verb promote on llmdeployments.solera.dev):\n"
        "  User alice (by RoleBinding leads)\n"
        "  ServiceAccount ci/ci (by RoleBinding ci)\n"
        "  Group system:masters (by ClusterRoleBinding admins)\n"
    )


def test_who_may_is_said_as_far_as_it_can_be_read() -> None:
    t = denying()
    t.twin.others = {
        f"{RBAC}/namespaces/ml/roles": [role("leads", rule(["promote"]), namespace="ml")],
        f"{RBAC}/namespaces/ml/rolebindings": [
            binding("leads", "Role", "leads", {"kind": "User", "name": "alice"}, namespace="ml")
        ],
    }
    told = t.run("promote", "support-assistant", "--yes").stderr
    assert "  User alice (by RoleBinding leads)\n" in told
    assert told.endswith("  and perhaps others: you may not read all role bindings\n")


def test_when_rbac_cannot_be_read_the_needed_verbs_are_said() -> None:
    told = denying().run("abort", "support-assistant").stderr
    assert "It takes the RBAC verbs get, patch and promote on llmdeployments.solera.dev" in told
    assert "kubectl auth can-i promote llmdeployments.solera.dev/support-assistant -n ml" in told


def test_interrupted_while_waiting_ends_with_130() -> None:
    t = terminal()

    def interrupt(_obj: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    t.twin.on_patch = interrupt
    assert t.run("promote", "support-assistant", "--yes").exit_code == 130


def test_an_old_event_is_not_taken_for_the_answer() -> None:
    old = [{"at": ago(minutes=5), "event": "RequestRefused", "message": "an old refusal"}]
    now = [*old, {"at": ago(seconds=0), "event": "Approved", "message": "step 3 of v2 is approved"}]
    approved = waiting_for_approval(rollout={"approvedSteps": [2]})["rollout"]
    t = terminal(llmd(waiting_for_approval(history=old)), rollout=approved, history=now)
    result = t.run("promote", "support-assistant", "--yes")
    assert (result.exit_code, result.stdout) == (0, "promote support-assistant: step 3 of v2 is approved\n")
