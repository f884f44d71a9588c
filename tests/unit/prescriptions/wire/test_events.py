from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventkernel.errors import EventUnreadable, UnknownEventType, UnknownSchemaVersion, UpcastFailed
from prescriptions.domain.events import Event, PrescriptionCreated
from prescriptions.domain.values import ClearPatient
from prescriptions.testing.stories import content
from prescriptions.wire.events import MESSAGES, UPCASTERS, PrescriptionEventCodec, message_class, newest_of

CODEC = PrescriptionEventCodec()
EVENTS = get_args(Event)
by_type = pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)


@by_type
def test_every_event_comes_back_equal(kind: Any, values_of: Callable[[Any], st.SearchStrategy[Any]]) -> None:
    @settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
    @given(values_of(kind))
    def comes_back(event: Any) -> None:
        encoded = CODEC.encode(event)
        assert (encoded.type, encoded.schema_version) == (kind.__name__, newest_of(kind.__name__))
        assert CODEC.decode(encoded.type, encoded.schema_version, encoded.data) == event
        assert CODEC.encode(event).data == encoded.data

    comes_back()


@by_type
def test_broken_bytes_are_unreadable_and_nothing_else(kind: Any) -> None:
    @settings(max_examples=40)
    @given(st.binary(max_size=60))
    def is_unreadable(data: bytes) -> None:
        try:
            event = CODEC.decode(kind.__name__, newest_of(kind.__name__), data)
        except UpcastFailed:
            return
        assert type(event) is kind

    is_unreadable()


@by_type
def test_cut_bytes_are_unreadable_and_nothing_else(kind: Any, golden: Path) -> None:
    data = (golden / "events/v3" / f"{kind.__name__}.binpb").read_bytes()
    for length in range(len(data)):
        for broken in (data[:length], data[:length] + b"\xff" + data[length + 1 :]):
            try:
                CODEC.decode(kind.__name__, newest_of(kind.__name__), broken)
            except EventUnreadable:
                continue


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(UnknownEventType) as caught:
        CODEC.decode("PrescriptionTeleported", 3, b"")
    assert caught.value.event_type == "PrescriptionTeleported"


@by_type
def test_a_newer_version_is_named_with_the_newest_known(kind: Any) -> None:
    with pytest.raises(UnknownSchemaVersion) as caught:
        CODEC.decode(kind.__name__, newest_of(kind.__name__) + 1, b"")
    assert (caught.value.version, caught.value.newest) == (newest_of(kind.__name__) + 1, newest_of(kind.__name__))


def test_a_number_that_is_none_is_unreadable() -> None:
    message = message_class("PrescriptionCreated", newest_of("PrescriptionCreated")).FromString(
        CODEC.encode(PrescriptionCreated(content())).data
    )
    quantity: Any = message
    quantity.content.quantity.value.value = "thirty"
    with pytest.raises(UpcastFailed):
        CODEC.decode("PrescriptionCreated", newest_of("PrescriptionCreated"), message.SerializeToString())


def test_patient_details_in_clear_are_never_written() -> None:
    with pytest.raises(ValueError, match="in clear"):
        CODEC.encode(PrescriptionCreated(content(patient_snapshot=ClearPatient("Jane Doe"))))


def test_every_event_has_a_message_a_wire_name_and_a_way_to_the_newest_shape() -> None:
    UPCASTERS.check()
    for kind in EVENTS:
        message = MESSAGES[kind.__name__, newest_of(kind.__name__)]
        assert message.DESCRIPTOR.full_name == CODEC.wire_name(kind.__name__, newest_of(kind.__name__))


@by_type
def test_every_event_has_golden_bytes_that_mean_what_their_json_says(kind: Any, golden: Path) -> None:
    """Stored bytes are added to, never edited: an event that is new gets a new pair of files beside these."""
    folder = golden / "events/v3"
    data = (folder / f"{kind.__name__}.binpb").read_bytes()
    meant = json_format.Parse((folder / f"{kind.__name__}.json").read_text(), message_class(kind.__name__, 3)())
    event = CODEC.decode(kind.__name__, 3, data)
    assert type(event) is kind
    assert event == CODEC.decode(kind.__name__, 3, meant.SerializeToString())
    assert message_class(kind.__name__, 3).FromString(data) == meant


def test_golden_bytes_of_events_that_are_no_more_stay_readable(golden: Path) -> None:
    for path in sorted(golden.glob("events/v*/*.binpb")):
        version = int(path.parent.name.removeprefix("v"))
        assert CODEC.decode(path.name.split(".")[0], version, path.read_bytes()) is not None
