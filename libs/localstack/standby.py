"""What the watchdog's process does: wait for the starter's end, then take down what it left running.

`python -m localstack.standby ROOT PID BIRTH`.
"""

import contextlib
import os
import select
import sys
from pathlib import Path

from localstack import processes
from localstack.errors import NotRunning
from localstack.processes import ProcessIdentity
from localstack.stack import Stack
from localstack.watchdog import RELEASED

_LOOK_SECONDS = 2.0


def main(arguments: list[str]) -> int:
    """Wait for the owner's end, then take the stack down unless the owner did."""
    root, pid, birth = arguments
    if _released(ProcessIdentity(int(pid), birth)):
        return 0
    with contextlib.suppress(NotRunning):  # another watchdog, or the owner itself, was faster
        Stack.attach(Path(root)).down()
    return 0


def _released(owner: ProcessIdentity) -> bool:
    """Whether the owner said that all is stopped; False when it ended without a word."""
    while processes.is_alive(owner):
        # Not for ever: a forked child of the owner may hold the pipe open beyond its end.
        readable, _, _ = select.select([0], [], [], _LOOK_SECONDS)
        if readable:
            return os.read(0, len(RELEASED)) == RELEASED
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
