"""What webhooks tell of prescriptions: event and envelope as JSON, without patients' details, and what may be filtered by."""

import json
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from erx.prescriptions.events.v3 import event_pb2
from eventkernel.envelope import RecordedEvent
from eventkernel.view import ColumnType
from prescriptions.streams import CONTEXT
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW
from prescriptions.wire.events import message_class
from prescriptions.wire.query_replies import history_entry_to
from prescriptions.wire.shapes import event_in

_HIDDEN: Final = frozenset({"search_text", "medication_codes"})

COLUMNS: Final = frozenset(
    column.name for column in PRESCRIPTION_VIEW.columns if column.type is ColumnType.TEXT and column.name not in _HIDDEN
)
"""The columns of ``prescription_view`` that conditions may name."""

TYPES: Final = frozenset(
    field.message_type.name for field in event_pb2.PrescriptionEvent.DESCRIPTOR.fields if field.message_type is not None
)
"""The events that subscriptions may name."""


def webhook_body(event: RecordedEvent) -> bytes:
    """``type``, ``timestamp`` and ``data`` (Standard Webhooks, "Payload structure"); the same bytes every time.

    The event is in its newest shape; names of patients, which old shapes may hold in clear, are left out, and so are the bytes
    as stored. Raises ``EventUnreadable``.
    """
    return _body(event, _told(event))


def webhook_body_in(event: RecordedEvent, version: int) -> bytes:
    """The same for a subscription that asked for a schema version: ``data`` has the event as that version says it, and with it
    ``lost_fields``, or ``cannot_be_expressed``.
    """
    data = _told(event)
    del data["event"]
    shape = event_in(event, version)
    told: dict[str, Any] = {"event_type": shape.event_type, "schema_version": shape.schema_version}
    if shape.cannot_be_expressed:
        told["cannot_be_expressed"] = shape.cannot_be_expressed
    else:
        message = message_class(shape.event_type, version).FromString(shape.payload)
        told["event"] = MessageToDict(message, preserving_proto_field_name=True)
        told["payload_type"], told["lost_fields"] = shape.payload_type, list(shape.lost_fields)
    return _body(event, {**data, "shape": told})


def _told(event: RecordedEvent) -> dict[str, Any]:
    entry = history_entry_to(event, CONTEXT)
    entry.envelope.ClearField("payload")
    entry.envelope.ClearField("payload_type")
    data: dict[str, Any] = MessageToDict(entry, preserving_proto_field_name=True)
    return data


def _body(event: RecordedEvent, data: dict[str, Any]) -> bytes:
    made = {"type": event.type, "timestamp": data["envelope"]["occurred_at"], "data": data}
    return json.dumps(made, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
