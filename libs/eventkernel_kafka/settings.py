"""Where the brokers are, and the limits this program keeps with them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventkernel_kafka.logs import client_log

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class Tls:
    """The authority that brokers must show a certificate of (None: the system's), and our own certificate for mutual TLS."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Sasl:
    """A user and password. Without TLS beside it they cross the network as the mechanism has them."""

    mechanism: str
    username: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a mechanism that needs more than a user and a password."""
        if self.mechanism not in MECHANISMS:
            raise ValueError(f"SASL mechanism {self.mechanism!r} is none of {', '.join(MECHANISMS)}")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Named limits.

    ``publish_seconds``: how long a batch may wait for its acknowledgements before all of it counts as failed; two minutes
    outlast the restart of a broker. ``call_seconds``: every other question to the brokers, and how long closing may wait.
    ``message_bytes_max``: the largest record, headers included; topics are made to take it. ``linger_ms``: how long the first
    records of a batch wait for the next.
    """

    bootstrap_servers: str
    tls: Tls | None = None
    sasl: Sasl | None = None
    client_id: str = "eventkernel"
    publish_seconds: float = 120.0
    call_seconds: float = 10.0
    message_bytes_max: int = 1_048_576
    linger_ms: float = 1.0
    compression: str = "lz4"

    def common(self) -> dict[str, Any]:
        """What every kind of client is configured with (librdkafka's names)."""
        found: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": self.client_id,
            "logger": client_log,
            "security.protocol": f"{'SASL_' if self.sasl else ''}{'SSL' if self.tls else 'PLAINTEXT'}",
            "socket.timeout.ms": int(self.call_seconds * 1000),
            # A broker that restarts is tried again soon: by default the pauses between attempts grow to 10 s.
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1_000,
            "allow.auto.create.topics": False,
        }
        if self.tls is not None:
            files = {
                "ssl.ca.location": self.tls.authority,
                "ssl.certificate.location": self.tls.certificate,
                "ssl.key.location": self.tls.key,
            }
            found |= {name: str(path) for name, path in files.items() if path is not None}
            if self.tls.key_password:
                found["ssl.key.password"] = self.tls.key_password
        if self.sasl is not None:
            found |= {
                "sasl.mechanism": self.sasl.mechanism,
                "sasl.username": self.sasl.username,
                "sasl.password": self.sasl.password,
            }
        return found
