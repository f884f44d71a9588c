"""Stored bytes of any generation, folded as every reader folds them; and states as text that people can check."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from google.type.date_pb2 import Date
from pydantic import ConfigDict, TypeAdapter

from erx.prescriptions.events.v3 import lifecycle_pb2
from eventkernel.following import settled
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.events import Event, PrescriptionCreated
from prescriptions.domain.state import Prescription
from prescriptions.domain.values import ClearPatient
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


def as_today(events: Iterable[Stored]) -> list[Stored]:
    """The events as today's version writes them, with patients' details in clear where they were: for comparisons alone."""
    found = []
    for event in read_stream(events):
        match event:
            case PrescriptionCreated(content) if isinstance(content.patient_snapshot, ClearPatient):
                clear = content.patient_snapshot
                plain = _CODEC.encode(replace(event, content=replace(content, patient_snapshot=None)))
                message = lifecycle_pb2.PrescriptionCreated.FromString(plain.data)
                told = message.content.patient.clear
                told.name, told.birth_date_text = clear.name, clear.birth_date_text
                if clear.birth_date is not None:
                    born = clear.birth_date
                    told.birth_date.CopyFrom(Date(year=born.year, month=born.month, day=born.day))
                found.append((plain.type, plain.schema_version, message.SerializeToString(deterministic=True)))
            case _:
                encoded = _CODEC.encode(event)
                found.append((encoded.type, encoded.schema_version, encoded.data))
    return found
