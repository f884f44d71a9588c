"""What is told about every call: for metrics, logs and traces."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from eventkernel.evolving import quickly_made

_NEEDS_A_PERSON = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS"})


@quickly_made
@dataclass(frozen=True, slots=True)
class CallRecord:
    """A finished call. ``code`` is the gRPC code's name, ``reason`` the ErrorInfo's (empty for OK).

    ``incident`` and ``error`` are set where the caller was told less than the log should know.
    """

    method: str
    code: str
    reason: str
    seconds: float
    tenant: str = ""
    actor_role: str = ""
    trace_id: str = ""
    correlation_id: str = ""
    incident: str = ""
    error: BaseException | None = None


class CallObserver(Protocol):
    """Told of each call in the event loop, in the way of the reply: return at once and raise nothing."""

    def started(self, method: str) -> None:
        """A call has arrived and a place was free for it."""

    def finished(self, record: CallRecord) -> None:
        """A call has ended, whatever way; also one that was refused before it started."""


class LogObserver:
    """One line a call: refusals at INFO, what needs a person at ERROR with its traceback, the rest at DEBUG.

    Facts are in the record's ``extra``, for structured logs. Neither request nor reply is ever logged.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._log = logger or logging.getLogger("eventkernel_grpc.calls")

    def started(self, method: str) -> None:
        """Nothing: the line is written when the call has ended."""

    def finished(self, record: CallRecord) -> None:
        """Write the line."""
        level = _level(record)
        if self._log.isEnabledFor(level):
            error = record.error if level >= logging.ERROR else None
            self._log.log(
                level, "%s %s", record.method, record.reason or record.code, exc_info=error, extra=facts(record)
            )


class Observers:
    """Several observers as one."""

    def __init__(self, *observers: CallObserver) -> None:
        self._observers = observers

    def started(self, method: str) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.started(method)

    def finished(self, record: CallRecord) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.finished(record)


def facts(record: CallRecord) -> Mapping[str, object]:
    """The record as fields for a structured log; empty ones are left out."""
    values: dict[str, object] = {
        "rpc_method": record.method,
        "rpc_code": record.code,
        "rpc_reason": record.reason,
        "rpc_seconds": round(record.seconds, 6),
        "tenant": record.tenant,
        "actor_role": record.actor_role,
        "trace_id": record.trace_id,
        "correlation_id": record.correlation_id,
        "incident": record.incident,
        "error_type": type(record.error).__name__ if record.error else "",
        "error_message": str(record.error) if record.error else "",
    }
    return {key: value for key, value in values.items() if value != ""}


def _level(record: CallRecord) -> int:
    if record.code in _NEEDS_A_PERSON:
        return logging.ERROR
    if record.incident:
        return logging.WARNING
    return logging.DEBUG if record.code == "OK" else logging.INFO
