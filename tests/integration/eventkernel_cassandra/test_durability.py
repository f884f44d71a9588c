"""A server of its own, killed in the middle of appends: what was acknowledged must be there when it is back."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventkernel.ids import StreamId
from eventkernel.testing.contracts.journal import EVERYTHING
from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.durability import concerns
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.migrations import migrate
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.stream_directory import CassandraStreamDirectory
from eventkernel_cassandra.watch import Pace
from eventkernel_memory.clock import SystemClock
from localstack import CassandraNode, Stack

APPENDER = Path(__file__).with_name("appending_process.py")
LIBRARIES = Path(__file__).parents[3] / "libs"
KEYSPACE = "durability"
LAYOUT = Layout()
LANES = 32
DEADLINE_SECONDS = 120

pytestmark = [pytest.mark.stack("cassandra"), pytest.mark.slow]


@pytest.fixture
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CassandraNode]:
    with Stack(tmp_path / "stack", services=["cassandra"], commitlog_sync=request.param) as stack:
        yield stack.cassandra


def settings_of(server: CassandraNode) -> ConnectionSettings:
    return ConnectionSettings((server.endpoint.host,), server.endpoint.port)


@asynccontextmanager
async def appender(server: CassandraNode, driver: Driver) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = [server.endpoint.host, server.endpoint.port, KEYSPACE, driver, LANES]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(APPENDER), *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(LIBRARIES)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def acknowledged(process: asyncio.subprocess.Process, lines_max: int | None = None) -> list[tuple[str, int, str]]:
    """What the process said, until its end or so many lines."""
    assert process.stdout is not None
    said: list[tuple[str, int, str]] = []
    while lines_max is None or len(said) < lines_max:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)
        if not line.endswith(b"\n"):
            break
        key, version, command_id = line.decode().split()
        said.append((key, int(version), command_id))
    return said


async def kill_in_the_middle(server: CassandraNode, drivers: list[Driver], after: int) -> list[tuple[str, int, str]]:
    """Everything that was acknowledged before the server died; it is back when this returns."""

    async def one(driver: Driver) -> list[tuple[str, int, str]]:
        async with appender(server, driver) as process:
            said = await acknowledged(process, after)
            waiting.remove(driver)
            if not waiting:
                await asyncio.to_thread(server.kill9)
            return said + await acknowledged(process)

    waiting = set(drivers)
    said = [line for lines in await asyncio.gather(*map(one, drivers)) for line in lines]
    await asyncio.to_thread(server.start)
    return said


async def stored(server: CassandraNode, driver: Driver) -> dict[str, dict[int, str]]:
    """Command ids by key and version. Every stream must be whole, and wait in the outbox from its first event on."""
    session = await open_session(settings_of(server), driver)
    statements = statements_of(KEYSPACE)
    store = CassandraEventStore(session, statements, LAYOUT, SystemClock())
    outbox = CassandraOutbox(session, statements, LAYOUT, SystemClock(), pace=Pace(look_seconds_max=0.0))
    found: dict[str, dict[int, str]] = {}
    async for head in CassandraStreamDirectory(session, statements, LAYOUT).streams():
        events = (await store.load(head.stream)).events
        assert [event.version for event in events] == list(range(1, head.head + 1))
        assert head.head % 2 == 0, "half of an append of two was stored"
        found[head.stream.key] = {event.version: str(event.meta.command_id) for event in events}
    runs = await outbox.read(await outbox.pending(range(LAYOUT.shard_count), EVERYTHING), EVERYTHING)
    assert {run.stream.key: [event.version for event in run.events] for run in runs} == {
        key: list(versions) for key, versions in found.items()
    }
    key, versions = next(iter(found.items()))
    record = await store.find_command(
        StreamId.from_key(key), (await store.load(StreamId.from_key(key))).events[0].meta.command_id
    )
    assert record is not None
    assert record.last_version == min(versions)
    await store.close()
    return found


async def prepare(server: CassandraNode) -> None:
    session = await open_session(settings_of(server))
    await migrate(session, KEYSPACE, LAYOUT, SystemClock())
    await session.close()


@pytest.mark.parametrize("own_server", ["group"], indirect=True)
async def test_what_was_acknowledged_through_either_driver_survives_the_kill_of_the_only_replica(
    own_server: CassandraNode,
) -> None:
    await prepare(own_server)
    said: list[tuple[str, int, str]] = []
    for after in (150, 900):
        said += await kill_in_the_middle(own_server, ["acsylla", "cassandra-driver"], after)
    for driver in ("acsylla", "cassandra-driver"):
        found = await stored(own_server, driver)
        assert [line for line in said if found.get(line[0], {}).get(line[1]) != line[2]] == []


@pytest.mark.parametrize("own_server", ["periodic"], indirect=True)
async def test_the_servers_default_commit_log_loses_what_it_acknowledged(own_server: CassandraNode) -> None:
    """Why every server here runs with ``commitlog_sync: group``. Acknowledgements between two syncs are lost."""
    await prepare(own_server)
    for after in (2_000, 3_000, 4_000, 5_000):
        said = await kill_in_the_middle(own_server, ["acsylla"], after)
        session = await open_session(settings_of(own_server))
        assert [concern.split(":")[0] for concern in await concerns(session)] == ["commitlog_sync is periodic"]
        store = CassandraEventStore(session, statements_of(KEYSPACE), LAYOUT, SystemClock())
        lost = []
        for key in {key for key, _, _ in said}:
            kept = (await store.load(StreamId.from_key(key))).position.version
            lost += [line for line in said if line[0] == key and line[1] > kept]
        await store.close()
        if lost:
            return
    pytest.fail("four kills lost nothing")
