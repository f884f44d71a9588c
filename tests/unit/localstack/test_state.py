"""The state file survives crashes and refuses what it does not understand."""

import dataclasses
import threading
from pathlib import Path

import pytest

from localstack import state
from localstack.errors import LocalStackError
from localstack.processes import ProcessIdentity
from localstack.state import ServerRecord, StackState

RECORD = ServerRecord(
    name="kafka",
    service="kafka",
    address="127.0.0.1",
    ports={"client": 20_001, "controller": 20_002},
    folder="/data/kafka",
    process=ProcessIdentity(4711, "boot/99"),
    version="4.1.1",
    frozen=True,
)
STATE = StackState(
    nodes=1,
    services=("cassandra", "kafka"),
    commitlog_sync="group",
    password_authentication=False,
    servers={"kafka": RECORD, "idle": dataclasses.replace(RECORD, name="idle", process=None, version=None)},
    scratch=("/tmp/erx-postgres-1",),
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state.save(tmp_path, STATE)
    assert state.load(tmp_path) == STATE


def test_a_folder_without_state_holds_no_stack(tmp_path: Path) -> None:
    assert state.load(tmp_path) is None
    assert state.load(tmp_path / "absent") is None


def test_saving_leaves_nothing_but_the_state_file(tmp_path: Path) -> None:
    state.save(tmp_path, STATE)
    state.save(tmp_path, STATE)
    assert list(tmp_path.iterdir()) == [state.state_path(tmp_path)]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": 99}', '{"format": 1}', '{"format": 1, "nodes": "x", "services": []}']
)
def test_a_damaged_or_foreign_state_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    state.state_path(tmp_path).write_text(text)
    with pytest.raises(LocalStackError, match="state"):
        state.load(tmp_path)


def test_the_shape_ignores_durability_and_names_everything_else() -> None:
    assert STATE.shape == dataclasses.replace(STATE, commitlog_sync="periodic").shape
    for change in ({"nodes": 3}, {"services": ("kafka",)}, {"password_authentication": True}):
        assert dataclasses.replace(STATE, **change).shape != STATE.shape


def test_one_holder_of_the_folder_at_a_time_even_if_it_is_removed_meanwhile(tmp_path: Path) -> None:
    root = tmp_path / "stack"
    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with state.locked(root):
            order.append("second")
            assert root.is_dir()

    waiter = threading.Thread(target=second)
    with state.locked(root):
        waiter.start()
        assert entered.wait(10)
        order.append("first")
        root.rmdir()
    waiter.join(10)
    assert order == ["first", "second"]
