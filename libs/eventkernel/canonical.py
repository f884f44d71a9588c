"""The hash of a command's content, by which a repeated command id is told from a reused one.

Protobuf bytes are not canonical (encoders may order and default differently), so the hash is taken over the domain values:
a versioned JSON form of the command's fields and the actor, without fields that are None or empty, so that an optional
field added later leaves the hashes of older requests as they are.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from hashlib import sha256
from types import NoneType
from typing import Any
from uuid import UUID

from eventkernel.envelope import Actor

FORM = 1
EMPTY: tuple[object, ...] = ("", [], {})

_KNOWN: dict[type[Any], Callable[[Any], Any]] = {}
_JSON = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def request_hash(command: object, actor: Actor, effective_time: datetime | None = None) -> bytes:
    """SHA-256 (32 bytes) of the canonical form of a command, who sent it, and the effective time if one was given."""
    who = [actor.id, actor.role, actor.organisation]
    return digest_of([FORM, type(command).__name__, plain(command), who, plain(effective_time)])


def digest_of(form: Any) -> bytes:
    """SHA-256 of a canonical form: compact JSON in UTF-8 with its keys in order."""
    return sha256(_JSON.encode(form).encode()).digest()


def plain(value: Any) -> Any:
    """The JSON-able canonical form of a domain value. Raises ``TypeError`` for a type it has no form for."""
    kind = type(value)
    form = _KNOWN.get(kind)
    if form is None:
        form = _KNOWN[kind] = _form(kind)
    return form(value)


def _form(kind: type[Any]) -> Callable[[Any], Any]:
    """The form of a type's values, found once a type."""
    if is_dataclass(kind) and not issubclass(kind, Enum):
        return partial(_fields, tuple(sorted(field.name for field in fields(kind))))
    for base, form in _FORMS:
        if issubclass(kind, base):
            return form
    raise TypeError(f"no canonical form for {kind.__name__}")


def _fields(names: tuple[str, ...], value: Any) -> dict[str, Any]:
    form: dict[str, Any] = {}
    for name in names:
        part = getattr(value, name)
        if type(part) is not str:
            part = plain(part)
        if part is not None and part not in EMPTY:
            form[name] = part
    return form


def _moment(value: datetime) -> str:
    return (value.astimezone(UTC) if value.tzinfo is not None else value).isoformat()


def _decimal(value: Decimal) -> str:
    """Equal numbers alike; ``normalize()`` would round to the precision of whatever context is current."""
    digits = format(value, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return digits if value else "0"


_FORMS: tuple[tuple[type[Any] | tuple[type[Any], ...], Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.name),
    ((NoneType, str, bool, int), lambda value: value),
    (datetime, _moment),
    (date, lambda value: value.isoformat()),
    (Decimal, _decimal),
    (UUID, str),
    ((bytes, bytearray), lambda value: value.hex()),
    ((list, tuple), lambda value: [plain(item) for item in value]),
    (
        (set, frozenset),
        lambda value: sorted((plain(item) for item in value), key=lambda part: json.dumps(part, sort_keys=True)),
    ),
    (Mapping, lambda value: {str(key): plain(item) for key, item in value.items()}),
)
"""The first base that fits counts: an Enum of strings is an Enum, a datetime is no date."""
