"""What is told of an event that failed: kind and places, and nothing that the event says."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from eventkernel.envelope import Actor, EventMeta, Provenance, RecordedEvent, from_micros
from eventkernel.ids import StreamId
from eventkernel.runtime.failures import told

EVENT = RecordedEvent(
    StreamId("north", "counter-1"),
    7,
    UUID(int=1),
    "Added",
    2,
    b"Jane Doe",
    EventMeta(from_micros(0), from_micros(0), UUID(int=2), Provenance(Actor("a", "b"))),
)


def failing(event: Any) -> None:
    raise ValueError(f"cannot do with {event.data!r}")


def test_the_kind_the_event_and_the_line_are_told_and_no_value() -> None:
    with pytest.raises(ValueError, match="Jane") as failed:
        failing(EVENT)
    said = told(failed.value, EVENT)
    line = failing.__code__.co_firstlineno + 1
    assert said == (
        f"ValueError at Added (schema version 2), counter-1 version 7, raised in failing, test_failures.py line {line}"
    )


def test_an_error_that_was_never_raised_has_no_line() -> None:
    said = told(KeyError("Jane"), replace(EVENT, version=8))
    assert said == "KeyError at Added (schema version 2), counter-1 version 8"
