import logging
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from eventkernel.envelope import Actor, EventMeta, Provenance, RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.runtime.tracing import log_events, trace_id

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
_log = logging.getLogger("test.tracing")


def event(traceparent: str) -> RecordedEvent:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    meta = EventMeta(now, now, uuid4(), Provenance(Actor("a", "prescriber"), traceparent=traceparent))
    return RecordedEvent(StreamId("t1", "order-1"), 2, uuid4(), "OrderPlaced", 1, b"secret", meta)


def test_the_trace_id_is_the_second_part_of_a_traceparent() -> None:
    assert trace_id(f"00-{TRACE_ID}-00f067aa0ba902b7-01") == TRACE_ID
    assert not trace_id("")


def test_a_line_an_event_says_where_it_stands_and_nothing_of_what_it_holds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, _log.name)
    log_events(_log, "applied", [event(f"00-{TRACE_ID}-00f067aa0ba902b7-01"), event("")])
    traced, untraced = caplog.records
    assert traced.getMessage() == "applied OrderPlaced"
    told = {name: traced.__dict__[name] for name in ("trace_id", "stream", "tenant", "version")}
    assert told == {"trace_id": TRACE_ID, "stream": "order-1", "tenant": "t1", "version": 2}
    assert "trace_id" not in untraced.__dict__
    assert "secret" not in str(traced.__dict__)


def test_nothing_is_made_where_nobody_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, _log.name)
    log_events(_log, "applied", [event("")])
    assert not caplog.records
