"""A stack: the servers of one folder, started together, stopped and cleaned up together."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from pathlib import Path
from types import TracebackType
from typing import Self

from localstack import processes, state, tools, watchdog
from localstack.cassandra import CassandraNode
from localstack.errors import LocalStackError, NotReady, NotRunning, StackMismatch
from localstack.kafka import KafkaBroker
from localstack.ports import free_ports
from localstack.postgres import PostgresServer
from localstack.server import Endpoint, Progress, ProgressCallback, Server
from localstack.settings import COMMITLOG_SYNC, SERVICES, CommitlogSync, ServiceName
from localstack.state import ServerRecord, StackState

NODES_MAX = 9
_RING_SECONDS = 120.0
_RING_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server of a stack as it is now; `state` is running, frozen, down, or lost: ended though nobody stopped it."""

    name: str
    state: str
    pid: int | None
    endpoint: Endpoint
    version: str | None
    log: Path


class Stack:
    """Real servers under one folder.

    The folder's state file makes two `Stack` objects of the same folder, in one program or in two,
    speak of the same servers. With `detached=False` the servers do not outlive this process, however
    it ends: a watchdog process stops them and removes the folder. With `detached=True` they run until
    `down`.
    """

    def __init__(
        self,
        root: Path,
        nodes: int = 1,
        services: Collection[ServiceName] = SERVICES,
        commitlog_sync: CommitlogSync = "group",
        *,
        password_authentication: bool = False,
        detached: bool = False,
    ) -> None:
        if not 1 <= nodes <= NODES_MAX:
            raise ValueError(f"nodes: 1 to {NODES_MAX}, not {nodes}")
        if unknown := set(services) - set(SERVICES):
            raise ValueError(f"services: {', '.join(SERVICES)}; not {', '.join(sorted(unknown))}")
        if not services:
            raise ValueError("services: at least one")
        if commitlog_sync not in COMMITLOG_SYNC:
            raise ValueError(f"commitlog_sync: {', '.join(COMMITLOG_SYNC)}; not {commitlog_sync}")
        self.root = root.expanduser().resolve()
        self._detached = detached
        self._wanted = StackState(
            nodes=nodes,
            services=tuple(service for service in SERVICES if service in services),
            commitlog_sync=commitlog_sync,
            password_authentication=password_authentication,
        )
        self._state = self._wanted
        self._servers: dict[str, Server] = {}
        self._saving = threading.Lock()
        self._watchdog: watchdog.Watchdog | None = None
        recorded = state.load(self.root)
        if recorded is not None and recorded.shape == self._wanted.shape:
            self._adopt(recorded)

    @classmethod
    def attach(cls, root: Path) -> Self:
        """The stack that is recorded in the folder, whatever its shape; raises `NotRunning` if there is none."""
        root = root.expanduser().resolve()
        recorded = state.load(root)
        if recorded is None:
            raise NotRunning(what=f"a stack in {root}", hint="there is no state file")
        return cls(
            root,
            recorded.nodes,
            recorded.services,
            recorded.commitlog_sync,
            password_authentication=recorded.password_authentication,
            detached=True,
        )

    def up(self, progress: ProgressCallback | None = None) -> Self:
        """Start what does not run and return when everything answers.

        A stack whose processes died (kill -9, reboot) comes up again on the same ports and data.
        If any server fails, those this call started are stopped again, the folder and its logs stay,
        and the first error is raised.
        """
        self._require_tools()
        with state.locked(self.root):
            self._prepare()
            watched = self._detached or self._watchdog is not None
            if not watched:
                self._watchdog = watchdog.start(self.root)
            try:
                self._start_all(progress)
            except BaseException:
                if not watched:
                    self._release()
                raise
        return self

    def down(self, *, keep_data: bool = False) -> None:
        """Stop everything and remove the folder; with `keep_data`, stop in order and leave the data for `up`."""
        if not self.root.exists():
            self._release()
            return
        with state.locked(self.root):
            recorded = state.load(self.root)
            if recorded is not None:
                self._adopt(recorded)
            stop = methodcaller("stop" if keep_data else "discard")
            with ThreadPoolExecutor(max_workers=len(self._servers) or 1) as pool:
                list(pool.map(stop, self._servers.values()))
            self._kill_strays()
            if recorded is None:
                # Whatever else lies in the folder is not ours to remove.
                if not any(self.root.iterdir()):
                    self.root.rmdir()
            elif not keep_data:
                for folder in map(Path, (*recorded.scratch, str(self.root))):
                    if folder.exists():
                        shutil.rmtree(folder)
                self._servers.clear()
        self._release()

    def status(self) -> list[ServerStatus]:
        """Every server as it is now; empty before the first `up`."""
        self._refresh()
        return [
            ServerStatus(
                name=server.name,
                state=_state_of(server),
                pid=server.process.pid if server.process else None,
                endpoint=server.endpoint,
                version=server.version,
                log=server.log,
            )
            for server in self._servers.values()
        ]

    def logs(self, name: str, lines: int = 100) -> str:
        """The last lines of a server's log."""
        self._refresh()
        return self[name].log_tail(lines)

    def __getitem__(self, name: str) -> Server:
        """A server by name; `cassandra` is also the first node of a ring."""
        found = self._servers.get(name) or self._servers.get(f"{name}-1")
        if found is None:
            known = ", ".join(self._servers) or "none before up()"
            raise NotRunning(what=name, hint=f"servers of this stack: {known}")
        return found

    @property
    def servers(self) -> Mapping[str, Server]:
        """All servers by name."""
        return dict(self._servers)

    @property
    def cassandra_nodes(self) -> tuple[CassandraNode, ...]:
        """The nodes of the ring, in the order of their addresses."""
        return tuple(server for server in self._servers.values() if isinstance(server, CassandraNode))

    @property
    def cassandra(self) -> CassandraNode:
        """The only node, or the first of the ring."""
        node = self["cassandra"]
        assert isinstance(node, CassandraNode)
        return node

    @property
    def kafka(self) -> KafkaBroker:
        """The broker."""
        broker = self["kafka"]
        assert isinstance(broker, KafkaBroker)
        return broker

    @property
    def postgres(self) -> PostgresServer:
        """The PostgreSQL server."""
        server = self["postgres"]
        assert isinstance(server, PostgresServer)
        return server

    def versions(self) -> dict[str, str]:
        """Each service's version as its running server told it."""
        return {server.record.service: server.version for server in self._servers.values() if server.version}

    def await_ring(self, seconds: float = _RING_SECONDS) -> None:
        """Wait until every node sees every other up; raises `NotReady` with the last answer."""
        for node in self.cassandra_nodes:
            _await_ring(node, len(self.cassandra_nodes), seconds)

    def __enter__(self) -> Self:
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()

    def _require_tools(self) -> None:
        if {"cassandra", "kafka"} & set(self._wanted.services):
            tools.require_java_services(self._wanted.services, self._wanted.nodes)
        if "postgres" in self._wanted.services:
            tools.postgres_folder()
            tools.postgres_account()

    def _prepare(self) -> None:
        """Take over what the folder holds, end what nobody recorded, choose ports if it is new."""
        recorded = state.load(self.root)
        if recorded is None:
            self._kill_strays()
            if any(self.root.iterdir()):
                raise LocalStackError(f"{self.root} holds other things; a stack removes its folder in the end")
            self._choose()
            return
        if recorded.shape != self._wanted.shape:
            raise StackMismatch(root=str(self.root), found=recorded.shape, asked=self._wanted.shape)
        self._adopt(recorded)
        self._kill_strays()
        if recorded.commitlog_sync != self._wanted.commitlog_sync:
            if any(node.running for node in self.cassandra_nodes):
                raise StackMismatch(
                    root=str(self.root),
                    found=f"commitlog_sync {recorded.commitlog_sync}",
                    asked=f"commitlog_sync {self._wanted.commitlog_sync}",
                )
            self._adopt(replace(recorded, commitlog_sync=self._wanted.commitlog_sync))
            state.save(self.root, self._state)

    def _choose(self) -> None:
        """Names, addresses, ports and folders of a new stack."""
        records: dict[str, ServerRecord] = {}
        scratch: list[str] = []
        if "cassandra" in self._wanted.services:
            addresses = [f"127.0.0.{node + 1}" for node in range(self._wanted.nodes)]
            ports = dict(zip(("client", "storage", "ssl_storage"), free_ports(3, addresses), strict=True))
            for number, address in enumerate(addresses, start=1):
                name = "cassandra" if len(addresses) == 1 else f"cassandra-{number}"
                records[name] = ServerRecord(name, "cassandra", address, ports, str(self.root / name))
        if "kafka" in self._wanted.services:
            client, controller = free_ports(2)
            ports = {"client": client, "controller": controller}
            records["kafka"] = ServerRecord("kafka", "kafka", "127.0.0.1", ports, str(self.root / "kafka"))
        if "postgres" in self._wanted.services:
            folder = self.root / "postgres"
            account = tools.postgres_account()
            if account is not None and not tools.reachable(self.root, account):
                # For example below /root, where the user postgres may not look.
                scratch.append(tempfile.mkdtemp(prefix="erx-postgres-"))
                folder = Path(scratch[0])
            ports = {"client": free_ports(1)[0]}
            records["postgres"] = ServerRecord("postgres", "postgres", "127.0.0.1", ports, str(folder))
        self._adopt(replace(self._wanted, servers=records, scratch=tuple(scratch)))
        state.save(self.root, self._state)

    def _adopt(self, recorded: StackState) -> None:
        """Speak of the recorded servers; keep the objects that callers already hold."""
        self._state = recorded
        for name, record in recorded.servers.items():
            if name in self._servers and self._servers[name].record.ports == record.ports:
                self._servers[name].refresh(record)
            else:
                self._servers[name] = self._build(record, recorded)
        for node in self.cassandra_nodes:
            node.commitlog_sync = recorded.commitlog_sync

    def _build(self, record: ServerRecord, recorded: StackState) -> Server:
        if record.service == "kafka":
            return KafkaBroker(self.root, record, self._save)
        if record.service == "postgres":
            return PostgresServer(self.root, record, self._save)
        ring = [other.address for other in recorded.servers.values() if other.service == "cassandra"]
        return CassandraNode(
            self.root,
            record,
            self._save,
            ring=ring,
            commitlog_sync=recorded.commitlog_sync,
            password_authentication=recorded.password_authentication,
        )

    def _refresh(self) -> None:
        with self._saving:
            recorded = state.load(self.root)
            if recorded is not None and recorded.shape == self._wanted.shape:
                self._adopt(recorded)

    def _save(self, record: ServerRecord) -> None:
        with self._saving:
            # What is in the file is newer: another program may have restarted another server.
            newest = state.load(self.root) or self._state
            self._state = replace(newest, servers={**newest.servers, record.name: record})
            state.save(self.root, self._state)

    def _start_all(self, progress: ProgressCallback | None) -> None:
        said = threading.Lock()

        def tell(happened: Progress) -> None:
            if progress is not None:
                with said:
                    progress(happened)

        before = {name for name, server in self._servers.items() if server.running}
        tasks: list[Callable[[], None]] = [partial(self._start_ring, tell)] if self.cassandra_nodes else []
        tasks += [
            partial(server.start, tell) for server in self._servers.values() if not isinstance(server, CassandraNode)
        ]
        with ThreadPoolExecutor(max_workers=len(tasks)) as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                # Also when interrupted: a start ends as soon as its process is gone.
                while True:
                    for name, server in self._servers.items():
                        if name not in before:
                            server.discard()
                    if not wait(futures, timeout=_RING_POLL_SECONDS).not_done:
                        break
                raise

    def _start_ring(self, tell: ProgressCallback) -> None:
        first, *others = self.cassandra_nodes
        first.start(tell)
        if others:
            with ThreadPoolExecutor(max_workers=len(others)) as pool:
                list(pool.map(lambda node: node.start(tell), others))
            began = time.monotonic()
            self.await_ring()
            message = f"the ring is complete: {len(others) + 1} nodes"
            tell(Progress(first.name, message, time.monotonic() - began))

    def _kill_strays(self) -> None:
        """End processes that carry this folder's mark and are in nobody's record: their starter died.

        Looked for before the servers' own processes are listed: a child that a server makes in between is
        in neither list. The other way round, the newest session of a running PostgreSQL would be a stray.
        """
        found = processes.marked(self.root)
        recorded = {server.process for server in self._servers.values()}
        spared = {member for process in recorded if process for member in processes.tree(process)}
        for stray in found:
            if stray not in spared:
                processes.kill_tree(stray)

    def _release(self) -> None:
        if self._watchdog is not None:
            self._watchdog.release()
            self._watchdog = None


def _state_of(server: Server) -> str:
    if server.running:
        return "frozen" if server.frozen else "running"
    return "lost" if server.lost else "down"


def _await_ring(node: CassandraNode, nodes: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            node.probe_ring()
        except OSError as error:
            if time.monotonic() >= deadline:
                raise NotReady(
                    server=node.name,
                    awaited=f"a ring of {nodes} in which all are up",
                    seconds=seconds,
                    last_answer=str(error),
                    log=str(node.log),
                    log_tail=node.log_tail(),
                ) from error
            time.sleep(_RING_POLL_SECONDS)
        else:
            return
