"""The life of one server, shown on a small real process: what holds for it holds for the three servers."""

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from localstack import ports, processes
from localstack.errors import NotReady, NotRunning, ServerExited
from localstack.server import Progress, Server
from localstack.state import ServerRecord

# Answers each connection with a line; has a child that must not outlive it.
ECHO = """
import socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("child", child.pid, flush=True)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    link, _ = server.accept()
    link.sendall(b"1.2.3")
    link.close()
"""
DEAF = "import signal; print('I hear nothing', flush=True); signal.pause()"
FAILING = "print('no room on the disk'); raise SystemExit(7)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + ECHO


class Echo(Server):
    ready_seconds: ClassVar[float] = 20.0
    stop_seconds: ClassVar[float] = 0.3
    awaited: ClassVar[str] = "a greeting"
    program = ECHO
    prepared = 0

    def probe(self) -> str:
        with socket.create_connection((self.endpoint.host, self.endpoint.port), timeout=0.5) as link:
            return link.recv(16).decode()

    def children(self) -> list[int]:
        return [int(line.split()[1]) for line in self.log_tail().splitlines() if line.startswith("child")]

    def _prepare(self, tell: Callable[[str], None]) -> None:
        self.prepared += 1

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-c", self.program, str(self.endpoint.port)]


@pytest.fixture
def saved() -> list[ServerRecord]:
    return []


@pytest.fixture
def server(tmp_path: Path, saved: list[ServerRecord]) -> Iterator[Echo]:
    record = ServerRecord("echo", "kafka", "127.0.0.1", {"client": ports.free_ports(1)[0]}, str(tmp_path / "echo"))
    echo = Echo(tmp_path, record, saved.append)
    yield echo
    echo.discard()


def test_a_started_server_answers_and_is_recorded(server: Echo, saved: list[ServerRecord]) -> None:
    happened: list[Progress] = []
    server.start(happened.append)
    assert server.running
    assert server.version == "1.2.3"
    assert saved[-1].process == processes.identify(server.pid)
    assert [progress.message.split()[0] for progress in happened] == ["starting", "1.2.3"]


def test_starting_a_running_server_changes_nothing(server: Echo) -> None:
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    assert server.prepared == 1


def test_a_stopped_server_leaves_no_process_and_may_be_stopped_again(server: Echo, saved: list[ServerRecord]) -> None:
    server.start()
    everything = [processes.identify(pid) for pid in (server.pid, *server.children())]
    server.stop()
    server.stop()
    assert not server.running
    assert not any(processes.is_alive(process) for process in everything)
    assert saved[-1].process is None


def test_a_server_that_ignores_the_signal_is_ended_by_force(server: Echo) -> None:
    server.program = STUBBORN
    server.start()
    server.stop()
    assert not server.running


def test_a_kill_takes_the_children_and_a_restart_keeps_the_port(server: Echo) -> None:
    server.start()
    endpoint, pid, children = server.endpoint, server.pid, server.children()
    doomed = [processes.identify(member) for member in (pid, *children)]
    server.kill9()
    assert not any(processes.is_alive(process) for process in doomed)
    server.restart()
    assert server.endpoint == endpoint
    assert server.pid != pid
    assert server.probe() == "1.2.3"


def test_a_frozen_server_lives_and_answers_nothing_until_it_is_thawed(server: Echo) -> None:
    server.start()
    server.freeze()
    assert server.running
    assert server.frozen
    with pytest.raises(TimeoutError):
        server.probe()
    server.thaw()
    assert not server.frozen
    assert server.probe() == "1.2.3"


def test_a_frozen_server_can_be_stopped(server: Echo) -> None:
    server.start()
    server.freeze()
    server.stop()
    assert not server.running


@pytest.mark.parametrize("operation", [Server.kill9, Server.freeze, Server.thaw, lambda server: server.pid])
def test_what_needs_a_process_is_refused_without_one(server: Echo, operation: Callable[[Server], object]) -> None:
    with pytest.raises(NotRunning, match="echo"):
        operation(server)


def test_a_server_that_does_not_answer_in_time_is_ended_and_told_with_its_log(server: Echo) -> None:
    server.program = DEAF
    with pytest.raises(NotReady, match=r"(?s)a greeting on 127\.0\.0\.1:\d+.*I hear nothing") as caught:
        server.start(seconds=0.5)
    assert not isinstance(caught.value, ServerExited)
    assert "refused" in caught.value.last_answer
    assert not server.running


def test_a_server_that_ends_at_once_is_told_at_once_with_its_log(server: Echo) -> None:
    server.program = FAILING
    with pytest.raises(ServerExited, match="no room on the disk") as caught:
        server.start()
    assert caught.value.seconds < server.ready_seconds


def test_only_the_log_of_the_failed_run_is_shown(server: Echo) -> None:
    server.start()
    server.stop()
    server.program = FAILING
    with pytest.raises(ServerExited) as caught:
        server.start()
    assert "child" not in caught.value.log_tail
    assert "child" in server.log_tail()
