"""pause, resume and retry, who signs a request, and what may have been meant by a name."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from solera.plan.requests import REQUESTED_BY_ANNOTATION, parse_request, requested_by
from unit.cli.apiserver import Sent
from unit.cli.objects import NOW, V1, V2, at_rest, llmd, paused, rolling, waiting_for_approval
from unit.cli.test_cli_explain import rejected
from unit.cli.test_cli_get import Terminal
from unit.cli.test_cli_planner import operated
from unit.cli.test_cli_request import annotation, history, terminal

NAME = "support-assistant"


def pausing(obj: dict[str, Any] | None = None) -> Terminal:
    told = history("Paused", "v2 is paused at step 3 of 4 (50%) by alice@example.com")
    since = {"pausedAt": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), "pausedBy": "alice@example.com"}
    rollout = waiting_for_approval(rollout=since)["rollout"]
    t = terminal(obj, rollout=rollout, history=told)
    t.twin.user = "alice@example.com"
    return t


def resuming() -> Terminal:
    told = history("Resumed", "v2 goes on after a pause of 6m")
    return terminal(llmd(paused()), rollout=rolling("Shifting", "x", "y")["rollout"], history=told)


def retrying() -> Terminal:
    told = history("Retried", "v2 (b7d3m8xz) is let in anew")
    return terminal(llmd(rejected("Idle")), rejected=[], history=told)


def test_pause_is_written_with_the_name_of_who_asked() -> None:
    t = pausing()
    result = t.run("pause", NAME)
    said = f"pause {NAME}: v2 is paused at step 3 of 4 (50%) by alice@example.com\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, said, "")
    written = t.twin.objects["ml", NAME]["metadata"]["annotations"]
    assert written["solera.dev/request"] == "pause@b7d3m8xz/2#1a2b3c4d"
    assert requested_by(written, written["solera.dev/request"]) == "alice@example.com"


def test_without_a_name_from_the_apiserver_nothing_is_signed() -> None:
    t = pausing()
    t.twin.user = None
    assert t.run("pause", NAME).exit_code == 0
    assert REQUESTED_BY_ANNOTATION not in t.twin.objects["ml", NAME]["metadata"]["annotations"]


def test_resume_and_retry_write_what_the_operator_reads() -> None:
    for make, verb, words in (
        (resuming, "resume", "v2 goes on after a pause of 6m"),
        (retrying, "retry", "v2 (b7d3m8xz) is let in anew"),
    ):
        t = make()
        result = t.run(verb, NAME)
        assert (result.exit_code, result.stdout) == (0, f"{verb} {NAME}: {words}\n")
        request = parse_request(annotation(t) or "")
        assert request is not None
        assert (request.verb, request.candidate) == (verb, V2["hash"])


def test_retry_as_yaml() -> None:
    got = yaml.safe_load(retrying().run("retry", NAME, "-o", "yaml").stdout)
    assert (got["kind"], got["verb"], got["accepted"]) == ("RequestResult", "retry", True)
    assert (got["version"], got["hash"], got["candidate"]) == ("v2", "b7d3m8xz", None)


NOTHING_TO_DO = {
    "pause at rest": ("pause", llmd(at_rest()), f"no rollout of {NAME} is in progress: v2 carries the requests"),
    "pause again": ("pause", llmd(paused()), "v2 is paused already, since 2026-11-23T11:54:00Z by alice@example.com"),
    "pause an unsigned pause": (
        "pause",
        llmd(paused(rollout={"pausedBy": None})),
        "v2 is paused already, since 2026-11-23T11:54:00Z",
    ),
    "pause while it rolls back": (
        "pause",
        llmd(rejected("RollingBack", draining=[V2])),
        f"no rollout of {NAME} is in progress: v2 is being rolled back already",
    ),
    "resume what goes on": ("resume", llmd(waiting_for_approval()), "the rollout of v2 is not paused"),
    "resume nothing": ("resume", llmd(), f"the operator has not looked at {NAME} yet: no rollout is in progress"),
    "retry nothing": ("retry", llmd(at_rest()), f"nothing to retry: no revision of {NAME} was rolled back"),
    "retry during a rollout": (
        "retry",
        llmd(waiting_for_approval()),
        f"a rollout of {NAME} is in progress: v2 is at step 3 of 4 (50%)",
    ),
    "retry what is not asked for": (
        "retry",
        llmd(at_rest(rejected=[{"version": "v9", "hash": "old", "at": "2026-11-01T00:00:00Z", "reason": "bad"}])),
        "v9 was rolled back, but spec.serve asks for v2: name v9 there to try it again",
    ),
}


@pytest.mark.parametrize(("verb", "obj", "words"), NOTHING_TO_DO.values(), ids=NOTHING_TO_DO)
def test_nothing_to_do_ends_with_4_and_writes_nothing(verb: str, obj: dict[str, Any], words: str) -> None:
    t = terminal(obj)
    result = t.run(verb, NAME)
    assert (result.exit_code, result.stderr) == (4, f"Error: {words}\n")
    assert [s.method for s in t.twin.sent] == ["GET"]


def test_retry_takes_the_revision_of_which_the_operator_says_that_it_stalls() -> None:
    """Both were of v2; the spec was put back to the older one."""
    status = rejected("Idle")
    status["rejected"] += [{"version": "v2", "hash": "newer", "at": "2026-11-23T11:00:00Z", "reason": "other"}]
    t = terminal(llmd(status), rejected=[])
    t.run("retry", NAME)
    assert (annotation(t) or "").startswith(f"retry@{V2['hash']}/")


@pytest.mark.parametrize(("verb", "start"), [("pause", waiting_for_approval()), ("resume", paused())])
def test_an_echo_without_effect_is_no_success(verb: str, start: dict[str, Any]) -> None:
    assert terminal(llmd(start), conditions=[]).run(verb, NAME).exit_code == 5


def test_an_echo_without_effect_is_no_success_of_a_retry() -> None:
    assert terminal(llmd(rejected("Idle")), next="x").run("retry", NAME).exit_code == 5


def test_a_pause_still_fits_when_the_rollout_has_gone_a_step_further() -> None:
    t = pausing(llmd(rolling("Shifting", "MinDuration", "x")))

    def meanwhile(sent: Sent) -> None:
        if sent.method == "PATCH" and not any(s.method == "PATCH" for s in t.twin.sent[:-1]):
            t.twin.change(NAME, **waiting_for_approval())

    t.twin.refuse = meanwhile
    assert t.run("pause", NAME).exit_code == 0


def test_a_retry_does_not_fit_any_more_when_the_rollout_has_begun() -> None:
    t = retrying()

    def meanwhile(sent: Sent) -> None:
        if sent.method == "PATCH":
            t.twin.change(NAME, **rolling("Provisioning", "Provisioning", "x", step=None), rejected=[])

    t.twin.refuse = meanwhile
    result = t.run("retry", NAME)
    assert result.exit_code == 1
    assert "the rollout went on while you asked (v2 is at Provisioning)" in result.stderr


def test_the_planner_takes_pause_and_resume_and_retry() -> None:
    t = operated(waiting_for_approval())
    result = t.run("pause", NAME)
    assert (result.exit_code, result.stdout) == (0, f"pause {NAME}: v2 is paused at step 3 of 4 (50%)\n")
    assert t.run("pause", NAME).exit_code == 4
    assert " ".join(t.run("get", NAME).stdout.split()).count("Paused since 2026-11-23T12:00:00Z (now)") == 1
    t.twin.user = "bob"
    result = t.run("resume", NAME)
    assert (result.exit_code, result.stdout) == (
        0,
        f"resume {NAME}: v2 goes on after a pause of 0s, asked for by bob\n",
    )
    t.run("abort", NAME)
    result = t.run("retry", NAME)
    # The fixture's hashes are not those of its spec, so the planner finds that the spec asks for something else.
    assert result.exit_code == 5
    assert "the spec asks for v2" in result.stderr


# -- names


def test_a_name_that_is_nearly_right_is_offered() -> None:
    t = Terminal(llmd(at_rest()), llmd(at_rest(), name="search", uid="2"))
    for verb in ("get", "explain", "promote", "abort", "pause", "resume", "retry"):
        result = t.run(verb, "suport-asistant")
        assert result.exit_code == 3
        words = "there is no LLMDeployment suport-asistant in namespace ml; did you mean support-assistant?"
        assert result.stderr == f"Error: {words}\n"


def test_a_name_in_another_namespace_is_found() -> None:
    t = Terminal(llmd(at_rest(), name="search", namespace="web"))
    result = t.run("explain", "search")
    words = "there is no LLMDeployment search in namespace ml; there is one in namespace web: add -n web"
    assert (result.exit_code, result.stderr) == (3, f"Error: {words}\n")


def test_nothing_alike_lists_what_is_there_and_an_empty_cluster_nothing() -> None:
    many = [llmd(at_rest(), name=f"m{i}", uid=str(i)) for i in range(7)]
    told = Terminal(*many).run("explain", "zebra").stderr
    assert told == "Error: there is no LLMDeployment zebra in namespace ml; there is m0, m1, m2, m3, m4 and 2 more\n"
    assert Terminal().run("explain", "zebra").stderr == "Error: there is no LLMDeployment zebra in namespace ml\n"


def test_who_may_not_list_gets_the_plain_answer() -> None:
    t = Terminal(llmd(at_rest()))
    forbidden = {"kind": "Status", "code": 403, "message": "forbidden"}
    t.twin.refuse = lambda sent: forbidden if sent.path.endswith("llmdeployments") else None
    result = t.run("explain", "suport-assistant")
    assert (result.exit_code, result.stderr) == (
        3,
        "Error: there is no LLMDeployment suport-assistant in namespace ml\n",
    )


# -- forms


def test_yaml_says_what_json_says() -> None:
    t = Terminal(llmd(waiting_for_approval()), llmd(at_rest(stable=V1), name="search", uid="2"))
    for arguments in (("get",), ("get", NAME), ("explain", NAME)):
        as_json = json.loads(t.run(*arguments, "-o", "json").stdout)
        assert yaml.safe_load(t.run(*arguments, "-o", "yaml").stdout) == as_json
        assert t.run(*arguments, "-o", "text").stdout == t.run(*arguments).stdout


def test_a_watch_as_yaml_is_a_stream_of_documents() -> None:
    t = Terminal(llmd(at_rest()))
    told = iter([True, False])

    def idle() -> bool:
        if next(told):
            t.twin.delete(NAME)
            return True
        raise KeyboardInterrupt

    t.twin.idle = idle
    documents = list(yaml.safe_load_all(t.run("get", NAME, "-w", "-o", "yaml").stdout))
    assert [d["type"] for d in documents] == ["Shown", "Deleted"]
