"""Events told in the schema version that a reader asked for."""

from typing import Any, get_args
from uuid import UUID

import pytest

from eventkernel.envelope import Actor, EventMeta, Provenance, RecordedEvent
from eventkernel.errors import InvalidCommand
from eventkernel.ids import StreamId
from prescriptions.domain.events import Event
from prescriptions.testing import generations
from prescriptions.testing.folding import folded
from prescriptions.testing.stories import START
from prescriptions.wire.events import MESSAGES, NEWEST, PrescriptionEventCodec, message_class
from prescriptions.wire.query_replies import newest_shape
from prescriptions.wire.shapes import VERSIONS, checked_version, event_in

CODEC = PrescriptionEventCodec()
STREAM = StreamId("default", f"prescription-{UUID(int=1)}")
META = EventMeta(START, START, UUID(int=2), Provenance(Actor("dr-grey", "prescriber")))


def golden_event(golden: Any, name: str, version: int = NEWEST) -> RecordedEvent:
    data = (golden / "events" / f"v{version}" / f"{name}.binpb").read_bytes()
    return RecordedEvent(STREAM, 1, UUID(int=3), name.split(".", maxsplit=1)[0], version, data, META)


def test_every_version_there_was_is_offered_and_no_other() -> None:
    assert sorted({version for _, version in MESSAGES}) == list(VERSIONS)
    assert [checked_version(version, "as") for version in (0, *VERSIONS)] == [0, *VERSIONS]
    with pytest.raises(InvalidCommand, match=f"one of 1, 2, 3.*, not {max(VERSIONS) + 1}"):
        checked_version(max(VERSIONS) + 1, "as")


@pytest.mark.parametrize("name", [kind.__name__ for kind in get_args(Event)])
def test_every_event_can_be_told_in_the_second_version_with_what_is_lost(name: str, golden: Any) -> None:
    shape = event_in(golden_event(golden, name), 2)
    assert shape.payload_type == f"erx.prescriptions.events.v2.{name}"
    assert not shape.cannot_be_expressed
    again = CODEC.decode(shape.event_type, 2, shape.payload)
    told = CODEC.decode(name, NEWEST, golden_event(golden, name).data)
    assert type(again) is type(told)
    assert bool(shape.lost_fields) == (again != told), shape.lost_fields


def test_what_the_second_version_cannot_say_is_named_by_its_path(golden: Any) -> None:
    dispensed = event_in(golden_event(golden, "MedicationDispensed"), 2)
    assert {"fill_number", "refills_remaining", "quantity_dispensed_this_fill"} <= set(dispensed.lost_fields)
    created = event_in(golden_event(golden, "PrescriptionCreated"), 2)
    assert {"content.patient.sealed", "content.nominated.npi"} <= set(created.lost_fields)


def test_half_a_tablet_is_not_told_as_none(golden: Any) -> None:
    shape = event_in(golden_event(golden, "PrescriptionCreated"), 1)
    assert shape.cannot_be_expressed == "the quantity 30.50 is no whole number of 32 bits"
    assert (shape.payload, shape.payload_type) == (b"", "")


def test_an_event_that_the_first_version_did_not_have_is_said_to_be_missing(golden: Any) -> None:
    shape = event_in(golden_event(golden, "PharmacyNominated"), 1)
    assert shape.cannot_be_expressed == "version 1 has no such event"


def test_parts_and_wholes_are_one_event_in_the_first_version(golden: Any) -> None:
    data = next(m for m in generations.twin() if type(m).__name__ == "MedicationPartiallyDispensed")
    event = RecordedEvent(STREAM, 5, UUID(int=3), type(data).__name__, 3, data.SerializeToString(), META)
    shape = event_in(event, 1)
    told: Any = message_class("PrescriptionFilled", 1).FromString(shape.payload)
    assert (shape.event_type, told.partial, told.quantity, told.ndc) == ("PrescriptionFilled", True, 10, "0264751010")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_patients_details_in_clear_are_told_in_no_version(version: int, golden: Any) -> None:
    shape = event_in(golden_event(golden, "PrescriptionCreated", 1), version)
    assert shape.payload
    assert b"Ann" not in shape.payload
    assert b"1961" not in shape.payload


def test_a_sealed_patient_of_an_event_in_an_older_shape_is_told_sealed(golden: Any) -> None:
    sealed: Any = CODEC.decode("PrescriptionCreated", 3, golden_event(golden, "PrescriptionCreated", 3).data)
    wrapped = newest_shape(golden_event(golden, "PrescriptionCreated", 2), sealed)
    told = getattr(wrapped, wrapped.WhichOneof("event") or "")
    assert told.content.patient.sealed.key_id == "patient-1/1"


def test_a_stream_told_in_an_older_version_folds_to_the_same_but_for_what_was_lost() -> None:
    def told(version: int) -> list[tuple[str, int, bytes]]:
        found = []
        for place, message in enumerate(generations.twin(), 1):
            event = RecordedEvent(
                STREAM, place, UUID(int=place), type(message).__name__, 3, message.SerializeToString(), META
            )
            shape = event_in(event, version)
            found.append((shape.event_type, shape.schema_version, shape.payload))
        return found

    today = folded(told(3))
    for version in (1, 2):
        older = folded(told(version))
        assert older.status is today.status
        assert older.fills_done == today.fills_done == 3
        assert [d.quantity.value for d in older.dispenses] == [d.quantity.value for d in today.dispenses]
        assert [d.fill_number for d in older.dispenses] == [d.fill_number for d in today.dispenses]
        assert older.expires_at == today.expires_at
