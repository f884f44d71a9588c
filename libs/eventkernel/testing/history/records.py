"""A history: calls of clients with their times and outcomes, and what the journal, the topic and the views held.

As a file it is JSON Lines, one fact a line in any order, so that the files of several processes are one history when they
are read together. A call is two lines, ``called`` and ``returned``: of a client that was killed the first one is there.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Outcome(StrEnum):
    """What a client was told: it took effect, it did not and never will, or nothing that could be relied on."""

    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


CONFLICT = "conflict"
"""The reason of a refusal that says: the stream is not at the version you expected."""
BUSY = "busy"
"""The reason of a refusal that says nothing about the command: the server had no room, and looked nothing up."""


@dataclass(frozen=True, slots=True)
class Write:
    """One attempt to store one event; a retry is another one with the same command id.

    Times are of one clock for all clients (``time.monotonic_ns`` for processes of one machine). ``returned_at`` None: the
    client never heard anything, and the outcome is unknown. ``version``: of the event, where the outcome is ok.
    ``expected``: the version that the client said the stream must be at, where it said so.
    """

    operation: str
    client: str
    stream: str
    command_id: str
    event_id: str
    called_at: int
    returned_at: int | None
    outcome: Outcome
    version: int = 0
    expected: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """One read of a stream that was answered: the stream is at ``version``, and these were its last events.

    ``at_least`` None: the read owes everything acknowledged before its call. A number: it owes that version and no more.
    """

    operation: str
    client: str
    stream: str
    called_at: int
    returned_at: int
    version: int
    event_ids: tuple[str, ...] = ()
    at_least: int | None = None


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """An event as the journal has it in the end."""

    stream: str
    version: int
    event_id: str
    command_id: str


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """A record as it lies on the topic, or lay there when it was seen."""

    partition: int
    offset: int
    stream: str
    version: int
    event_id: str


@dataclass(frozen=True, slots=True)
class Truncation:
    """Records of this partition were removed on purpose: order of first occurrences cannot be asked of it any more."""

    partition: int


@dataclass(frozen=True, slots=True)
class ViewState:
    """What a view holds of one stream, and what the pure fold of the journal up to that version gives, both as text.

    ``stream`` empty: rows that several streams share, one state for all of them.
    """

    view: str
    stream: str
    version: int
    event_id: str
    rows: str
    folded: str


@dataclass(slots=True)
class History:
    """Everything that was recorded. Writes and reads are in the order of their calls once loaded."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    journal: list[JournalEvent] = field(default_factory=list)
    topic: list[TopicRecord] = field(default_factory=list)
    truncations: list[Truncation] = field(default_factory=list)
    views: list[ViewState] = field(default_factory=list)

    def save(self, file: Path) -> None:
        """Write all of it to one file."""
        with file.open("w", encoding="utf-8") as lines:
            for fact in self.facts():
                lines.write(as_line(fact))

    @classmethod
    def load(cls, *files: Path) -> "History":
        """Read files back, as one history. A last line that was cut off with its writer is left out."""
        return cls.of(
            json.loads(line)
            for file in files
            for line in file.read_text(encoding="utf-8").splitlines(keepends=True)
            if line.endswith("\n")
        )

    @classmethod
    def of(cls, facts: Iterable[Mapping[str, Any]]) -> "History":
        """Make a history of facts as they stand in a file, each call before its answer."""
        history = cls()
        called: dict[str, dict[str, Any]] = {}
        for fact in facts:
            history._take(dict(fact), called)
        for call in called.values():
            history._unanswered(call)
        history.writes.sort(key=lambda write: write.called_at)
        history.reads.sort(key=lambda read: read.called_at)
        return history

    def facts(self) -> Iterator[dict[str, Any]]:
        """One by one, as they stand in a file."""
        for write in self.writes:
            yield called_write(write)
            if write.returned_at is not None:
                yield returned(
                    write.operation, write.returned_at, write.outcome, version=write.version, reason=write.reason
                )
        for read in self.reads:
            yield called_read(read.operation, read.client, read.stream, read.called_at, read.at_least)
            yield returned(read.operation, read.returned_at, Outcome.OK, version=read.version, event_ids=read.event_ids)
        for kind, some in _STATES.items():
            for state in getattr(self, some[0]):
                yield {"kind": kind, **asdict(state)}

    def _take(self, fact: dict[str, Any], called: dict[str, dict[str, Any]]) -> None:
        kind = fact.pop("kind")
        if kind in ("write", "read"):
            called[fact["operation"]] = {"kind": kind, **fact}
        elif kind == "returned":
            self._answered(called.pop(fact["operation"]), fact)
        else:
            name, made = _STATES[kind]
            getattr(self, name).append(made(**fact))

    def _answered(self, call: dict[str, Any], answer: Mapping[str, Any]) -> None:
        kind, version = call.pop("kind"), answer["version"]
        if kind == "write":
            outcome, reason = Outcome(answer["outcome"]), answer["reason"]
            self.writes.append(Write(**call, returned_at=answer["at"], outcome=outcome, version=version, reason=reason))
        elif answer["outcome"] == Outcome.OK:
            self.reads.append(
                Read(**call, returned_at=answer["at"], version=version, event_ids=tuple(answer["event_ids"]))
            )

    def _unanswered(self, call: dict[str, Any]) -> None:
        """A read without an answer says nothing; a write may have taken effect."""
        if call.pop("kind") == "write":
            self.writes.append(Write(**call, returned_at=None, outcome=Outcome.UNKNOWN))


_STATES: dict[str, tuple[str, Any]] = {
    "journal": ("journal", JournalEvent),
    "topic": ("topic", TopicRecord),
    "truncation": ("truncations", Truncation),
    "view": ("views", ViewState),
}


def as_line(fact: Mapping[str, Any]) -> str:
    """One line of the file."""
    return json.dumps(fact, separators=(",", ":")) + "\n"


def called_write(write: Write) -> dict[str, Any]:
    """The line of a write's call."""
    names = ("operation", "client", "stream", "command_id", "event_id", "called_at", "expected")
    return {"kind": "write", **{name: getattr(write, name) for name in names}}


def called_read(operation: str, client: str, stream: str, called_at: int, at_least: int | None) -> dict[str, Any]:
    """The line of a read's call."""
    return {
        "kind": "read",
        "operation": operation,
        "client": client,
        "stream": stream,
        "called_at": called_at,
        "at_least": at_least,
    }


def returned(
    operation: str, at: int, outcome: Outcome, *, version: int = 0, reason: str = "", event_ids: Iterable[str] = ()
) -> dict[str, Any]:
    """The line of an answer."""
    return {
        "kind": "returned",
        "operation": operation,
        "at": at,
        "outcome": outcome.value,
        "version": version,
        "reason": reason,
        "event_ids": list(event_ids),
    }
