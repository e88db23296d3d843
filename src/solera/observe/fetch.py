"""One bounded GET: a fixed total time, a fixed number of bytes, no redirects, no proxies, and an error text that names the address."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from solera.errors import SoleraError
from solera.observe.metrics import Unreadable

ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"


class Unreachable(SoleraError):  # noqa: N818 - the word that status shows
    """No answer came; the text begins with ``Unreachable:`` and names the address."""

    def __init__(self, why: str) -> None:
        super().__init__(f"Unreachable: {why}")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and text of an answer."""

    status: int
    text: str


def client(concurrency: int, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client for addresses inside the cluster: environment proxies are ignored, connections are kept for a minute."""
    limits = httpx.Limits(max_connections=2 * concurrency, max_keepalive_connections=concurrency, keepalive_expiry=60.0)
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, limits=limits, transport=transport)


async def fetch(
    http: httpx.AsyncClient,
    url: str,
    *,
    within: float,
    max_bytes: int,
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, Any] | None = None,
) -> Answer:
    """GET ``url`` within ``within`` seconds, all of it, and at most ``max_bytes``.

    Raises:
        Unreachable: no complete answer in time.
        Unreadable: the answer is too long, packed, or not UTF-8.
    """
    return await send(
        http,
        httpx.Request(
            "GET",
            url,
            headers={"Accept": ACCEPT, "Accept-Encoding": "identity", **(headers or {})},
            extensions=extensions or {},
        ),
        within=within,
        max_bytes=max_bytes,
    )


async def send(http: httpx.AsyncClient, request: httpx.Request, *, within: float, max_bytes: int) -> Answer:
    """Send ``request`` under the same bounds as ``fetch``; the same errors."""
    where = request.url.netloc.decode()
    request.extensions = {**request.extensions, "timeout": httpx.Timeout(within).as_dict()}
    try:
        async with asyncio.timeout(within):
            response = await http.send(request, stream=True)
            try:
                body = await _body(response, where, max_bytes)
            finally:
                await response.aclose()
    except (TimeoutError, httpx.PoolTimeout, httpx.ReadTimeout, httpx.WriteTimeout):
        raise Unreachable(f"no complete answer from {where} within {within:g}s") from None
    except httpx.ConnectTimeout:
        raise Unreachable(f"connect timeout to {where} after {within:g}s") from None
    except httpx.ConnectError as error:
        raise Unreachable(f"cannot connect to {where}: {_reason(error)}") from None
    except httpx.HTTPError as error:
        raise Unreachable(f"{where} broke off: {_reason(error)}") from None
    try:
        return Answer(response.status_code, body.decode())
    except UnicodeDecodeError:
        raise Unreadable(f"the answer of {where} is not UTF-8 text") from None


async def _body(response: httpx.Response, where: str, max_bytes: int) -> bytes:
    packed = response.headers.get("content-encoding", "identity")
    if packed != "identity":
        raise Unreadable(f"{where} sent {packed} although it was asked not to")
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():  # nothing is unpacked here: packed answers are refused above
        size += len(part)
        if size > max_bytes:
            raise Unreadable(f"the answer of {where} is longer than {max_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


def _reason(error: BaseException) -> str:
    """The operating system's own words if there are any below the library's."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return cause.reason or str(cause)
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno) if cause.errno > 0 else cause.strerror or str(cause)
    return str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    stack: list[BaseException] = [error]
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        stack += [c for c in (current.__cause__, current.__context__) if c is not None]
        if isinstance(current, BaseExceptionGroup):
            stack += current.exceptions


def authority(host: str, port: int | None) -> str:
    """``host:port`` as a URL wants it, IPv6 in brackets."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def host_and_port(url: str) -> tuple[str, int]:
    """The host and the port of a URL, with the scheme's port when it names none."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
