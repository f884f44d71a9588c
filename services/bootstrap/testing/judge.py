"""The second judge of a saved history: porcupine (Anish Athalye, MIT), as a Go program beside the tests."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from bootstrap.checkout import ROOT
from eventkernel.testing.history import History, Outcome, Write

SOURCE = ROOT / "tests" / "judge"
BUILD_SECONDS = 600
JUDGE_SECONDS = 600


def whole_commands(history: History) -> History:
    """The same history with the attempts of a command as one call, where the last one says that it took effect or nothing.

    What was tried from the first call to the last answer took effect somewhere in between: nothing that could be told is
    lost, and the search for an order has one call to place where there were hundreds without an answer.
    """
    by_command: dict[str, list[Write]] = {}
    for write in history.writes:
        by_command.setdefault(write.command_id, []).append(write)
    writes: list[Write] = []
    for attempts in by_command.values():
        attempts.sort(key=lambda write: write.called_at)
        *before, last = attempts
        if all(write.outcome is Outcome.UNKNOWN for write in before) and last.outcome is not Outcome.REFUSED:
            writes.append(replace(last, called_at=attempts[0].called_at))
        else:
            writes += attempts
    return replace(history, writes=writes)


def judge(file: Path, scratch: Path) -> list[str] | None:
    """The streams that no order of their calls explains; None where it cannot be built: without Go, or its source."""
    go = shutil.which("go")
    if go is None or not SOURCE.exists():
        return None
    program = scratch / "judge"
    subprocess.run(  # noqa: S603 - Go as found on the path, on our own source
        [go, "build", "-o", str(program), "."], cwd=SOURCE, check=True, capture_output=True, timeout=BUILD_SECONDS
    )
    done = subprocess.run(  # noqa: S603 - built above
        [program, file], capture_output=True, text=True, timeout=JUDGE_SECONDS, check=False
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the judge failed: {done.stderr.strip()[-500:]}")
    return [stream for line in done.stdout.splitlines() for stream in json.loads(line)["not_linearizable"]]
