from pathlib import Path

import pytest
from lab import build, paths


def test_without_uv_on_the_path_the_lab_takes_the_one_that_make_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str | Path], **_: object) -> str:
        asked.append([str(part) for part in argv])
        return "/cache/uv-1/bin/uv\n"

    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(build, "run", run)
    build.uv("venv", "--quiet", Path("/there"), log="venv.log")
    assert asked == [[str(paths.SOURCE / "uv.sh")], ["/cache/uv-1/bin/uv", "venv", "--quiet", "/there"]]
    assert (paths.SOURCE / "uv.sh").stat().st_mode & 0o100
