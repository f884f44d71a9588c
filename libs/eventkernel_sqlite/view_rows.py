"""What a view transaction and a reading do with a connection: plain functions that run in whichever thread has it."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from eventkernel.envelope import EventMeta, RecordedEvent, from_micros, to_micros
from eventkernel.errors import Divergence
from eventkernel.ids import StreamId
from eventkernel.ports.view_store import Checkpoint, ParkedEvent, StoredRow, StreamChange
from eventkernel.sql_dialect import SQLITE
from eventkernel.sql_tables import ViewTables
from eventkernel.view import Key, TableKind
from eventkernel.view_sums import deltas
from eventkernel_sqlite.view_file import execute_rows

STREAMS_IN_STATEMENT = 512
NOTHING = Checkpoint(0, None, None)

COUNT_APPLIED = """
    UPDATE view_catalogue SET streams = streams + ?, events_applied = events_applied + ?, updated_at = ? WHERE view = ?
"""
SELECT_PARKED = (
    "SELECT stream, version, event_id, type, schema_version, data, meta, error, parked_at FROM view_parked"
    " WHERE view = ? AND tenant = ? AND stream IN (SELECT value FROM json_each(?)) ORDER BY stream, version"
)
SELECT_ANY_PARKED = "SELECT 1 FROM view_parked WHERE view = ? LIMIT 1"
INSERT_PARKED = (
    "INSERT INTO view_parked (view, tenant, stream, version, event_id, type, schema_version, data, meta, error, parked_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (view, tenant, stream, version) DO NOTHING"
)
DELETE_PARKED = "DELETE FROM view_parked WHERE view = ? AND tenant = ? AND stream = ? AND version <= ?"


def load_checkpoints(
    connection: sqlite3.Connection, tables: ViewTables, streams: Iterable[StreamId]
) -> dict[StreamId, Checkpoint]:
    """The checkpoints of these streams, those that are not there as nothing folded, in sorted order."""
    wanted = sorted(set(streams))
    found: dict[StreamId, Checkpoint] = dict.fromkeys(wanted, NOTHING)
    for tenant, names in _by_tenant(wanted):
        rows = connection.execute(tables.checkpoints, (tenant, tables.dialect.encode_list(names))).fetchall()
        for _, name, version, event_id, state in rows:
            found[StreamId(tenant, name)] = checkpoint(version, event_id, state)
    return found


def checkpoint(version: int, event_id: bytes | None, state: bytes | None) -> Checkpoint:
    """A stored checkpoint."""
    return Checkpoint(version, None if event_id is None else UUID(bytes=event_id), state)


def save_steps(
    connection: sqlite3.Connection, tables: ViewTables, steps: Sequence[StreamChange], versions: dict[StreamId, int]
) -> None:
    """Move checkpoints and apply rows. ``versions`` are those known under this transaction's lock; they move along."""
    began = {step.stream for step in steps} - versions.keys()
    versions |= {stream: known.version for stream, known in load_checkpoints(connection, tables, began).items()}
    for step in steps:
        actual = versions[step.stream]
        if actual != step.from_version:
            raise Divergence(
                step.stream.key,
                version=step.checkpoint.version,
                expected=f"checkpoint at version {step.from_version}",
                actual=f"checkpoint at version {actual}",
            )
        versions[step.stream] = step.checkpoint.version
    last = {step.stream: step.checkpoint for step in steps}
    execute_rows(
        connection, tables.put_checkpoint.of, [_checkpoint_row(stream, last[stream]) for stream in sorted(last)]
    )
    if tables.view.kind is TableKind.OWNED:
        _put_owned(connection, tables, steps)
    else:
        _add_sums(connection, tables, steps)
    streams = sum(step.from_version == 0 for step in steps)
    events = sum(step.checkpoint.version - step.from_version for step in steps)
    connection.execute(COUNT_APPLIED, (streams, events, to_micros(datetime.now(UTC)), tables.view.table))


