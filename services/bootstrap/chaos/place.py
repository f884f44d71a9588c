"""What is put under stress: a stack of its own, proxies before its stores, and several processes of every role."""

import signal
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.chaos.toxiproxy import Toxiproxy
from bootstrap.testing.program import Child, Erx
from localstack import Stack
from localstack.ports import free_ports
from localstack.server import Server

ROLES = ("command-1", "command-2", "relay-1", "relay-2", "projector-1", "projector-2", "query-1")
READY_SECONDS = 180.0
# Short, so that leases and sweeps come into play within a short run.
_SETTINGS = {"ERX_RELAY_LEASE_SECONDS": "3", "ERX_SWEEP_SECONDS": "20", "ERX_LOG_LEVEL": "warning"}


@dataclass(slots=True)
class Place:
    """``open`` starts everything; ``close`` ends it. Roles keep their addresses when they come back."""

    data: Path
    erx: Erx
    stack: Stack
    proxies: Toxiproxy
    roles: dict[str, Child] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def open(self) -> None:
        """Start the stack, the proxies, and every role."""
        self.stack.up()
        self.proxies.start()
        dsn = self.stack.postgres.dsn()
        postgres = self.proxies.add("postgres", str(self.stack.postgres.endpoint))
        # Kafka's clients go to the address that the broker tells them, so it has to tell the proxy's.
        kafka = self.stack.kafka
        kafka.advertised = self.proxies.add("kafka", str(kafka.endpoint))
        kafka.restart()
        nodes = [str(node.endpoint) for node in self.stack.cassandra_nodes]
        if (
            len(nodes) == 1
        ):  # the nodes of a ring tell clients one another's addresses: they are killed and frozen instead
            nodes = [self.proxies.add("cassandra", nodes[0])]
        self.environment = {
            **_SETTINGS,
            "ERX_STORE": "stack",
            "ERX_CASSANDRA_CONTACT_POINTS": ",".join(nodes),
            "ERX_CASSANDRA_REPLICATION": str(len(nodes)),
            "ERX_KAFKA_BOOTSTRAP_SERVERS": kafka.advertised,
            "ERX_POSTGRES_DSN": dsn.replace(str(self.stack.postgres.endpoint), postgres),
        }
        ports = free_ports(3)
        names = ("command-1", "command-2", "query-1")
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
        self.start("command-1")  # one alone, so that it is one that makes the keyspace, and the others find it
        self.ready("command-1")
        for name in ROLES[1:]:
            self.start(name)
        for name in ROLES:
            self.ready(name)

    def start(self, name: str) -> None:
        """Start a role's process."""
        role = name.partition("-")[0]
        address = self.addresses.get(name, "127.0.0.1:0")
        words = ("--command-address", address, "--query-address", address)
        self.roles[name] = self.erx.start("serve", role, "--data", self.data, *words, environment=self.environment)

    def ready(self, name: str) -> None:
        """Wait until a role's process says so."""
        self.roles[name].says("ready", seconds=READY_SECONDS)

    def kill(self, name: str) -> None:
        """SIGKILL a role's process, if it runs."""
        self.roles[name].kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a role's process a signal, if it runs."""
        if self.roles[name].running:
            self.roles[name].process.send_signal(number)

    @property
    def servers(self) -> dict[str, Server]:
        """The stores' servers by name."""
        return dict(self.stack.servers)

    def heal(self) -> list[str]:
        """Everything runs again and is connected; gives the roles that had ended by themselves."""
        self.proxies.heal()
        for server in self.servers.values():
            if server.frozen:
                server.thaw()
            if not server.running:
                server.restart()
        ended = []
        for name, child in list(self.roles.items()):
            self.signal(name, signal.SIGCONT)
            if not child.running:
                if child.process.returncode != -signal.SIGKILL:
                    ended.append(f"{name} ended with code {child.process.returncode}: {child.errors[-500:]}")
                self.start(name)
        for name in self.roles:
            self.ready(name)
        return ended

    def close(self) -> None:
        """End all of it."""
        for name in self.roles:
            self.signal(name, signal.SIGCONT)
        self.erx.close()
        self.proxies.stop()
        for server in self.servers.values():
            if server.frozen:
                server.thaw()
        self.stack.down()
