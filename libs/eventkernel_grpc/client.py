"""Channels to services built on this edge, and their errors as one type."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2

from eventkernel_grpc.credentials import ClientTls
from eventkernel_grpc.errors import RemoteError, Violation
from eventkernel_grpc.status import read_status


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What can be set about a channel. ``wait_for_ready``: calls wait for the server until their deadline.

    ``attempts_max`` counts the first attempt; 1 means no retries (gRPC itself stops at 5).
    ``reconnect_seconds_max``: the longest pause between attempts to reach a server that is away.
    """

    tls: ClientTls | None = None
    wait_for_ready: bool = False
    attempts_max: int = 4
    backoff_initial_seconds: float = 0.05
    backoff_seconds_max: float = 1.0
    receive_bytes_max: int = 16 * 1024 * 1024
    keepalive_seconds: float = 60.0
    reconnect_seconds_max: float = 5.0
    round_robin: bool = False

    def service_config(self) -> str:
        """The service config (grpc/doc/service_config.md): only UNAVAILABLE is retried, and never in a storm."""
        method: dict[str, Any] = {"name": [{}], "waitForReady": self.wait_for_ready}
        if self.attempts_max > 1:
            method["retryPolicy"] = {
                "maxAttempts": self.attempts_max,
                "initialBackoff": f"{self.backoff_initial_seconds:g}s",
                "maxBackoff": f"{self.backoff_seconds_max:g}s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            }
        config: dict[str, Any] = {"methodConfig": [method], "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1}}
        if self.round_robin:
            config["loadBalancingConfig"] = [{"round_robin": {}}]
        return json.dumps(config)

    def options(self) -> list[tuple[str, Any]]:
        """As grpc wants them."""
        return [
            ("grpc.service_config", self.service_config()),
            ("grpc.max_receive_message_length", self.receive_bytes_max),
            ("grpc.keepalive_time_ms", round(self.keepalive_seconds * 1000)),
            # grpc's own 120 s would leave a client without a server that has long come back.
            ("grpc.max_reconnect_backoff_ms", round(self.reconnect_seconds_max * 1000)),
            ("grpc.initial_reconnect_backoff_ms", round(min(1.0, self.reconnect_seconds_max) * 1000)),
        ]


def channel(target: str, settings: ChannelSettings | None = None) -> grpc.aio.Channel:
    """A channel for asyncio. Close it, or use it with ``async with``."""
    settings = settings or ChannelSettings()
    if settings.tls is None:
        return grpc.aio.insecure_channel(target, options=settings.options())
    return grpc.aio.secure_channel(target, settings.tls.credentials(), options=settings.options())


def sync_channel(target: str, settings: ChannelSettings | None = None) -> grpc.Channel:
    """A channel for threads. Close it, or use it with ``with``."""
    settings = settings or ChannelSettings()
    if settings.tls is None:
        return grpc.insecure_channel(target, options=settings.options())
    return grpc.secure_channel(target, settings.tls.credentials(), options=settings.options())


@contextmanager
def remote_errors() -> Iterator[None]:
    """Calls in this block raise ``RemoteError`` instead of grpc's own error."""
    try:
        yield
    except grpc.RpcError as error:
        raise remote_error(error) from error


def remote_error(error: grpc.RpcError) -> RemoteError:
    """What a failed call says, from its status and trailers; also where there are none or they cannot be read."""
    failed: Any = error
    status = read_status(_pairs(failed.trailing_metadata()))
    found: dict[str, Any] = {}
    for detail in status.details if status else ():
        try:
            _read_detail(detail, found)
        except DecodeError:
            continue  # a detail that cannot be read says nothing; the code and the others still do
    return RemoteError(failed.code(), failed.details() or "", **found)


def _read_detail(detail: Any, found: dict[str, Any]) -> None:
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    if detail.Unpack(info):
        found |= {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
    elif detail.Unpack(request):
        found["violations"] = [Violation(v.field, v.reason, v.description) for v in request.field_violations]
    elif detail.Unpack(retry):
        found["retry_after_seconds"] = retry.retry_delay.ToMicroseconds() / 1_000_000


def _pairs(trailing: Any) -> Sequence[tuple[str, str | bytes]]:
    return tuple((key, value) for key, value in trailing or ())
