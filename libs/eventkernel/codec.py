"""Between domain objects and stored bytes: what a context gives the kernel. Domain objects themselves know no wire format."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from eventkernel.evolving import quickly_made

E = TypeVar("E")
S = TypeVar("S")


@quickly_made
@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event's unversioned type name, the schema version of its shape, and its bytes."""

    type: str
    schema_version: int
    data: bytes


class EventCodec(Protocol[E]):
    """Encodes an event once, in its newest shape; decodes any shape, upcasting on the way."""

    def encode(self, event: E) -> EncodedEvent:
        """The newest shape of the event."""

    def decode(self, event_type: str, schema_version: int, data: bytes) -> E:
        """The domain event. Raises ``EventUnreadable``; never guesses."""

    def wire_name(self, event_type: str, schema_version: int) -> str:
        """The full name of the shape, for ``ce_type`` and exports, e.g. ``erx.prescriptions.events.v3.PrescriptionSigned``."""


class StateCodec(Protocol[S]):
    """Encodes a state for snapshots. ``schema`` names its shape: a snapshot with another one is ignored and replayed."""

    @property
    def schema(self) -> str:
        """Changes whenever a field of the state changes its name, type or meaning."""

    def encode(self, state: S) -> bytes:
        """The state's bytes."""

    def decode(self, data: bytes) -> S:
        """The state. Raises ``EventUnreadable`` for bytes it cannot read."""


@dataclass(frozen=True, slots=True)
class Codecs(Generic[E, S]):
    """Both codecs of one aggregate."""

    events: EventCodec[E]
    states: StateCodec[S]
