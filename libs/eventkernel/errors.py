"""Every error the kernel raises, in one tree.

::

    KernelError
    ├── Refusal                 a decider's answer "not in this state / not by you", with a stable reason
    │   └── TransitionRefused   no cell of the transition table for (state, command)
    ├── InvalidCommand          a field breaks a rule that needs no state to see
    ├── StreamNotFound          a command or query names a stream without events
    ├── VersionConflict         expected_version was given and is not the stream's version
    ├── IdempotencyMismatch     a command id was used before with other content
    ├── OutcomeUnknown          stored or not stored, could not be told before the deadline
    ├── StoreUnavailable        a store or the bus did not answer; nothing was changed
    ├── StoreMismatch           wrong keyspace, password, or a schema newer than this program
    ├── Overloaded              a named limit is full; try again later
    ├── ConsumerTooSlow         a stream's reader left too much waiting; it resumes from the last token
    ├── PublishFailed           the bus did not acknowledge everything; nothing may be assumed of the rest
    ├── TokenNotReached         the view did not reach the token before the deadline
    ├── BadPageToken            a page token is broken or belongs to another query
    ├── EventUnreadable
    │   ├── UnknownEventType    no reader for this type
    │   ├── UnknownSchemaVersion newer than the newest this reader has
    │   └── UpcastFailed        a step met a payload that its version does not allow
    ├── UpcasterGap             a version without a step to the next one (found at start-up)
    └── Divergence              a stream, its bus records or its view disagree about the same version
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import ClassVar


class KernelError(Exception):
    """Root of the tree. ``retriable``: the same call may succeed later without a change by the caller."""

    retriable: ClassVar[bool] = False


class RefusalKind(Enum):
    """What a refusal means to the caller; the gRPC edge maps each kind to one status code."""

    PRECONDITION = "precondition"
    PERMISSION = "permission"
    ARGUMENT = "argument"


class Refusal(KernelError):
    """A decider's refusal. ``reason`` is UPPER_SNAKE and stable; ``details`` are short strings for machines."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        kind: RefusalKind = RefusalKind.PRECONDITION,
        field: str | None = None,
        state: str | None = None,
        command: str | None = None,
        allowed: Sequence[str] = (),
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.kind = kind
        self.field = field
        self.state = state
        self.command = command
        self.allowed = tuple(allowed)
        self.details = dict(details or {})

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class TransitionRefused(Refusal):
    """The transition table has no cell for this state and command."""

    REASON = "INVALID_STATE_TRANSITION"

    def __init__(self, *, state: str, command: str, allowed: Sequence[str]) -> None:
        may = ", ".join(allowed) if allowed else "nothing"
        super().__init__(
            self.REASON,
            f"{command} is not allowed in state {state}; allowed: {may}",
            state=state,
            command=command,
            allowed=allowed,
        )


class InvalidCommand(KernelError):
    """A field of a request breaks a rule; ``field`` is its path in the request, ``rule`` says what is asked of it."""

    def __init__(self, field: str, rule: str, *, reason: str = "INVALID_FIELD") -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule
        self.reason = reason


class StreamNotFound(KernelError):
    """No events under this stream, or none yet at the ``moment`` asked about."""

    def __init__(self, stream: str, *, moment: str = "") -> None:
        super().__init__(f"{stream} did not exist yet at {moment}" if moment else f"{stream} does not exist")
        self.stream = stream
        self.moment = moment


class VersionConflict(KernelError):
    """The caller expected another version. Retriable after reading again, by the caller's decision."""

    def __init__(self, stream: str, *, expected: int, actual: int) -> None:
        super().__init__(f"{stream} is at version {actual}, expected {expected}")
        self.stream = stream
        self.expected = expected
        self.actual = actual


class IdempotencyMismatch(KernelError):
    """The command id is taken by a command of other content."""

    def __init__(self, stream: str, command_id: str) -> None:
        super().__init__(f"request_id {command_id} was used before on {stream} with other content")
        self.stream = stream
        self.command_id = command_id


