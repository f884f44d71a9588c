"""A sound history with a bit of everything in it, and one broken history for each rule, by one small change."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from eventkernel.testing.history.records import (
    CONFLICT,
    History,
    JournalEvent,
    Outcome,
    Read,
    TopicRecord,
    ViewState,
    Write,
)
from eventkernel.testing.history.rules import Rule

STREAM = "default/counter-1"
LONE = "default/counter-2"
TIMES = 100
T = TypeVar("T")


def write(
    name: str,
    at: int,
    version: int = 0,
    *,
    outcome: Outcome = Outcome.OK,
    attempt: int = 1,
    took: int = 10,
    expected: int | None = None,
    reason: str = "",
    stream: str = STREAM,
) -> Write:
    """An attempt at the command of this name, called at a time."""
    return Write(
        f"{name}-{attempt}", "a", stream, f"c-{name}", f"e-{name}", at, at + took, outcome, version, expected, reason
    )


def read(at: int, names: Sequence[str], *, took: int = 10, at_least: int | None = None) -> Read:
    """A read that showed the events of these names."""
    return Read(f"read-{at}", "b", STREAM, at, at + took, len(names), tuple(f"e-{name}" for name in names), at_least)


def sound() -> History:
    """Acknowledged, refused, unknown with and without effect, a retry, a conflict, overlapping calls, reads, repeats."""
    names = ("one", "two", "three", "four")
    history = History(
        writes=[
            write("one", 100, 1),
            write("two", 200, outcome=Outcome.UNKNOWN),
            replace(write("lost", 205, outcome=Outcome.UNKNOWN), returned_at=None),
            write("two", 220, 2, attempt=2),
            write("three", 300, 3, expected=2, took=50),
            write("late", 305, outcome=Outcome.REFUSED, expected=2, reason=CONFLICT, took=50),
            write("never", 400, outcome=Outcome.REFUSED, reason="CLOSED"),
            write("four", 410, outcome=Outcome.UNKNOWN),
            write("one", 450, 1, attempt=2),
            write("lone", 100, 1, stream=LONE),
        ],
        reads=[
            read(105, ()),
            read(150, names[:1]),
            read(205, names[:2]),
            read(320, names[:2]),
            read(325, names[:3]),
            read(500, names),
            read(510, names[:1], at_least=1),
        ],
    )
    for stream, those in ((STREAM, names), (LONE, ("lone",))):
        for version, name in enumerate(those, 1):
            history.journal.append(JournalEvent(stream, version, f"e-{name}", f"c-{name}"))
            history.topic.append(TopicRecord(0, len(history.topic), stream, version, f"e-{name}"))
        history.views.append(ViewState("view", stream, len(those), f"e-{those[-1]}", "[1]", "[1]"))
    history.topic.append(TopicRecord(0, 90, STREAM, 4, "e-four"))
    history.views.append(ViewState("sums of default", "", 0, "", "[5]", "[5]"))
    return history


def broken() -> Iterator[tuple[Rule, int, History]]:
    """A rule, the version that its breach must name, and a history that is sound but for that."""
    for rule, version, change in _BROKEN:
        history = sound()
        change(history)
        yield rule, version, history


def _put(some: list[T], place: int, **fields: object) -> None:
    some[place] = replace(some[place], **fields)  # type: ignore[type-var] # every fact is a dataclass


def _lose_the_last(history: History) -> None:
    """A journal that lost its end, and topic and views with it: only the client knows."""
    history.writes.append(write("five", 600, 5))


def _twice(history: History) -> None:
    history.journal.append(JournalEvent(STREAM, 5, "e-two", "c-two"))
    history.topic.append(TopicRecord(0, 91, STREAM, 5, "e-two"))
    _put(history.views, 0, version=5, event_id="e-two")
    del history.reads[5]


def _invented(history: History) -> None:
    history.journal.append(JournalEvent(STREAM, 5, "e-x", "c-x"))
    history.topic.append(TopicRecord(0, 91, STREAM, 5, "e-x"))
    _put(history.views, 0, version=5, event_id="e-x")


def _refused_after_all(history: History) -> None:
    _put(history.writes, 7, outcome=Outcome.REFUSED)


def _lose_a_record(history: History) -> None:
    del history.topic[2]


def _hole(history: History) -> None:
    _put(history.journal, 3, version=5)
    history.topic[:] = [record for record in history.topic if record.version < 4 or record.stream != STREAM]
    _put(history.views, 0, version=3, event_id="e-three")
    del history.reads[5]


_BROKEN: tuple[tuple[Rule, int, Callable[[History], None]], ...] = (
    (Rule.ACKNOWLEDGED_IS_PRESENT, 5, _lose_the_last),
    (Rule.REFUSED_IS_NOWHERE, 4, _refused_after_all),
    (Rule.EFFECT_ONCE, 5, _twice),
    (Rule.NOTHING_INVENTED, 5, _invented),
    (Rule.JOURNAL_WITHOUT_GAP, 4, _hole),
    (Rule.EXPECTED_VERSION_HELD, 3, lambda h: _put(h.writes, 4, expected=1)),
    (Rule.SAME_REPLY, 1, lambda h: _put(h.writes, 8, version=2)),
    (Rule.RETRY_IS_ANSWERED, 1, lambda h: _put(h.writes, 8, outcome=Outcome.REFUSED, reason="CLOSED", version=0)),
    (Rule.CONFLICT_HAS_CAUSE, 2, lambda h: _put(h.writes, 5, called_at=250, returned_at=290)),
    (Rule.REAL_TIME_ORDER, 3, lambda h: _put(h.writes, 4, called_at=150, returned_at=190)),
    (Rule.READ_IS_PREFIX, 3, lambda h: _put(h.reads, 4, event_ids=("e-one", "e-three", "e-two"))),
    (Rule.READ_NOT_BEHIND, 1, lambda h: _put(h.reads, 3, version=1, event_ids=("e-one",), called_at=240)),
    (Rule.READ_NOT_BEHIND, 1, lambda h: _put(h.reads, 6, at_least=2)),
    (Rule.READ_NOT_AHEAD, 2, lambda h: _put(h.reads, 1, version=2, event_ids=("e-one", "e-two"))),
    (Rule.READS_GO_FORWARD, 2, lambda h: _put(h.reads, 3, called_at=340, returned_at=345)),
    (Rule.TOPIC_IS_JOURNAL, 2, lambda h: _put(h.topic, 1, event_id="e-lost")),
    (Rule.TOPIC_IN_ORDER, 3, lambda h: _put(h.topic, 1, offset=89)),
    (Rule.TOPIC_COMPLETE, 3, _lose_a_record),
    (Rule.ONE_PARTITION, 4, lambda h: _put(h.topic, 5, partition=1)),
    (Rule.VIEW_IS_JOURNAL, 4, lambda h: _put(h.views, 0, event_id="e-lost")),
    (Rule.VIEW_IS_FOLD, 1, lambda h: _put(h.views, 1, rows="[2]")),
    (Rule.VIEW_IS_FOLD, 0, lambda h: _put(h.views, 2, rows="[6]")),
    (Rule.VIEW_COMPLETE, 3, lambda h: _put(h.views, 0, version=3, event_id="e-three")),
)

BY_TIMES = frozenset(
    {
        Rule.ACKNOWLEDGED_IS_PRESENT,
        Rule.REFUSED_IS_NOWHERE,
        Rule.EXPECTED_VERSION_HELD,
        Rule.SAME_REPLY,
        Rule.RETRY_IS_ANSWERED,
        Rule.CONFLICT_HAS_CAUSE,
        Rule.REAL_TIME_ORDER,
        Rule.READ_IS_PREFIX,
        Rule.READ_NOT_BEHIND,
        Rule.READ_NOT_AHEAD,
        Rule.READS_GO_FORWARD,
    }
)
"""Rules about calls and the journal alone: what a judge of linearizability sees as well."""
