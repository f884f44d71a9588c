"""Dataclasses as bytes: JSON arrays of their fields in the declared order, read back by the types that the fields declare.

General, so that a field added to the domain's state needs no change here. Standard library only, because views are pure; the
figures beside pydantic's are in docs/decisions/0006-views.md. Stored forms are not migrated: a view whose state or rows
change their meaning gets a new version, and that is filled from the log.
"""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache, lru_cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Generic, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from eventkernel.envelope import from_micros, to_micros

S = TypeVar("S")
Reader: TypeAlias = Callable[[Any], Any] | None
"""From JSON's value to the field's; None where they are the same."""

KEPT_MAX = 2_048
"""Encoded and decoded states kept; a projector's batch touches at most twice its records."""


class RecordCodec(Generic[S]):
    """``ViewStateCodec`` of one dataclass whose instances are compared by identity.

    Several views that keep the same object encode it once, and views that read equal bytes get the same object.
    """

    def __init__(self, kind: type[S]) -> None:
        self._read = _reader(kind)
        self._encoder = json.JSONEncoder(
            default=_written, separators=(",", ":"), ensure_ascii=False, check_circular=False
        ).encode
        self.encode: Callable[[S], bytes] = lru_cache(KEPT_MAX)(self._encode)
        self.decode: Callable[[bytes], S] = lru_cache(KEPT_MAX)(self._decode)

    def _encode(self, state: S) -> bytes:
        return self._encoder(state).encode()

    def _decode(self, data: bytes) -> S:
        value = json.loads(data)
        return value if self._read is None else self._read(value)  # type: ignore[no-any-return]  # what _reader compiled


def _written(value: Any) -> Any:
    """The JSON-able form of what JSON does not know, one level deep."""
    return _writer(value.__class__)(value)


@cache
def _writer(kind: Any) -> Callable[[Any], Any]:
    for base, write in _WRITERS:
        if issubclass(kind, base):
            return write
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        if len(names) > 1:
            return attrgetter(*names)
        return lambda value: [getattr(value, name) for name in names]
    raise TypeError(f"no stored form for {kind.__name__}")


_WRITERS: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (Enum, attrgetter("name")),
    (datetime, to_micros),
    (date, date.isoformat),
    (Decimal, str),
    (UUID, attrgetter("hex")),
    (bytes, bytes.hex),
    (frozenset, sorted),
)
_READERS: dict[Any, Callable[[Any], Any]] = {
    datetime: from_micros,
    date: date.fromisoformat,
    Decimal: Decimal,
    UUID: UUID,
    bytes: bytes.fromhex,
}
_PLAIN = (str, int, bool)


def _reader(kind: Any) -> Reader:
    """Compile the way back from what the type says."""
    if kind in _PLAIN:
        return None
    if kind in _READERS:
        return _READERS[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind.__members__.__getitem__
    if is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_reader(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType) and NoneType in arguments:
        known = [part for part in arguments if part is not NoneType]
        return _optional_reader(_reader(known[0]) if len(known) == 1 else _refuse)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _many_reader(tuple, _reader(arguments[0]))
    if origin is frozenset:
        return _many_reader(frozenset, _reader(arguments[0]))
    raise TypeError(f"no stored form for {kind}")


@cache
def _dataclass_reader(kind: type[Any]) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers = [_reader(hints[field.name]) for field in fields(kind)]
    converted = [(place, read) for place, read in enumerate(readers) if read is not None]

    def read_all(values: list[Any]) -> Any:
        for place, read in converted:
            values[place] = read(values[place])
        return kind(*values)

    return read_all


def _refuse(value: Any) -> Any:
    """Arrays do not say which type of a union they are; such a field is kept empty by what folds the state."""
    raise ValueError(f"a field of several types holds {value!r}")


def _optional_reader(read: Reader) -> Reader:
    return None if read is None else lambda value: None if value is None else read(value)


def _many_reader(collection: Callable[[Any], Any], read: Reader) -> Reader:
    return collection if read is None else lambda values: collection([read(value) for value in values])
