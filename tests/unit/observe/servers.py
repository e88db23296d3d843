"""A raw HTTP server on loopback, for answers that no well-behaved server gives."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serve(handler: Handler):
    """Yield (host, port) of a server that gives each connection, its request read, to ``handler``."""
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(h[16:]) for h in head.decode().split("\r\n") if h.lower().startswith("content-length: ")), 0
            )
            await reader.readexactly(length)
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def sends(*parts: bytes, status: str = "200 OK", length: int | None = None, headers: str = "") -> Handler:
    """Send ``parts`` as the body under a Content-Length (theirs, or another one)."""
    body = b"".join(parts)

    async def handler(_reader, writer):
        size = len(body) if length is None else length
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n{headers}\r\n".encode() + body
        )
        await writer.drain()

    return handler


async def hangs(_reader, _writer) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def drips(_reader, writer) -> None:
    """Answer one byte at a time, for ever: no single read ever times out."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"#")
        await writer.drain()
        await asyncio.sleep(0.02)
