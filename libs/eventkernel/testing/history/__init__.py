"""What clients did and saw, what lies in the stores, and whether the two can be true together.

``Recorder`` writes a history down while it happens, ``collect`` adds what the stores hold in the end, ``History`` saves and
loads it as JSON Lines, and ``check`` judges it. A second judge, which shares no code with this one, reads the same file.
"""

from eventkernel.testing.history.checker import check
from eventkernel.testing.history.collecting import collect
from eventkernel.testing.history.recorder import ReadCall, Recorder, WriteCall
from eventkernel.testing.history.recording_event_store import RecordingEventStore
from eventkernel.testing.history.records import (
    BUSY,
    CONFLICT,
    History,
    JournalEvent,
    Outcome,
    Read,
    TopicRecord,
    Truncation,
    ViewState,
    Write,
)
from eventkernel.testing.history.rules import Rule, Violation

__all__ = [
    "BUSY",
    "CONFLICT",
    "History",
    "JournalEvent",
    "Outcome",
    "Read",
    "ReadCall",
    "Recorder",
    "RecordingEventStore",
    "Rule",
    "TopicRecord",
    "Truncation",
    "ViewState",
    "Violation",
    "Write",
    "WriteCall",
    "check",
    "collect",
]
