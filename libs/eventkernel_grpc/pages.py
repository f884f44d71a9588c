"""Page tokens (AIP-158): where the next page begins, opaque, and good for one query of one tenant only."""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any

from eventkernel.canonical import plain
from eventkernel.envelope import from_micros, to_micros
from eventkernel.errors import BadPageToken, InvalidCommand
from eventkernel.filters import Query

VERSION = 1
TOKEN_CHARS_MAX = 4096
PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500

_MAC_BYTES = 16
_BINDING_BYTES = 8


class PageTokens:
    """Makes and reads page tokens under one key, which all servers of a service share.

    The MAC tells a broken or made-up token from one that was given out. It keeps no secret: the position is readable.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("a key of page tokens has at least 16 bytes")
        self._key = key

    def encode(self, query: Query, position: tuple[Any, ...], *, scope: str = "") -> str:
        """The token for the page after ``position``: the order columns' values of the last row shown."""
        values = json.dumps([_encode_value(value) for value in position], separators=(",", ":"), ensure_ascii=False)
        body = bytes([VERSION]) + _binding(query, scope) + values.encode()
        return base64.urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def decode(self, query: Query, token: str, *, scope: str = "") -> tuple[Any, ...] | None:
        """The position in a token; None for the empty one, which is the first page's. Raises ``BadPageToken``.

        ``query`` is the one the token was made for, whatever its ``after`` and ``limit``; ``scope`` says what else
        belongs to it, for example the view's table.
        """
        if not token:
            return None
        body = self._opened(token)
        if body[0] != VERSION:
            raise BadPageToken("was made by another version of this service; start again without one")
        if body[1 : 1 + _BINDING_BYTES] != _binding(query, scope):
            raise BadPageToken(
                "belongs to another query; filter, order and tenant must stay the same from page to page"
            )
        position = tuple(_decode_value(value) for value in json.loads(body[1 + _BINDING_BYTES :]))
        if len(position) != len(query.order.columns):
            raise BadPageToken("does not fit the order")
        return position

    def _opened(self, token: str) -> bytes:
        if len(token) > TOKEN_CHARS_MAX:
            raise BadPageToken("is too long")
        try:
            raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise BadPageToken("cannot be read") from error
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if len(body) <= _BINDING_BYTES or not hmac.compare_digest(mac, self._mac(body)):
            raise BadPageToken("was not made by this service")
        return body

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]


def page_size(asked: int, *, default: int = PAGE_SIZE_DEFAULT, at_most: int = PAGE_SIZE_MAX) -> int:
    """How many rows to show: the default for 0, the maximum for more than that (AIP-158). Negative is refused."""
    if asked < 0:
        raise InvalidCommand("page_size", "must not be negative")
    return min(asked or default, at_most)


def _binding(query: Query, scope: str) -> bytes:
    form = [scope, query.tenant, _shape(query.where), list(query.order.columns), query.order.descending]
    return sha256(json.dumps(form, separators=(",", ":"), sort_keys=True).encode()).digest()[:_BINDING_BYTES]


def _shape(where: Any) -> Any:
    """A filter with the names of its classes, which the canonical form alone leaves out."""
    name = type(where).__name__
    if hasattr(where, "parts"):
        return [name, [_shape(part) for part in where.parts]]
    return [name, plain(where)]


_TO_TEXT: Mapping[type, Callable[[Any], list[Any]]] = {
    str: lambda value: ["s", value],
    int: lambda value: ["i", str(value)],
    bool: lambda value: ["b", value],
    datetime: lambda value: ["t", str(to_micros(value.astimezone(UTC)))],
    date: lambda value: ["d", value.isoformat()],
    Decimal: lambda value: ["n", str(value)],
    bytes: lambda value: ["y", value.hex()],
}
_FROM_TEXT: Mapping[str, Callable[[Any], Any]] = {
    "s": str,
    "i": int,
    "b": bool,
    "t": lambda text: from_micros(int(text)),
    "d": date.fromisoformat,
    "n": Decimal,
    "y": bytes.fromhex,
}


def _encode_value(value: Any) -> list[Any] | None:
    if value is None:
        return None
    try:
        return _TO_TEXT[type(value)](value)
    except KeyError as error:
        raise TypeError(f"no page position can hold a {type(value).__name__}") from error


def _decode_value(value: Any) -> Any:
    if value is None:
        return None
    try:
        kind, text = value
        return _FROM_TEXT[kind](text)
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise BadPageToken("holds a value that cannot be read") from error
