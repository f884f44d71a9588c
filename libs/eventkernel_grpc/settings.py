"""What can be set about a server. Every limit has a name and a default."""

from dataclasses import dataclass

from eventkernel_grpc.credentials import ServerTls

PENDING_CALLS_MAX = 8_192
# grpc refuses what is larger than its own limit without a reason or details. It lets this many times the server's limit
# come in, so that a request which is merely too large is told so as every other error is.
RECEIVE_HEADROOM = 8


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Address, limits and times of one server.

    ``address``: ``host:port`` (port 0: any free one) or ``unix:/path``. ``error_domain`` is ErrorInfo's for what is not said
    by a service that has its own. ``calls_max`` and ``streams_max`` count what runs at once over all connections;
    ``connection_streams_max`` is HTTP/2's limit for one connection. ``queue_seconds_max`` is how long calls may wait to be
    taken up before a share of new ones is refused; 0: for ever. ``receive_bytes_max`` is the size of the largest request.
    ``drain_notice_seconds`` is how long the server still takes calls after its health says NOT_SERVING; ``drain_seconds``
    how long calls in flight may then take.
    """

    address: str = "127.0.0.1:0"
    error_domain: str = "erx"
    tls: ServerTls | None = None
    reflection: bool = True
    reuse_port: bool = False
    calls_max: int = 256
    streams_max: int = 1024
    connection_streams_max: int = 1024
    queue_seconds_max: float = 0.5
    receive_bytes_max: int = 4 * 1024 * 1024
    send_bytes_max: int = 16 * 1024 * 1024
    default_deadline_seconds: float = 10.0
    keepalive_seconds: float = 60.0
    keepalive_timeout_seconds: float = 20.0
    drain_notice_seconds: float = 0.0
    drain_seconds: float = 20.0

    def channel_options(self) -> tuple[tuple[str, int], ...]:
        """As grpc wants them (grpc/impl/channel_arg_names.h)."""
        return (
            ("grpc.so_reuseport", int(self.reuse_port)),
            ("grpc.max_concurrent_streams", self.connection_streams_max),
            # Beyond, grpc itself cancels calls, which no caller tries again: a last defence of the memory.
            ("grpc.server.max_pending_requests", PENDING_CALLS_MAX),
            ("grpc.server.max_pending_requests_hard_limit", 2 * PENDING_CALLS_MAX),
            ("grpc.max_receive_message_length", RECEIVE_HEADROOM * self.receive_bytes_max),
            ("grpc.max_send_message_length", self.send_bytes_max),
            ("grpc.keepalive_time_ms", round(self.keepalive_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout_seconds * 1000)),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        )
