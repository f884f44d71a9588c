"""An event in the schema version that its reader asked for, and what that version could not say."""

from typing import Final

from erx.eventlog.v1 import envelope_pb2
from eventkernel.downcasting import CannotBeExpressed
from eventkernel.envelope import RecordedEvent
from eventkernel.errors import InvalidCommand
from eventkernel.upcasting import Shape
from prescriptions.domain.events import Event
from prescriptions.wire.downcasters import DOWNCASTERS
from prescriptions.wire.events import UPCASTERS, PrescriptionEventCodec, newest_of
from prescriptions.wire.query_replies import newest_shape

VERSIONS: Final = tuple(sorted({*UPCASTERS.newest.values(), *DOWNCASTERS.offered}))
"""The schema versions that may be asked for."""

_CODEC: Final = PrescriptionEventCodec()


def checked_version(version: int, field: str) -> int:
    """The version that was asked for, 0 for none in particular; raises ``InvalidCommand`` for one that is not offered."""
    if version and version not in VERSIONS:
        raise InvalidCommand(field, f"one of {', '.join(map(str, VERSIONS))}, not {version}")
    return version


def event_in(event: RecordedEvent, version: int, meant: Event | None = None) -> envelope_pb2.EventShape:
    """The event as this version says it, without a patient's details in clear; or that it cannot say it.

    ``meant``: what one in an older shape means in its stream, where that is known. Raises ``EventUnreadable``.
    """
    wrapped = newest_shape(event, meant)
    payload = getattr(wrapped, wrapped.WhichOneof("event") or "")
    name = payload.DESCRIPTOR.name
    newest = Shape(name, newest_of(name), payload)
    try:
        lowered = DOWNCASTERS.downcast(newest, version)
    except CannotBeExpressed as error:
        return envelope_pb2.EventShape(event_type=newest.type, schema_version=version, cannot_be_expressed=error.why)
    shape = lowered.shape
    return envelope_pb2.EventShape(
        event_type=shape.type,
        schema_version=shape.version,
        payload=shape.payload.SerializeToString(deterministic=True),
        payload_type=_CODEC.wire_name(shape.type, shape.version),
        lost_fields=lowered.lost,
    )
