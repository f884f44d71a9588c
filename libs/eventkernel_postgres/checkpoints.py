"""Checkpoints as rows. A row of version 0 is one that was made only to be locked: nothing folded yet."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from eventkernel.ids import StreamId
from eventkernel.ports.view_store import Checkpoint

NOTHING = Checkpoint(0, None, None)


def checkpoint_row(stream: StreamId, at: Checkpoint) -> tuple[Any, ...]:
    """As ``CHECKPOINT_COLUMNS``."""
    return (stream.tenant, stream.name, at.version, None if at.event_id is None else at.event_id.bytes, at.state)


def read_checkpoint(row: Sequence[Any]) -> tuple[StreamId, Checkpoint]:
    """Read back what ``checkpoint_row`` made."""
    tenant, name, version, event_id, state = row
    return StreamId(tenant, name), Checkpoint(version, None if event_id is None else UUID(bytes=event_id), state)


def found_checkpoints(wanted: Iterable[StreamId], rows: Iterable[Sequence[Any]]) -> dict[StreamId, Checkpoint]:
    """Those that were found, in the order wanted; the others as nothing folded."""
    return dict.fromkeys(wanted, NOTHING) | dict(map(read_checkpoint, rows))


def in_order(streams: Iterable[StreamId]) -> list[StreamId]:
    """Each once, sorted. By the key's parts: comparing the streams themselves costs three times as much."""
    return sorted(set(streams), key=attrgetter("tenant", "name"))


def by_tenant(streams: Sequence[StreamId]) -> Iterator[tuple[str, list[str]]]:
    """Names by tenant; ``streams`` is sorted, so the names are too."""
    for tenant, some in groupby(streams, key=lambda stream: stream.tenant):
        yield tenant, [stream.name for stream in some]
