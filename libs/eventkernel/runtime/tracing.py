"""Following one request through the parts: a line an event at DEBUG, with the trace id that came with the command."""

import logging
from collections.abc import Iterable

from eventkernel.envelope import RecordedEvent

_TRACE = slice(3, 35)
"""Where the trace's id stands in a traceparent of W3C Trace Context."""


def trace_id(traceparent: str) -> str:
    """The id, 32 hex digits; empty where the command was not traced."""
    return traceparent[_TRACE]


def log_events(log: logging.Logger, verb: str, events: Iterable[RecordedEvent]) -> None:
    """Say of each event what happened to it. Facts are in the record's ``extra``; payloads and actors are not among them."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    for event in events:
        origin = event.meta.provenance
        facts = {
            "stream": event.stream.name,
            "tenant": event.stream.tenant,
            "version": event.version,
            "event_id": str(event.event_id),
            "event_type": event.type,
            "trace_id": trace_id(origin.traceparent),
            "correlation_id": origin.correlation_id,
        }
        log.debug("%s %s", verb, event.type, extra={name: value for name, value in facts.items() if value != ""})
