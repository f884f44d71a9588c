"""A Cassandra node from Maven's jars: one JVM, one minimal `cassandra.yaml`."""

import os
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from localstack import jars, probes, settings, tools
from localstack.server import Server
from localstack.settings import CommitlogSync
from localstack.state import ServerRecord

_MAIN = "org.apache.cassandra.service.CassandraDaemon"

# What Cassandra 5.0 reaches into on a Java 17; its own scripts pass the same.
_EXPORTS = (
    *(f"java.base/{name}" for name in ("jdk.internal.misc", "jdk.internal.ref", "sun.nio.ch", "jdk.internal.util")),
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
)
_OPENS = (
    *(f"java.base/java.{name}" for name in ("lang", "lang.module", "io", "nio", "util", "util.concurrent")),
    *(f"java.base/{name}" for name in ("java.util.concurrent.atomic", "sun.nio.ch")),
    *(f"java.base/jdk.internal.{name}" for name in ("loader", "ref", "reflect", "math", "module", "util.jar")),
    "jdk.management/com.sun.management.internal",
)


class CassandraNode(Server):
    """One node; alone, or one of a ring on 127.0.0.1, .2, … with the same ports."""

    ready_seconds: ClassVar[float] = 180.0
    awaited: ClassVar[str] = "an answer in CQL"

    def __init__(
        self,
        root: Path,
        record: ServerRecord,
        save: Callable[[ServerRecord], None],
        *,
        ring: Sequence[str],
        commitlog_sync: CommitlogSync,
        password_authentication: bool,
    ) -> None:
        super().__init__(root, record, save)
        self._ring = tuple(ring)
        self.commitlog_sync = commitlog_sync
        self._password_authentication = password_authentication

    def probe(self) -> str:
        return probes.cassandra_query(*self._client, "SELECT release_version FROM system.local")

    def probe_ring(self) -> None:
        """Raises `OSError` unless every node of the ring is up in the eyes of this one.

        A range read at consistency ALL from a table that is replicated to all says exactly that.
        """
        probes.cassandra_query(
            *self._client,
            "SELECT keyspace_name FROM system_distributed.view_build_status",
            consistency=probes.CQL_ALL,
        )

    @property
    def _client(self) -> tuple[str, int]:
        return self.endpoint.host, self.endpoint.port

    @property
    def own_settings(self) -> Path:
        """YAML that need not exist: it holds from the next start on beside our own settings, none of which it may name."""
        return self.folder / "own.yaml"

    def _prepare(self, tell: Callable[[str], None]) -> None:
        if not jars.cached("cassandra"):
            tell(f"fetching the jars of Cassandra {jars.version('cassandra')} with Maven, once")
        jars.resolve("cassandra")
        (self.folder / "tmp").mkdir(exist_ok=True)
        nodes = len(self._ring)
        rendered = settings.cassandra_settings(
            storage=str(self.folder / "storage"),
            address=self._record.address,
            seeds=self._ring,
            native_port=self._record.ports["client"],
            storage_port=self._record.ports["storage"],
            ssl_storage_port=self._record.ports["ssl_storage"],
            commitlog_sync=self.commitlog_sync,
            password_authentication=self._password_authentication,
            tokens=settings.ring_tokens(self._ring.index(self._record.address), nodes),
        )
        own = self.own_settings.read_text(encoding="utf-8") if self.own_settings.exists() else ""
        (self.folder / "cassandra.yaml").write_text(settings.render_yaml(rendered) + own, encoding="utf-8")
        logging = files("localstack").joinpath("logging", "logback.xml").read_text(encoding="utf-8")
        (self.folder / "logback.xml").write_text(logging, encoding="utf-8")

    def _command(self) -> Sequence[str]:
        nodes = len(self._ring)
        heap = settings.CASSANDRA_HEAP_MB if nodes == 1 else settings.CASSANDRA_RING_HEAP_MB
        class_path = jars.resolve("cassandra")
        agent = next(jar for jar in class_path if jar.name.startswith("jamm-"))
        properties = {
            "cassandra.config": (self.folder / "cassandra.yaml").as_uri(),
            "cassandra.storagedir": str(self.folder / "storage"),
            "cassandra.skip_wait_for_gossip_to_settle": "0",
            # How long a node waits for others to hear of it: nobody, or neighbours on the same machine.
            "cassandra.ring_delay_ms": "100" if nodes == 1 else "2000",
            "cassandra.system_auth.default_rf": str(nodes),
            "cassandra.system_distributed.default_rf": str(nodes),
            "cassandra.system_traces.default_rf": str(nodes),
            "cassandra.superuser_setup_delay_ms": "0",
            "jdk.attach.allowAttachSelf": "true",
            "logback.configurationFile": str(self.folder / "logback.xml"),
            "java.io.tmpdir": str(self.folder / "tmp"),
            "java.net.preferIPv4Stack": "true",
            "io.netty.tryReflectionSetAccessible": "true",
        }
        return [
            str(tools.java()),
            f"-javaagent:{agent}",
            f"-Xms{heap}m",
            f"-Xmx{heap}m",
            "-XX:+UseG1GC",
            "-XX:-UsePerfData",
            "-XX:+HeapDumpOnOutOfMemoryError",
            f"-XX:HeapDumpPath={self.folder}",
            *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS),
            *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS),
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-cp",
            os.pathsep.join(map(str, class_path)),
            _MAIN,
        ]
