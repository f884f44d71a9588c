"""Writing a history down while it happens: the call before it is made, the answer as soon as it is there."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4

from eventkernel.ids import StreamId, event_id_of
from eventkernel.testing.history.records import (
    CONFLICT,
    History,
    Outcome,
    Write,
    as_line,
    called_read,
    called_write,
    returned,
)


class Recorder:
    """Keeps facts in memory, and in a file where one is named; lines are flushed, so that a killed client's calls stay.

    ``now`` gives integers of one clock for all recorders of a history: by default the machine's monotonic clock.
    """

    def __init__(self, file: Path | None = None, *, now: Callable[[], int] = time.monotonic_ns) -> None:
        self.now = now
        self._facts: list[dict[str, Any]] = []
        self._file: IO[str] | None = file.open("a", encoding="utf-8") if file else None
        # Histories of several recorders are loaded together, of processes and recorders that are gone as well.
        name = uuid4()
        self._names = (f"{name}-{number}" for number in count())

    def write(
        self,
        stream: StreamId,
        command_id: UUID,
        *,
        client: str = "",
        event_id: UUID | None = None,
        expected: int | None = None,
    ) -> "WriteCall":
        """A client is about to send a command. Name the event where it is not the one that follows from the command."""
        operation = next(self._names)
        event = event_id or event_id_of(stream, command_id)
        call = Write(
            operation, client, stream.key, str(command_id), str(event), self.now(), None, Outcome.UNKNOWN, 0, expected
        )
        self.keep(called_write(call))
        return WriteCall(self, operation)

    def read(self, stream: StreamId, *, client: str = "", at_least: int | None = None) -> "ReadCall":
        """A client is about to read a stream."""
        operation = next(self._names)
        self.keep(called_read(operation, client, stream.key, self.now(), at_least))
        return ReadCall(self, operation)

    def keep(self, fact: dict[str, Any]) -> None:
        """Keep one fact."""
        if self._file is None:
            self._facts.append(fact)
        else:
            self._file.write(as_line(fact))
            self._file.flush()

    def history(self) -> History:
        """What was kept in memory, so far."""
        return History.of(self._facts)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


@dataclass(frozen=True, slots=True)
class WriteCall:
    """A command under way; say once what came of it. Nothing said: unknown."""

    recorder: Recorder
    operation: str

    def ok(self, version: int) -> None:
        """Acknowledged: the event is there under this version."""
        self._returned(Outcome.OK, version=version)

    def refused(self, reason: str = "") -> None:
        """It took no effect, and never will."""
        self._returned(Outcome.REFUSED, reason=reason)

    def conflict(self) -> None:
        """Refused, because the stream was not at the expected version."""
        self._returned(Outcome.REFUSED, reason=CONFLICT)

    def unknown(self, cause: str = "") -> None:
        """It may have taken effect, or may yet."""
        self._returned(Outcome.UNKNOWN, reason=cause)

    def _returned(self, outcome: Outcome, *, version: int = 0, reason: str = "") -> None:
        self.recorder.keep(returned(self.operation, self.recorder.now(), outcome, version=version, reason=reason))


@dataclass(frozen=True, slots=True)
class ReadCall:
    """A read under way. Nothing said: it failed."""

    recorder: Recorder
    operation: str

    def saw(self, version: int, event_ids: Iterable[UUID | str] = ()) -> None:
        """The stream is at this version, and these are its last events up to it, as many as the client was shown."""
        ids = [str(one) for one in event_ids]
        self.recorder.keep(returned(self.operation, self.recorder.now(), Outcome.OK, version=version, event_ids=ids))
