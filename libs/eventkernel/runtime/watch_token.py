"""Where a watcher goes on: opaque, authentic, and good for one question of one tenant only."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from eventkernel.envelope import from_micros, to_micros
from eventkernel.errors import InvalidCommand, Refusal
from eventkernel.filters import Filter
from eventkernel.view import Key

FORM = 1
BYTES_MAX = 16_384
_MAC_BYTES = 16
_FIELD = "resume_token"


@dataclass(frozen=True, slots=True)
class WatchPosition:
    """How much has been told.

    ``positions``: by partition, the next offset. Until ``rows_told``, rows with keys up to ``after`` (None: none) have been
    told as of these positions and the others have not been told at all.
    """

    positions: Mapping[int, int] = field(default_factory=dict)
    rows_told: bool = False
    after: Key | None = None


class WatchTokens:
    """Makes and reads resume tokens under one key (16 bytes at least), which all servers of a service share.

    A token is refused once it is older than ``age_seconds_max``: the bus must keep its records for longer than that.
    """

    def __init__(self, key: bytes, *, age_seconds_max: float = 7 * 86_400) -> None:
        if len(key) < _MAC_BYTES:
            raise ValueError(f"a key of resume tokens has at least {_MAC_BYTES} bytes")
        self._key = key
        self._age = timedelta(seconds=age_seconds_max)

    def encode(self, position: WatchPosition, binding: bytes, now: datetime) -> bytes:
        """The token. ``binding`` is that of the question; see ``binding_of``."""
        places = sorted(position.positions.items())
        form: list[Any] = [FORM, to_micros(now), places, position.rows_told, position.after]
        body = json.dumps(form, separators=(",", ":")).encode()
        return self._mac(body, binding) + body

    def decode(self, token: bytes, binding: bytes, now: datetime) -> WatchPosition:
        """The position. Raises ``InvalidCommand`` (BAD_RESUME_TOKEN), ``Refusal`` (RESUME_TOKEN_EXPIRED)."""
        mac, body = token[:_MAC_BYTES], token[_MAC_BYTES:]
        if len(token) > BYTES_MAX or not hmac.compare_digest(mac, self._mac(body, binding)):
            rule = "was not made by this service for this tenant and filter"
            raise InvalidCommand(_FIELD, rule, reason="BAD_RESUME_TOKEN")
        form, made_at, places, rows_told, after = json.loads(body)
        if form != FORM:
            raise InvalidCommand(_FIELD, "was made by another version of this service", reason="BAD_RESUME_TOKEN")
        if now - from_micros(made_at) > self._age:
            raise Refusal("RESUME_TOKEN_EXPIRED", "the token is too old; watch again from the beginning", field=_FIELD)
        return WatchPosition(dict(places), rows_told, None if after is None else tuple(after))

    def _mac(self, body: bytes, binding: bytes) -> bytes:
        return hmac.digest(self._key, b"watch\0" + binding + body, "sha256")[:_MAC_BYTES]


def binding_of(tenant: str, table: str, topic: str, where: Filter) -> bytes:
    """What a token belongs to. Filters are frozen values, whose ``repr`` is the same wherever they are made."""
    return sha256("\0".join((tenant, table, topic, repr(where))).encode()).digest()
