"""What each change of a contract costs its readers and writers; each claim about bytes is tried on bytes."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from bootstrap.schemas.described import describe
from bootstrap.schemas.diff import Ability, Change, Difference, compare
from bootstrap.schemas.images import RELEASED, built_in, read_image
from prescriptions.domain.events import Event

TYPES = {name.removeprefix("TYPE_").lower(): number for name, number in FieldDescriptorProto.Type.items()}
BOTH = {Ability.BACKWARD, Ability.FORWARD}


def image(*fields: str, reserved: int = 0, enum: tuple[str, ...] = ()) -> FileDescriptorSet:
    """A message ``t.M`` of fields such as ``optional int32 a = 1 in choice``, and an enum ``t.E``."""
    message = DescriptorProto(name="M")
    if reserved:
        message.reserved_range.add(start=reserved, end=reserved + 1)
    for text in fields:
        words = text.split()
        label = words.pop(0) if words[0] in ("optional", "repeated") else ""
        kind, name, _, number, *choice = words
        field = message.field.add(name=name, number=int(number), label=FieldDescriptorProto.LABEL_OPTIONAL)
        field.type = TYPES.get(kind, FieldDescriptorProto.TYPE_MESSAGE)
        if kind not in TYPES:
            field.type_name = f".t.{kind}"
        if label == "repeated":
            field.label = FieldDescriptorProto.LABEL_REPEATED
        if choice:
            if not message.oneof_decl:
                message.oneof_decl.add(name=choice[1])
            field.oneof_index = 0
    for place, text in enumerate(fields):
        if text.startswith("optional"):
            message.field[place].proto3_optional = True
            message.field[place].oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{message.field[place].name}")
    file = FileDescriptorProto(name="t.proto", package="t", syntax="proto3", message_type=[message])
    file.message_type.add(name="N")
    if enum:
        kinds = file.enum_type.add(name="E")
        for value, called in enumerate(enum):
            if called:
                kinds.value.add(name=called, number=value)
    return FileDescriptorSet(file=[file])


def between(old: FileDescriptorSet, new: FileDescriptorSet) -> Difference:
    return compare(describe(old), describe(new))


def only(old: FileDescriptorSet, new: FileDescriptorSet) -> Change:
    (change,) = between(old, new).changes
    return change


def lost(change: Change) -> set[Ability]:
    return {ability for ability, _ in change.lost}


def message_of(image: FileDescriptorSet) -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(image.file[0])
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.M"))


def test_nothing_changed_is_full_and_says_nothing() -> None:
    assert between(image("string a = 1"), image("string a = 1")) == Difference(())
    assert Difference(()).keeps == "full"


CASES = {
    "a field added costs nobody anything": ([], ["optional int32 b = 2"], set()),
    "a field without presence is told, because its default says nothing": ([], ["int32 b = 2"], set()),
    "a field removed": (["string b = 2"], [], BOTH),
    "a field renamed": (["string b = 2"], ["string c = 2"], {Ability.JSON}),
    "a type of another form": (["string b = 2"], ["int32 b = 2"], BOTH),
    "a wider number": (["int32 b = 2"], ["int64 b = 2"], {Ability.FORWARD}),
    "a narrower number": (["int64 b = 2"], ["int32 b = 2"], {Ability.BACKWARD}),
    "texts as bytes": (["string b = 2"], ["bytes b = 2"], {Ability.FORWARD}),
    "bytes as texts": (["bytes b = 2"], ["string b = 2"], {Ability.BACKWARD}),
    "a signed number as an unsigned one": (["int32 b = 2"], ["uint32 b = 2"], BOTH),
    "zigzag instead of plain": (["int32 b = 2"], ["sint32 b = 2"], BOTH),
    "one message for another": (["N b = 2"], ["M b = 2"], BOTH),
    "many for one, packed": (["int32 b = 2"], ["repeated int32 b = 2"], {Ability.FORWARD}),
    "many texts for one": (["string b = 2"], ["repeated string b = 2"], {Ability.FORWARD}),
    "one for many": (["repeated string b = 2"], ["string b = 2"], BOTH),
    "presence given up": (["optional int32 b = 2"], ["int32 b = 2"], BOTH),
    "presence gained": (["int32 b = 2"], ["optional int32 b = 2"], {Ability.BACKWARD}),
    "into a choice": (
        ["string b = 2", "string c = 3 in x"],
        ["string b = 2 in x", "string c = 3 in x"],
        {Ability.BACKWARD},
    ),
    "out of a choice": (
        ["string b = 2 in x", "string c = 3 in x"],
        ["string b = 2", "string c = 3 in x"],
        {Ability.FORWARD},
    ),
    "one more to choose": (["string b = 2 in x"], ["string b = 2 in x", "string c = 3 in x"], {Ability.FORWARD}),
}


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES.keys())
def test_a_change_costs(old: list[str], new: list[str], expected: set[Ability]) -> None:
    change = only(image("string a = 1", *old), image("string a = 1", *new))
    assert lost(change) == expected
    assert change.element.startswith("t.M.")


def test_another_version_of_an_event_is_not_known_to_old_readers_and_what_it_holds_costs_nothing_more() -> None:
    """Not even where no field changed: programs of the old set refuse its name."""
    now = describe(built_in(), prefix="erx.prescriptions.")
    earlier = {name: shape for name, shape in now.messages.items() if ".events.v3." not in name}
    found = compare(replace(now, messages=earlier), now)
    assert found.keeps == "backward"
    events = {f"erx.prescriptions.events.v3.{kind.__name__}" for kind in get_args(Event)}
    assert {change.element for change in found.losing(Ability.FORWARD)} == events
    harmless = {change.element.rpartition(".")[2] for change in found.changes} - {
        name.rpartition(".")[2] for name in events
    }
    assert harmless == {"PrescriptionContent", "PrescriptionEvent"}


def test_a_number_that_is_not_reserved_is_told_as_a_danger() -> None:
    assert "2 is not reserved" in only(image("string b = 2"), image()).lost[0][1]
    assert "reserved" not in only(image("string b = 2"), image(reserved=2)).lost[0][1]


def test_a_reserved_number_taken_again_breaks_old_bytes() -> None:
    assert lost(only(image(reserved=2), image("string b = 2", reserved=0))) == {Ability.BACKWARD}


def test_enums_tell_numbers_without_a_name_to_whoever_meets_them() -> None:
    added = only(image(enum=("A", "B")), image(enum=("A", "B", "C")))
    assert (added.element, lost(added)) == ("t.E.C", {Ability.FORWARD})
    removed = only(image(enum=("A", "B")), image(enum=("A", "")))
    assert (removed.element, lost(removed)) == ("t.E.B", BOTH)
    assert lost(only(image(enum=("A", "B")), image(enum=("A", "X")))) == {Ability.JSON}


def test_the_whole_keeps_what_every_change_keeps() -> None:
    difference = between(image("int32 a = 1", "int64 b = 2"), image("int64 a = 1", "int32 b = 2"))
    assert [change.keeps for change in difference.changes] == ["backward", "forward"]
    assert difference.keeps == "none"


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("int64", "int32", 2**40),
        ("bytes", "string", b"\xff"),
        ("int32", "uint32", -1),
        ("int32", "sint32", 5),
        ("string", "int32", "x"),
    ],
)
def test_what_is_said_to_be_lost_backward_is_lost_in_bytes(old: str, new: str, value: Any) -> None:
    before, after = message_of(image(f"{old} b = 2")), message_of(image(f"{new} b = 2"))
    data = before(b=value).SerializeToString()
    try:
        read = after.FromString(data).b
    except Exception:  # noqa: BLE001 - refusing is one way of losing
        return
    assert read != value


@pytest.mark.parametrize(
    ("old", "new", "value"), [("int32", "int64", -7), ("uint32", "int64", 2**32 - 1), ("string", "bytes", "é")]
)
def test_what_is_said_to_be_kept_backward_is_kept_in_bytes(old: str, new: str, value: Any) -> None:
    before, after = message_of(image(f"{old} b = 2")), message_of(image(f"{new} b = 2"))
    read = after.FromString(before(b=value).SerializeToString()).b
    assert (read.decode() if isinstance(read, bytes) else read) == value


def test_removing_any_field_of_any_contract_is_named() -> None:
    whole = describe(built_in(), prefix="erx.")
    tried = 0
    for name, message in whole.messages.items():
        for field in message.fields:
            cut = replace(message, fields=tuple(other for other in message.fields if other is not field))
            changes = compare(whole, replace(whole, messages={**whole.messages, name: cut})).losing(Ability.BACKWARD)
            assert [change.element for change in changes] == [f"{name}.{field.name}"]
            tried += 1
    assert tried > 400


def test_the_contracts_can_still_read_whatever_the_last_release_wrote() -> None:
    difference = compare(describe(read_image(RELEASED), prefix="erx."), describe(built_in(), prefix="erx."))
    assert difference.losing(Ability.BACKWARD) == ()
