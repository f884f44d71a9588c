"""A small process that outlives the starter just long enough to stop what the starter left running.

It waits at the end of a pipe whose other end only the starter holds. When the starter ends, however it
ends, the pipe closes; the watchdog then takes the stack down. `python -m localstack.standby ROOT PID BIRTH`.
"""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from localstack import processes

RELEASED = b"released"


@dataclass(frozen=True, slots=True)
class Watchdog:
    """The starter's handle."""

    child: subprocess.Popen[bytes]

    def release(self) -> None:
        """Tell it that everything was stopped in order, and wait for its end."""
        assert self.child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # It is gone already, and there is nothing left to tell.
            self.child.stdin.write(RELEASED)
        self.child.stdin.close()
        self.child.wait(timeout=30)


def start(root: Path) -> Watchdog:
    """Watch over the stack of this folder, which may not be there yet, for as long as the calling process lives."""
    owner = processes.identify(os.getpid())
    import_root = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, (import_root, os.environ.get("PYTHONPATH"))))
    child = subprocess.Popen(
        [sys.executable, "-m", "localstack.standby", str(root), str(owner.pid), owner.birth],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
        cwd="/",
        start_new_session=True,
        bufsize=0,
    )
    return Watchdog(child)
