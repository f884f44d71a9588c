"""What a state consists of, as plain text: to tell whether a snapshot was written by a state of the same shape.

The shape has every field of every dataclass that the state can hold, by name and type, and every enum by its members' names and
values. Two programs with the same shape read one another's snapshots; what a field *means* no shape can tell, so a state codec
declares a version besides.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

FINGERPRINT_DIGITS = 16


def shape_of(kind: type[Any]) -> dict[str, str]:
    """Every part by its place: ``Order.lines`` is a field's type, ``Status`` an enum's members. Sorted by place."""
    found: dict[str, str] = {}
    waiting, seen = [kind], {kind}
    while waiting:
        here = waiting.pop()
        for place, text, types in _parts(here):
            if found.setdefault(place, text) != text:
                raise ValueError(f"two different types are called {place.partition('.')[0]}")
            waiting += [t for t in types if t not in seen]
            seen.update(types)
    return dict(sorted(found.items()))


def fingerprint(shape: Mapping[str, str]) -> str:
    """A short hash of a shape."""
    lines = "".join(f"{place}: {text}\n" for place, text in sorted(shape.items()))
    return sha256(lines.encode()).hexdigest()[:FINGERPRINT_DIGITS]


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is different between two shapes, one sentence for each place."""
    told = []
    for place in sorted(before.keys() | after.keys()):
        was, now = before.get(place), after.get(place)
        if was is None:
            told.append(f"{place} is new: {now}")
        elif now is None:
            told.append(f"{place} is gone, it was {was}")
        elif was != now:
            told.append(f"{place} was {was} and is {now}")
    return told


def _parts(kind: type[Any]) -> Iterator[tuple[str, str, list[type[Any]]]]:
    """Each place of one type with its text and the types it leads to."""
    if issubclass(kind, Enum):
        yield kind.__name__, " ".join(f"{member.name}={member.value!r}" for member in kind), []
    elif is_dataclass(kind):
        hints = get_type_hints(kind)
        if not fields(kind):
            yield kind.__name__, "no fields", []
        for field in fields(kind):
            types: list[type[Any]] = []
            yield f"{kind.__name__}.{field.name}", _text(hints[field.name], types), types


def _text(hint: Any, types: list[type[Any]]) -> str:
    """A type as text that no version of Python writes differently; classes that it names are added to ``types``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " | ".join(_text(argument, types) for argument in sorted(arguments, key=lambda a: a is NoneType))
    if origin is not None:
        return f"{origin.__name__}[{', '.join('...' if a is ... else _text(a, types) for a in arguments)}]"
    if hint is NoneType:
        return "None"
    if isinstance(hint, type):
        if is_dataclass(hint) or issubclass(hint, Enum):
            types.append(hint)
        return hint.__name__
    return str(hint)
