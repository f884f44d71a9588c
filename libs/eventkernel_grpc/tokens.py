"""Consistency tokens: what a caller has seen, as opaque bytes (``erx.eventlog.v1.ConsistencyToken``).

A token names its tenant only to be refused in another one: the tenant of a call comes from its metadata, never from a
token. Tokens are not secret and not signed; a forged one can ask for versions that do not exist, and waits for its deadline.
"""

import re
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from erx.eventlog.v1 import consistency_pb2
from eventkernel.envelope import StreamPosition
from eventkernel.errors import InvalidCommand
from eventkernel.ids import StreamId

FIELD = "token"
POSITIONS_MAX = 64
BYTES_MAX = 6144  # as base64 in metadata this is what a client may send by default (8 KiB)

_CONTEXT = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")


def encode_token(positions: Iterable[StreamPosition], *, tenant: str) -> bytes:
    """The token's bytes; equal positions give equal bytes. No positions give an empty token."""
    merged = merge_positions(tuple(positions))
    if not merged:
        return b""
    if len(merged) > POSITIONS_MAX:
        raise InvalidCommand(FIELD, f"holds {len(merged)} streams, at most {POSITIONS_MAX} fit")
    shown = [{"context": one.context, "stream": one.stream, "version": one.version} for one in merged]
    token = consistency_pb2.ConsistencyToken(tenant=tenant, positions=shown)  # type: ignore[arg-type]  # a dict is a message
    return token.SerializeToString(deterministic=True)


def decode_token(token: bytes, *, tenant: str) -> tuple[StreamPosition, ...]:
    """The positions, sorted. Raises ``InvalidCommand`` for what no server gave out, or gave to another tenant."""
    if not token:
        return ()
    if len(token) > BYTES_MAX:
        raise InvalidCommand(FIELD, f"is {len(token)} bytes long, at most {BYTES_MAX} are read")
    try:
        read = consistency_pb2.ConsistencyToken.FromString(token)
    except DecodeError as error:
        raise InvalidCommand(FIELD, "cannot be read") from error
    if not read.positions or len(read.positions) > POSITIONS_MAX:
        raise InvalidCommand(FIELD, f"must hold 1 to {POSITIONS_MAX} positions")
    if read.tenant != tenant:
        raise InvalidCommand(FIELD, "belongs to another tenant")
    return merge_positions(tuple(_checked(tenant, position) for position in read.positions))


def merge_positions(*several: Iterable[StreamPosition]) -> tuple[StreamPosition, ...]:
    """All positions, of each stream the highest, sorted by context and stream."""
    if len(several) == 1 and type(several[0]) is tuple and len(several[0]) < 2:
        return several[0]
    highest: dict[tuple[str, str], StreamPosition] = {}
    for positions in several:
        for position in positions:
            key = (position.context, position.stream)
            known = highest.get(key)
            if known is None or known.version < position.version:
                highest[key] = position
    return tuple(sorted(highest.values()))


def _checked(tenant: str, position: consistency_pb2.StreamPosition) -> StreamPosition:
    if not _CONTEXT.match(position.context):
        raise InvalidCommand(FIELD, "names a context that cannot be")
    if position.version < 1:
        raise InvalidCommand(FIELD, "holds a version below 1")
    try:
        StreamId(tenant, position.stream).validated()
    except InvalidCommand as error:
        raise InvalidCommand(FIELD, "names a stream that cannot be") from error
    return StreamPosition(position.context, position.stream, position.version)
