"""Processes that are certainly ours: identified by pid and birth, signalled as whole trees.

A pid alone is no identity, it is given out again. So a process is recorded with the time it was
born, and nothing is signalled whose birth differs from the record. Servers also carry a mark in
their environment, by which one that was never recorded is found (where `/proc` exists).
"""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "ERX_LOCALSTACK_ROOT"

_PROC = Path("/proc")
_AS_ACCOUNT = """
import os, sys
uid, gid, *command = sys.argv[1:]
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
os.execv(command[0], command)
"""
_POLL_SECONDS = 0.02

# Our own children: kept so that they are reaped, whoever asks whether they live.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid together with the birth of the process that had it."""

    pid: int
    birth: str


@dataclass(frozen=True, slots=True)
class Account:
    """The user a process runs as."""

    name: str
    uid: int
    gid: int


def spawn(
    command: Sequence[str], *, root: Path, log: Path, cwd: Path, env: Mapping[str, str], account: Account | None = None
) -> ProcessIdentity:
    """Start a process in its own session and process group, its output appended to `log`.

    Another account is taken on by the child itself: where `subprocess` does it, it forks, and the fork handlers of libraries
    with threads of their own (gRPC's) run in the child; without it, it uses `vfork`, which runs none.
    """
    if account is not None:
        command = [sys.executable, "-I", "-S", "-c", _AS_ACCOUNT, str(account.uid), str(account.gid), *command]
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **env, MARK: str(root)},
            start_new_session=True,
        )
    _children[child.pid] = child
    return identify(child.pid)


def identify(pid: int) -> ProcessIdentity:
    """The identity of a process that is there now, or of one that is our unreaped child."""
    return ProcessIdentity(pid, _birth(pid) or "gone")


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether exactly this process still runs; a zombie does not."""
    child = _children.get(identity.pid)
    if child is not None and child.poll() is not None:
        del _children[identity.pid]
    return _birth(identity.pid) == identity.birth


def tree(identity: ProcessIdentity) -> list[ProcessIdentity]:
    """The process and its descendants, parents first; empty if it is gone."""
    if not is_alive(identity):
        return []
    parents = _parents()
    pids = [identity.pid]
    for pid in pids:
        pids.extend(child for child, parent in parents.items() if parent == pid)
    return [identity, *(identify(pid) for pid in pids[1:])]


def signal_all(processes: Iterable[ProcessIdentity], number: signal.Signals) -> None:
    """Signal each process that is still the recorded one."""
    for process in processes:
        if is_alive(process):
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                continue  # It ended between the look and the signal, which is what a signal is for.


def kill_tree(identity: ProcessIdentity, *, seconds: float = 10.0) -> bool:
    """SIGKILL the process with its descendants; whether all are gone within `seconds`."""
    doomed = tree(identity)
    signal_all(doomed, signal.SIGKILL)
    return wait_gone(doomed, seconds=seconds)


def wait_gone(processes: Sequence[ProcessIdentity], *, seconds: float) -> bool:
    """Wait until none of the processes is left; False at the deadline."""
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def exit_code(identity: ProcessIdentity, *, seconds: float) -> int:
    """Wait for the end of a process this one spawned; raises `subprocess.TimeoutExpired`."""
    code = _children[identity.pid].wait(timeout=seconds)
    del _children[identity.pid]
    return code


def marked(root: Path) -> list[ProcessIdentity]:
    """Processes that carry the mark of this stack folder; empty where `/proc` does not exist."""
    wanted = f"{MARK}={root}".encode()
    found = []
    for entry in _PROC.glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # Gone already, or of another user and so not started by this one.
        if wanted in environment and int(entry.name) != os.getpid():
            found.append(identify(int(entry.name)))
    return [process for process in found if is_alive(process)]


def _birth(pid: int) -> str | None:
    """When the process was born, as an opaque string; None if there is no live process."""
    if not _PROC.joinpath("self/stat").exists():
        return _birth_from_ps(pid)
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return f"{_boot()}/{fields[19]}"


def _birth_from_ps(pid: int) -> str | None:
    """The portable way, for systems without `/proc`."""
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return None if len(answer) < 2 or answer[0].startswith("Z") else answer[1].strip()


def _stat(pid: int) -> list[str] | None:
    """The fields of `/proc/PID/stat` from the third on: state, parent, … start time is number 19."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the command in parentheses, and may hold spaces and parentheses itself.
    return text[text.rindex(")") + 2 :].split()


@functools.cache
def _boot() -> str:
    """Tells this boot of the machine from the others: start times are counted from boot."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _parents() -> dict[int, int]:
    """Every process's parent."""
    if _PROC.joinpath("self/stat").exists():
        stats = ((int(entry.name), _stat(int(entry.name))) for entry in _PROC.glob("[0-9]*"))
        return {pid: int(fields[1]) for pid, fields in stats if fields is not None}
    lines = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(pid): int(parent) for pid, parent in (line.split() for line in lines.splitlines())}
