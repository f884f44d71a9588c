"""Only processes that are certainly ours are signalled."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localstack import processes
from localstack.processes import ProcessIdentity

# Prints the pid of a child of its own, then both wait until their input or their parent is gone.
FAMILY = (
    "import subprocess, sys;"
    "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
    "print(child.pid, flush=True); child.wait()"
)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as child:
        yield child
        child.kill()


@pytest.fixture
def family(tmp_path: Path) -> Iterator[list[ProcessIdentity]]:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, env={**os.environ, processes.MARK: str(tmp_path)}
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        members = [processes.identify(parent.pid), processes.identify(child)]
        yield members
        processes.signal_all(members, signal.SIGKILL)


def test_a_process_is_identified_by_pid_and_birth(bystander: subprocess.Popen[bytes]) -> None:
    identity = processes.identify(bystander.pid)
    assert processes.is_alive(identity)
    assert identity == processes.identify(bystander.pid)
    assert identity != processes.identify(os.getpid())


def test_a_recorded_pid_that_now_belongs_to_another_process_is_never_signalled(
    bystander: subprocess.Popen[bytes],
) -> None:
    stale = ProcessIdentity(bystander.pid, "another-boot/1")
    assert not processes.is_alive(stale)
    assert processes.tree(stale) == []
    assert processes.kill_tree(stale)
    processes.signal_all([stale], signal.SIGKILL)
    assert bystander.poll() is None


def test_a_process_that_ended_but_was_not_reaped_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = processes.identify(child.pid)
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.is_alive(identity)


def test_a_tree_names_the_parent_first(family: list[ProcessIdentity]) -> None:
    assert processes.tree(family[0]) == family


def test_killing_a_tree_takes_the_children_too(family: list[ProcessIdentity]) -> None:
    assert processes.kill_tree(family[0])
    assert not any(processes.is_alive(member) for member in family)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_mark_finds_the_processes_of_one_folder_and_no_others(
    tmp_path: Path, family: list[ProcessIdentity], bystander: subprocess.Popen[bytes]
) -> None:
    assert set(processes.marked(tmp_path)) == set(family)
    assert processes.marked(tmp_path / "other") == []


def test_the_portable_way_tells_births_too(bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PROC", Path("/nowhere"))
    identity = processes.identify(bystander.pid)
    assert processes.is_alive(identity)
    assert not processes.is_alive(ProcessIdentity(bystander.pid, "Thu Jan  1 00:00:00 1970"))
    assert identity in processes.tree(processes.identify(os.getpid()))
    bystander.kill()
    bystander.wait()
    assert not processes.is_alive(identity)
