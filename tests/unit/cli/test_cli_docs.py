"""The pages about the command lines show what these print. `python -m unit.cli.test_cli_docs` (in tests/) writes the examples anew."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from solera.cli import errors
from solera.cli.main import cli
from solera.cli.offline.concerns import NAMES
from solera.cli.views import output
from solera.cli.views.reading import read
from unit.cli.objects import V2, at_rest, llmd, waiting_for_approval
from unit.cli.rollouts import rolled_back
from unit.cli.test_cli_explain import CASES
from unit.cli.test_cli_get import Terminal
from unit.cli.test_cli_request import approving, binding, denying, history, role, rule, terminal
from unit.cli.test_cli_status import asking, completing, eventful, failing
from unit.cli.test_cli_verbs import pausing, resuming, retrying

PAGE = Path(__file__).parents[3] / "docs" / "kubectl-solera.md"
PAGES = (PAGE, PAGE.with_name("cli.md"))
EXAMPLE = re.compile(r"(<!-- example: (\w+) -->\n```console\n\$ (kubectl )?solera ([^\n]*)\n)(.*?)```", re.DOTALL)
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def case(name: str) -> Terminal:
    return Terminal(CASES[name][0])


def several() -> Terminal:
    return Terminal(
        llmd(waiting_for_approval()),
        llmd(
            CASES["rejected"][0]["status"],
            name="search",
            namespace="web",
            uid="2",
            creationTimestamp="2026-11-20T12:00:00Z",
        ),
        llmd(CASES["retirement upcoming"][0]["status"], name="translate", namespace="web", uid="3"),
    )


def refusing() -> Terminal:
    said = "promote: the rollout is at step 3, not 2; look again and repeat"
    return terminal(history=history("RequestRefused", said))


def aborting() -> Terminal:
    said = history("Aborted", "v2 was aborted by request")
    return terminal(candidate=None, state="RollingBack", draining=[V2], history=said)


def denied() -> Terminal:
    t = denying()
    t.twin.others = {
        f"{RBAC}/namespaces/ml/roles": [role("leads", rule(["get", "patch", "promote"]), namespace="ml")],
        f"{RBAC}/namespaces/ml/rolebindings": [
            binding("leads", "Role", "leads", {"kind": "Group", "name": "support-leads"}, namespace="ml")
        ],
    }
    return t


RECORDED = partial(rolled_back, 0.1, 1)
SCENES: dict[str, Any] = {
    "several": several,
    "waiting": lambda: case("paused until approved"),
    "provisioning": lambda: case("provisioning with a pod problem"),
    "rejected": lambda: case("rejected"),
    "overdue": lambda: case("retirement overdue"),
    "unseen": lambda: case("last change not seen"),
    "approving": approving,
    "refusing": refusing,
    "silent": terminal,
    "aborting": aborting,
    "denied": denied,
    "one_line": lambda: case("paused until approved"),
    "completing": completing,
    "failing": failing,
    "asking": asking,
    "eventful": eventful,
    "recording": lambda: RECORDED().terminal(),
    "replaying": Terminal,
    "reckoning": Terminal,
    "planning": Terminal,
    "changing": Terminal,
    "linting": Terminal,
    "pausing": pausing,
    "paused": lambda: case("paused by a person"),
    "resuming": resuming,
    "retrying": retrying,
    "nothing": lambda: terminal(llmd(at_rest())),
}


BROKEN = """\
apiVersion: solera.dev/v1alpha1
kind: LLMDeployment
metadata: {name: chat}
spec:
  serve: v3
  template: {engine: {name: vllm, image: "vllm/vllm-openai:v0.18.1"}}
  versions:
  - {name: v1, model: {uri: hf://Qwen/Qwen3-8B}}
  traffic: {gateway: {parentRefs: [{name: inference}]}}
  rollout: {steps: [{weight: 5, minDuration: 1 day}, {weight: 50}]}
"""


def files(folder: Path) -> None:
    """What the examples find in the folder that they run in."""
    examples = PAGE.parents[1] / "examples"
    (folder / "examples").symlink_to(examples)
    (folder / "broken.yaml").write_text(BROKEN)
    chat = (examples / "chat.yaml").read_text()
    edited = chat.replace("serve: v1 ", "serve: v2 ").replace("drainTimeout: 2m", "drainTimeout: 3m")
    (folder / "edited.yaml").write_text(edited)
    (folder / "chat-v3.yaml").write_text(json.dumps(RECORDED().recording()))


def printed(match: re.Match[str]) -> str:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        files(Path(folder))
        arguments = shlex.split(match[4])
        result = SCENES[match[2]]().run(*arguments) if match[3] else CliRunner().invoke(cli, arguments)
    return f"{match[1]}{result.stdout}{result.stderr}```"


def test_examples_are_what_the_plugin_prints() -> None:
    found = [m for page in PAGES for m in EXAMPLE.finditer(page.read_text(encoding="utf-8"))]
    assert {m[2] for m in found} == set(SCENES)
    for match in found:
        assert match[0] == printed(match)


def test_every_exit_code_is_on_the_page() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")} | {0}
    assert {int(c) for c in re.findall(r"^\| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)} == codes


def test_every_rule_of_lint_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [rule for rule in NAMES if f"`{rule}`" not in page] == []


def test_every_key_of_the_json_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    view = output.deployment(read(llmd(waiting_for_approval())))
    keys = {*view, *view["rollout"], *view["guardrails"][0], *view["versions"][0], *view["stable"]}
    answer = Terminal(llmd(at_rest())).run("explain", "support-assistant", "-o", "json")
    keys |= set(json.loads(answer.stdout))
    for verb in ("plan", "lint"):
        told = json.loads(Terminal().run(verb, str(PAGE.parents[1] / "examples" / "chat.yaml"), "-o", "json").stdout)
        keys |= set(told)
        for parts in told.values():
            keys |= set(parts[0]) if isinstance(parts, list) and parts else set()
    with tempfile.TemporaryDirectory() as folder:
        files(Path(folder))
        told = json.loads(
            Terminal().run("replay", f"{folder}/chat-v3.yaml", "--set", "limit=errors=20%", "-o", "json").stdout
        )
        keys |= {*told, *told["decided"], *told["replayed"], *told["end"], *told["end"]["guardrails"][0]}
        keys |= {*told["steps"][0], *told["changes"][0]}
    flags = ["power", "--requests-per-minute", "60", "--weight", "5", "--limit", "1%", "-o", "json"]
    told = json.loads(Terminal().run(*flags).stdout)
    keys |= {*told, *told["steps"][0], *told["leastGood"], *told["expected"][0], *told["expected"][0]["by"][0]}
    for verb in ("status", "history"):
        told = json.loads(eventful().run(verb, "support-assistant", "-o", "json").stdout)
        keys |= {*told, *(told.get("evidence") or {}), *((told.get("rollouts") or [{}])[0])}
    assert [k for k in keys - {"apiVersion", "kind"} if not re.search(rf"\b{k}\b", page)] == []
    causes = {cause for obj, cause, _, _ in CASES.values() if not read(obj).in_rollout}
    assert [c for c in causes if f"`{c}`" not in page] == []


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(EXAMPLE.sub(printed, page.read_text(encoding="utf-8")), encoding="utf-8")
