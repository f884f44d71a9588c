"""How fast events get onto the bus and into the views, against bare SQLite upserts in the same process, on the same disk."""

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from bootstrap import collector
from bootstrap.carriers import projector_over, relay_over
from bootstrap.settings import Settings
from bootstrap.stores import Stores, open_stores
from eventkernel.runtime.projector import ProjectorSettings
from eventkernel.runtime.relay import RelaySettings
from prescriptions.views import VIEWS

_COLUMNS = 12
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Events published and folded into all views per second, and bare upserts per second of one row an event.

    ``events_per_cpu_second`` counts the processor's time of this process alone: for comparisons on a machine with other work.
    """

    events: int
    published_per_second: float
    events_per_second: float
    upserts_per_second: float
    events_per_cpu_second: float = 0.0


async def measure(settings: Settings, events: int) -> CatchUp:
    """Publish all of the journal, which holds so many events, then fold them into fresh views.

    Nothing else may run on these settings' folder, so that what is measured is known to be all of it.
    """
    stores = await open_stores(settings)
    try:
        with collector.relaxed():
            published_per_second = await _publish(settings, stores, events)
            worked = time.process_time()
            folded_per_second = await _fold(settings, stores, events)
            worked = time.process_time() - worked
    finally:
        await stores.close()
    bare = bare_upserts(settings.data_dir / "bare.db", events)
    return CatchUp(events, published_per_second, folded_per_second, bare, events / worked)


async def _publish(settings: Settings, stores: Stores, events: int) -> float:
    pace = RelaySettings(shard_count=settings.shard_count, events_max=settings.relay_events_max)
    relay = relay_over(stores, "bench", pace)
    published, started = 0, time.perf_counter()
    while moved := await relay.run_once():
        published += moved
    seconds = time.perf_counter() - started
    waiting = (await stores.outbox.depth()).events
    if waiting or published != events:
        raise RuntimeError(f"{published} of {events} events are on the bus, {waiting} wait")
    return published / seconds


async def _fold(settings: Settings, stores: Stores, events: int) -> float:
    await stores.views.prepare(VIEWS)
    projector = projector_over(stores, ProjectorSettings(records_max=settings.projector_records_max))
    folded, started = 0, time.perf_counter()
    while folded < events:
        folded += await projector.run_once()
    return folded / (time.perf_counter() - started)


def bare_upserts(path: Path, rows: int) -> float:
    """Rows per second of ``INSERT … ON CONFLICT DO UPDATE`` in transactions of 1,000, fully synchronous, with two indexes."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        names = [f"c{n}" for n in range(_COLUMNS)]
        connection.execute(f"CREATE TABLE bare (id TEXT PRIMARY KEY, {', '.join(names)}) WITHOUT ROWID")
        connection.execute("CREATE INDEX bare_1 ON bare (c0, c1)")
        connection.execute("CREATE INDEX bare_2 ON bare (c2, c3)")
        updates = ", ".join(f"{name} = excluded.{name}" for name in names)
        places = ", ".join("?" * (_COLUMNS + 1))
        upsert = f"INSERT INTO bare VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {updates}"  # noqa: S608 - own names
        started = time.perf_counter()
        for first in range(0, rows, _BATCH):
            batch = [
                (f"prescription-{row // 3:012d}", *(f"value {row % 97} {n}" for n in range(_COLUMNS)))
                for row in range(first, min(rows, first + _BATCH))
            ]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(upsert, batch)
            connection.execute("COMMIT")
        return rows / (time.perf_counter() - started)
    finally:
        connection.close()
        path.unlink()
