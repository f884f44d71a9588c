"""A process manager (policy) as data: what it does when an event happens, as commands with deterministic ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid5

from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Send:
    """A command to send to a stream, now or not before ``due``."""

    stream: StreamId
    command: Any
    command_id: UUID
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Policy(Generic[E]):
    """``react(event, recorded)`` is pure: the same event always gives the same commands under the same ids, so that a
    redelivered event sends nothing new.
    """

    name: str
    categories: frozenset[str]
    react: Callable[[E, RecordedEvent], Sequence[Send]]


def command_id_for(policy: str, cause: UUID, ordinal: int = 0) -> UUID:
    """The id of the n-th command that a policy sends because of one event."""
    return uuid5(cause, f"{policy}/{ordinal}")
