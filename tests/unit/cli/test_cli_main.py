from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from solera import __version__
from solera.api import crd
from solera.cli import kubectl
from solera.cli.main import cli
from solera.errors import SoleraError


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """Stands in for solera.operator.main, which would go on for ever; keeps what it was given."""
    given: list[Path | None] = []

    def run_operator(config: Path | None) -> None:
        given.append(config)
        if config and "wrong" in config.read_text():
            raise SoleraError("metrics.sources[0].url: write an address")

    module = types.ModuleType("solera.operator.main")
    module.run = run_operator  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "solera.operator.main", module)
    return given


def test_the_operator_gets_its_configuration(ran: list[Path | None], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("workers: 4\n")
    assert run("operator", "run", "--config", str(file)).exit_code == 0
    assert run("operator", "run").exit_code == 0
    assert ran == [file, None]


def test_a_wrong_configuration_is_told_without_a_traceback(ran: list[Path | None], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("wrong")
    result = run("operator", "run", "--config", str(file))
    assert (result.exit_code, result.stderr) == (1, "Error: metrics.sources[0].url: write an address\n")
    result = run("operator", "run", "--config", str(tmp_path / "absent"))
    assert result.exit_code == 2
    assert len(ran) == 1


def test_crd_prints_both_definitions() -> None:
    names = [d["metadata"]["name"] for d in yaml.safe_load_all(run("crd").stdout)]
    assert names == ["llmdeployments.solera.dev", "rolloutrecords.solera.dev"]


def test_crd_writes_and_checks_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crd, "render", lambda: {"a.yaml": "kind: A\n", "b.yaml": "kind: B\n"})
    folder = tmp_path / "crds"
    assert run("crd", "--check", "--output", str(folder)).exit_code == 1
    assert not folder.exists()
    assert run("crd", "--output", str(folder)).exit_code == 0
    assert {f.name: f.read_text() for f in folder.iterdir()} == {"a.yaml": "kind: A\n", "b.yaml": "kind: B\n"}
    assert run("crd", "--check", "--output", str(folder)).exit_code == 0
    (folder / "a.yaml").write_text("edited")
    result = run("crd", "--check", "--output", str(folder))
    assert result.exit_code == 1
    assert "a.yaml" in result.stderr


def test_version() -> None:
    assert run("version").stdout.startswith(f"solera {__version__} (Python 3.")


@pytest.mark.parametrize(
    ("called", "shown"), [("kubectl-solera", "kubectl solera"), ("solera-plugin", "solera-plugin")]
)
def test_the_plugins_help_says_how_it_was_called(
    called: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/usr/local/bin/{called}", "--help"])
    with pytest.raises(SystemExit) as ended:
        kubectl.main()
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: {shown} [OPTIONS] COMMAND")
    assert "124 not in time" in told
