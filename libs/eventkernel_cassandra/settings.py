"""How to reach the cluster, how safe to be, and how the journal is laid out."""

from dataclasses import dataclass, field
from enum import Enum

from eventkernel.ports.event_store import ENTRIES_MAX


class Reach(Enum):
    """Whose majority counts: of the local data centre, or of the whole cluster.

    Every writer of a keyspace must use the same: conditional writes of two data centres do not see each other's.
    """

    LOCAL = "LOCAL_QUORUM and LOCAL_SERIAL"
    GLOBAL = "QUORUM and SERIAL"


@dataclass(frozen=True, slots=True)
class Tls:
    """Encrypted connections: the authority trusted, and a client certificate where the server asks for one (PEM)."""

    trusted: bytes
    certificate: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """One cluster, as one program sees it.

    Warning: by its default, ``commitlog_sync: periodic``, a server acknowledges before it syncs, and loses acknowledged
    appends when the only replica dies. Run ``group`` with a window of 2 to 5 ms; and ``paxos_variant: v2``, for under v1 a
    commit that times out calls itself a plain write. ``eventkernel_cassandra.durability`` looks for both.
    """

    contact_points: tuple[str, ...]
    port: int = 9042
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    local_dc: str = ""
    reach: Reach = Reach.LOCAL
    request_timeout_seconds: float = 5.0
    connect_timeout_seconds: float = 5.0
    reconnect_delay_seconds: float = 0.2


@dataclass(frozen=True, slots=True)
class Layout:
    """Numbers that stored rows depend on. The keyspace remembers them and refuses a program with others.

    ``bucket_events``: events of one partition; the last append of a bucket may overflow it. ``shard_count``: partitions of
    the pending rows, and what relays share among themselves.
    """

    bucket_events: int = 10_000
    shard_count: int = 16

    def __post_init__(self) -> None:
        """Refuse what the arithmetic of buckets cannot carry."""
        if self.bucket_events < ENTRIES_MAX:
            raise ValueError(f"bucket_events: at least {ENTRIES_MAX}, so that one append never jumps over a bucket")
        if self.shard_count < 1:
            raise ValueError("shard_count: at least 1")