def stored_row(tables: ViewTables, tenant: str, values: tuple[Any, ...]) -> StoredRow:
    """A selected row, with its owner where it has one."""
    if tables.view.kind is TableKind.OWNED:
        return StoredRow(tables.row(values), StreamId(tenant, values[-2]), values[-1])
    return StoredRow(tables.row(values), None, 0)


def has_lanes(connection: sqlite3.Connection, table: str) -> bool:
    """Whether any stream of a view waits in a lane."""
    return connection.execute(SELECT_ANY_PARKED, (table,)).fetchone() is not None


def load_parked(
    connection: sqlite3.Connection, table: str, streams: Iterable[StreamId]
) -> Mapping[StreamId, Sequence[ParkedEvent]]:
    """Lanes by stream, each in version order."""
    lanes: dict[StreamId, list[ParkedEvent]] = {}
    for tenant, names in _by_tenant(sorted(set(streams))):
        for row in connection.execute(SELECT_PARKED, (table, tenant, SQLITE.encode_list(names))).fetchall():
            stream = StreamId(tenant, row[0])
            lanes.setdefault(stream, []).append(_parked_event(stream, row[1:]))
    return lanes


def add_parked(connection: sqlite3.Connection, table: str, events: Sequence[ParkedEvent]) -> None:
    """Add events to lanes."""
    rows = [
        (
            table,
            parked.event.stream.tenant,
            parked.event.stream.name,
            parked.event.version,
            parked.event.event_id.bytes,
            parked.event.type,
            parked.event.schema_version,
            parked.event.data,
            parked.event.meta.to_bytes(),
            parked.error,
            to_micros(parked.parked_at),
        )
        for parked in events
    ]
    connection.executemany(INSERT_PARKED, rows)


def _put_owned(connection: sqlite3.Connection, tables: ViewTables, steps: Sequence[StreamChange]) -> None:
    last: dict[tuple[str, Key], tuple[Any, ...] | None] = {}
    for step in steps:
        for change in step.changes:
            row = change.after
            place = (step.stream.tenant, change.key)
            version = step.checkpoint.version
            last[place] = None if row is None else tables.owned_parameters(step.stream, version, row)
    gone = [tables.key_parameters(*place) for place, row in last.items() if row is None]
    execute_rows(connection, tables.delete.of, gone)
    execute_rows(connection, tables.upsert.of, [row for row in last.values() if row is not None])


def _add_sums(connection: sqlite3.Connection, tables: ViewTables, steps: Sequence[StreamChange]) -> None:
    moved = deltas(tables.view, ((step.stream.tenant, change) for step in steps for change in step.changes))
    rows = [tables.summed_parameters(tenant, key, sums) for (tenant, key), sums in moved.items()]
    execute_rows(connection, tables.upsert.of, rows)
    # Sums come to zero from either side; the statement leaves rows alone that are not zero.
    execute_rows(connection, tables.delete.of, [tables.key_parameters(*place) for place in moved])


def _checkpoint_row(stream: StreamId, at: Checkpoint) -> tuple[Any, ...]:
    return (stream.tenant, stream.name, at.version, None if at.event_id is None else at.event_id.bytes, at.state)


def _parked_event(stream: StreamId, row: tuple[Any, ...]) -> ParkedEvent:
    version, event_id, event_type, schema_version, data, meta, error, parked_at = row
    event = RecordedEvent(
        stream, version, UUID(bytes=event_id), event_type, schema_version, data, EventMeta.from_bytes(meta)
    )
    return ParkedEvent(event, error, from_micros(parked_at))


def _by_tenant(streams: Sequence[StreamId]) -> Iterable[tuple[str, list[str]]]:
    """Portions of names of one tenant; ``streams`` is sorted, so the portions are too."""
    for tenant, some in groupby(streams, key=lambda stream: stream.tenant):
        names = [stream.name for stream in some]
        for at in range(0, len(names), STREAMS_IN_STATEMENT):
            yield tenant, names[at : at + STREAMS_IN_STATEMENT]
