"""Every setting of every process, from flags, environment (``ERX_…``) and a file, in that order of weight.

The file is TOML, named by ``--config`` or ``ERX_CONFIG``, with the fields of ``Settings`` as its keys.
"""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

NEARLY = 0.87
"""How alike a variable's name must be to a setting's to be taken for a mistyped one, 1 being the same (``difflib``)."""


class SettingsError(Exception):
    """A setting is missing, unknown or out of range; the message names it and its rule."""


_HOST_AND_PORT = re.compile(r"\S+:\d{1,5}")


def _listens(address: str) -> str:
    if not (_HOST_AND_PORT.fullmatch(address) or address.startswith("unix:")):
        raise PydanticCustomError("address", "expected HOST:PORT or unix:PATH")
    return address


def _serves_metrics(address: str) -> str:
    if address and not _HOST_AND_PORT.fullmatch(address):
        raise PydanticCustomError("address", "expected HOST:PORT")
    return address


Address = Annotated[str, AfterValidator(_listens)]
MetricsAddress = Annotated[str, AfterValidator(_serves_metrics)]


class Settings(BaseSettings):
    """What is in force. Every field is also a flag (``--command-address``) and a variable (``ERX_COMMAND_ADDRESS``)."""

    model_config = SettingsConfigDict(env_prefix="ERX_", extra="forbid", frozen=True)

    store: Literal["embedded", "stack"] = Field("embedded", description="Where events and views live.")
    data_dir: Path = Field(Path(".erx"), description="Folder of the embedded store.")
    profile: str = Field("us", description="Policy profile: us, acute, repeat or patient_withdrawal.")

    command_address: Address = Field(
        "127.0.0.1:50051", description="Where the command server listens; port 0 takes a free one."
    )
    query_address: Address = Field("127.0.0.1:50052", description="Where the query server listens.")
    metrics_address: MetricsAddress = Field("", description="Where Prometheus metrics are served; empty: nowhere.")
    tls_certificate: Path | None = Field(None, description="PEM chain of the servers; with tls_key turns TLS on.")
    tls_key: Path | None = Field(None, description="PEM key of the servers.")
    tls_client_ca: Path | None = Field(
        None, description="PEM of the authority that clients must show a certificate of."
    )
    tls_ca: Path | None = Field(
        None,
        description="PEM of the authority that signed the servers' certificates, for who calls them; else tls_certificate.",
    )
    tls_caller_certificate: Path | None = Field(
        None, description="PEM chain that commands show to servers which ask for a certificate."
    )
    tls_caller_key: Path | None = Field(None, description="PEM key of it.")
    reuse_port: bool = Field(False, description="Let several processes listen on one port.")

    claim_key: SecretStr | None = Field(
        None, description="Key under which claim tokens are derived; else kept in data_dir."
    )
    page_key: SecretStr | None = Field(
        None, description="Key under which page tokens are signed; else kept in data_dir."
    )

    visibility_by_role: bool = Field(
        False, description="Let the caller's role decide what is shown; callers must be authenticated by other means."
    )

    webhook_key: SecretStr | None = Field(
        None, description="Key under which secrets of webhooks are sealed; else kept in data_dir."
    )
    webhook_private_addresses: bool = Field(
        False, description="Let webhooks go to private addresses and over http: for trying them out."
    )
    webhook_timeout_seconds: float = Field(20.0, gt=0, le=120, description="How long an endpoint may take to answer.")

    deadline_seconds: float = Field(10.0, gt=0, description="Deadline of a call that names none.")
    calls_max: int = Field(512, ge=1, description="Calls in progress per server; beyond: RESOURCE_EXHAUSTED.")
    queue_seconds_max: float = Field(
        0.5, ge=0, description="How long calls may wait to be taken up before a share is refused; 0: for ever."
    )
    streams_max: int = Field(4_096, ge=1, description="Streams (watches) in progress per server.")
    message_bytes_max: int = Field(1_048_576, ge=1_024, description="Largest request.")
    drain_seconds: float = Field(20.0, ge=0, description="How long calls in progress may take to end at SIGTERM.")

    effective_time_skew_seconds: float = Field(60.0, ge=0, description="How far effective_time may lie from the clock.")
    conflict_retries_max: int = Field(8, ge=0, description="Appends lost to other writers before ABORTED.")
    lane_commands_max: int = Field(256, ge=1, description="Commands waiting for one aggregate.")
    batch_commands_max: int = Field(32, ge=1, le=64, description="Commands of one aggregate stored in one append.")
    snapshot_every_events: int = Field(100, ge=0, description="Distance between snapshots; 0: none by distance.")
    snapshot_load_seconds: float = Field(
        0.0, ge=0, description="A stream that took so long to load gets a snapshot; 0: none by time."
    )
    snapshots_kept: int = Field(3, ge=0, description="Snapshots of an aggregate that are kept; 0: all.")
    aggregates_max: int = Field(50_000, ge=0, description="Aggregates kept in memory by a command server.")
    aggregates_bytes_max: int = Field(268_435_456, ge=0, description="About how much memory they may take.")

    topic_partitions: int = Field(12, ge=1, description="Partitions of the event topic; fixed once it exists.")
    shard_count: int = Field(16, ge=1, description="Shards of the outbox; fixed once there are events.")
    relay_poll_seconds: float = Field(0.05, gt=0, description="How often an idle relay looks for work.")
    relay_gather_seconds: float = Field(
        0.02, ge=0, description="Least distance of a relay's rounds while events keep coming."
    )
    relay_cursor_seconds: float = Field(
        0.1, ge=0, description="How long a cursor of the real stack may wait, so that one write moves it over more."
    )
    relay_poke_address: str = Field(
        "127.0.0.1:0",
        description="Where a relay of the real stack hears of appends by datagrams, as others reach it; empty: nowhere.",
    )
    relay_events_max: int = Field(2_000, ge=1, description="Events of one relay round.")
    relay_lease_seconds: float = Field(
        10.0, gt=0, description="How long a relay that says nothing keeps its share of the work from others."
    )
    sweep_seconds: float = Field(
        3600.0, gt=0, description="How often a relay looks through the whole journal for lost work."
    )
    audit_seconds: float = Field(
        3600.0, ge=0, description="How often a relay's process compares journal, bus and views; 0: never."
    )
    audit_pause_seconds: float = Field(0.02, ge=0, description="How long it pauses between reads.")
    audit_heals: bool = Field(True, description="Whether it heals what it finds, from the journal.")
    projector_records_max: int = Field(2_000, ge=1, description="Events folded in one transaction.")
    projector_gather_seconds: float = Field(
        0.02, ge=0, description="Least distance of a projector's transactions while events keep coming."
    )
    overlay_events_max: int = Field(20_000, ge=1, description="Pending events a query server keeps for overlays.")
    overlay_bytes_max: int = Field(67_108_864, ge=1, description="About how much memory they may take.")
    overlay_bus_seconds: float = Field(
        0.25, ge=0, description="How long an overlay waits for the bus before it reads the journal."
    )
    row_cache_states_max: int = Field(50_000, ge=0, description="States of streams in views kept in memory; 0: none.")
    record_reads: bool = Field(True, description="Note who was told of which patient, for the access log.")
    consumer_group: str = Field("erx-views", min_length=1, description="Group of the projectors.")

    cassandra_contact_points: str = Field("127.0.0.1:9042", description="host:port of Cassandra nodes, by commas.")
    cassandra_keyspace: str = Field("erx", pattern=r"^[a-z][a-z0-9_]{0,47}$", description="Keyspace of the journal.")
    cassandra_create: bool = Field(
        False, description="Make a missing keyspace also where the cluster has another journal: not a mistyped name."
    )
    cassandra_replication: int = Field(1, ge=1, description="Replicas of a keyspace that is made new.")
    cassandra_client: Literal["auto", "acsylla", "driver"] = Field(
        "auto", description="Client; auto: acsylla if it is there."
    )
    cassandra_serial: Literal["SERIAL", "LOCAL_SERIAL"] = Field("SERIAL", description="Level of conditional writes.")
    cassandra_username: str = Field("", description="User of Cassandra; empty: none.")
    cassandra_password: SecretStr | None = Field(None, description="Password of Cassandra.")
    cassandra_ca: Path | None = Field(
        None, description="PEM of the authority of Cassandra's certificates; turns TLS on."
    )
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="host:port of Kafka brokers, by commas.")
    kafka_replication: int = Field(1, ge=1, description="Replicas of topics that are made new.")
    kafka_username: str = Field("", description="SASL user of Kafka; empty: none.")
    kafka_password: SecretStr | None = Field(None, description="SASL password of Kafka.")
    kafka_ca: Path | None = Field(None, description="PEM of the authority of Kafka's certificates; turns TLS on.")
    postgres_dsn: SecretStr = Field(
        SecretStr("postgresql://erx@127.0.0.1:5432/erx"), description="Connection string of PostgreSQL."
    )
    postgres_connections_max: int = Field(24, ge=6, description="Connections of one process to PostgreSQL.")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="For people or for programs.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before environment before file; no dotenv, no secrets folder."""
        return init_settings, env_settings, _TomlFile(settings_cls)


