"""``python -m simengine``: vLLM's command line as far as it matters here, plus ``--sim-…`` for what is wrong on purpose.

Arguments of vLLM that mean nothing to a simulation are ignored, so that a pod rendered for vLLM runs unchanged; an
unknown ``--sim-…`` is an error, since a fault that is misspelt would make a test pass for nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from .engine import Config, Engine
from .faults import FIELDS, NAMES, Faults, from_text
from .server import Server
from .vllm_metrics import GENERATIONS

log = logging.getLogger("simengine")
# What the kubelet adds for a Service named sim-something.
_SERVICE_LINK = re.compile(r"_(SERVICE_(HOST|PORT)|PORT)(_|$)")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simengine", description=__doc__, allow_abbrev=False)
    parser.add_argument("words", nargs="*", help="serve MODEL, as with vLLM; the words are ignored")
    parser.add_argument("--model", default="letters", help="served name when --served-model-name is absent")
    parser.add_argument("--served-model-name", nargs="+", metavar="NAME")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-num-seqs", type=int, default=256, help="requests that run at once; the rest wait")
    parser.add_argument("--max-model-len", type=int, default=4096, help="prompt and answer together, in characters")
    parser.add_argument("--shutdown-timeout", type=float, default=60.0, help="longest drain after SIGTERM, seconds")
    parser.add_argument("--seed", help="of all dice; by default another one in each pod")
    parser.add_argument("--sim-metrics", choices=sorted(GENERATIONS), help="whose metric names (default current)")
    parser.add_argument("--sim-keepalive-timeout", type=float, default=120.0, help="close idle connections after")
    for f in FIELDS:
        parser.add_argument(_flag(f.name), metavar=type(f.default).__name__.upper(), help=f.metadata["text"])
    return parser


def configure(argv: Sequence[str], env: Mapping[str, str]) -> tuple[argparse.Namespace, Config, Faults]:
    """Read arguments and environment (arguments win). Raises ``ValueError`` naming what is wrong."""
    args, unknown = build_parser().parse_known_args(argv)
    misspelt = [word for word in unknown if word.startswith("--sim-")]
    known = {"SIM_SEED", "SIM_METRICS", *map(_env, NAMES)}
    misspelt += [
        name for name in env if name.startswith("SIM_") and name not in known and not _SERVICE_LINK.search(name)
    ]
    if misspelt:
        msg = f"{misspelt[0]}: no such option; faults are {', '.join(sorted(map(_flag, NAMES)))}"
        raise ValueError(msg)
    if unknown:
        log.info("ignored, means nothing to a simulation: %s", " ".join(unknown))
    given = {name: env[_env(name)] for name in NAMES if _env(name) in env}
    given |= {name: value for name in NAMES if (value := getattr(args, f"sim_{name}")) is not None}
    generation = args.sim_metrics or env.get("SIM_METRICS", "current")
    if generation not in GENERATIONS:
        msg = f"SIM_METRICS: {generation!r} is none of {', '.join(GENERATIONS)}"
        raise ValueError(msg)
    pod = env.get("POD_NAME") or socket.gethostname()
    config = Config(
        served_names=tuple(args.served_model_name or [args.model]),
        generation=generation,
        max_num_seqs=args.max_num_seqs,
        max_model_len=args.max_model_len,
        seed=args.seed or env.get("SIM_SEED") or pod,
        revision=env.get("SOLERA_REVISION", ""),
        pod=pod,
    )
    return args, config, from_text(given)


async def run(args: argparse.Namespace, config: Config, faults: Faults) -> int:
    """Serve until SIGTERM or SIGINT, then drain; the exit status."""
    engine = Engine(config, faults)
    server = Server(engine, keepalive_timeout=args.sim_keepalive_timeout)
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    port = await server.start(args.host, args.port)
    log.info("serving %s on port %d, revision %s", "/".join(config.served_names), port, config.revision or "unknown")
    while not engine.loaded and not told.is_set():
        with suppress(TimeoutError):  # startup_delay may change meanwhile, so look again
            await asyncio.wait_for(told.wait(), 0.05)
    if engine.faults.startup_fail and not told.is_set():
        log.error("loading failed on purpose (startup_fail)")
        await server.stop()
        return 1
    await told.wait()
    await server.drain(args.shutdown_timeout)
    return 0


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stdout)
    try:
        args, config, faults = configure(sys.argv[1:], os.environ)
    except ValueError as why:
        sys.exit(f"simengine: {why}")
    sys.exit(asyncio.run(run(args, config, faults)))


def _flag(name: str) -> str:
    return "--sim-" + name.replace("_", "-")


def _env(name: str) -> str:
    return "SIM_" + name.upper()


if __name__ == "__main__":
    main()
