"""A process that appends and says what was acknowledged, until the server is gone. Started by the tests beside it.

    python appending_process.py HOST PORT KEYSPACE DRIVER STREAMS

Each acknowledgement is one line ``key version command_id`` on standard output, written with one unbuffered write.
"""

import asyncio
import os
import sys
from typing import cast

from eventkernel.errors import StoreUnavailable
from eventkernel.ports.event_store import Appended, Position
from eventkernel.testing.contracts.journal import new_entry, new_stream
from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_cassandra.statements import statements_of
from eventkernel_memory.clock import SystemClock

PER_STREAM = 20


async def serve(host: str, port: int, keyspace: str, driver: Driver, lanes: int) -> None:
    """Append two events at a time to streams of twenty, in so many lanes; a lane ends where the store does not answer."""
    session = await open_session(ConnectionSettings((host,), port, request_timeout_seconds=2.0), driver)
    store = CassandraEventStore(session, statements_of(keyspace), Layout(), SystemClock())

    async def lane() -> None:
        while True:
            stream, position = new_stream(), Position(0)
            while position.version < PER_STREAM:
                entries = [new_entry(stream), new_entry(stream)]
                try:
                    outcome = await store.append(stream, position, entries)
                except StoreUnavailable:
                    return
                if not isinstance(outcome, Appended):
                    return
                position = outcome.position
                for version, entry in enumerate(entries, position.version - 1):
                    os.write(1, f"{stream.key} {version} {entry.command_id}\n".encode())

    await asyncio.gather(*(lane() for _ in range(lanes)))
    await store.close()


if __name__ == "__main__":
    host_name, port_number, in_keyspace, with_driver, lane_count = sys.argv[1:]
    asyncio.run(serve(host_name, int(port_number), in_keyspace, cast("Driver", with_driver), int(lane_count)))
