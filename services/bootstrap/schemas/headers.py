"""The headers of a record on the bus, told once for the catalogue; a test holds them to what the relay writes."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Header:
    """A header: whether every record has it, what it says, and an example."""

    name: str
    always: bool
    says: str
    example: str


HEADERS: Final = (
    Header("content-type", True, "How the value is encoded.", "application/protobuf"),
    Header("ce_specversion", True, "The version of CloudEvents.", "1.0"),
    Header(
        "ce_id",
        True,
        "The event's id; records with an id that you know are repeats.",
        "6f9d8c0a-2f7e-5d0b-9c3e-1c2d3e4f5a6b",
    ),
    Header("ce_type", True, "The full name of the message that the value holds, version included.", ""),
    Header("ce_source", True, "The context that the event belongs to.", ""),
    Header("ce_subject", True, "The aggregate's id.", "8d0b5f2e-64a1-4d0e-8a51-0f3a1f6b7c11"),
    Header("ce_time", True, "When it took effect, RFC 3339.", "2026-03-14T09:26:53.589793Z"),
    Header("ce_sequence", True, "The event's version within its aggregate, from 1 without gaps.", "7"),
    Header("ce_dataschema", True, "The type without its package, a slash and its schema version.", ""),
    Header("es_meta", True, "The envelope as JSON with short keys, for the kernel alone; its form may change.", "{}"),
    Header(
        "traceparent",
        False,
        "The trace that the command belonged to (W3C Trace Context).",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    Header("ce_correlationid", False, "The conversation it belongs to, as the caller named it.", "import-2026-03-14"),
    Header(
        "ce_causationid", False, "The event or command that led to the command.", "b6a3f1d2-5c47-4b0e-9d3f-2a1c0e9f8d77"
    ),
)
"""In the order in which the relay writes them."""

KEY_SAYS: Final = "`tenant/stream`: records of one aggregate share a partition and keep their order."
