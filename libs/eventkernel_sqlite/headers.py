"""A record's headers as one blob: the count, the lengths of all names and values, then their bytes. Little endian."""

from functools import cache
from struct import Struct

_COUNT_BYTES = 2


def encode_headers(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """The blob. Names up to 64 KiB in UTF-8, values up to 4 GiB, at most 65,535 of them; order and repeats are kept."""
    parts = [part for name, value in headers for part in (name.encode(), value)]
    return b"".join((_lengths(len(headers)).pack(len(headers), *map(len, parts)), *parts))


def decode_headers(blob: bytes) -> tuple[tuple[str, bytes], ...]:
    """Read back what ``encode_headers`` wrote."""
    layout = _lengths(int.from_bytes(blob[:_COUNT_BYTES], "little"))
    _, *lengths = layout.unpack_from(blob)
    headers = []
    at = layout.size
    for place in range(0, len(lengths), 2):
        middle = at + lengths[place]
        end = middle + lengths[place + 1]
        headers.append((blob[at:middle].decode(), blob[middle:end]))
        at = end
    return tuple(headers)


@cache
def _lengths(count: int) -> Struct:
    return Struct("<H" + "HI" * count)
