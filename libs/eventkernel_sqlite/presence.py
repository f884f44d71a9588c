"""Whether a member of a group is still there, told by a lock that the system drops when its process ends, however it ends.

Heartbeats tell it too, but only after the session time-out: a process that is started again after a kill would wait that long
for its own former partitions.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Presence:
    """A lock file that this member holds for as long as it lives."""

    def __init__(self, folder: Path, member: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = _lock_path(folder, member)
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def end(self) -> None:
        """Let go of the lock and remove the file."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._file)


def is_present(folder: Path, member: str) -> bool:
    """Whether somebody holds the member's lock; the file of one that is gone is removed."""
    path = _lock_path(folder, member)
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        with suppress(FileNotFoundError):
            path.unlink()
        return False
    finally:
        os.close(file)


def _lock_path(folder: Path, member: str) -> Path:
    return folder / f"{member}.lock"
