import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from solera.observe.fetch import client
from solera.observe.probe import Prober, ProbeResult, ProbeTarget
from unit.observe.servers import hangs, serve

POD = ProbeTarget("uid-1", "10.0.0.1", 8000, "support")
CHOICE = {"choices": [{"text": "!"}]}


def prober(routes, asked=None, **more):
    """``routes``: path -> (status, JSON or text)."""

    async def handler(request):
        if asked is not None:
            asked.append((request.url.path, json.loads(request.content) if request.content else None))
        answer = routes.get(request.url.path, (404, {"detail": "Not Found"}))
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return httpx.Response(status, text=body if isinstance(body, str) else json.dumps(body))

    return Prober(httpx.AsyncClient(transport=httpx.MockTransport(handler)), **more)


WELL = {"/health": (200, "")}


async def test_a_completion_is_asked_for_by_the_name_that_users_use():
    asked = []
    result = await prober(WELL | {"/v1/completions": (200, CHOICE)}, asked, prompt="abc").probe(POD)
    assert result == ProbeResult(answered=True, healthy=True)
    path, body = asked[-1]
    assert path == "/v1/completions"
    assert body == {"model": "support", "prompt": "abc", "max_tokens": 1, "temperature": 0, "stream": False}


async def test_an_engine_that_only_chats_is_asked_to_chat():
    asked = []
    result = await prober(WELL | {"/v1/chat/completions": (200, CHOICE)}, asked).probe(POD)
    assert result.answered
    assert [path for path, _ in asked] == ["/health", "/v1/completions", "/v1/chat/completions"]
    assert asked[-1][1]["messages"] == [{"role": "user", "content": "Hello"}]


async def test_an_engine_that_still_loads_is_not_sent_a_request_that_would_fail():
    asked = []
    result = await prober({"/health": (503, "loading"), "/v1/completions": (503, "")}, asked).probe(POD)
    assert result == ProbeResult(answered=False, healthy=False, problem="/health answers 503")
    assert [path for path, _ in asked] == ["/health"]


async def test_a_server_without_health_is_asked_all_the_same():
    assert (await prober({"/v1/completions": (200, CHOICE)}).probe(POD)).answered


async def test_another_model_name_is_not_looked_for_at_another_path():
    asked = []
    answer = (404, {"error": {"message": "The model `support` does not exist."}})
    result = await prober(WELL | {"/v1/completions": answer}, asked).probe(POD)
    assert result.problem == (
        "/health answers 200, but no completion: /v1/completions answers 404: The model `support` does not exist."
    )
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((500, {"error": {"message": "CUDA\nerror"}}), "/v1/completions answers 500: CUDA error"),
        ((500, {"message": "old vLLM"}), "/v1/completions answers 500: old vLLM"),
        ((401, {"error": "no key"}), "/v1/completions answers 401: no key"),
        ((500, "<html>"), "/v1/completions answers 500"),
        ((200, "<html>"), "/v1/completions answers 200 with something that is not JSON"),
        ((200, {"choices": []}), "/v1/completions answers 200 without a choice"),
        ((200, []), "/v1/completions answers 200 without a choice"),
        ((200, "x" * 300_000), "the answer of 10.0.0.1:8000 is longer than 262144 bytes"),
        (httpx.RemoteProtocolError("gone"), "10.0.0.1:8000 broke off: gone"),
    ],
)
async def test_a_healthy_engine_that_gives_no_completion_is_told(answer, says):
    result = await prober(WELL | {"/v1/completions": answer}).probe(POD)
    assert result == ProbeResult(
        answered=False, healthy=True, problem=f"/health answers 200, but no completion: {says}"
    )


async def test_an_engine_that_hangs_with_a_healthy_face_is_given_up_in_time():
    async def handler(request):
        if request.url.path != "/health":
            await asyncio.Event().wait()
        return httpx.Response(200)

    hanging = Prober(httpx.AsyncClient(transport=httpx.MockTransport(handler)), timeout=0.5)
    result = await hanging.probe(POD)
    assert result.healthy
    assert result.problem == "/health answers 200, but no completion: no complete answer from 10.0.0.1:8000 within 0.5s"


async def test_an_engine_that_has_answered_before_is_given_a_third_of_the_time():
    async def handler(request):
        if request.url.path != "/health":
            await asyncio.Event().wait()
        return httpx.Response(200)

    hanging = Prober(httpx.AsyncClient(transport=httpx.MockTransport(handler)), timeout=0.3)
    first, again = await hanging.probe(POD), await hanging.probe(replace(POD, again=timedelta(seconds=10)))
    assert first.problem.endswith("within 0.3s")
    assert again.problem.endswith("within 0.1s")


async def test_a_port_that_never_answers_is_not_healthy():
    async with serve(hangs) as (host, port), client(2) as http:
        result = await Prober(http, timeout=0.05).probe(ProbeTarget("uid-1", host, port, "support"))
    assert result == ProbeResult(
        answered=False, healthy=False, problem=f"Unreachable: no complete answer from {host}:{port} within 0.05s"
    )


async def test_only_so_many_completions_at_a_time():
    now, most = 0, 0

    async def handler(request):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return httpx.Response(200, json=CHOICE)

    many = Prober(httpx.AsyncClient(transport=httpx.MockTransport(handler)), concurrency=2)
    results = await asyncio.gather(*(many.probe(POD) for _ in range(8)))
    assert all(r.answered for r in results)
    assert most == 2
