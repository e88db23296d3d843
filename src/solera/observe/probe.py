"""A real completion through one pod: the only proof that an engine serves. ``/health`` is 200 in engines that never answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from solera.observe.fetch import Answer, Unreachable, authority, fetch, send
from solera.observe.metrics import Unreadable

MAX_BYTES = 256 << 10
HEALTH_WITHIN = 2.0
_NO_SUCH_PATH = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """One pod to ask. ``instance`` is its uid, ``model`` the name that requests carry, ``started`` the start of its container.

    ``again`` is how long after its answer it is asked once more, None: never.
    """

    instance: str
    ip: str
    port: int
    model: str
    pod: str = ""
    started: datetime | None = None
    again: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """``answered``: a completion with a choice came back. Otherwise ``problem`` says why not.

    ``healthy`` is whether ``/health`` said that it should have: a pod that is not healthy yet is starting, not broken.
    """

    answered: bool
    healthy: bool
    problem: str | None = None


class Prober:
    """Asks pods for one token, at most ``concurrency`` at a time, each for at most ``timeout`` seconds.

    It asks ``/health`` first: a completion sent to an engine that is still loading would be counted there as a failed request.
    """

    def __init__(
        self, http: httpx.AsyncClient, *, timeout: float = 30.0, concurrency: int = 10, prompt: str = "Hello"
    ) -> None:
        self._http = http
        self._timeout = timeout
        self._lane = asyncio.Semaphore(concurrency)
        self._prompt = prompt

    async def probe(self, target: ProbeTarget) -> ProbeResult:
        """Ask one pod. Never raises for what the other side does."""
        async with self._lane:
            try:
                within = min(HEALTH_WITHIN, self._timeout)
                health = await fetch(self._http, f"{_base(target)}/health", within=within, max_bytes=MAX_BYTES)
            except (Unreachable, Unreadable) as error:
                return ProbeResult(answered=False, healthy=False, problem=str(error))
            if health.status != 200 and health.status not in _NO_SUCH_PATH:
                return ProbeResult(answered=False, healthy=False, problem=f"/health answers {health.status}")
            # Only a first completion may take its time, since engines compile on it.
            within = self._timeout if target.again is None else self._timeout / 3
            problem = await self._complete(target, within)
            if problem is None:
                return ProbeResult(answered=True, healthy=True)
            said = "/health answers 200, but" if health.status == 200 else "it has no /health, and"
            return ProbeResult(answered=False, healthy=True, problem=f"{said} no completion: {problem}")

    async def _complete(self, target: ProbeTarget, within: float) -> str | None:
        """None when a completion came back ``within`` so many seconds, else why not."""
        common = {"model": target.model, "max_tokens": 1, "temperature": 0, "stream": False}
        try:
            path = "/v1/completions"
            answer = await self._post(target, path, {**common, "prompt": self._prompt}, within)
            if answer.status in _NO_SUCH_PATH and not _names_the_model(answer):
                path = "/v1/chat/completions"
                answer = await self._post(
                    target, path, {**common, "messages": [{"role": "user", "content": self._prompt}]}, within
                )
        except Unreachable as error:
            return str(error).removeprefix("Unreachable: ")
        except Unreadable as error:
            return str(error)
        return _judged(path, answer)

    async def _post(self, target: ProbeTarget, path: str, body: Mapping[str, Any], within: float) -> Answer:
        request = httpx.Request(
            "POST", f"{_base(target)}{path}", json=body, headers={"Accept-Encoding": "identity", "User-Agent": "solera"}
        )
        return await send(self._http, request, within=within, max_bytes=MAX_BYTES)


def _base(target: ProbeTarget) -> str:
    return f"http://{authority(target.ip, target.port)}"


def _judged(path: str, answer: Answer) -> str | None:
    if answer.status != 200:
        said = _error_text(answer)
        return f"{path} answers {answer.status}{f': {said}' if said else ''}"
    try:
        body = json.loads(answer.text)
    except ValueError:
        return f"{path} answers 200 with something that is not JSON"
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices:
        return f"{path} answers 200 without a choice"
    return None


def _names_the_model(answer: Answer) -> bool:
    """404 is also what engines say of a model that they do not serve: asking at another path would not help."""
    return "model" in _error_text(answer).lower()


def _error_text(answer: Answer) -> str:
    """The message of an OpenAI error object (vLLM also puts it at the top level), one line, not too long."""
    try:
        body = json.loads(answer.text)
    except ValueError:
        body = None
    error = body.get("error", body) if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message).split())[:200] if message else ""
