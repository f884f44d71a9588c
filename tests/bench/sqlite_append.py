"""How many appends per second the SQLite journal does, beside what the bare file can do. Run it: it prints.

    python tests/bench/sqlite_append.py [--seconds 3] [--in-flight 64] [--folder DIR]

Bare: the same bytes as rows of one table, as many per commit as are in flight, by one thread that does nothing else. Busy:
the event loop spends most of its time computing, as a server that speaks gRPC does.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from eventkernel.ports.event_store import Appended, Position
from eventkernel.testing.contracts.journal import new_entry, new_stream
from eventkernel_sqlite.connection import Schema, open_writer
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.event_store import SqliteEventStore
from eventkernel_sqlite.journal_schema import JOURNAL

if TYPE_CHECKING:
    from eventkernel.ids import StreamId

BARE = Schema("bare.db", 0x45_52_58_5A, (("CREATE TABLE t (id INTEGER PRIMARY KEY, key BLOB, data BLOB, meta BLOB)",),))
PAYLOAD = b"p" * 300


def bare(path: Path, in_flight: int, seconds: float) -> float:
    """Rows per second."""
    connection = open_writer(path, BARE)
    entry = new_entry(new_stream(), data=PAYLOAD)
    row = (entry.command_id.bytes, PAYLOAD, entry.event.meta.to_bytes())
    rows, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO t (key, data, meta) VALUES (?, ?, ?)", [row] * in_flight)
        connection.execute("COMMIT")
        rows += in_flight
    connection.close()
    return rows / (time.perf_counter() - begin)


async def appends(path: Path, in_flight: int, seconds: float, *, per_stream: int, busy: bool) -> tuple[float, float]:
    """Appends per second, and microseconds of CPU each (of all threads, the busy loop's own work taken off)."""
    database = Database(path, JOURNAL)
    store = SqliteEventStore(database)
    until = time.perf_counter() + seconds
    done, burnt = 0, 0.0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < until:
            stream: StreamId = new_stream("prescription")
            position = Position(0)
            for _ in range(per_stream):
                outcome = await store.append(stream, position, [new_entry(stream, data=PAYLOAD)])
                assert isinstance(outcome, Appended)
                position = outcome.position
                done += 1

    async def burn() -> None:
        nonlocal burnt
        while time.perf_counter() < until:
            begin = time.thread_time()
            sum(range(10_000))
            burnt += time.thread_time() - begin
            await asyncio.sleep(0)

    cpu, begin = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(in_flight)), *([burn()] if busy else []))
    elapsed, spent = time.perf_counter() - begin, time.process_time() - cpu - burnt
    await store.close()
    return done / elapsed, spent / done * 1e6


def main() -> None:
    """Measure each and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--folder", type=Path, default=None)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        base = bare(Path(folder) / "bare.db", chosen.in_flight, chosen.seconds)
        print(f"{'bare insert and commit':40} {base:9,.0f} /s")  # noqa: T201 - it prints
        for name, per_stream, busy in (
            ("new streams", 1, False),
            ("streams of 10", 10, False),
            ("streams of 10, loop busy", 10, True),
        ):
            path = Path(folder) / f"{per_stream}{busy}.db"
            run = appends(path, chosen.in_flight, chosen.seconds, per_stream=per_stream, busy=busy)
            rate, cpu = asyncio.run(run)
            print(f"{name:40} {rate:9,.0f} /s  {rate / base:5.0%} of bare  {cpu:5.0f} us CPU each")  # noqa: T201


if __name__ == "__main__":
    main()
