"""What is known about an event beside its payload: who, when, why, and as part of what."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from eventkernel.evolving import quickly_made
from eventkernel.ids import StreamId

ACTORS_MAX = 4_096
"""Actors whose JSON is remembered."""

_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC. The moment must carry a time zone."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(micros: int) -> datetime:
    """The UTC datetime of microseconds since 1970-01-01."""
    return _EPOCH + timedelta(microseconds=micros)


@quickly_made
@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: an id, the role acted in (lower_snake), and the organisation acted for (may be empty)."""

    id: str
    role: str
    organisation: str = ""


@quickly_made
@dataclass(frozen=True, slots=True)
class Provenance:
    """What a caller says about a command beside its fields; it travels into the envelope of the event."""

    actor: Actor
    purpose_of_use: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""


@quickly_made
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
        text = (
            f'{{"o":{to_micros(self.occurred_at)},"r":{to_micros(self.recorded_at)},"c":"{self.command_id.hex}"'
            f',"a":{_actor_json(p.actor)}'
        )
        if p.purpose_of_use or p.correlation_id or p.causation_id or p.traceparent:
            optional = (("p", p.purpose_of_use), ("co", p.correlation_id), ("ca", p.causation_id), ("t", p.traceparent))
            text += "," + _JSON.encode({key: value for key, value in optional if value})[1:-1]
        return f"{text}}}".encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "EventMeta":
        """Read what ``to_bytes`` wrote; unknown keys are ignored."""
        return EventMeta(*_read(data))

    @staticmethod
    def unread(data: bytes) -> "EventMeta":
        """The same, read when something of it is first asked for: who folds a long stream asks for that of few events."""
        meta: EventMeta = object.__new__(_UnreadMeta)
        _set_unread(meta, data)
        return meta


class _UnreadMeta(EventMeta):
    """Its fields are slots without a value until one of them is asked for. Equal to what it will be."""

    __slots__ = ("_unread",)

    def __getattr__(self, name: str) -> Any:
        """Called for what has no value: all fields get theirs."""
        if name not in _FIELDS:
            raise AttributeError(name)
        for field, value in zip(_FIELDS, _read(self._unread), strict=True):
            object.__setattr__(self, field, value)
        return object.__getattribute__(self, name)

    def __eq__(self, other: object) -> bool:
        """By the fields."""
        return isinstance(other, EventMeta) and _values(self) == _values(other)

    def __hash__(self) -> int:
        """As of the meta that it stands for."""
        return hash(_values(self))

    def __reduce__(self) -> Any:
        """Kept elsewhere as what it stands for."""
        return (EventMeta, _values(self))


@lru_cache(ACTORS_MAX)
def _actor_json(actor: Actor) -> str:
    """The same actors come again and again."""
    return _JSON.encode([actor.id, actor.role, actor.organisation])


_FIELDS = ("occurred_at", "recorded_at", "command_id", "provenance")
_values = attrgetter(*_FIELDS)
_set_unread = vars(_UnreadMeta)["_unread"].__set__


def _read(data: bytes) -> tuple[datetime, datetime, UUID, Provenance]:
    fields = json.loads(data.decode())
    get = fields.get
    provenance = Provenance(Actor(*fields["a"]), get("p", ""), get("co", ""), get("ca", ""), get("t", ""))
    return from_micros(fields["o"]), from_micros(fields["r"]), UUID(hex=fields["c"]), provenance


@quickly_made
@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event on its way into a store. ``data`` is the payload as the context's codec encoded it, once."""

    event_id: UUID
    type: str
    schema_version: int
    data: bytes
    meta: EventMeta


@quickly_made
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


@quickly_made
@dataclass(frozen=True, slots=True, order=True)
class StreamPosition:
    """One position of a consistency token: the stream of a context has at least this version."""

    context: str
    stream: str
    version: int
