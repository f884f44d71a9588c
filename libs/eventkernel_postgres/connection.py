"""Transactions on one schema: begun, bounded in time, committed or rolled back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg.pq import TransactionStatus

from eventkernel.errors import StoreUnavailable
from eventkernel.sql import Statement
from eventkernel_postgres.errors import STORE, translating
from eventkernel_postgres.migrations import migrate
from eventkernel_postgres.pool import Connection, Pool, bounded, connect
from eventkernel_postgres.settings import PostgresSettings

if TYPE_CHECKING:
    import psycopg

BEGIN_WRITING = b"BEGIN"
BEGIN_READING = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Database:
    """Two pools, so that readings never wait for transactions. Made by ``open``."""

    def __init__(self, settings: PostgresSettings) -> None:
        self.settings = settings
        self._writers = Pool("postgres transactions", settings, settings.writers_max)
        self._readers = Pool("postgres readings", settings, settings.readers_max)

    @classmethod
    async def open(cls, settings: PostgresSettings) -> "Database":
        """Connect and migrate. Raises ``StoreMismatch`` or ``StoreUnavailable``."""
        with translating():
            connection = await connect(settings)
            try:
                with bounded(connection, settings.prepare_seconds):
                    await migrate(connection, settings.schema)
            finally:
                await connection.close()
        return cls(settings)

    @asynccontextmanager
    async def writing(self, seconds: float | None = None) -> AsyncIterator["Session"]:
        """A READ COMMITTED transaction: committed at the end of the block, rolled back on any exception."""
        connection = await self._writers.begun(BEGIN_WRITING)
        session = Session(connection, seconds or self.settings.call_seconds)
        try:
            yield session
            await session.commit()
        finally:
            await asyncio.shield(self._writers.give_back(connection))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["Session"]:
        """A snapshot, taken by the first read of the block. Its end is told to the server after the block was left."""
        connection = await self._readers.begun(BEGIN_READING)
        try:
            yield Session(connection, self.settings.call_seconds)
        finally:
            _ = self._readers.give_back(connection)

    async def close(self) -> None:
        """Close the pools; transactions under way elsewhere keep their connections until they end."""
        await self._writers.close()
        await self._readers.close()


class Session:
    """One transaction on one connection. Every call ends in time; errors are the kernel's."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds

    async def fetch(self, text: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        with translating(), bounded(self._connection, self._seconds):
            cursor = await self._connection.execute(text.encode(), parameters or None, binary=True)
            return await cursor.fetchall()

    async def run(self, statements: Sequence[Statement]) -> list["psycopg.AsyncCursor[tuple[Any, ...]]"]:
        """Run statements in order, in one trip to the server; nothing is run after the first that fails."""
        with translating(), bounded(self._connection, self._seconds):
            async with self._connection.pipeline():
                return [
                    await self._connection.execute(statement.text.encode(), statement.parameters or None, binary=True)
                    for statement in statements
                ]

    async def commit(self, before: Sequence[Statement] = ()) -> None:
        """Run what is left to run, and commit. Does nothing the second time.

        A connection lost here leaves the outcome open. It is an error all the same: whoever repeats the transaction finds
        the checkpoints where they are, and does nothing twice.
        """
        status = self._connection.pgconn.transaction_status
        if status == TransactionStatus.IDLE:
            return
        if status == TransactionStatus.INERROR:
            raise StoreUnavailable(STORE, "the transaction was rolled back by an earlier error")
        await self.run([*before, Statement("COMMIT")])
