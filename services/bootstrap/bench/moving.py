"""Our side of the stack's measurements, in a process of its own: ``python -m bootstrap.bench.moving WHAT EVENTS``.

WHAT is ``relay`` (publish so many waiting events), ``projector`` (fold them into fresh views) or ``aggregate`` (load one of so
many events, from its events and from a snapshot). The settings are those of the environment.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

from bootstrap import collector, logs
from bootstrap.bench.meter import Meter, tell
from bootstrap.bench.samples import many
from bootstrap.carriers import projector_over, relay_over
from bootstrap.settings import Settings, load
from bootstrap.stores import Stores, open_stores
from bootstrap.stores.stack import contact_points
from eventkernel.ports import Appended, Position, StreamChange
from eventkernel.ports.event_store import ENTRIES_MAX
from eventkernel.runtime.projector import ProjectorSettings
from eventkernel.runtime.relay import Relay, RelaySettings
from eventkernel.runtime.repository import Repository
from eventkernel.view import View
from eventkernel_cassandra.connect import open_session
from eventkernel_cassandra.settings import ConnectionSettings, Reach
from eventkernel_cassandra.statements import statements_of
from prescriptions.command_service import prescription_type
from prescriptions.domain.profiles import US
from prescriptions.streams import stream_of
from prescriptions.views import VIEWS

SECONDS_MAX = 120.0
OWNER = "bench"
WARM_UP_EVENTS = 100
LOADS = 100
Facts = dict[str, Any]


async def relay(settings: Settings, stores: Stores, events: int) -> Facts:
    """Publish everything that waits and move all cursors; a first small round connects and does not count."""
    warm = _relay(settings, stores, WARM_UP_EVENTS)
    moved = await warm.run_once()
    worker, meter = _relay(settings, stores, settings.relay_events_max), Meter()
    await _until(events - moved, worker.publish_once, meter)
    await worker.settle()
    facts = meter.facts(events - moved)
    await stores.leases.release(OWNER)
    waiting = (await stores.outbox.depth()).events
    if waiting:
        raise RuntimeError(f"{waiting} events still wait after {events} were published")
    return facts


def _relay(settings: Settings, stores: Stores, events_max: int) -> Relay:
    return relay_over(stores, OWNER, RelaySettings(shard_count=settings.shard_count, events_max=events_max))


async def projector(settings: Settings, stores: Stores, events: int) -> Facts:
    """Fold everything on the bus; the clock begins when the group has given the first records, which do not count."""
    await stores.views.prepare(VIEWS)
    rows = Rows()
    pace = ProjectorSettings(records_max=settings.projector_records_max)
    worker = projector_over(stores, pace, on_folded=rows.saw)
    first = 0
    joined = time.perf_counter()
    while not first:
        first = await worker.run_once()
        if time.perf_counter() - joined > SECONDS_MAX:
            raise RuntimeError("the group got no partition")
    rows.written = 0
    facts = await _until(events - first, worker.run_once, Meter())
    return facts | {"views": len(VIEWS), "rows": rows.written}


class Rows:
    """Counts what a projector writes: rows of views, each once a batch, and the checkpoints beside them."""

    def __init__(self) -> None:
        self.written = 0

    def saw(self, view: View[Any, Any], steps: Sequence[tuple[StreamChange, Any]]) -> None:
        """These were committed."""
        keys = {(step.stream.tenant, change.key) for step, _ in steps for change in step.changes}
        self.written += len(steps) + len(keys)


async def _until(events: int, work: Callable[[], Awaitable[int]], meter: Meter) -> Facts:
    done = 0
    while done < events:
        began = time.perf_counter()
        moved = await work()
        if moved:
            meter.took(time.perf_counter() - began)
        done += moved
        if meter.seconds > SECONDS_MAX:
            raise RuntimeError(f"{done} of {events} events after {SECONDS_MAX:g} s")
    return meter.facts(done)


async def aggregate(settings: Settings, stores: Stores, events: int) -> Facts:
    """Load an aggregate again and again, and beside it read the same rows bare."""
    stream = stream_of("bench", str(uuid4()))
    entries, position = many(events), Position(0)
    for at in range(0, events, ENTRIES_MAX):
        outcome = await stores.events.append(stream, position, entries[at : at + ENTRIES_MAX])
        if not isinstance(outcome, Appended):
            raise TypeError(f"an append to a new stream ended as {outcome}")
        position = outcome.position
    repository: Repository[Any, Any] = Repository(prescription_type(US, bytes(32)), stores.events, stores.snapshots)

    async def ours() -> None:
        if (await repository.load(stream)).version != events:
            raise RuntimeError("the aggregate is not whole")

    statements = statements_of(settings.cassandra_keyspace)
    hosts, port = contact_points(settings.cassandra_contact_points)
    session = await open_session(ConnectionSettings(hosts, port, reach=Reach.GLOBAL))

    async def bare_events() -> None:
        await session.read(statements.select_events, [stream.key, 0, 0, events, events])

    async def bare_snapshot() -> None:
        await session.read(statements.select_snapshot, [stream.key, events])

    facts = {"events": await _timed(ours), "bare_events": await _timed(bare_events)}
    await stores.snapshots.save(stream, repository.snapshot_of(await repository.load(stream)))
    facts |= {"snapshot": await _timed(ours), "bare_snapshot": await _timed(bare_snapshot)}
    await session.close()
    return facts


async def _timed(work: Callable[[], Awaitable[None]]) -> Facts:
    await work()
    meter = Meter()
    for _ in range(LOADS):
        began = time.perf_counter()
        await work()
        meter.took(time.perf_counter() - began)
    return meter.facts(LOADS)


async def main(what: str, events: int) -> None:
    """Run one of them and print."""
    settings = load()
    logs.configure(settings)
    stores = await open_stores(settings)
    try:
        with collector.relaxed():
            tell(await {"relay": relay, "projector": projector, "aggregate": aggregate}[what](settings, stores, events))
    finally:
        await stores.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
