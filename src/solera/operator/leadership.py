"""What it means to lead, with or without a Lease."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from solera.errors import NotLeading, SoleraError


class LeaseLost(SoleraError):  # noqa: N818 - read in `except` clauses
    """This process led and must not any more. It ends; started again it knows nothing that another leader has made untrue."""


class Leadership(Protocol):
    """Whether this process leads."""

    @property
    def leading(self) -> bool:
        """Whether it may write now."""

    async def acquire(self) -> None:
        """Wait until this process leads."""

    async def hold(self) -> None:
        """Keep leading until cancelled. Raises ``LeaseLost``."""

    def may_write(self) -> float:
        """Seconds that a write which begins now may take. Raises ``NotLeading``."""

    def close(self) -> None:
        """Let no further write begin; those under way go on."""

    async def release(self) -> None:
        """Let another lead. Nothing of ours may be under way."""

    def told(self) -> str:
        """Who leads, in words."""

    def problem(self) -> str | None:
        """Why the last attempt to lead failed; None when it did not."""


class Alone:
    """Leadership without a Lease: whoever configured it promised that there is one process only."""

    def __init__(self) -> None:
        self.leading = True

    async def acquire(self) -> None:
        """Lead at once."""

    async def hold(self) -> None:
        """Lead for ever."""
        await asyncio.Event().wait()

    def may_write(self) -> float:
        """As long as it takes, until ``close``."""
        if not self.leading:
            raise NotLeading("this process is about to stop")
        return math.inf

    def close(self) -> None:
        """See ``Leadership.close``."""
        self.leading = False

    async def release(self) -> None:
        """Nobody waits for it."""

    def told(self) -> str:
        """See ``Leadership.told``."""
        return "leader election is off"

    def problem(self) -> str | None:
        """There is nothing that could fail."""
        return None
