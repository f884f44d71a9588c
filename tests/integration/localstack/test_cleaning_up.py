"""Nothing is left behind: not by an orderly end, not by a starter that was killed, not by an interrupted start."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from localstack import LocalStackError, NotReady, Stack, cli, processes, state
from localstack.postgres import PostgresServer
from localstack.processes import ProcessIdentity

pytestmark = [pytest.mark.stack("postgres"), pytest.mark.xdist_group("localstack")]

LIBS = Path(__file__).parents[3] / "libs"
STARTER = """
import sys
from pathlib import Path
from localstack import Stack
stack = Stack(Path(sys.argv[1]), services=["postgres"], detached=sys.argv[2] == "detached").up()
print("up", flush=True)
sys.stdin.read()
"""
DEADLINE_SECONDS = 30.0


def start_elsewhere(root: Path, way: str) -> "subprocess.Popen[bytes]":
    """A program of its own that starts the stack and then waits."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(root), way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(LIBS)},
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"up\n"
    return starter


def segments() -> set[str]:
    """The System V shared memory of the machine, as far as it can be seen."""
    listed = Path("/proc/sysvipc/shm")
    return {line.split()[1] for line in listed.read_text().splitlines()[1:]} if listed.exists() else set()


def segment_of(server: PostgresServer) -> str:
    """Each server has one small segment, by which it knows that it is the only one on its data."""
    return (server.folder / "data" / "postmaster.pid").read_text().splitlines()[6].split()[-1]


def kill(starter: "subprocess.Popen[bytes]") -> None:
    starter.kill()
    starter.communicate()


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition holds before the deadline; looks as often as it can."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
    return True


def test_down_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", services=["postgres"]).up()
    everything = processes.tree(processes.identify(stack.postgres.pid))
    folder = stack.postgres.folder
    segment = segment_of(stack.postgres)
    assert len(everything) > 1
    stack.down()
    assert segment not in segments()
    assert not any(processes.is_alive(process) for process in everything)
    assert processes.marked(stack.root) == []
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_down_after_kill_9_leaves_nothing_either(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", services=["postgres"]).up()
    folder, segment = stack.postgres.folder, segment_of(stack.postgres)
    stack.postgres.kill9()
    stack.down()
    assert segment not in segments()
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_data_that_is_kept_is_there_after_the_next_up_on_the_same_port(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", services=["postgres"]).up()
    with psycopg.connect(stack.postgres.dsn(), autocommit=True) as session:
        session.execute("CREATE TABLE kept (id int)")
    before = stack.postgres.endpoint
    stack.down(keep_data=True)
    with Stack(tmp_path / "stack", services=["postgres"]) as again:
        assert again.postgres.endpoint == before
        with psycopg.connect(again.postgres.dsn()) as session:
            assert session.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_starter_that_is_killed_takes_its_servers_with_it(tmp_path: Path) -> None:
    root = tmp_path / "stack"
    starter = start_elsewhere(root, "attached")
    server = processes.identify(Stack.attach(root).postgres.pid)
    kill(starter)
    assert eventually(lambda: not root.exists())
    assert not processes.is_alive(server)


def test_detached_servers_outlive_their_starter_until_they_are_taken_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "stack"
    kill(start_elsewhere(root, "detached"))
    assert [server.state for server in cli.status(root)] == ["running"]
    cli.down(root)
    assert not root.exists()
    assert "removed" in capsys.readouterr().out


def test_servers_that_died_come_up_again_with_their_data(tmp_path: Path) -> None:
    root = tmp_path / "stack"
    kill(start_elsewhere(root, "detached"))
    died = Stack.attach(root).postgres
    assert processes.kill_tree(processes.identify(died.pid))
    with Stack(root, services=["postgres"]) as again:
        assert again.postgres.endpoint == died.endpoint
        assert again.postgres.process != died.record.process


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="marks are found through /proc")
def test_a_server_that_nobody_recorded_is_ended_by_the_next_up(tmp_path: Path) -> None:
    root = tmp_path / "stack"
    root.mkdir()
    with (
        subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()"], env={**os.environ, processes.MARK: str(root)}
        ) as stray,
        Stack(root, services=["postgres"]),
    ):
        assert stray.wait(DEADLINE_SECONDS) == -signal.SIGKILL


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="marks are found through /proc")
def test_a_session_that_begins_while_strays_are_looked_for_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[psycopg.Connection] = []
    marked, tree = processes.marked, processes.tree
    with Stack(tmp_path / "stack", services=["postgres"], detached=True) as stack, contextlib.ExitStack() as opened:

        def marked_with_the_newborn(root: Path) -> list[ProcessIdentity]:
            # PostgreSQL overwrites a session's environment by its title some moments after its birth.
            return [*marked(root), *(processes.identify(session.info.backend_pid) for session in sessions)]

        def tree_and_a_birth(identity: ProcessIdentity) -> list[ProcessIdentity]:
            found = tree(identity)
            sessions.append(opened.enter_context(psycopg.connect(stack.postgres.dsn())))
            return found

        monkeypatch.setattr(processes, "marked", marked_with_the_newborn)
        monkeypatch.setattr(processes, "tree", tree_and_a_birth)
        Stack(stack.root, services=["postgres"], detached=True).up()
        monkeypatch.undo()
        assert sessions
        for session in sessions:
            assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_pid_in_the_record_that_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "stack"
    stack = Stack(root, services=["postgres"]).up()
    stack.postgres.kill9()
    recorded = state.load(root)
    assert recorded is not None
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as bystander:
        raw = state.state_path(root).read_text()
        forged = raw.replace('"process": null', f'"process": {{"pid": {bystander.pid}, "birth": "another-boot/1"}}')
        assert forged != raw
        state.state_path(root).write_text(forged)
        stack.down()
        assert bystander.poll() is None
        bystander.kill()


def test_a_start_that_fails_is_told_with_the_log_and_leaves_no_process(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", services=["postgres"]).up()
    folder = stack.postgres.folder
    stack.down(keep_data=True)
    (folder / "data" / "global" / "pg_control").unlink()
    with pytest.raises(NotReady, match="pg_control"):
        Stack(tmp_path / "stack", services=["postgres"]).up()
    assert processes.marked(stack.root) == []
    assert "pg_control" in Stack.attach(stack.root).logs("postgres")
    Stack.attach(stack.root).down()


def test_an_interrupted_start_ends_what_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: PostgresServer) -> str:
        raise ConnectionRefusedError("not yet")

    monkeypatch.setattr(PostgresServer, "probe", never)
    stack = Stack(tmp_path / "stack", services=["postgres"])
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        with pytest.raises(KeyboardInterrupt):
            stack.up()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert processes.marked(stack.root) == []
    stack.down()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_the_servers_user_cannot_enter_gets_its_data_elsewhere(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Stack(closed / "stack", services=["postgres"]) as stack:
        inside = stack.postgres.folder.is_relative_to(stack.root)
        assert inside == (os.geteuid() != 0)
        folder = stack.postgres.folder
    assert not folder.exists()


def test_two_stacks_live_side_by_side(tmp_path: Path) -> None:
    with (
        Stack(tmp_path / "one", services=["postgres"]) as one,
        Stack(tmp_path / "two", services=["postgres"]) as two,
    ):
        assert one.postgres.endpoint != two.postgres.endpoint
        one.down()
        assert two.postgres.probe() == two.postgres.version


def test_a_stack_in_use_cannot_be_had_with_other_services(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack", services=["postgres"]), pytest.raises(LocalStackError, match="asked for kafka"):
        Stack(tmp_path / "stack", services=["kafka"], detached=True).up()
