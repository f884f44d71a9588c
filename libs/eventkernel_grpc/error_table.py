"""The one table from error to gRPC status. Every class of the kernel's tree and of the edge's own has a row; a test walks both.

Rules the rows keep:

- ErrorInfo always, with a stable UPPER_SNAKE reason; RetryInfo exactly where the error is retriable.
- A message reaches the caller only where it was written for callers. What names stores, hosts or payloads is replaced, and
  the log gets it under the incident id that the caller sees.
- Nothing that a client would retry by itself (UNAVAILABLE) is unsafe to retry with the same request_id.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.rpc import error_details_pb2

from eventkernel import errors as kernel
from eventkernel_grpc import errors as edge
from eventkernel_grpc.status import DETAILS_KEY, WireError, bad_request, retry_info

Code: TypeAlias = grpc.StatusCode

RETRY_STORE_SECONDS = 1.0
RETRY_OUTCOME_SECONDS = 0.2
RETRY_TOKEN_SECONDS = 0.1
RETRY_DRAINING_SECONDS = 0.5

_REFUSAL_CODES = {
    kernel.RefusalKind.PRECONDITION: Code.FAILED_PRECONDITION,
    kernel.RefusalKind.PERMISSION: Code.PERMISSION_DENIED,
    kernel.RefusalKind.ARGUMENT: Code.INVALID_ARGUMENT,
}


@dataclass(frozen=True, slots=True)
class Row:
    """How one class of errors is shown. ``hidden``: its own message is for the log, under an incident id."""

    show: Callable[[Any], WireError]
    hidden: bool = False


def _refusal(error: kernel.Refusal) -> WireError:
    facts = {"state": error.state, "command": error.command, "field": error.field, "allowed": ",".join(error.allowed)}
    metadata = {key: value for key, value in facts.items() if value} | error.details
    if error.state is not None:
        metadata.setdefault("allowed", "")
    details: list[Any] = []
    match error.kind:
        case kernel.RefusalKind.PRECONDITION:
            failure = error_details_pb2.PreconditionFailure()
            failure.violations.add(type=error.reason, subject=error.command or "", description=error.message)
            details.append(failure)
        case kernel.RefusalKind.ARGUMENT:
            details.append(bad_request([(error.field or "", error.reason, error.message)]))
        case kernel.RefusalKind.PERMISSION:
            pass
    return WireError(_REFUSAL_CODES[error.kind], error.reason, error.message, metadata, details)


def _invalid_command(error: kernel.InvalidCommand) -> WireError:
    violation = bad_request([(error.field, error.reason, error.rule)])
    return WireError(Code.INVALID_ARGUMENT, error.reason, str(error), {"field": error.field}, [violation])


def _not_found(error: kernel.StreamNotFound) -> WireError:
    kind = error.stream.rpartition("/")[2].partition("-")[0]
    resource = error_details_pb2.ResourceInfo(
        resource_type=kind, resource_name=error.stream, description="does not exist"
    )
    return WireError(Code.NOT_FOUND, "NOT_FOUND", str(error), {"resource": error.stream}, [resource])


def _version_conflict(error: kernel.VersionConflict) -> WireError:
    facts = {"expected": str(error.expected), "actual": str(error.actual), "stream": error.stream}
    return WireError(Code.ABORTED, "VERSION_CONFLICT", str(error), facts)


def _idempotency_mismatch(error: kernel.IdempotencyMismatch) -> WireError:
    facts = {"stream": error.stream, "request_id": error.command_id}
    return WireError(Code.ALREADY_EXISTS, "IDEMPOTENCY_MISMATCH", str(error), facts)


def _outcome_unknown(error: kernel.OutcomeUnknown) -> WireError:
    message = "whether the command took effect could not be told; retry with the same request_id"
    facts = {"stream": error.stream, "request_id": error.command_id}
    return WireError(Code.UNAVAILABLE, "OUTCOME_UNKNOWN", message, facts, [retry_info(RETRY_OUTCOME_SECONDS)])


def _store_unavailable(_: kernel.StoreUnavailable) -> WireError:
    message = "a store did not answer; nothing was changed"
    return WireError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", message, details=[retry_info(RETRY_STORE_SECONDS)])


def _publish_failed(_: kernel.PublishFailed) -> WireError:
    message = "the bus did not acknowledge everything"
    return WireError(Code.UNAVAILABLE, "PUBLISH_FAILED", message, details=[retry_info(RETRY_STORE_SECONDS)])


def _overloaded(error: kernel.Overloaded) -> WireError:
    facts = {"limit": error.limit, "at": f"{error.at:g}"}
    wait = [retry_info(error.retry_after_seconds)]
    return WireError(Code.RESOURCE_EXHAUSTED, "OVERLOADED", str(error), facts, wait)


def _consumer_too_slow(error: kernel.ConsumerTooSlow) -> WireError:
    facts = {"limit": error.limit, "at": str(error.at), "resume_token": base64.b64encode(error.token).decode()}
    wait = [retry_info(RETRY_TOKEN_SECONDS)]
    return WireError(Code.RESOURCE_EXHAUSTED, "CONSUMER_TOO_SLOW", str(error), facts, wait)


def _token_not_reached(error: kernel.TokenNotReached) -> WireError:
    facts = {"view": error.view, "stream": error.stream, "wanted": str(error.wanted), "reached": str(error.reached)}
    wait = [retry_info(RETRY_TOKEN_SECONDS)]
    return WireError(Code.DEADLINE_EXCEEDED, "TOKEN_NOT_REACHED", str(error), facts, wait)


def _bad_page_token(error: kernel.BadPageToken) -> WireError:
    violation = bad_request([("page_token", "BAD_PAGE_TOKEN", error.rule)])
    return WireError(Code.INVALID_ARGUMENT, "BAD_PAGE_TOKEN", str(error), {"field": "page_token"}, [violation])


def _unreadable(reason: str) -> Callable[[kernel.EventUnreadable], WireError]:
    def show(error: kernel.EventUnreadable) -> WireError:
        known = {
            "event_type": getattr(error, "event_type", ""),
            "schema_version": str(getattr(error, "version", "")),
            "schema_version_newest": str(getattr(error, "newest", "")),
        }
        facts = {key: value for key, value in known.items() if value}
        return WireError(Code.INTERNAL, reason, "a stored event cannot be read by this program", facts)

    return show


def _internal(reason: str, message: str = "an internal error") -> Callable[[BaseException], WireError]:
    return lambda _: WireError(Code.INTERNAL, reason, message)


def _divergence(error: kernel.Divergence) -> WireError:
    facts = {"stream": error.stream, "version": str(error.version)}
    return WireError(Code.DATA_LOSS, "DIVERGENCE", "two records of one event differ; a person has to look", facts)


def _request_invalid(error: edge.RequestInvalid) -> WireError:
    listed = bad_request([(v.field, rule_reason(v.rule), v.message) for v in error.violations])
    facts = {"violations": str(len(error.violations)), "listed": str(len(listed.field_violations))}
    return WireError(Code.INVALID_ARGUMENT, error.reason, str(error), facts, [listed])


def _request_too_large(error: edge.RequestTooLarge) -> WireError:
    violation = bad_request([("", "MESSAGE_TOO_LARGE", f"at most {error.at_most} bytes")])
    facts = {"bytes": str(error.size), "limit": str(error.at_most)}
    return WireError(Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", str(error), facts, [violation])


def _metadata_invalid(error: edge.MetadataInvalid) -> WireError:
    violation = bad_request([(f"metadata:{error.key}", "INVALID_METADATA", error.rule)])
    return WireError(Code.INVALID_ARGUMENT, "INVALID_METADATA", str(error), {"key": error.key}, [violation])


def _deadline_passed(error: edge.DeadlinePassed) -> WireError:
    wait = [retry_info(RETRY_OUTCOME_SECONDS)]
    return WireError(Code.DEADLINE_EXCEEDED, "DEADLINE_PASSED", str(error), {"method": error.method}, wait)


def _outcome_not_known(error: edge.OutcomeNotKnown) -> WireError:
    message = f"{error}; whether it took effect is not known, retry with the same request_id"
    facts = {"method": error.method, "request_id": error.request_id}
    return WireError(Code.UNAVAILABLE, "OUTCOME_UNKNOWN", message, facts, [retry_info(RETRY_OUTCOME_SECONDS)])


def _method_unknown(error: edge.MethodUnknown) -> WireError:
    return WireError(Code.UNIMPLEMENTED, "METHOD_UNKNOWN", str(error), {"method": error.method})


def _draining(error: edge.ServerDraining) -> WireError:
    return WireError(Code.UNAVAILABLE, "SERVER_DRAINING", str(error), details=[retry_info(RETRY_DRAINING_SECONDS)])


_LAST_ROW = Row(_internal("INTERNAL"), hidden=True)

TABLE: Mapping[type[BaseException], Row] = {
    kernel.Refusal: Row(_refusal),
    kernel.TransitionRefused: Row(_refusal),
    kernel.InvalidCommand: Row(_invalid_command),
    kernel.StreamNotFound: Row(_not_found),
    kernel.VersionConflict: Row(_version_conflict),
    kernel.IdempotencyMismatch: Row(_idempotency_mismatch),
    kernel.OutcomeUnknown: Row(_outcome_unknown, hidden=True),
    kernel.StoreUnavailable: Row(_store_unavailable, hidden=True),
    kernel.StoreMismatch: Row(_internal("STORE_MISMATCH"), hidden=True),
    kernel.Overloaded: Row(_overloaded),
    kernel.ConsumerTooSlow: Row(_consumer_too_slow),
    kernel.PublishFailed: Row(_publish_failed, hidden=True),
    kernel.TokenNotReached: Row(_token_not_reached),
    kernel.BadPageToken: Row(_bad_page_token),
    kernel.EventUnreadable: Row(_unreadable("EVENT_UNREADABLE"), hidden=True),
    kernel.UnknownEventType: Row(_unreadable("UNKNOWN_EVENT_TYPE"), hidden=True),
    kernel.UnknownSchemaVersion: Row(_unreadable("UNKNOWN_SCHEMA_VERSION"), hidden=True),
    kernel.UpcastFailed: Row(_unreadable("UPCAST_FAILED"), hidden=True),
    kernel.UpcasterGap: Row(_internal("UPCASTER_GAP"), hidden=True),
    kernel.Divergence: Row(_divergence, hidden=True),
    edge.RequestInvalid: Row(_request_invalid),
    edge.RequestTooLarge: Row(_request_too_large),
    edge.MetadataInvalid: Row(_metadata_invalid),
    edge.DeadlinePassed: Row(_deadline_passed),
    edge.OutcomeNotKnown: Row(_outcome_not_known),
    edge.MethodUnknown: Row(_method_unknown),
    edge.ServerDraining: Row(_draining),
    edge.BindFailed: Row(_internal("BIND_FAILED"), hidden=True),
    edge.RemoteError: Row(_internal("REMOTE_ERROR", "another service failed"), hidden=True),
}


def row_of(kind: type[BaseException]) -> Row:
    """The row of this class or of its nearest ancestor that has one; anything else is INTERNAL."""
    for ancestor in kind.__mro__:
        row = TABLE.get(ancestor)
        if row is not None:
            return row
    return _LAST_ROW


async def abort(context: Any, error: BaseException, error_domain: str) -> None:
    """End a call with its error's row, by raising. For what is served without the edge, which logs and counts besides."""
    shown = row_of(type(error)).show(error)
    await context.abort(shown.code, shown.short_message, ((DETAILS_KEY, shown.trailers(error_domain)),))


def rule_reason(rule: str) -> str:
    """A rule's id as an UPPER_SNAKE reason: ``string.min_len`` → ``STRING_MIN_LEN``."""
    return "".join(c if c.isalnum() else "_" for c in rule).upper()
