from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner, Result

from solera.cli.cluster.client import Client
from solera.cli.cluster.watching import Kind, Watcher
from solera.cli.errors import Unreachable
from solera.cli.flags import Environment
from solera.cli.kubectl import cli
from unit.cli.apiserver import Twin
from unit.cli.objects import NOW, V2, at_rest, llmd, rolling, waiting_for_approval
from unit.cli.test_cli_get import Terminal

Act = Callable[[Twin], None]


def interrupt(_twin: Twin) -> None:
    raise KeyboardInterrupt


def lose(_twin: Twin) -> None:
    raise Unreachable("the watch broke off: connection reset")


def step(state: str, weight: int) -> Act:
    return lambda twin: twin.change("support-assistant", state=state, weight=weight)


def scripted(*acts: Act | None, objects: tuple[dict[str, Any], ...] | None = None) -> Terminal:
    """One act each time that the watch has told everything; None ends the watch as the apiserver does after some minutes."""
    t = Terminal(*(objects or (llmd(rolling("Shifting", "MinDuration", "x", next="50% to v2")),)))
    left = iter(acts)

    def idle() -> bool:
        act = next(left)
        if act is None:
            return False
        act(t.twin)
        return True

    t.twin.idle = idle
    return t


def squeezed(result: Result) -> list[str]:
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


FIRST = ["NAME READY STABLE CANDIDATE WEIGHT STATE NEXT AGE", "support-assistant True v1 v2 25% Shifting 50% to v2 40d"]


def test_a_pipe_gets_one_line_for_each_change_and_ctrl_c_ends_with_130() -> None:
    t = scripted(step("Held", 25), step("Held", 25), step("Shifting", 50), interrupt)
    result = t.run("get", "-w")
    assert result.exit_code == 130
    assert squeezed(result) == [
        *FIRST,
        "support-assistant True v1 v2 25% Held 50% to v2 40d",
        "support-assistant True v1 v2 50% Shifting 50% to v2 40d",
    ]


def test_columns_stay_aligned_while_cells_grow() -> None:
    t = scripted(lambda twin: twin.change("support-assistant", next="100% to v2 after a while"), interrupt)
    header, first, second = t.run("get", "-w").stdout.splitlines()
    assert header.index("STATE") == first.index("Shifting") == second.index("Shifting")


def test_watching_one_ends_with_0_when_it_is_gone() -> None:
    t = scripted(step("Held", 25), lambda twin: twin.delete("support-assistant"))
    result = t.run("get", "support-assistant", "-w")
    assert result.exit_code == 0
    assert squeezed(result) == [*FIRST, "support-assistant True v1 v2 25% Held 50% to v2 40d"]
    assert result.stderr == "support-assistant in namespace ml was deleted\n"
    assert {s.query.get("fieldSelector") for s in t.twin.sent} == {"metadata.name=support-assistant"}


def test_watching_all_goes_on_when_one_is_gone_and_shows_new_ones() -> None:
    t = scripted(
        lambda twin: twin.delete("support-assistant"),
        lambda twin: twin.put(llmd(at_rest(), name="search", namespace="web")),
        interrupt,
    )
    result = t.run("get", "-w", "-A")
    assert result.exit_code == 130
    assert squeezed(result)[2:] == ["web search True v2 - - Idle - 40d"]
    assert "was deleted" in result.stderr


def test_watching_what_is_not_there_ends_with_3() -> None:
    result = scripted().run("get", "nobody", "-w")
    assert (result.exit_code, result.stderr) == (
        3,
        "Error: there is no LLMDeployment nobody in namespace ml; there is support-assistant\n",
    )


def test_watching_an_empty_namespace_waits() -> None:
    t = scripted(lambda twin: twin.put(llmd(at_rest(), namespace="web")), interrupt)
    result = t.run("get", "-w", "-n", "web")
    assert result.exit_code == 130
    assert squeezed(result) == [FIRST[0], "support-assistant True v2 - - Idle - 40d"]


def test_json_has_one_document_on_a_line() -> None:
    t = scripted(step("Held", 25), lambda twin: twin.delete("support-assistant"))
    result = t.run("get", "support-assistant", "-w", "-o", "json")
    got = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [(g["apiVersion"], g["kind"], g["type"], g["object"]["state"]) for g in got] == [
        ("cli.solera.dev/v1", "Change", "Shown", "Shifting"),
        ("cli.solera.dev/v1", "Change", "Shown", "Held"),
        ("cli.solera.dev/v1", "Change", "Deleted", "Held"),
    ]


def test_an_ended_watch_goes_on_where_it_was() -> None:
    t = scripted(step("Held", 25), None, step("Shifting", 50), interrupt)
    result = t.run("get", "-w")
    assert len(squeezed(result)) == 4
    queries = [s.query for s in t.twin.sent]
    assert ["watch" in q for q in queries] == [False, True, True]
    assert int(queries[2]["resourceVersion"]) > int(queries[1]["resourceVersion"])
    assert t.slept == 0


