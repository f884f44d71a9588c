"""The raw limits of the views: bare batched upserts, and bare SELECTs of rows of a view, through psycopg alone.

``python -m bootstrap.bench.raw_rows upserts|selects DSN SECONDS``. Upserts: ``executemany`` in transactions of 1,000, rows of
twelve columns under two indexes, one row an event. Selects: the statement and the rows of the query server, by key, from
sixteen connections at once.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from bootstrap.bench.meter import Meter, tell
from eventkernel.ids import DEFAULT_TENANT
from eventkernel.sql_dialect import POSTGRES
from eventkernel.sql_tables import view_tables
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW

BATCH = 1_000
COLUMNS = 12
CONNECTIONS = 16
KEYS = 200
NAMES = [f"c{n}" for n in range(COLUMNS)]
TABLE = f"CREATE TABLE bare.rows (id text PRIMARY KEY, {', '.join(f'{name} text' for name in NAMES)})"
INDEXES = ("CREATE INDEX ON bare.rows (c0, c1)", "CREATE INDEX ON bare.rows (c2, c3)")
UPSERT = (
    f"INSERT INTO bare.rows VALUES ({', '.join(['%s'] * (COLUMNS + 1))}) ON CONFLICT (id) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name} = excluded.{name}" for name in NAMES)
)


def batches() -> Iterator[list[tuple[str, ...]]]:
    """Rows of prescriptions, each changed three times, as their three events do."""
    for at in itertools.count(0, BATCH):
        yield [
            (f"prescription-{row // 3:012d}", *(f"value {row % 97} {n}" for n in range(COLUMNS)))
            for row in range(at, at + BATCH)
        ]


def upserts(dsn: str, seconds: float) -> None:
    """Write and print."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for text in ("DROP SCHEMA IF EXISTS bare CASCADE", "CREATE SCHEMA bare", TABLE, *INDEXES):
            connection.execute(text.encode())
        meter, done = Meter(), 0
        for batch in batches():
            began = time.perf_counter()
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(UPSERT.encode(), batch)
            meter.took(time.perf_counter() - began)
            done += len(batch)
            if meter.seconds >= seconds:
                break
        tell(meter.facts(done))
        connection.execute("DROP SCHEMA bare CASCADE")


async def selects(dsn: str, seconds: float) -> None:
    """Read and print."""
    view = PRESCRIPTION_VIEW.of_generation(0)
    tables = view_tables(POSTGRES, view)
    options = "-c search_path=views -c timezone=UTC"
    opened = [await psycopg.AsyncConnection.connect(dsn, options=options, autocommit=True) for _ in range(CONNECTIONS)]
    key = view.key[0]
    found = await opened[0].execute(
        f"SELECT {key} FROM {view.table} WHERE tenant = %s LIMIT {KEYS}".encode(),  # noqa: S608 - own names
        (DEFAULT_TENANT,),
    )
    keys = itertools.cycle([tables.key_parameters(DEFAULT_TENANT, row) for row in await found.fetchall()])
    get = tables.get.encode()

    async def client(connection: Any, meter: Meter) -> None:
        while meter.seconds < seconds:
            began = time.perf_counter()
            answer = await connection.execute(get, next(keys), prepare=True)
            if await answer.fetchone() is None:
                raise RuntimeError("a row that was listed is not there")
            meter.took(time.perf_counter() - began)

    meter = Meter()
    await asyncio.gather(*(client(connection, meter) for connection in opened))
    tell(meter.facts(len(meter.latencies)))
    for connection in opened:
        await connection.close()


if __name__ == "__main__":
    if sys.argv[1] == "upserts":
        upserts(sys.argv[2], float(sys.argv[3]))
    else:
        asyncio.run(selects(sys.argv[2], float(sys.argv[3])))
