"""What is known about an event beside its payload: who, when, why, and as part of what."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from eventkernel.ids import StreamId

_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC. The moment must carry a time zone."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The UTC datetime of microseconds since 1970-01-01."""
    return _EPOCH + timedelta(microseconds=micros)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: an id, the role acted in (lower_snake), and the organisation acted for (may be empty)."""

    id: str
    role: str
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a caller says about a command beside its fields; it travels into the envelope of the event."""

    actor: Actor
    purpose_of_use: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class EventMeta:
    """The envelope of one event without its place and payload.

    ``occurred_at`` is the effective time, ``recorded_at`` the server's; both are UTC and neither runs backwards within a
    stream. ``causation_id`` is the id of the event or command that led to this one.
    """

    occurred_at: datetime
    recorded_at: datetime
    command_id: UUID
    provenance: Provenance

    def to_bytes(self) -> bytes:
        """JSON with short keys; empty values are left out. Read back by ``from_bytes``."""
        p = self.provenance
        fields: dict[str, object] = {
            "o": to_micros(self.occurred_at),
            "r": to_micros(self.recorded_at),
            "c": self.command_id.hex,
            "a": [p.actor.id, p.actor.role, p.actor.organisation],
        }
        optional = (("p", p.purpose_of_use), ("co", p.correlation_id), ("ca", p.causation_id), ("t", p.traceparent))
        fields.update([pair for pair in optional if pair[1]])
        return _JSON.encode(fields).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "EventMeta":
        """Read what ``to_bytes`` wrote; unknown keys are ignored."""
        fields = json.loads(data)
        return cls(
            occurred_at=from_micros(fields["o"]),
            recorded_at=from_micros(fields["r"]),
            command_id=UUID(hex=fields["c"]),
            provenance=Provenance(
                actor=Actor(*fields["a"]),
                purpose_of_use=fields.get("p", ""),
                correlation_id=fields.get("co", ""),
                causation_id=fields.get("ca", ""),
                traceparent=fields.get("t", ""),
            ),
        )


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event on its way into a store. ``data`` is the payload as the context's codec encoded it, once."""

    event_id: UUID
    type: str
    schema_version: int
    data: bytes
    meta: EventMeta


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as stored: its place (``stream``, ``version`` from 1 without gaps), shape, payload bytes and envelope."""

    stream: StreamId
    version: int
    event_id: UUID
    type: str
    schema_version: int
    data: bytes
    meta: EventMeta


@dataclass(frozen=True, slots=True, order=True)
class StreamPosition:
    """One position of a consistency token: the stream of a context has at least this version."""

    context: str
    stream: str
    version: int
