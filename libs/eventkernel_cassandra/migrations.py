"""Bringing a keyspace to the newest schema: one process at a time, each step after the cluster agrees on the one before."""

import asyncio
import contextlib
import re
from uuid import uuid4

from eventkernel.errors import StoreMismatch
from eventkernel.ports.clock import Clock
from eventkernel_cassandra.errors import STORE, InDoubt, JournalAbsent, NotExecuted, ServerRefused
from eventkernel_cassandra.schema import CREATE_KEYSPACE, CREATE_MIGRATIONS, NEWEST, STEPS
from eventkernel_cassandra.session import CqlSession, Kind, Statement
from eventkernel_cassandra.settings import Layout

LOCK_TTL_SECONDS = 120
LOCK_POLL_SECONDS = 0.2
LOCK_WAIT_SECONDS_MAX = 180.0
AGREEMENT_POLL_SECONDS = 0.1
AGREEMENT_SECONDS_MAX = 60.0

INSERT_NUMBER = "INSERT INTO {ks}.migrations (name, number) VALUES (?, ?) IF NOT EXISTS"
SELECT_NUMBER = "SELECT number FROM {ks}.migrations WHERE name = ?"
LOCK = "INSERT INTO {ks}.migrations (name, owner) VALUES ('lock', ?) IF NOT EXISTS USING TTL ?"
UNLOCK = "DELETE FROM {ks}.migrations WHERE name = 'lock' IF owner = ?"
SELECT_HOLDER = "SELECT owner FROM {ks}.migrations WHERE name = 'lock'"

_KEYSPACE = re.compile(r"[a-z][a-z0-9_]{0,47}\Z")
_SCHEMA_VERSIONS = (
    Statement("schema_of_node", "SELECT CAST(schema_version AS text) FROM system.local", Kind.READ),
    Statement("schema_of_peers", "SELECT CAST(schema_version AS text) FROM system.peers_v2", Kind.READ),
)

_KEYSPACES = Statement("keyspaces", "SELECT keyspace_name FROM system_schema.keyspaces", Kind.READ)
_TABLES = Statement("tables", "SELECT keyspace_name, table_name FROM system_schema.tables", Kind.READ)
_JOURNAL = frozenset({"migrations", "journal", "pending"})
_NAMES_SHOWN = 5


async def migrate(
    session: CqlSession, keyspace: str, layout: Layout, clock: Clock, *, replication: int = 1, beside: bool = True
) -> None:
    """Make the keyspace if there is none, and take the steps that are missing. Safe from several processes at once.

    ``beside``: whether it may be made where the cluster has a journal already. Without it a mistyped name is not taken for
    the wish to begin an empty journal. Raises ``StoreMismatch`` for that, for a keyspace that holds something else, or is
    laid out with other numbers, and for a schema that is newer than this program.
    """
    if not _KEYSPACE.match(keyspace):
        raise StoreMismatch(STORE, expected="a keyspace of a-z, 0-9 and _, beginning with a letter", actual=keyspace)
    migration = _Migration(session, keyspace, clock)
    try:
        taken = await migration.taken()
    except ServerRefused:
        # A keyspace that is ready asks for no right to change a schema, at this or any later start.
        if await migration.is_new(beside=beside):
            await migration.define(CREATE_KEYSPACE.format(ks=keyspace, replication=replication))
        await migration.define(CREATE_MIGRATIONS.format(ks=keyspace))
        taken = await migration.taken()
    if taken < NEWEST:
        await migration.take_steps()
    await migration.check_layout(layout)


