"""Several views in one statement: their checkpoints, the same rows for all of them, and then the rows that streams own.

Checkpoints are locked view by view, in the order in which the statement's last line names them, and within a view in the order
of the arrays. Owned rows need no order: whoever writes them holds their stream's checkpoint.
"""

# ruff: noqa: S608 - made of statements whose names are quoted

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from eventkernel.ids import StreamId
from eventkernel.ports.view_store import CheckpointMark, StreamChange
from eventkernel.sql import Statement, quoted
from eventkernel.sql_tables import CHECKPOINT_COLUMNS
from eventkernel.view import ColumnType
from eventkernel_postgres.batches import arrays, unnest
from eventkernel_postgres.checkpoints import checkpoint_row

TEXTS_MAX = 512

_NAMES = [quoted(name) for name, _, _ in CHECKPOINT_COLUMNS]
_CHECKPOINT = [kind for _, kind, _ in CHECKPOINT_COLUMNS]
_MARK = [ColumnType.TEXT, ColumnType.TEXT, ColumnType.INTEGER, ColumnType.BYTES, ColumnType.BYTES]
_LANE = f"""
    SELECT EXISTS (SELECT 1 FROM view_parked p WHERE p.view = ANY(%b::text[]) AND EXISTS (
        SELECT 1 FROM {unnest([ColumnType.TEXT, ColumnType.TEXT])} AS m (tenant, stream)
        WHERE m.tenant = p.tenant AND m.stream = p.stream))
"""


def lock_marked(tables: Sequence[str], marks: Sequence[tuple[StreamId, CheckpointMark]]) -> Statement:
    """Locks the checkpoints that are at their marks, of every table, and gives how many these are, by table."""
    rows = [
        (stream.tenant, stream.name, mark.version, None if mark.event_id is None else mark.event_id.bytes, mark.digest)
        for stream, mark in marks
    ]
    return Statement(_lock_text(tuple(tables)), arrays(rows))


def put_checkpoints(tables: Sequence[str], steps: Sequence[StreamChange], *, new: bool) -> Statement:
    """Writes the checkpoints that the steps lead to into every table, and gives how many were written, by table.

    ``new``: those that nothing was folded into, and others are left as they are. Otherwise they are known and locked.
    """
    rows = [checkpoint_row(step.stream, step.checkpoint) for step in steps]
    return Statement(_put_text(tuple(tables), new), arrays(rows))


def put_rows(tables: Sequence[str], streams: Sequence[StreamId], parts: Sequence[Statement]) -> Statement:
    """Runs all of the statements as one, and gives whether any of the streams waits in a lane of the tables."""
    names = arrays([(stream.tenant, stream.name) for stream in streams])
    parameters = chain.from_iterable(part.parameters for part in parts)
    return Statement(_rows_text(tuple(part.text for part in parts)), (*parameters, list(tables), *names))


@lru_cache(TEXTS_MAX)
def _lock_text(tables: tuple[str, ...]) -> str:
    parts = [
        f'h{n} AS (SELECT 1 FROM marked m JOIN {_checkpoints(table)} c ON c."tenant" = m.tenant AND c."stream" = m.stream'
        ' WHERE c."version" = m.version AND c."event_id" = m.event_id AND sha256(c."state") = m.digest'
        ' ORDER BY c."tenant", c."stream" FOR UPDATE OF c)'
        for n, table in enumerate(tables)
    ]
    marked = f"marked AS MATERIALIZED (SELECT * FROM {unnest(_MARK)} AS u (tenant, stream, version, event_id, digest))"
    return _counted([marked, *parts], [f"h{n}" for n in range(len(tables))])


@lru_cache(TEXTS_MAX)
def _put_text(tables: tuple[str, ...], new: bool) -> str:
    listed = ", ".join(_NAMES)
    sets = ", ".join(f"{name} = excluded.{name}" for name in _NAMES[2:])
    condition = ' WHERE c."version" = 0' if new else ""
    parts = [
        f"p{n} AS (INSERT INTO {_checkpoints(table)} AS c ({listed}) SELECT {listed} FROM moved"
        f' ON CONFLICT ("tenant", "stream") DO UPDATE SET {sets}{condition} RETURNING 1)'
        for n, table in enumerate(tables)
    ]
    moved = f"moved AS MATERIALIZED (SELECT * FROM {unnest(_CHECKPOINT)} AS u ({listed}))"
    return _counted([moved, *parts], [f"p{n}" for n in range(len(tables))])


@lru_cache(TEXTS_MAX)
def _rows_text(texts: tuple[str, ...]) -> str:
    parts = ", ".join(f"r{n} AS ({text})" for n, text in enumerate(texts))
    return f"WITH {parts} {_LANE}" if texts else _LANE


def _counted(parts: Sequence[str], names: Sequence[str]) -> str:
    counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in names)
    return f"WITH {', '.join(parts)} SELECT {counts}"


def _checkpoints(table: str) -> str:
    return quoted(f"{table}__checkpoint")
