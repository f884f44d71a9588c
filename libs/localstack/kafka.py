"""A Kafka broker and controller in one JVM (KRaft), from Maven's jars."""

import base64
import os
import re
import uuid
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from localstack import jars, probes, settings, tools
from localstack.server import Server

_VERSION = re.compile(rb"Kafka version: (\S+)")


class KafkaBroker(Server):
    """A single broker; topics have one replica, whatever else their clients ask for."""

    ready_seconds: ClassVar[float] = 90.0
    awaited: ClassVar[str] = "a broker in service"
    advertised: str = ""
    """What it tells clients to connect to from its next start on, where that is a proxy before it; not recorded."""

    @property
    def bootstrap_servers(self) -> str:
        """The value of a client's `bootstrap.servers`."""
        return str(self.endpoint)

    @property
    def own_settings(self) -> Path:
        """A Java properties file that need not exist: what it says holds from the next start on, over our own settings."""
        return self.folder / "own.properties"

    def probe(self) -> str:
        probes.kafka_brokers(self.endpoint.host, self.endpoint.port)
        # The protocol tells no version; the log does, near the top of each run.
        found = _VERSION.findall(self.log.read_bytes())
        return found[-1].decode() if found else jars.version("kafka")

    def _prepare(self, tell: Callable[[str], None]) -> None:
        if not jars.cached("kafka"):
            tell(f"fetching the jars of Kafka {jars.version('kafka')} with Maven, once")
        jars.resolve("kafka")
        (self.folder / "tmp").mkdir(exist_ok=True)
        address = self._record.address
        controller = f"{address}:{self._record.ports['controller']}"
        properties = {
            **settings.KAFKA_SETTINGS,
            "controller.quorum.voters": f"{settings.KAFKA_SETTINGS['node.id']}@{controller}",
            "listeners": f"PLAINTEXT://{self.endpoint},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.advertised or self.endpoint}",
            "log.dirs": str(self.folder / "data"),
        }
        # Of a setting that is there twice, the later one holds.
        own = self.own_settings.read_text(encoding="utf-8") if self.own_settings.exists() else ""
        text = settings.render_properties(properties) + own
        (self.folder / "server.properties").write_text(text, encoding="utf-8")
        logging = files("localstack").joinpath("logging", "log4j2.xml").read_text(encoding="utf-8")
        (self.folder / "log4j2.xml").write_text(logging, encoding="utf-8")
        if not (self.folder / "data" / "meta.properties").exists():
            tell("formatting the storage")
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            # "--cluster-id=" in one word: an id may begin with a dash.
            format_ = ["format", f"--cluster-id={cluster}", "--config", str(self.folder / "server.properties")]
            self._run_tool([*self._java(128), "kafka.tools.StorageTool", *format_], what="formatting the storage")

    def _command(self) -> Sequence[str]:
        return [*self._java(settings.KAFKA_HEAP_MB), "kafka.Kafka", str(self.folder / "server.properties")]

    def _java(self, heap_mb: int) -> list[str]:
        properties = {
            "log4j2.configurationFile": str(self.folder / "log4j2.xml"),
            "java.io.tmpdir": str(self.folder / "tmp"),
            "java.net.preferIPv4Stack": "true",
            "java.awt.headless": "true",
        }
        return [
            str(tools.java()),
            f"-Xmx{heap_mb}m",
            "-XX:+UseG1GC",
            "-XX:-UsePerfData",
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-cp",
            os.pathsep.join(map(str, jars.resolve("kafka"))),
        ]
