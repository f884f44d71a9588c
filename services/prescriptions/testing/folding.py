"""Stored bytes of any generation, folded as every reader folds them; and states as text that people can check."""

import json
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from pydantic import ConfigDict, TypeAdapter

from eventkernel.following import settled
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.events import Event
from prescriptions.domain.state import Prescription
from prescriptions.wire.events import PrescriptionEventCodec

Stored: TypeAlias = tuple[str, int, bytes]
"""An event as stored: type, schema version, bytes."""

_CODEC: Final = PrescriptionEventCodec()
_STATES: Final = TypeAdapter(tuple[Prescription], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))


def read_stream(events: Iterable[Stored]) -> list[Event]:
    """A stream's events as the domain gets them, each with what is known of those before it."""
    found: list[Event] = []
    known = None
    for version, stored in enumerate(events, 1):
        read: Any = _CODEC.read(*stored)
        event, known = settled(read, known, version=version)
        found.append(event)
    return found


def folded(events: Iterable[Stored]) -> Prescription:
    """The state that a stream of these events has."""
    return PRESCRIPTION.fold(read_stream(events))


def state_data(state: Prescription) -> Any:
    """A state as JSON's values, without what is as in a state that nothing was said of."""
    data = json.loads(_STATES.dump_json((state,), exclude_defaults=True))[0]
    if "seen_dispense_ids" in data:
        data["seen_dispense_ids"].sort()
    return data
