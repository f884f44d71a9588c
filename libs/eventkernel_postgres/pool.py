"""Connections that are kept for the next transaction, at most so many at once, made when they are asked for.

psycopg's own pool makes connections in background tasks that wait twice as long after each failure, so it finds a server
that came back later than its callers do; here every caller tries, and its own call tells it what happened.
"""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from eventkernel.errors import Overloaded, StoreUnavailable
from eventkernel_postgres.errors import STORE, translating
from eventkernel_postgres.settings import PostgresSettings

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

PREPARED_MAX = 500
IDLE_SECONDS_MAX = 600.0


@dataclass(frozen=True, slots=True)
class _Idle:
    """A connection that waits, and since when."""

    connection: Connection
    since: float


class Pool:
    """What one kind of transaction uses; the connection returned last is taken first."""

    def __init__(self, name: str, settings: PostgresSettings, size: int) -> None:
        self._name = name
        self._settings = settings
        self._size = size
        self._free = asyncio.Semaphore(size)
        self._idle: deque[_Idle] = deque()
        self._returning: set[asyncio.Task[None]] = set()
        self._closed = False

    async def begun(self, begin: bytes) -> Connection:
        """A connection in a new transaction. Those that were lost while they lay idle are thrown away.

        Raises ``Overloaded`` when none becomes free in time, ``StoreUnavailable`` when none can be made.
        """
        await self._entered()
        try:
            with translating():
                return await self._begun_idle(begin) or await self._begun_new(begin)
        except BaseException:
            self._free.release()
            raise

    async def asked(self, text: bytes, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement that reads, a snapshot by itself; on the next connection where one was lost lying idle."""
        await self._entered()
        try:
            with translating():
                while True:
                    idle = self._idle.pop() if self._idle else None
                    connection = idle.connection if idle else await connect(self._settings)
                    try:
                        with bounded(connection, self._settings.call_seconds):
                            cursor = await connection.execute(text, parameters, binary=True)
                            found = await cursor.fetchall()
                    except psycopg.OperationalError:
                        if idle is None or not connection.closed:
                            raise
                    else:
                        return found
                    finally:
                        await self._returned(connection)
        finally:
            self._free.release()

    def give_back(self, connection: Connection) -> "asyncio.Task[None]":
        """Roll back what is open and keep the connection, whatever becomes of the caller meanwhile."""
        task = asyncio.create_task(self._give_back(connection), name=f"{self._name}-return")
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)
        return task

    async def close(self) -> None:
        """Close what is idle at once, the rest when it is returned."""
        self._closed = True
        if self._returning:
            await asyncio.wait(self._returning)
        while self._idle:
            await self._idle.pop().connection.close()

    async def _entered(self) -> None:
        if self._closed:
            raise StoreUnavailable(STORE, "closed")
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(self._settings.connect_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded(self._name, at=self._size) from None

    async def _begun_idle(self, begin: bytes) -> Connection | None:
        while self._idle:
            connection = self._idle.pop().connection
            try:
                await self._begin(connection, begin)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
            else:
                return connection
        return None

    async def _begun_new(self, begin: bytes) -> Connection:
        connection = await connect(self._settings)
        await self._begin(connection, begin)
        return connection

    async def _begin(self, connection: Connection, begin: bytes) -> None:
        try:
            with bounded(connection, self._settings.call_seconds):
                await connection.execute(begin)
        except BaseException:
            await connection.close()
            raise

    async def _give_back(self, connection: Connection) -> None:
        try:
            if connection.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                with suppress(psycopg.Error), bounded(connection, self._settings.call_seconds):
                    await connection.rollback()
            await self._returned(connection)
        finally:
            self._free.release()

    async def _returned(self, connection: Connection) -> None:
        """Keep it, unless it is of no use any more."""
        if self._closed or connection.pgconn.transaction_status != TransactionStatus.IDLE:
            await connection.close()
        else:
            await self._keep(connection)

    async def _keep(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        self._idle.append(_Idle(connection, now))
        if now - self._idle[0].since > IDLE_SECONDS_MAX:
            await self._idle.popleft().connection.close()


async def connect(settings: PostgresSettings) -> Connection:
    """A new connection, in autocommit mode: transactions are begun by statements of ours."""
    connection = await psycopg.AsyncConnection.connect(make_conninfo(**settings.parameters()), autocommit=True)
    connection.prepared_max = PREPARED_MAX
    return connection


@contextmanager
def bounded(connection: Connection, seconds: float) -> Iterator[None]:
    """Cut the connection when the block takes longer.

    A server that does not answer (it is frozen, the network drops packets) would not answer a cancel request either; with its
    socket shut down libpq reports a lost connection at once.
    """
    timer = asyncio.get_running_loop().call_later(seconds, _cut, connection)
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: Connection) -> None:
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