class OutcomeUnknown(KernelError):
    """The write may or may not be stored. Retrying with the same command id is safe and settles it."""

    retriable = True

    def __init__(self, stream: str, command_id: str, cause: str) -> None:
        super().__init__(f"outcome of {command_id} on {stream} is unknown ({cause}); retry with the same request_id")
        self.stream = stream
        self.command_id = command_id
        self.cause = cause


class StoreUnavailable(KernelError):
    """A store did not answer and nothing was changed by this call."""

    retriable = True

    def __init__(self, store: str, cause: str) -> None:
        super().__init__(f"{store} is unavailable: {cause}")
        self.store = store
        self.cause = cause


class StoreMismatch(KernelError):
    """A store answers but is not the one this program can use; starting is refused."""

    def __init__(self, store: str, *, expected: str, actual: str) -> None:
        super().__init__(f"{store}: expected {expected}, found {actual}")
        self.store = store
        self.expected = expected
        self.actual = actual


class Overloaded(KernelError):
    """A named limit is full. Nothing was changed."""

    retriable = True

    def __init__(self, limit: str, *, at: float, retry_after_seconds: float = 0.1) -> None:
        super().__init__(f"{limit} has reached its limit of {at:g}; retry in {retry_after_seconds:g} s")
        self.limit = limit
        self.at = at
        self.retry_after_seconds = retry_after_seconds


class ConsumerTooSlow(KernelError):
    """A stream was ended because its reader left too much waiting. Resuming from ``token`` misses nothing."""

    retriable = True

    def __init__(self, limit: str, *, at: int, token: bytes) -> None:
        super().__init__(f"more than {at} {limit}: the reader is too slow; resume from the last token")
        self.limit = limit
        self.at = at
        self.token = token


class PublishFailed(KernelError):
    """Not everything was acknowledged. Any part of what was sent may be on the bus."""

    retriable = True

    def __init__(self, topic: str, cause: str) -> None:
        super().__init__(f"publishing to {topic} failed: {cause}")
        self.topic = topic
        self.cause = cause


class TokenNotReached(KernelError):
    """The view is still behind the token at the deadline."""

    retriable = True

    def __init__(self, view: str, stream: str, *, wanted: int, reached: int) -> None:
        super().__init__(f"{view} has {stream} at version {reached}, the token asks for {wanted}")
        self.view = view
        self.stream = stream
        self.wanted = wanted
        self.reached = reached


class BadPageToken(KernelError):
    """The page token cannot be read or was made by another query."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"page_token: {rule}")
        self.rule = rule


class EventUnreadable(KernelError):
    """A stored event cannot be turned into the domain's event by this program."""


class UnknownEventType(EventUnreadable):
    """No codec knows this event type."""

    def __init__(self, event_type: str) -> None:
        super().__init__(f"no reader for event type {event_type!r}")
        self.event_type = event_type


class UnknownSchemaVersion(EventUnreadable):
    """The event was written by a newer program than this one."""

    def __init__(self, event_type: str, *, version: int, newest: int) -> None:
        super().__init__(f"{event_type} has schema version {version}, this reader knows up to {newest}")
        self.event_type = event_type
        self.version = version
        self.newest = newest


class UpcastFailed(EventUnreadable):
    """An upcaster or a decoder could not read the payload."""

    def __init__(self, event_type: str, *, version: int, cause: str) -> None:
        super().__init__(f"{event_type} schema version {version}: {cause}")
        self.event_type = event_type
        self.version = version
        self.cause = cause


class UpcasterGap(KernelError):
    """Found by ``Upcasters.check()`` at start-up; the program must not serve."""

    def __init__(self, gaps: Sequence[str]) -> None:
        super().__init__("; ".join(gaps))
        self.gaps = tuple(gaps)


class Divergence(KernelError):
    """Two places hold different events under the same stream and version. Needs a person."""

    def __init__(self, stream: str, *, version: int, expected: str, actual: str) -> None:
        super().__init__(f"{stream} version {version}: expected event {expected}, found {actual}")
        self.stream = stream
        self.version = version
        self.expected = expected
        self.actual = actual
