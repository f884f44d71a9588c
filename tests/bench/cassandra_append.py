"""Appends through the event store beside the bare conditional batch on the same session: events per second and CPU.

    PYTHONPATH=libs python tests/bench/cassandra_append.py HOST PORT [acsylla | cassandra-driver] [ROUNDS]

Both append one event to streams that are active, 64 at a time, in turns. The bare one binds values made beforehand. The
keyspace is dropped in the end. CPU is that of this process with all its threads; what the mode of the commit log is, is for
whoever started the server to say.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from eventkernel.ids import StreamId
from eventkernel.ports.event_store import Appended, Entry, Position
from eventkernel.testing.contracts.journal import new_entry, new_stream
from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.migrations import migrate
from eventkernel_cassandra.settings import ConnectionSettings, Layout
from eventkernel_cassandra.statements import append_values, statements_of
from eventkernel_memory.clock import SystemClock

if TYPE_CHECKING:
    from eventkernel_cassandra.buckets import Place

IN_FLIGHT = 64
EVENTS_PER_ROUND = 4_096
DATA = b"x" * 400


async def measure(host: str, port: int, driver: Driver, rounds: int) -> None:
    """Print a line for every round of either kind, and the ratio of the medians."""
    session = await open_session(ConnectionSettings((host,), port), driver)
    keyspace = f"bench_{uuid4().hex}"
    layout, statements = Layout(), statements_of(keyspace)
    await migrate(session, keyspace, layout, SystemClock())
    store = CassandraEventStore(session, statements, layout, SystemClock())
    streams = [new_stream() for _ in range(IN_FLIGHT)]
    positions = dict.fromkeys(streams, Position(0))

    async def append(stream: StreamId, entry: Entry) -> None:
        outcome = await store.append(stream, positions[stream], [entry])
        assert isinstance(outcome, Appended), outcome
        positions[stream] = outcome.position

    async def bare(work: tuple[StreamId, list[object]]) -> None:
        _, values = work
        verdict = await session.apply(statements.append(1, first=False), cast("list[int]", values))
        assert verdict.applied

    await asyncio.gather(*(append(stream, new_entry(stream, data=DATA)) for stream in streams))
    results: dict[str, list[tuple[float, float]]] = {"bare": [], "store": []}
    for _ in range(rounds + 1):  # the first of either kind warms up
        entries = {
            stream: [new_entry(stream, data=DATA) for _ in range(EVENTS_PER_ROUND // IN_FLIGHT)] for stream in streams
        }
        results["store"].append(
            await timed([[(stream, entry) for entry in some] for stream, some in entries.items()], lambda w: append(*w))
        )
        lanes = []
        for stream in streams:
            version, place = positions[stream].version, cast("Place", positions[stream].opaque)
            lane = []
            for offset in range(EVENTS_PER_ROUND // IN_FLIGHT):
                values = append_values(
                    stream.key,
                    0,
                    expected=version + offset,
                    generation=place.generation,
                    announced=place.generation,
                    first=False,
                    attempt=b"bare",
                    entries=[new_entry(stream, data=DATA)],
                )
                lane.append((stream, values))
            lanes.append(lane)
            positions[stream] = Position(version + len(lane), place)
        results["bare"].append(await timed(lanes, bare))
    for kind, figures in results.items():
        for rate, cpu in figures[1:]:
            sys.stdout.write(f"{driver} {kind:5} {rate:7.0f} appends/s {cpu:6.0f} us CPU each\n")
    medians = {kind: sorted(figures[1:])[len(figures[1:]) // 2] for kind, figures in results.items()}
    (store_rate, store_cpu), (bare_rate, bare_cpu) = medians["store"], medians["bare"]
    ratio = f"{store_rate / bare_rate:.2f} of the rate, {store_cpu - bare_cpu:+.0f} us CPU"
    sys.stdout.write(f"{driver}: store beside bare: {ratio}\n")
    await session.define(f"DROP KEYSPACE {keyspace}")
    await store.close()


async def timed(lanes: Sequence[Sequence[object]], call: Callable[..., Awaitable[None]]) -> tuple[float, float]:
    """Work through all lanes at once, each in order: appends per second, and microseconds of CPU for each."""

    async def work(lane: Sequence[object]) -> None:
        for item in lane:
            await call(item)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(work, lanes))
    count = sum(map(len, lanes))
    return count / (time.perf_counter() - began), (time.process_time() - cpu) / count * 1e6


if __name__ == "__main__":
    host_name, port_number, *rest = sys.argv[1:]
    chosen = cast("Driver", rest[0] if rest else "acsylla")
    asyncio.run(measure(host_name, int(port_number), chosen, int(rest[1]) if len(rest) > 1 else 5))
