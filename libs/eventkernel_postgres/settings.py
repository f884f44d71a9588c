"""Where the database is, and the limits this program keeps with it."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from eventkernel.sql import quoted

TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class Tls:
    """As libpq has it: ``verify-full`` checks the authority and the host's name; certificate and key show who we are."""

    mode: str = "verify-full"
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a mode that libpq does not know."""
        if self.mode not in TLS_MODES:
            raise ValueError(f"TLS mode {self.mode!r} is none of {', '.join(TLS_MODES)}")

    def parameters(self) -> dict[str, str]:
        """Connection parameters of libpq."""
        files = {"sslrootcert": self.authority, "sslcert": self.certificate, "sslkey": self.key}
        return {"sslmode": self.mode} | {name: str(path) for name, path in files.items() if path is not None}


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """Named limits. Every call ends within ``connect_seconds + call_seconds``, whatever the server does.

    ``dsn``: a libpq connection string or URI; it may hold a password, so it is left out of the ``repr``. ``schema``: made where
    it is missing. ``writers_max``: transactions at once; ``readers_max``: readings at once. ``prepare_seconds``: migrations,
    tables and indexes. ``idle_transaction_seconds``: when the server ends a transaction whose process hangs with rows locked.
    Settings travel with the connection: a pooler in between has to pool whole sessions.
    """

    dsn: str = field(repr=False)
    schema: str = "views"
    writers_max: int = 4
    readers_max: int = 16
    connect_seconds: float = 5.0
    call_seconds: float = 10.0
    prepare_seconds: float = 600.0
    idle_transaction_seconds: float = 30.0
    tls: Tls | None = None

    def __post_init__(self) -> None:
        """Refuse a schema's name that would need quoting, and limits that let nobody in."""
        quoted(self.schema)
        if min(self.writers_max, self.readers_max) < 1:
            raise ValueError("writers_max and readers_max are at least 1")

    def parameters(self) -> dict[str, str]:
        """Connection parameters of libpq. A peer that is gone without a word is noticed by TCP within the call's time."""
        given = conninfo_to_dict(self.dsn)
        ours = {
            "search_path": self.schema,
            "timezone": "UTC",
            "client_min_messages": "warning",
            "idle_in_transaction_session_timeout": f"{self.idle_transaction_seconds * 1000:.0f}",
        }
        options = [str(given.get("options") or ""), *(f"-c {name}={value}" for name, value in ours.items())]
        return (
            {name: str(value) for name, value in given.items() if value is not None}
            | {
                "application_name": str(given.get("application_name") or "eventkernel"),
                "client_encoding": "UTF8",
                "connect_timeout": str(max(2, math.ceil(self.connect_seconds))),
                "keepalives_idle": "30",
                "options": " ".join(filter(None, options)),
                "tcp_user_timeout": f"{self.call_seconds * 1000:.0f}",
            }
            | (self.tls.parameters() if self.tls else {})
        )
