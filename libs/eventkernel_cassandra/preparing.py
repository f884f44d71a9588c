"""Preparing every statement once, however many calls need it first at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from eventkernel_cassandra.session import Statement


class Prepared:
    """The prepared statements of one session. A preparation that failed is tried again by the next call."""

    def __init__(self, prepare: Callable[[Statement], Awaitable[Any]]) -> None:
        self._prepare = prepare
        self._ready: dict[Statement, Any] = {}
        self._under_way: dict[Statement, asyncio.Task[Any]] = {}
        self.now = self._ready.get
        """The prepared statement, or None where ``get`` must be awaited first."""

    async def get(self, statement: Statement) -> Any:
        """The prepared statement; whoever waits may be cancelled without harm to the others."""
        task = self._under_way.get(statement)
        if task is None:
            task = asyncio.ensure_future(self._make(statement))
            self._under_way[statement] = task
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _make(self, statement: Statement) -> Any:
        try:
            prepared = self._ready[statement] = await self._prepare(statement)
        finally:
            del self._under_way[statement]
        return prepared
