"""The hash of a command's content, by which a repeated command id is told from a reused one.

Protobuf bytes are not canonical (encoders may order and default differently), so the hash is taken over the domain values:
a versioned JSON form of the command's fields and the actor, without fields that are None or empty, so that an optional
field added later leaves the hashes of older requests as they are.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import UUID

from eventkernel.envelope import Actor

FORM = 1
EMPTY: tuple[object, ...] = ("", [], {})


def request_hash(command: object, actor: Actor, effective_time: datetime | None = None) -> bytes:
    """SHA-256 (32 bytes) of the canonical form of a command, who sent it, and the effective time if one was given."""
    who = [actor.id, actor.role, actor.organisation]
    form = [FORM, type(command).__name__, plain(command), who, plain(effective_time)]
    return sha256(json.dumps(form, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()).digest()


def plain(value: Any) -> Any:
    """The JSON-able canonical form of a domain value. Raises ``TypeError`` for a type it has no form for."""
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        form = {}
        for name in _names(type(value)):
            part = plain(getattr(value, name))
            if part is not None and part not in EMPTY:
                form[name] = part
        return form
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=lambda part: json.dumps(part, sort_keys=True))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    raise TypeError(f"no canonical form for {type(value).__name__}")


def _decimal(value: Decimal) -> str:
    """Equal numbers alike; ``normalize()`` would round to the precision of whatever context is current."""
    digits = format(value, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return digits if value else "0"


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(sorted(field.name for field in fields(kind)))
