"""Lanes of events that a view could not fold, inside a transaction."""

# ruff: noqa: S608 - the texts are constants

from collections.abc import Mapping, Sequence
from uuid import UUID

from eventkernel.envelope import EventMeta, RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports.view_store import ParkedEvent
from eventkernel.sql import Statement
from eventkernel.sql_tables import PARKED_COLUMNS
from eventkernel_postgres.batches import Batch, unnest
from eventkernel_postgres.checkpoints import by_tenant, in_order
from eventkernel_postgres.connection import Session

SELECT_PARKED = (
    "SELECT tenant, stream, version, event_id, type, schema_version, data, meta, error, parked_at FROM view_parked"
    " WHERE view = %s AND tenant = %s AND stream = ANY(%s) ORDER BY stream, version"
)
INSERT_PARKED = Batch(
    "INSERT INTO view_parked (view, tenant, stream, version, event_id, type, schema_version, data, meta, error, parked_at)"
    f" SELECT * FROM {unnest([kind for _, kind, _ in PARKED_COLUMNS])}"
    " ON CONFLICT (view, tenant, stream, version) DO NOTHING"
)
DELETE_PARKED = "DELETE FROM view_parked WHERE view = %s AND tenant = %s AND stream = %s AND version <= %s"


async def load(session: Session, table: str, streams: Sequence[StreamId]) -> Mapping[StreamId, Sequence[ParkedEvent]]:
    """Lanes by stream, each in version order."""
    lanes: dict[StreamId, list[ParkedEvent]] = {}
    for tenant, names in by_tenant(in_order(streams)):
        for _, name, *event, meta, error, parked_at in await session.fetch(SELECT_PARKED, (table, tenant, names)):
            stream = StreamId(tenant, name)
            version, event_id, event_type, schema_version, data = event
            recorded = RecordedEvent(
                stream, version, UUID(bytes=event_id), event_type, schema_version, data, EventMeta.from_bytes(meta)
            )
            lanes.setdefault(stream, []).append(ParkedEvent(recorded, error, parked_at))
    return lanes


async def add(session: Session, table: str, events: Sequence[ParkedEvent]) -> None:
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
            parked.error.replace("\x00", "\\0"),  # Postgres holds no NUL in a text; an error may quote one
            parked.parked_at,
        )
        for parked in events
    ]
    await session.run(list(INSERT_PARKED.of(rows)))


async def shorten(session: Session, table: str, stream: StreamId, up_to: int) -> None:
    """Remove a lane's events up to a version."""
    await session.run([Statement(DELETE_PARKED, (table, stream.tenant, stream.name, up_to))])
