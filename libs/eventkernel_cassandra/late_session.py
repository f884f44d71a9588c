"""A session for whoever serves without the cluster most of the time: it connects beside, and again when it is next needed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from eventkernel.ports import Clock
from eventkernel_cassandra.errors import NotExecuted
from eventkernel_cassandra.session import CqlSession, Row, Statement, Value, Verdict

CLOSED = "the session is closed"
CLOSE_SECONDS_MAX = 30.0
"""For an attempt that is under way when the session is closed; a driver's own limits end it before."""
PAUSE_SECONDS = 1.0
"""After an attempt that failed, calls are answered by its error for so long."""


class LateSession:
    """Connecting begins at once. Calls wait for the attempt under way, which they share; one that fails is theirs to raise."""

    def __init__(self, opening: Callable[[], Awaitable[CqlSession]], clock: Clock) -> None:
        self._opening = opening
        self._clock = clock
        self._closed = False
        self._attempt = self._begin()
        self._over_at = 0.0

    async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
        """As the session that it opens."""
        return await (await self._session()).read(statement, values)

    async def write(self, statement: Statement, values: Sequence[Value]) -> None:
        """As the session that it opens."""
        await (await self._session()).write(statement, values)

    async def apply(self, statement: Statement, values: Sequence[Value]) -> Verdict:
        """As the session that it opens."""
        return await (await self._session()).apply(statement, values)

    async def define(self, cql: str) -> None:
        """As the session that it opens."""
        await (await self._session()).define(cql)

    async def close(self) -> None:
        """Close what was opened; an attempt under way may come to its end before, but not for long.

        Drivers connect in threads of their own, which call back: they are not left in the middle of it without need.
        """
        self._closed = True
        done, _ = await asyncio.wait({self._attempt}, timeout=CLOSE_SECONDS_MAX)
        if not done:
            self._attempt.cancel()
            await asyncio.wait({self._attempt})
        if self._is_open():
            await self._attempt.result().close()

    async def _session(self) -> CqlSession:
        if self._closed:
            raise NotExecuted(CLOSED)
        if self._attempt.done() and not self._is_open() and self._clock.now().timestamp() >= self._over_at:
            self._attempt = self._begin()
        attempt = self._attempt
        try:
            # Others wait for the same attempt: whoever gives up does not end it.
            session = await asyncio.shield(attempt)
        except asyncio.CancelledError:
            if attempt.cancelled():
                raise NotExecuted(CLOSED) from None
            raise
        if self._closed:
            raise NotExecuted(CLOSED)
        return session

    def _begin(self) -> "asyncio.Task[CqlSession]":
        attempt = asyncio.create_task(self._open(), name="late-session")
        # The event loop shall not complain of an error that nobody asked for: the next call will.
        attempt.add_done_callback(lambda done: done.cancelled() or done.exception())
        return attempt

    async def _open(self) -> CqlSession:
        try:
            return await self._opening()
        finally:
            self._over_at = self._clock.now().timestamp() + PAUSE_SECONDS

    def _is_open(self) -> bool:
        done = self._attempt
        return done.done() and not done.cancelled() and done.exception() is None


if TYPE_CHECKING:
    _: type[CqlSession] = LateSession
