"""The program itself: arguments, environment, signals, exit status."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from lab.engines.simengine.__main__ import configure

ROOT = Path(__file__).resolve().parents[3]


def test_a_pod_rendered_for_vllm_is_understood() -> None:
    argv = ["serve", "/models/x", "--served-model-name", "support", "support@v2", "--port", "8000"]
    argv += ["--tensor-parallel-size", "2", "--revision", "abc", "--shutdown-timeout", "100", "--sim-error-rate=0.05"]
    env = {"SOLERA_REVISION": "support-v2-abcdefgh", "POD_NAME": "p", "SIM_ERROR_RATE": "0.5", "SIM_CUT_RATE": "0.1"}
    args, config, faults = configure(argv, env | {"SIM_ENGINE_PORT": "tcp://10.0.0.1:80", "SIM_METRICS": "v0"})
    assert (args.port, args.shutdown_timeout) == (8000, 100)
    assert config.served_names == ("support", "support@v2")
    assert (config.revision, config.pod, config.seed) == ("support-v2-abcdefgh", "p", "p")
    assert config.generation == "v0"
    assert (faults.error_rate, faults.cut_rate) == (0.05, 0.1)  # the argument wins


@pytest.mark.parametrize(
    ("argv", "env", "named"),
    [
        (["--sim-eror-rate=0.1"], {}, "--sim-eror-rate"),
        ([], {"SIM_EROR_RATE": "0.1"}, "SIM_EROR_RATE"),
        (["--sim-error-rate=2"], {}, "error_rate"),
        ([], {"SIM_METRICS": "v9"}, "SIM_METRICS"),
    ],
)
def test_a_misspelt_fault_is_an_error(argv: list[str], env: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        configure(argv, env)


async def spawn(*argv: str) -> tuple[asyncio.subprocess.Process, str]:
    """The program on a port of its own choice, and its address."""
    command = [sys.executable, "-m", "lab.engines.simengine", "--host", "127.0.0.1", "--port", "0", *argv]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    port = re.search(r"on port (\d+)", line)
    assert port, line
    return process, f"http://127.0.0.1:{port[1]}"


async def test_sigterm_lets_the_request_in_flight_finish() -> None:
    process, url = await spawn("--sim-ttft-median=0.8", "--sim-ttft-sigma=0")
    async with aiohttp.ClientSession() as client:

        async def ask() -> str:
            async with client.post(f"{url}/v1/completions", json={"prompt": "a", "max_tokens": 1}) as answer:
                return str((await answer.json())["choices"][0]["text"])

        async def running() -> bool:
            async with client.get(f"{url}/metrics") as answer:
                return bool(re.search(r"^vllm:num_requests_running\{.*\} 1\.0$", await answer.text(), re.MULTILINE))

        asked = asyncio.create_task(ask())
        while not await running():
            assert not asked.done()
        process.send_signal(signal.SIGTERM)
        assert await asked == "b"
    assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_a_model_that_fails_to_load_exits_with_1() -> None:
    process, _ = await spawn("--sim-startup-delay=0.1", "--sim-startup-fail=true")
    assert await asyncio.wait_for(process.wait(), 60) == 1
