"""What readers and writers of two sets of contracts can no longer say to one another, field by field.

Backward: a reader of the new set takes what a writer of the old one wrote (stored events, older clients). Forward: a reader
of the old set takes what a writer of the new one writes (a rolling upgrade, consumers that did not change). Full: both. It is
about protobuf's binary form; what only changes names is told as a matter of its JSON form. The rules follow "Updating A Message
Type" of the protobuf language guide. An event is a message that is stored by its name, in a package such as ``….events.v3``:
one more of them, or one more version, is something that readers of the old set do not know.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final

from bootstrap.schemas.described import Described, EnumShape, Field, MessageShape, Method


class Ability(Enum):
    """What can be lost: reading with the new set, reading with the old one, and reading JSON by its names."""

    BACKWARD = "backward"
    FORWARD = "forward"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one element, and who can no longer do what because of it; ``lost`` is empty where all goes on."""

    element: str
    change: str
    lost: tuple[tuple[Ability, str], ...] = ()

    @property
    def keeps(self) -> str:
        """``full``, ``backward``, ``forward`` or ``none``: in which directions it is compatible."""
        lost = {ability for ability, _ in self.lost}
        backward, forward = Ability.BACKWARD not in lost, Ability.FORWARD not in lost
        return {(True, True): "full", (True, False): "backward", (False, True): "forward"}.get(
            (backward, forward), "none"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes from one set to another."""

    changes: tuple[Change, ...]

    def losing(self, ability: Ability) -> tuple[Change, ...]:
        """The changes by which this is lost."""
        return tuple(change for change in self.changes if any(lost is ability for lost, _ in change.lost))

    @property
    def keeps(self) -> str:
        """In which directions the new set is compatible as a whole."""
        backward, forward = not self.losing(Ability.BACKWARD), not self.losing(Ability.FORWARD)
        return "full" if backward and forward else "backward" if backward else "forward" if forward else "none"


def compare(old: Described, new: Described) -> Difference:
    """Every change of messages, fields, enums and methods."""
    changes = [
        *_pairs(old.messages, new.messages, _message_gone, partial(_message_came, new), _messages),
        *_pairs(old.enums, new.enums, _enum_gone, _enum_came, _enums),
        *_pairs(old.methods, new.methods, _method_gone, _method_came, _methods),
    ]
    return Difference(tuple(changes))


def _pairs(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    gone: Callable[[Any], Change],
    came: Callable[[Any], Change],
    both: Callable[[Any, Any], Iterator[Change]],
) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield gone(old[name])
        elif name not in old:
            yield came(new[name])
        else:
            yield from both(old[name], new[name])


def _message_gone(message: MessageShape) -> Change:
    why = "what was written as it can no longer be read"
    writers = "it can no longer be written for those who wait for it"
    return Change(message.full_name, "message removed", ((Ability.BACKWARD, why), (Ability.FORWARD, writers)))


def _message_came(new: Described, message: MessageShape) -> Change:
    if _is_event(new, message):
        return Change(message.full_name, "event added", ((Ability.FORWARD, _NOT_KNOWN),))
    return Change(message.full_name, "message added")


_EVENTS: Final = re.compile(r"(.+\.events\.v\d+)\.\w+")
_NOT_KNOWN: Final = "old readers do not know it, and refuse or skip it: readers are upgraded before writers"


def _is_event(described: Described, message: MessageShape) -> bool:
    """Whether it is stored by itself: neither a part of others nor the wrapper that has one of them at a time."""
    found = _EVENTS.fullmatch(message.full_name)
    if found is None:
        return False
    around = (other for name, other in described.messages.items() if name.startswith(f"{found[1]}."))
    if any(field.type == message.full_name and not field.oneof for other in around for field in other.fields):
        return False
    return not any(field.oneof and _EVENTS.fullmatch(field.type) for field in message.fields)


def _messages(old: MessageShape, new: MessageShape) -> Iterator[Change]:
    before = {field.number: field for field in old.fields}
    after = {field.number: field for field in new.fields}
    for number in sorted(before.keys() | after.keys()):
        if number not in after:
            yield _field_gone(new, before[number])
        elif number not in before:
            yield _field_came(old, new, after[number])
        else:
            yield from _fields(new, before[number], after[number])


def _field_gone(new: MessageShape, field: Field) -> Change:
    reserved = (
        "" if new.reserves(field.number) else f"; {field.number} is not reserved and may come to mean something else"
    )
    return Change(
        _place(new, field),
        f"field {field.number} removed",
        (
            (Ability.BACKWARD, f"readers no longer see what was written in it{reserved}"),
            (Ability.FORWARD, "writers can no longer say it to readers that ask for it"),
        ),
    )


def _field_came(old: MessageShape, new: MessageShape, field: Field) -> Change:
    change = f"field {field.number} added"
    if old.reserves(field.number):
        return Change(_place(new, field), f"{change} under a reserved number", ((Ability.BACKWARD, _REUSED),))
    if field.oneof and any(known.oneof == field.oneof for known in old.fields):
        return Change(
            _place(new, field), change, ((Ability.FORWARD, f"old readers see nothing chosen of {field.oneof}"),)
        )
    implicit = not field.label and not field.oneof and field.is_scalar
    if implicit:
        return Change(_place(new, field), f"{change}; absent and its default cannot be told apart")
    return Change(_place(new, field), change)


_REUSED: Final = "old bytes may hold something else there"


def _fields(message: MessageShape, old: Field, new: Field) -> Iterator[Change]:
    place = _place(message, new)
    if old.name != new.name:
        yield Change(
            place,
            f"field {old.number} was called {old.name}",
            ((Ability.JSON, f"JSON that says {old.name} is refused"),),
        )
    if (old.type, old.key) != (new.type, new.key):
        was, now = _type_text(old), _type_text(new)
        yield Change(place, f"type {was} became {now}", tuple(_retyped(old, new)))
    if old.label != new.label:
        yield Change(place, f"{old.label or 'singular'} became {new.label or 'singular'}", tuple(_relabelled(old, new)))
    if old.oneof != new.oneof:
        yield Change(place, _choice(old, new), tuple(_moved(old, new)))


_WIDER: Final = {
    ("int32", "int64"),
    ("uint32", "uint64"),
    ("uint32", "int64"),
    ("bool", "int32"),
    ("bool", "int64"),
    ("bool", "uint32"),
    ("bool", "uint64"),
    ("sint32", "sint64"),
    ("string", "bytes"),
}
_SAME_WIRE: Final = (
    frozenset({"bool", "int32", "uint32", "int64", "uint64"}),
    frozenset({"sint32", "sint64"}),
    frozenset({"string", "bytes"}),
)
_NO_LONGER: Final = "what was written can no longer be read"
_NOT_YET: Final = "old readers cannot read what is written now"


def _retyped(old: Field, new: Field) -> Iterator[tuple[Ability, str]]:
    if old.is_scalar and new.is_scalar and any({old.type, new.type} <= group for group in _SAME_WIRE):
        if (old.type, new.type) not in _WIDER:
            yield Ability.BACKWARD, f"values that {new.type} cannot hold are cut, changed or refused"
        if (new.type, old.type) not in _WIDER:
            yield Ability.FORWARD, f"values that {old.type} cannot hold are cut, changed or refused"
        return
    yield Ability.BACKWARD, _NO_LONGER
    yield Ability.FORWARD, _NOT_YET


def _relabelled(old: Field, new: Field) -> Iterator[tuple[Ability, str]]:
    labels = (old.label, new.label)
    if "map" in labels:
        yield Ability.BACKWARD, _NO_LONGER
        yield Ability.FORWARD, _NOT_YET
    elif new.label == "repeated":
        numeric = old.is_scalar and old.type not in ("string", "bytes")
        yield (
            Ability.FORWARD,
            "old readers see none of it: it is packed" if numeric else "old readers keep only the last",
        )
    elif old.label == "repeated":
        yield Ability.BACKWARD, "readers keep only the last of what was written"
        yield Ability.FORWARD, "writers can no longer say more than one"
    elif old.label == "optional":
        yield Ability.BACKWARD, "absent and its default cannot be told apart any more"
        yield Ability.FORWARD, "writers that say the default say nothing: old readers take it for absent"
    else:
        yield Ability.BACKWARD, "what was written as its default is read as absent"


def _choice(old: Field, new: Field) -> str:
    if not old.oneof:
        return f"moved into the choice {new.oneof}"
    return f"moved out of the choice {old.oneof}" if not new.oneof else f"moved from {old.oneof} to {new.oneof}"


def _moved(old: Field, new: Field) -> Iterator[tuple[Ability, str]]:
    if new.oneof:
        yield Ability.BACKWARD, "where it was written beside another of the choice only the last is kept"
    if old.oneof:
        yield Ability.FORWARD, "where it is written beside another of the choice old readers keep only the last"


def _enum_gone(enum: EnumShape) -> Change:
    return Change(enum.full_name, "enum removed", ((Ability.BACKWARD, _NO_LONGER), (Ability.FORWARD, _NOT_YET)))


def _enum_came(enum: EnumShape) -> Change:
    return Change(enum.full_name, "enum added")


def _enums(old: EnumShape, new: EnumShape) -> Iterator[Change]:
    before = {value.number: value.name for value in old.values}
    after = {value.number: value.name for value in new.values}
    lost: tuple[tuple[Ability, str], ...]
    for number in sorted(before.keys() | after.keys()):
        was, now = before.get(number), after.get(number)
        if was == now:
            continue
        place = f"{new.full_name}.{now or was}"
        if now is None:
            unknown = "readers meet a number that has no name"
            lost = ((Ability.BACKWARD, unknown), (Ability.FORWARD, "writers can no longer say it"))
            yield Change(place, f"value {number} removed", lost)
        elif was is None:
            yield Change(
                place, f"value {number} added", ((Ability.FORWARD, "old readers meet a number that has no name"),)
            )
        else:
            lost = ((Ability.JSON, f"JSON that says {was} is refused"),)
            yield Change(place, f"value {number} was called {was}", lost)


def _method_gone(method: Method) -> Change:
    return Change(method.full_name, "method removed", ((Ability.BACKWARD, "clients can no longer call it"),))


def _method_came(method: Method) -> Change:
    return Change(method.full_name, "method added", ((Ability.FORWARD, "old servers do not have it"),))


def _methods(old: Method, new: Method) -> Iterator[Change]:
    told: Sequence[tuple[str, object, object]] = (
        ("request", old.request, new.request),
        ("reply", old.reply, new.reply),
        ("request stream", old.request_stream, new.request_stream),
        ("reply stream", old.reply_stream, new.reply_stream),
    )
    for what, was, now in told:
        if was != now:
            lost = (
                (Ability.BACKWARD, "old clients cannot call it"),
                (Ability.FORWARD, "new clients cannot call old servers"),
            )
            yield Change(new.full_name, f"{what} was {was}, is {now}", lost)


def _type_text(field: Field) -> str:
    return f"map<{field.key}, {field.type}>" if field.label == "map" else field.type


def _place(message: MessageShape, field: Field) -> str:
    return f"{message.full_name}.{field.name}"
