"""How fast a projector catches up, against bare SQLite upserts of as many rows in the same process and on the same disk."""

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from bootstrap.settings import Settings
from bootstrap.stores import open_stores
from eventkernel.envelope import RecordedEvent
from eventkernel.runtime.projector import Projector, ProjectorSettings
from prescriptions.domain.events import Event
from prescriptions.views import VIEWS
from prescriptions.wire.events import PrescriptionEventCodec

_COLUMNS = 12
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Events folded per second into all views, and bare upserts per second of one row an event."""

    events: int
    events_per_second: float
    upserts_per_second: float


async def measure(settings: Settings) -> CatchUp:
    """Fold everything that is on the bus of these settings into fresh views."""
    stores = await open_stores(settings)
    codec = PrescriptionEventCodec()

    def decode(event: RecordedEvent) -> Event:
        return codec.decode(event.type, event.schema_version, event.data)

    try:
        await stores.views.prepare(VIEWS)
        projector = Projector(
            VIEWS,
            stores.subscribe(),
            stores.views,
            journal=stores.events,
            decode=decode,
            clock=stores.clock,
            settings=ProjectorSettings(records_max=settings.projector_records_max),
        )
        events = 0
        started = time.perf_counter()
        while taken := await projector.run_once():
            events += taken
        seconds = time.perf_counter() - started - ProjectorSettings().poll_seconds
    finally:
        await stores.close()
    return CatchUp(events, events / seconds, bare_upserts(settings.data_dir / "bare.db", events))


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