class _Migration:
    def __init__(self, session: CqlSession, keyspace: str, clock: Clock) -> None:
        self._session = session
        self._keyspace = keyspace
        self._clock = clock
        self._owner = uuid4().hex
        self._insert = _statement("insert_number", keyspace, INSERT_NUMBER, Kind.CONDITIONAL)
        self._select = _statement("select_number", keyspace, SELECT_NUMBER, Kind.SERIAL_READ)
        self._lock = _statement("lock", keyspace, LOCK, Kind.CONDITIONAL)
        self._unlock = _statement("unlock", keyspace, UNLOCK, Kind.CONDITIONAL)
        self._holder = _statement("lock_holder", keyspace, SELECT_HOLDER, Kind.SERIAL_READ)

    async def is_new(self, *, beside: bool) -> bool:
        """Whether the keyspace has to be made. Raises for one that is not to be made, and for one of another program."""
        rows = await self._session.read(_KEYSPACES, [])
        tables: dict[str, set[str]] = {name: set() for (name,) in rows}
        for name, table in await self._session.read(_TABLES, []):
            tables.setdefault(name, set()).add(table)
        if self._keyspace not in tables:
            journals = sorted(name for name, found in tables.items() if found >= _JOURNAL)
            if journals and not beside:
                raise JournalAbsent(self._keyspace, journals=_some(journals))
            return True
        foreign = sorted(tables[self._keyspace])
        if foreign and "migrations" not in foreign:
            wanted = f"a journal in keyspace {self._keyspace}"
            raise StoreMismatch(STORE, expected=wanted, actual=f"tables of something else: {_some(foreign)}")
        return False

    async def define(self, cql: str) -> None:
        """Run a statement of the schema and wait until all nodes have it. Every statement here may be run again."""
        try:
            await self._session.define(cql)
        except InDoubt as error:
            raise NotExecuted(f"a change of the schema is in doubt, repeat it: {error.cause}") from error
        await self._agree()

    async def taken(self) -> int:
        """The number of the last step taken, 0 for none. A step that this program does not know is refused."""
        if await self._number(_step(NEWEST + 1)) is not None:
            known = f"schema {NEWEST} or older in {self._keyspace}"
            raise StoreMismatch(STORE, expected=known, actual=f"schema {NEWEST + 1} or newer")
        for step in reversed(STEPS):
            if await self._number(_step(step.number)) is not None:
                return step.number
        return 0

    async def take_steps(self) -> None:
        """Take the steps that are missing, under the lock."""
        await self._acquire()
        try:
            taken = await self.taken()
            for step in STEPS:
                if step.number > taken:
                    for cql in step.statements:
                        await self.define(cql.format(ks=self._keyspace))
                    await self._remember(_step(step.number), step.number)
        finally:
            await self._release()

    async def check_layout(self, layout: Layout) -> None:
        """Remember the layout at the first start; refuse another one at every later start."""
        for name, number in (("bucket_events", layout.bucket_events), ("shard_count", layout.shard_count)):
            found = await self._number(name)
            if found is None:
                await self._remember(name, number)
                found = await self._number(name)
            if found != number:
                raise StoreMismatch(STORE, expected=f"{name} {number} in {self._keyspace}", actual=str(found))

    async def _number(self, name: str) -> int | None:
        rows = await self._session.read(self._select, [name])
        number: int | None = rows[0][0] if rows else None
        return number

    async def _remember(self, name: str, number: int) -> None:
        try:
            await self._session.apply(self._insert, [name, number])
        except InDoubt as error:
            # The first number written stays, whoever wrote it.
            if await self._number(name) is None:
                raise NotExecuted(f"{name} is not remembered: {error.cause}") from error

    async def _acquire(self) -> None:
        deadline = asyncio.get_running_loop().time() + LOCK_WAIT_SECONDS_MAX
        while not await self._took_lock():
            if asyncio.get_running_loop().time() > deadline:
                raise NotExecuted(f"another process has held the lock of migrations for {LOCK_WAIT_SECONDS_MAX:.0f} s")
            await self._clock.sleep(LOCK_POLL_SECONDS)

    async def _took_lock(self) -> bool:
        try:
            return (await self._session.apply(self._lock, [self._owner, LOCK_TTL_SECONDS])).applied
        except InDoubt:
            rows = await self._session.read(self._holder, [])
            return bool(rows) and rows[0][0] == self._owner

    async def _release(self) -> None:
        # In doubt or not, the lock ends by its time to live.
        with contextlib.suppress(InDoubt, NotExecuted):
            await self._session.apply(self._unlock, [self._owner])

    async def _agree(self) -> None:
        deadline = asyncio.get_running_loop().time() + AGREEMENT_SECONDS_MAX
        while True:
            versions = {row[0] for select in _SCHEMA_VERSIONS for row in await self._session.read(select, [])}
            if len(versions) == 1:
                return
            if asyncio.get_running_loop().time() > deadline:
                raise NotExecuted(f"nodes disagree about the schema for {AGREEMENT_SECONDS_MAX:.0f} s")
            await self._clock.sleep(AGREEMENT_POLL_SECONDS)


def _statement(name: str, keyspace: str, cql: str, kind: Kind) -> Statement:
    return Statement(name, cql.format(ks=keyspace), kind)


def _step(number: int) -> str:
    return f"step {number}"


def _some(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
