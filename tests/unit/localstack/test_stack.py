"""A stack touches only its own folder and says what it refuses."""

import dataclasses
import os
from pathlib import Path

import pytest

from localstack import cli, processes, state
from localstack.errors import LocalStackError, NotRunning, StackMismatch
from localstack.processes import ProcessIdentity
from localstack.stack import Stack
from localstack.state import ServerRecord, StackState

RECORDED = StackState(
    nodes=1,
    services=("postgres",),
    commitlog_sync="group",
    password_authentication=False,
    servers={"postgres": ServerRecord("postgres", "postgres", "127.0.0.1", {"client": 20_000}, "/nowhere/postgres")},
)


@pytest.fixture(autouse=True)
def every_tool_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """These rules hold before any server is started, so no server needs to be installed."""
    monkeypatch.setattr(Stack, "_require_tools", lambda _: None)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"nodes": 0}, "nodes"),
        ({"nodes": 99}, "nodes"),
        ({"services": ()}, "services"),
        ({"services": ("redis",)}, "redis"),
        ({"commitlog_sync": "never"}, "commitlog_sync"),
    ],
)
def test_a_wrong_argument_is_named(tmp_path: Path, arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Stack(tmp_path, **arguments)  # type: ignore[arg-type]


def test_a_folder_with_other_things_is_neither_used_nor_removed(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("dear")
    stack = Stack(tmp_path, services=["postgres"], detached=True)
    with pytest.raises(LocalStackError, match="holds other things"):
        stack.up()
    stack.down()
    assert letter.read_text() == "dear"


def test_a_place_where_no_folder_can_be_is_told_and_not_tried_for_ever(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    (tmp_path / "nowhere").write_text("a file")
    for place in ("dangling", "nowhere/below"):
        with pytest.raises((LocalStackError, OSError)), state.locked(tmp_path / place):
            pass


def test_taking_down_what_never_was_is_no_error(tmp_path: Path) -> None:
    Stack(tmp_path / "absent").down()
    (tmp_path / "empty").mkdir()
    Stack(tmp_path / "empty").down()
    assert list(tmp_path.iterdir()) == []


def test_a_stack_of_another_shape_is_refused(tmp_path: Path) -> None:
    state.save(tmp_path, RECORDED)
    with pytest.raises(StackMismatch, match=r"stack of postgres; asked for kafka"):
        Stack(tmp_path, services=["kafka"], detached=True).up()


def test_attaching_takes_over_what_is_recorded(tmp_path: Path) -> None:
    state.save(tmp_path, dataclasses.replace(RECORDED, commitlog_sync="periodic"))
    stack = Stack.attach(tmp_path)
    assert str(stack.postgres.endpoint) == "127.0.0.1:20000"
    assert stack.postgres.dsn("other") == "postgresql://erx@127.0.0.1:20000/other"
    assert [server.state for server in stack.status()] == ["down"]


def test_a_server_whose_process_ended_by_itself_is_told_apart_from_one_that_was_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state.save(tmp_path, with_cassandra(ProcessIdentity(2**22 + 1, "never")))
    assert cli.main(["--root", str(tmp_path), "status"]) == 3
    told = capsys.readouterr().out
    assert "lost     127.0.0.1:20000" in told
    assert f"ended though nobody stopped it: see {tmp_path / 'logs' / 'cassandra.log'}" in told


def with_cassandra(process: ProcessIdentity | None) -> StackState:
    ports = {"client": 20_000, "storage": 20_001, "ssl_storage": 20_002}
    node = ServerRecord("cassandra", "cassandra", "127.0.0.1", ports, "/nowhere/cassandra", process)
    return dataclasses.replace(RECORDED, services=("cassandra",), servers={"cassandra": node})


def test_durability_cannot_be_changed_under_a_running_node(tmp_path: Path) -> None:
    state.save(tmp_path, with_cassandra(processes.identify(os.getpid())))
    with pytest.raises(StackMismatch, match="commitlog_sync group; asked for commitlog_sync periodic"):
        Stack(tmp_path, services=["cassandra"], commitlog_sync="periodic", detached=True).up()


def test_durability_can_be_changed_between_two_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "_start_all", lambda *_: None)
    state.save(tmp_path, with_cassandra(None))
    stack = Stack(tmp_path, services=["cassandra"], commitlog_sync="periodic", detached=True)
    held = stack.cassandra
    stack.up()
    assert stack.cassandra is held
    assert held.commitlog_sync == "periodic"
    recorded = state.load(tmp_path)
    assert recorded is not None
    assert recorded.commitlog_sync == "periodic"


def test_attaching_to_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="no state file"):
        Stack.attach(tmp_path)


def test_a_server_the_stack_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    state.save(tmp_path, RECORDED)
    with pytest.raises(NotRunning, match="servers of this stack: postgres"):
        Stack.attach(tmp_path).logs("kafka")


def test_servers_are_known_only_after_the_first_start(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    assert stack.status() == []
    with pytest.raises(NotRunning, match="before up"):
        _ = stack.kafka


def test_the_command_line_says_in_one_sentence_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--root", str(tmp_path), "logs"]) == 1
    assert "no state file" in capsys.readouterr().err


def test_the_command_line_tells_a_stack_that_is_down_by_its_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--root", str(tmp_path / "absent"), "status"]) == 3
    state.save(tmp_path, RECORDED)
    assert cli.main(["--root", str(tmp_path), "status"]) == 3
    assert "postgres     down" in capsys.readouterr().out


def test_taking_down_nothing_on_the_command_line_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--root", str(tmp_path / "absent"), "down"]) == 0
    assert "no stack" in capsys.readouterr().out
