"""A process that appends and says what was acknowledged, until it is killed or done. Started by the tests beside it.

    python appending_process.py FILE STREAMS PER_STREAM [SHARED_STREAM]

Each acknowledgement is one line ``key version command_id`` on standard output, written with one unbuffered write.
"""

import asyncio
import os
import sys
from pathlib import Path

from eventkernel.ids import StreamId
from eventkernel.ports.event_store import Appended, Position
from eventkernel.testing.contracts.journal import new_entry, new_stream, push
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.event_store import SqliteEventStore
from eventkernel_sqlite.journal_schema import JOURNAL


async def serve(path: Path, streams: int, per_stream: int, shared: StreamId | None) -> None:
    """Append to new streams, two events at a time, or each one event to the shared stream."""
    store = SqliteEventStore(Database(path, JOURNAL))

    def say(stream: StreamId, version: int, command_id: object) -> None:
        os.write(1, f"{stream.key} {version} {command_id}\n".encode())

    async def own() -> None:
        stream, position = new_stream(), Position(0)
        for _ in range(per_stream):
            entries = [new_entry(stream), new_entry(stream)]
            outcome = await store.append(stream, position, entries)
            assert isinstance(outcome, Appended), outcome
            position = outcome.position
            say(stream, position.version - 1, entries[0].command_id)
            say(stream, position.version, entries[1].command_id)

    async def together(stream: StreamId) -> None:
        for _ in range(per_stream):
            entry = new_entry(stream)
            say(stream, await push(store, stream, entry), entry.command_id)

    await asyncio.gather(*(own() if shared is None else together(shared) for _ in range(streams)))
    await store.close()


if __name__ == "__main__":
    file, stream_count, event_count, *rest = sys.argv[1:]
    target = StreamId.from_key(rest[0]) if rest else None
    asyncio.run(serve(Path(file), int(stream_count), int(event_count), target))
