"""A small process that outlives the starter just long enough to stop what the starter left running.

It waits at the end of a pipe whose other end only the starter holds. When the starter ends, however it
ends, the pipe closes; the watchdog then takes the stack down. `python -m localstack.watchdog ROOT PID BIRTH`.
"""

import contextlib
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from localstack import processes
from localstack.errors import NotRunning
from localstack.processes import ProcessIdentity

_RELEASED = b"released"
_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Watchdog:
    """The starter's handle."""

    child: subprocess.Popen[bytes]

    def release(self) -> None:
        """Tell it that everything was stopped in order, and wait for its end."""
        assert self.child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # It is gone already, and there is nothing left to tell.
            self.child.stdin.write(_RELEASED)
        self.child.stdin.close()
        self.child.wait(timeout=30)


def start(root: Path) -> Watchdog:
    """Watch over the stack of this folder, which may not be there yet, for as long as the calling process lives."""
    owner = processes.identify(os.getpid())
    import_root = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, (import_root, os.environ.get("PYTHONPATH"))))
    child = subprocess.Popen(
        [sys.executable, "-m", "localstack.watchdog", str(root), str(owner.pid), owner.birth],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
        cwd="/",
        start_new_session=True,
        bufsize=0,
    )
    return Watchdog(child)


def main(arguments: list[str]) -> int:
    """Wait for the owner's end, then take the stack down unless the owner did."""
    root, pid, birth = arguments
    if _released(ProcessIdentity(int(pid), birth)):
        return 0
    from localstack.stack import Stack  # here, because the stack imports this module

    with contextlib.suppress(NotRunning):  # another watchdog, or the owner itself, was faster
        Stack.attach(Path(root)).down()
    return 0


def _released(owner: ProcessIdentity) -> bool:
    """Whether the owner said that all is stopped; False when it ended without a word."""
    while processes.is_alive(owner):
        # Not for ever: a forked child of the owner may hold the pipe open beyond its end.
        readable, _, _ = select.select([0], [], [], _LOOK_SECONDS)
        if readable:
            return os.read(0, len(_RELEASED)) == _RELEASED
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
