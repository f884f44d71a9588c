"""google.rpc.Status: what an error says on the wire, built and read.

A server may send about 8 KiB of trailing metadata before clients begin to drop calls (``grpc.max_metadata_size``, soft
limit), the binary status travels as base64, and the message travels twice. So both are bounded here, and what does not
fit is left out, never the ErrorInfo.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

DETAILS_KEY = "grpc-status-details-bin"
DETAILS_BYTES_MAX = 3072
MESSAGE_CHARS_MAX = 512
VALUE_CHARS_MAX = 256
METADATA_ENTRIES_MAX = 16


@dataclass(frozen=True, slots=True)
class WireError:
    """An error as callers see it. ``details`` are google.rpc messages in the order of their worth, without ErrorInfo."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    details: Sequence[Message] = ()

    def trailers(self, domain: str) -> bytes:
        """The serialised ``google.rpc.Status``, at most ``DETAILS_BYTES_MAX`` long."""
        entries = list(self.metadata.items())[:METADATA_ENTRIES_MAX]
        status = status_pb2.Status(
            code=self.code.value[0],
            message=self.short_message,
            details=[
                _packed(
                    error_details_pb2.ErrorInfo(
                        reason=self.reason,
                        domain=domain,
                        metadata={key: shorten(value, VALUE_CHARS_MAX) for key, value in entries},
                    )
                )
            ],
        )
        for detail in self.details:
            status.details.append(_packed(detail))
            if status.ByteSize() > DETAILS_BYTES_MAX:
                del status.details[-1]
        return bytes(status.SerializeToString())

    @property
    def short_message(self) -> str:
        """The message, cut where it would endanger the trailers."""
        return shorten(self.message, MESSAGE_CHARS_MAX)


def bad_request(violations: Sequence[tuple[str, str, str]]) -> error_details_pb2.BadRequest:
    """A BadRequest of (field, reason, description), as many as surely fit beside the other details."""
    listed = error_details_pb2.BadRequest()
    for path, reason, description in violations:
        listed.field_violations.add(
            field=shorten(path, VALUE_CHARS_MAX), reason=reason, description=shorten(description, VALUE_CHARS_MAX)
        )
        if listed.ByteSize() > DETAILS_BYTES_MAX // 2:
            if len(listed.field_violations) > 1:
                del listed.field_violations[-1]
            break
    return listed


def retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    """How long to wait before the same call is worth another try."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMicroseconds(round(seconds * 1_000_000))
    return info


def read_status(trailing: Sequence[tuple[str, str | bytes]] | None) -> status_pb2.Status | None:
    """The status in trailing metadata; None where there is none or it cannot be read."""
    for key, value in trailing or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def shorten(text: str, chars_max: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
