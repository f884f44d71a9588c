"""What a call can fail with, as classes: by the reason that the service gives, else by gRPC's code.

::

    RemoteError (eventkernel_grpc)
    └── CallFailed                 code, reason, domain, metadata, violations, retry_after_seconds
        ├── InvalidRequest         INVALID_ARGUMENT: mend what ``violations`` lists
        │   └── BadPageToken, BadResumeToken, and every refusal of an argument (refusals.py)
        ├── Refused                FAILED_PRECONDITION: the prescription is not in the state for it
        │   └── InvalidStateTransition (state, allowed), and every refusal of a precondition (refusals.py)
        ├── NotPermitted           PERMISSION_DENIED: another actor; its kinds in refusals.py
        ├── NotFound               NOT_FOUND
        ├── Conflict               ABORTED
        │   └── VersionConflict    (expected, actual): read again, decide again
        ├── AlreadyExists          ALREADY_EXISTS
        │   └── RequestIdReused    this request_id belongs to another command
        ├── Unavailable            UNAVAILABLE, also after all retries: later, the same call again
        │   └── OutcomeUnknown     the same request_id settles whether it took effect
        ├── Overloaded             RESOURCE_EXHAUSTED
        │   └── ConsumerTooSlow    (resume_token): watch again from there
        ├── DeadlinePassed         DEADLINE_EXCEEDED
        │   └── TokenNotReached    (wanted, reached): the view is not there yet
        ├── NotServed              UNIMPLEMENTED
        └── ServerFault            INTERNAL, DATA_LOSS, UNKNOWN: report ``incident``
"""

import base64
from typing import Any, ClassVar

import grpc

from eventkernel_grpc import RemoteError

_BY_REASON: dict[str, "type[CallFailed]"] = {}
_BY_CODE: dict[grpc.StatusCode, "type[CallFailed]"] = {}


class CallFailed(RemoteError):
    """A call was answered with an error, or not at all. Everything that the service said about it is kept."""

    class_reason: ClassVar[str] = ""

    def __init_subclass__(cls, *, reason: str = "", codes: tuple[grpc.StatusCode, ...] = (), **options: Any) -> None:
        super().__init_subclass__(**options)
        if reason:
            cls.class_reason = reason
            _BY_REASON[reason] = cls
        for code in codes:
            _BY_CODE[code] = cls

    def _number(self, key: str) -> int:
        return int(self.metadata.get(key, "0"))


class InvalidRequest(CallFailed, codes=(grpc.StatusCode.INVALID_ARGUMENT,)):
    """The request breaks rules; ``violations`` has the path of each field, the rule and what it asks for."""


class BadPageToken(InvalidRequest, reason="BAD_PAGE_TOKEN"):
    """The page token belongs to another question, or to nobody."""


class BadResumeToken(InvalidRequest, reason="BAD_RESUME_TOKEN"):
    """The token of a watch belongs to another tenant or filter, or cannot be read."""


class ResumeTokenExpired(InvalidRequest, reason="RESUME_TOKEN_EXPIRED"):
    """The token of a watch is too old: watch anew."""


class Refused(CallFailed, codes=(grpc.StatusCode.FAILED_PRECONDITION,)):
    """The state of things does not allow it."""


class InvalidStateTransition(Refused, reason="INVALID_STATE_TRANSITION"):
    """The status does not allow this command."""

    @property
    def state(self) -> str:
        """The status it has."""
        return self.metadata.get("state", "")

    @property
    def allowed(self) -> tuple[str, ...]:
        """The commands that the status allows."""
        return tuple(name for name in self.metadata.get("allowed", "").split(",") if name)


class NotPermitted(CallFailed, codes=(grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)):
    """Who acts may not."""


class NotFound(CallFailed, codes=(grpc.StatusCode.NOT_FOUND,)):
    """There is no such thing in this tenant."""


class Conflict(CallFailed, codes=(grpc.StatusCode.ABORTED,)):
    """Somebody else was first."""


class VersionConflict(Conflict, reason="VERSION_CONFLICT"):
    """The prescription has another version than the command was decided on."""

    @property
    def expected(self) -> int:
        """The version the command named."""
        return self._number("expected")

    @property
    def actual(self) -> int:
        """The version there is."""
        return self._number("actual")


class AlreadyExists(CallFailed, codes=(grpc.StatusCode.ALREADY_EXISTS,)):
    """There is one already."""


class RequestIdReused(AlreadyExists, reason="IDEMPOTENCY_MISMATCH"):
    """The ``request_id`` was used for a command of another content."""


class Unavailable(CallFailed, codes=(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)):
    """No server answered, or it cannot now; retries did not help within the time there was."""


class OutcomeUnknown(Unavailable, reason="OUTCOME_UNKNOWN"):
    """The command may have taken effect; sent again with the same ``request_id`` it has its effect once."""


class Overloaded(CallFailed, codes=(grpc.StatusCode.RESOURCE_EXHAUSTED,)):
    """The server takes no more now, or the message is too large for it."""


class ConsumerTooSlow(Overloaded, reason="CONSUMER_TOO_SLOW"):
    """Too much waits for the reader of a watch."""

    @property
    def resume_token(self) -> bytes:
        """From where to go on."""
        return base64.b64decode(self.metadata.get("resume_token", ""))


class DeadlinePassed(CallFailed, codes=(grpc.StatusCode.DEADLINE_EXCEEDED,)):
    """There was no answer in time; whether a command took effect is settled by the same ``request_id``."""


class TokenNotReached(DeadlinePassed, reason="TOKEN_NOT_REACHED"):
    """The view did not come as far as the token in time."""

    @property
    def wanted(self) -> int:
        """The version asked for."""
        return self._number("wanted")

    @property
    def reached(self) -> int:
        """The version the view has."""
        return self._number("reached")


class NotServed(CallFailed, codes=(grpc.StatusCode.UNIMPLEMENTED,)):
    """The server has no such method."""


class ServerFault(CallFailed, codes=(grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNKNOWN)):
    """A fault of the service."""

    @property
    def incident(self) -> str:
        """The id under which the service's log tells more."""
        return self.metadata.get("incident", "")


def class_of(reason: str, code: grpc.StatusCode) -> type[CallFailed]:
    """The class of an error: by its reason, else by its code."""
    return _BY_REASON.get(reason) or _BY_CODE.get(code, CallFailed)


def typed(error: RemoteError) -> CallFailed:
    """The same error as an instance of its class."""
    return class_of(error.reason, error.code)(
        error.code,
        error.message,
        reason=error.reason,
        domain=error.domain,
        metadata=error.metadata,
        violations=error.violations,
        retry_after_seconds=error.retry_after_seconds,
    )
