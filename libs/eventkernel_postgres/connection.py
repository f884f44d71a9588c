"""Transactions on one schema: begun, bounded in time, committed or rolled back."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from psycopg.pq import TransactionStatus

from eventkernel.errors import StoreUnavailable
from eventkernel.sql import Statement
from eventkernel_postgres.errors import STORE, translating
from eventkernel_postgres.migrations import Migrations, migrate
from eventkernel_postgres.pool import Connection, Pool, bounded, connect
from eventkernel_postgres.settings import PostgresSettings

BEGIN_WRITING = b"BEGIN"
BEGIN_READING = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Database:
    """Two pools, so that readings never wait for transactions. Made by ``open``."""

    def __init__(self, settings: PostgresSettings) -> None:
        self.settings = settings
        self._writers = Pool("postgres transactions", settings, settings.writers_max)
        self._readers = Pool("postgres readings", settings, settings.readers_max)

    @classmethod
    async def open(cls, settings: PostgresSettings, migrations: Migrations) -> "Database":
        """Connect and migrate. Raises ``StoreMismatch`` or ``StoreUnavailable``."""
        with translating():
            connection = await connect(settings)
            try:
                with bounded(connection, settings.prepare_seconds):
                    await migrate(connection, settings.schema, migrations)
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

    async def asked(self, text: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement that reads, outside of any transaction."""
        return await self._readers.asked(text.encode(), parameters)

    async def close(self) -> None:
        """Close the pools; transactions under way elsewhere keep their connections until they end."""
        await self._writers.close()
        await self._readers.close()


class Session:
    """One transaction on one connection. Every call ends in time; errors are the kernel's; after one nothing else is done."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._failed = False

    async def fetch(self, text: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        with self._calling():
            cursor = await self._connection.execute(text.encode(), parameters or None, binary=True)
            return await cursor.fetchall()

    async def run(self, statements: Sequence[Statement]) -> None:
        """Run statements in order; nothing is run after the first that fails.

        One after the other, not as a pipeline: psycopg ends a pipeline with a flush request behind the sync, and when that
        arrives Postgres takes back its timer for idle transactions, so that a holder of locks that hangs is never ended.
        """
        with self._calling():
            for statement in statements:
                await self._connection.execute(statement.text.encode(), statement.parameters or None, binary=True)

    async def commit(self, before: Sequence[Statement] = ()) -> None:
        """Run what is left to run, and commit. Does nothing the second time.

        A connection lost here leaves the outcome open. It is an error all the same: whoever repeats the transaction finds
        the checkpoints where they are, and does nothing twice.
        """
        if self._connection.pgconn.transaction_status != TransactionStatus.IDLE:
            await self.run([*before, Statement("COMMIT")])

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """A statement may fail on this side, before it is sent: what was sent before it must not be committed either."""
        if self._failed:
            raise StoreUnavailable(STORE, "the transaction is rolled back because of an earlier error")
        try:
            with translating(), bounded(self._connection, self._seconds):
                yield
        except BaseException:
            self._failed = True
            raise