class _TomlFile(PydanticBaseSettingsSource):
    """The file's keys. It is named through ``load``, not found by itself."""

    path: Path | None = None

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Asked for by the base class; values come from ``__call__`` at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """All keys of the file."""
        if self.path is None:
            return {}
        try:
            return tomllib.loads(self.path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"{self.path}: {error.strerror or error}") from error
        except ValueError as error:  # no TOML, or no text
            raise SettingsError(f"{self.path}: {error}") from error


def load(config: Path | None = None, **flags: Any) -> Settings:
    """The settings in force; flags that are None were not given. Raises ``SettingsError`` naming field and rule."""
    given = {name: value for name, value in flags.items() if value is not None}
    _TomlFile.path = config
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(map(_problem, error.errors()))) from error
    finally:
        _TomlFile.path = None


def mistyped(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that are no setting but nearly one, each with the one that may be meant.

    Others may begin with ``ERX_`` for reasons of their own, as those do that Kubernetes makes for a service named so.
    """
    known = {f"ERX_{name.upper()}" for name in Settings.model_fields}
    found = {}
    for name in sorted(set(environment) - known):
        if name.startswith("ERX_") and (near := get_close_matches(name, known, 1, NEARLY)):
            found[name] = near[0]
    return found


def _problem(error: Mapping[str, Any]) -> str:
    rule = "there is no such setting" if error["type"] == "extra_forbidden" else error["msg"]
    return f"{'.'.join(map(str, error['loc']))}: {rule}"


def with_store(settings: Settings, store: Literal["embedded", "stack"]) -> Settings:
    """The same settings on another kind of store."""
    return load(**{**{name: getattr(settings, name) for name in settings.model_fields_set}, "store": store})


def as_environment(settings: Settings) -> dict[str, str]:
    """The settings that were given, as variables for another process, secrets in clear."""
    variables = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is not None:
            shown = value.get_secret_value() if isinstance(value, SecretStr) else value
            variables[f"ERX_{name.upper()}"] = str(shown).lower() if isinstance(shown, bool) else str(shown)
    return variables


def masked(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, secrets shown as asterisks."""
    shown: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        shown[name] = "********" if isinstance(value, SecretStr) else str(value) if isinstance(value, Path) else value
    return shown
