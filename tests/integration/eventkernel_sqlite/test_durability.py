import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path

import pytest

from eventkernel.ids import StreamId, shard_of
from eventkernel.ports.event_store import Position
from eventkernel.testing.contracts.journal import EVERYTHING, append, new_entry, new_stream
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.event_store import SqliteEventStore
from eventkernel_sqlite.journal_schema import JOURNAL
from eventkernel_sqlite.outbox import SqliteOutbox
from eventkernel_sqlite.stream_directory import SqliteStreamDirectory

APPENDER = Path(__file__).with_name("appending_process.py")
LIBRARIES = Path(__file__).parents[3] / "libs"
DEADLINE_SECONDS = 60


@asynccontextmanager
async def appender(path: Path, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(APPENDER),
        str(path),
        *map(str, arguments),
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
    """What the process said, until its end or so many lines; a last line cut by the kill was not acknowledged."""
    assert process.stdout is not None
    said: list[tuple[str, int, str]] = []
    while lines_max is None or len(said) < lines_max:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)
        if not line.endswith(b"\n"):
            break
        key, version, command_id = line.decode().split()
        said.append((key, int(version), command_id))
    return said


async def check_nothing_half_done(path: Path) -> dict[str, dict[int, str]]:
    """Every stream whole, with its command records and its outbox; gives command ids by key and version."""
    database = Database(path, JOURNAL)
    store, outbox, found = SqliteEventStore(database), SqliteOutbox(database, 16), {}
    async for head in SqliteStreamDirectory(database).streams():
        events = (await store.load(head.stream)).events
        assert [event.version for event in events] == list(range(1, head.head + 1))
        for event in events:
            record = await store.find_command(head.stream, event.meta.command_id)
            assert record is not None
            assert record.last_version == event.version
        found[head.stream.key] = {event.version: str(event.meta.command_id) for event in events}
    pending = await outbox.pending(range(16), EVERYTHING)
    runs = await outbox.read(pending, EVERYTHING)
    assert {run.stream.key: [event.version for event in run.events] for run in runs} == {
        key: list(versions) for key, versions in found.items()
    }
    assert (await outbox.depth()).events == sum(map(len, found.values()))
    await store.close()
    return found


@pytest.mark.parametrize("killed_after", [1, 40, 333, 1000])
async def test_what_was_acknowledged_before_a_kill_is_there_and_nothing_is_half_done(
    tmp_path: Path, killed_after: int
) -> None:
    path = tmp_path / "journal.db"
    said: list[tuple[str, int, str]] = []
    for _ in range(3):
        async with appender(path, 32, 100_000) as process:
            said += await acknowledged(process, killed_after)
            process.kill()
            said += await acknowledged(process)
        found = await check_nothing_half_done(path)
        assert all(found[key][version] == command_id for key, version, command_id in said)
        assert all(len(versions) % 2 == 0 for versions in found.values()), "half of an append of two was stored"


async def test_processes_on_one_file_lose_nothing_and_do_not_fork_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    stream = new_stream()
    async with appender(path, 6, 15, stream.key) as one, appender(path, 6, 15, stream.key) as two:
        said = list(chain(*await asyncio.gather(acknowledged(one), acknowledged(two))))
        assert (await one.wait(), await two.wait()) == (0, 0)
    assert len(said) == 180
    found = await check_nothing_half_done(path)
    assert found[stream.key] == {version: command_id for _, version, command_id in said}


async def test_processes_with_streams_of_their_own_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with appender(path, 16, 20) as one, appender(path, 16, 20) as two, appender(path, 16, 20) as three:
        said = list(chain(*await asyncio.gather(*map(acknowledged, (one, two, three)))))
        assert [await process.wait() for process in (one, two, three)] == [0, 0, 0]
    found = await check_nothing_half_done(path)
    assert len(said) == 3 * 16 * 20 * 2
    assert all(found[key][version] == command_id for key, version, command_id in said)


async def test_a_change_of_the_number_of_shards_loses_no_pending_stream(tmp_path: Path) -> None:
    database = Database(tmp_path / "journal.db", JOURNAL)
    store = SqliteEventStore(database)
    streams: list[StreamId] = [new_stream() for _ in range(50)]
    for stream in streams:
        await append(store, stream, Position(0), new_entry(stream))
    for shard_count in (64, 16, 3, 1):
        pending = await SqliteOutbox(database, shard_count).pending(range(shard_count), EVERYTHING)
        assert sorted(p.stream for p in pending) == sorted(streams)
        assert all(p.shard == shard_of(p.stream, shard_count) for p in pending)
    await store.close()
