"""Protobuf's wire format as text that people write: golden bytes made without the program whose reading they are to hold.

A record is ``number: value``. Values: a whole number (a varint; below zero in ten bytes, as protobuf writes int32), and in
braces what has a length: a quoted text in UTF-8 with JSON's escapes, bytes as hexadecimal digits in backquotes, or records.
``#`` begins a comment. The notation is a part of Protoscope (github.com/protocolbuffers/protoscope).
"""

import json
import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*
      |(?P<field>\d+):|(?P<number>-?\d+)|(?P<open>\{)|(?P<close>\})
      |(?P<text>"(?:[^"\\\n]|\\.)*")|`(?P<bytes>(?:[0-9a-f]{2})*)`""",
    re.VERBOSE,
)
VARINT, LENGTH = 0, 2


def wire_bytes(text: str) -> bytes:
    """The bytes of a text in this notation. Raises ``ValueError`` naming the place of what is no part of it."""
    tokens = list(_tokens(text))
    made, rest = _records(tokens, 0)
    if rest != len(tokens):
        raise ValueError("a closing brace too many")
    return made


def _records(tokens: list[tuple[str, str]], place: int) -> tuple[bytes, int]:
    made = bytearray()
    while place < len(tokens) and tokens[place][0] != "close":
        kind, field = tokens[place]
        if kind != "field":
            raise ValueError(f"expected a field's number, found {field!r}")
        kind, value = tokens[place + 1]
        if kind == "number":
            made += _varint(int(field) << 3 | VARINT) + _varint(int(value) % 2**64)
            place += 2
            continue
        if kind != "open":
            raise ValueError(f"expected the value of field {field}, found {value!r}")
        body, place = _body(tokens, place + 2)
        made += _varint(int(field) << 3 | LENGTH) + _varint(len(body)) + body
    return bytes(made), place


def _body(tokens: list[tuple[str, str]], place: int) -> tuple[bytes, int]:
    kind, value = tokens[place]
    if kind == "text":
        body, place = json.loads(value).encode(), place + 1
    elif kind == "bytes":
        body, place = bytes.fromhex(value), place + 1
    else:
        body, place = _records(tokens, place)
    if place >= len(tokens) or tokens[place][0] != "close":
        raise ValueError("a closing brace is missing")
    return body, place + 1


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(
                f"line {text.count(chr(10), 0, place) + 1}: {text[place : place + 20]!r} is not understood"
            )
        place = found.end()
        if found.lastgroup is not None:
            yield found.lastgroup, found[found.lastgroup]
