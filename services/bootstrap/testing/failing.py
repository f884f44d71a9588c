"""The program with failpoints: `python -m bootstrap.testing.failing serve …`.

ERX_FAILPOINTS names what is armed from the beginning (`after-pending-insert=kill@3`); where ERX_FAILPOINTS_FILE names a
file, SIGUSR1 arms what stands in it then, so that a process need not be started anew for each. The program itself,
`python -m bootstrap`, knows neither variable.
"""

import os
import signal
import sys
from pathlib import Path

from bootstrap.__main__ import main as run
from eventkernel.testing.failing import arm, install

VARIABLE = "ERX_FAILPOINTS"
FILE_VARIABLE = "ERX_FAILPOINTS_FILE"


def main() -> int:
    """Install, arm, run."""
    install()
    arm(os.environ.get(VARIABLE, ""))
    if file := os.environ.get(FILE_VARIABLE):
        signal.signal(signal.SIGUSR1, lambda *_: arm_from(Path(file)))
    return run()


def arm_from(file: Path) -> None:
    """Arm what a file asks for, and say so."""
    text = file.read_text(encoding="ascii")
    arm(text)
    os.write(2, f"armed {text}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