def test_a_watch_that_ends_at_once_is_no_busy_loop() -> None:
    class Silent:
        status = 200

        def lines(self) -> Any:
            return iter(())

        def close(self) -> None:
            pass

    t = scripted()
    send = t.twin.send
    rounds = iter(range(3))

    def mute(method: str, path: str, **more: Any) -> Any:
        if "watch" not in (more.get("query") or {}):
            return send(method, path, **more)
        if next(rounds, None) is None:
            raise KeyboardInterrupt
        return Silent()

    t.twin.send = mute  # type: ignore[method-assign]
    assert t.run("get", "-w").exit_code == 130
    assert t.slept == 3


def test_an_expired_version_is_listed_again() -> None:
    t = scripted()

    def expire() -> bool:
        t.twin.change("support-assistant", weight=50)
        t.twin.log.clear()
        t.twin.oldest = t.twin.version
        t.twin.idle = lambda: interrupt(t.twin) or False
        return False

    t.twin.idle = expire
    result = t.run("get", "-w")
    assert result.exit_code == 130
    assert squeezed(result) == [*FIRST, "support-assistant True v1 v2 50% Shifting 50% to v2 40d"]
    assert [s.query.get("watch") for s in t.twin.sent] == [None, "true", "true", None, "true"]


def test_a_lost_contact_is_told_once_and_what_vanished_meanwhile_is_found() -> None:
    t = scripted(lose)
    send = t.twin.send
    broken = iter([True, True, True])

    def flaky(method: str, path: str, **more: Any) -> Any:
        if any("watch" in s.query for s in t.twin.sent) and next(broken, False):
            t.twin.objects.clear()
            raise Unreachable("cannot reach the apiserver")
        return send(method, path, **more)

    t.twin.send = flaky  # type: ignore[method-assign]
    result = t.run("get", "support-assistant", "-w")
    assert result.exit_code == 0
    assert result.stderr == (
        "the watch broke off: connection reset; trying again\n"
        "the apiserver answers again\n"
        "support-assistant in namespace ml was deleted\n"
    )
    assert t.slept == 1 + 2 + 4 + 8


def test_no_contact_at_the_very_start_is_an_error() -> None:
    t = scripted()
    t.twin.refuse = lambda _s: {"kind": "Status", "code": 503, "message": "not now"}
    assert t.run("get", "-w").exit_code == 1


def test_a_terminal_is_drawn_anew_and_ends_with_the_last_picture() -> None:
    gone = {"candidate": None, "stable": V2, "state": "Idle", "history": [], "rollout": None, "guardrails": []}
    for arguments, last in (
        (("support-assistant",), "State       Idle"),
        ((), "Idle"),
    ):
        t = scripted(step("Held", 25), lambda twin: twin.change("support-assistant", **gone), interrupt)
        environment = Environment(connect=t.connect, now=lambda: NOW, clock=lambda: 0.0, sleep=t.sleep)
        env = {"FORCE_COLOR": "1", "COLUMNS": "200", "LINES": "60"}
        result = CliRunner().invoke(cli, ["get", *arguments, "-w"], obj=environment, env=env)
        assert result.exit_code == 130
        assert "\x1b[" in result.stdout
        assert "Shifting" in result.stdout
        plain = "".join(part[part.find("m") + 1 :] for part in result.stdout.split("\x1b["))
        assert " ".join(last.split()) in " ".join(plain.split())


def test_a_narrow_terminal_breaks_sentences_and_not_words() -> None:
    t = scripted(interrupt, objects=(llmd(waiting_for_approval()),))
    environment = Environment(connect=t.connect, now=lambda: NOW, clock=lambda: 0.0, sleep=t.sleep)
    env = {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "90"}
    told = CliRunner().invoke(cli, ["get"], obj=environment, env=env).stdout
    plain = re.sub(r"\x1b\[[0-9;]*m", "", told).splitlines()
    assert " ".join(plain[0].split()) == FIRST[0]
    assert plain[1].split()[:6] == ["support-assistant", "True", "v1", "v2", "50%", "Held"]
    assert len(plain) > 2
    assert max(map(len, plain)) <= 90


def test_the_picture_says_when_contact_is_lost() -> None:
    t = scripted(lose, interrupt)
    t.twin.put(llmd(waiting_for_approval()))
    environment = Environment(connect=t.connect, now=lambda: NOW, clock=lambda: 0.0, sleep=t.sleep)
    result = CliRunner().invoke(cli, ["get", "-w"], obj=environment, env={"FORCE_COLOR": "1", "COLUMNS": "200"})
    assert "the watch broke off: connection reset; trying again" in result.stdout


def test_the_watcher_tells_the_list_before_the_changes() -> None:
    t = scripted(None, interrupt)
    watcher = Watcher(Client(t.twin), "ml", None, t.sleep)
    changes = watcher.changes()
    assert [next(changes).kind for _ in range(2)] == [Kind.SHOWN, Kind.LISTED]
