"""Bytes: what is written comes back, and equal messages have equal bytes when asked to."""

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from erx.eventlog.v1 import consistency_pb2, envelope_pb2
from erx.prescriptions.events.v3 import dispensing_pb2, event_pb2
from erx.prescriptions.v1 import prescription_pb2

EVENTS = [
    field.message_type for field in event_pb2.PrescriptionEvent.DESCRIPTOR.fields if field.message_type is not None
]
OTHERS = [
    prescription_pb2.Prescription.DESCRIPTOR,
    envelope_pb2.Envelope.DESCRIPTOR,
    consistency_pb2.ConsistencyToken.DESCRIPTOR,
    consistency_pb2.Freshness.DESCRIPTOR,
]


def filled(descriptor: Descriptor) -> Message:
    """A message with every field set to something else than its default; of a oneof, the last member."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        values = [value_of(field, index) for index in range(2 if field.is_repeated else 1)]
        if field.is_repeated:
            getattr(message, field.name).extend(values)
        elif field.message_type is None:
            setattr(message, field.name, values[0])
        else:
            getattr(message, field.name).CopyFrom(values[0])
    return message


def value_of(field: FieldDescriptor, index: int) -> object:
    if field.message_type is not None:
        return filled(field.message_type)
    if field.enum_type is not None:
        return field.enum_type.values[1 + index].number
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            text = f"{field.name} {index} äöü"
            return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        case FieldDescriptor.CPPTYPE_BOOL:
            return True
        case _:
            return field.number + index


@pytest.mark.parametrize("descriptor", EVENTS + OTHERS, ids=lambda descriptor: descriptor.name)
def test_every_field_survives_the_wire(descriptor: Descriptor) -> None:
    message = filled(descriptor)
    again = GetMessageClass(descriptor)()
    again.ParseFromString(message.SerializeToString(deterministic=True))
    assert again == message


@pytest.mark.parametrize("descriptor", EVENTS + OTHERS, ids=lambda descriptor: descriptor.name)
def test_equal_messages_have_equal_bytes(descriptor: Descriptor) -> None:
    first = filled(descriptor).SerializeToString(deterministic=True)
    again = GetMessageClass(descriptor)()
    again.ParseFromString(first)
    assert first
    assert again.SerializeToString(deterministic=True) == first


def test_the_first_fill_and_an_unknown_fill_differ_on_the_wire() -> None:
    first = dispensing_pb2.MedicationDispensed(fill_number=0)
    unknown = dispensing_pb2.MedicationDispensed()
    assert first.SerializeToString(deterministic=True) != unknown.SerializeToString(deterministic=True)
    assert dispensing_pb2.MedicationDispensed.FromString(first.SerializeToString()).HasField("fill_number")
    assert not dispensing_pb2.MedicationDispensed.FromString(unknown.SerializeToString()).HasField("fill_number")


def test_bytes_of_a_later_release_are_kept_by_a_reader_that_does_not_know_them() -> None:
    later = dispensing_pb2.DispenseReversed(dispense_id="d").SerializeToString() + bytes((0xFA, 0x3F, 1)) + b"x"
    assert dispensing_pb2.DispenseReversed.FromString(later).SerializeToString() == later
