"""Following a stream with the contexts of its upcasters: what its folds carry beside their own state.

An event in an older shape may mean different things in different streams, so it is read in two parts: its bytes once
(``Earlier``), and what it means where it stands, by what is known of the events before it. A state with something known beside
it is ``Held``. Views made by ``in_context`` hold it in the state that every store keeps with the stream's checkpoint, so
projectors, rebuilds, retries, overlays and caches need not know of it. A stream of today's events carries nothing.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import UpcastFailed
from eventkernel.filters import Row
from eventkernel.remembered import ByIdentity
from eventkernel.upcasting import Known, Upcasters
from eventkernel.view import View, ViewStateCodec

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
S = TypeVar("S")

_JSON: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

FRONTS_MAX = 1_024
"""Encoded values of what is known that are remembered."""

SHARED_MAX = 256
"""Folds and codecs whose counterparts in context are remembered."""

MARK = b"\x00known\x00"
"""How a state begins that has something known in front of it. No state's own bytes may begin so."""


class Earlier(Generic[E]):
    """An event that was stored in an older shape and is not read to its end yet.

    What it last came to is remembered, because several views follow the same stream.
    """

    __slots__ = ("_beginning", "_last", "_read")

    def __init__(self, read: Callable[[Known | None], tuple[E, Known | None]], beginning: Known) -> None:
        self._read = read
        self._beginning = beginning
        self._last: tuple[Known | None, tuple[E, Known | None]] | None = None

    def settle(self, known: Known | None, *, version: int) -> tuple[E, Known | None]:
        """The domain's event, and what is known after it. ``version`` is the event's: before the first all is known.

        Raises ``EventUnreadable``.
        """
        if version == 1:
            known = self._beginning
        last = self._last
        if last is None or (last[0] is not known and last[0] != known):
            self._last = last = (known, self._read(known))
        return last[1]


@runtime_checkable
class FollowingCodec(Protocol[E_co]):
    """What an ``EventCodec`` has besides where steps of its upcasters have contexts."""

    @property
    def upcasters(self) -> Upcasters:
        """The chain."""

    def read(self, event_type: str, schema_version: int, data: bytes) -> E_co | Earlier[E_co]:
        """As ``decode``, but what depends on the stream is left open. Raises ``EventUnreadable``."""


def settled(event: E | Earlier[E], known: Known | None, *, version: int) -> tuple[E, Known | None]:
    """The domain's event, and what is known after it: nothing after one in today's shape."""
    return event.settle(known, version=version) if isinstance(event, Earlier) else (event, None)


@dataclass(frozen=True, slots=True)
class Held(Generic[S]):
    """A state, and what is known of the stream beside it."""

    state: S
    known: Known


def in_context(view: View[Any, Any]) -> View[Any, Any]:
    """The view as a fold of what a ``FollowingCodec`` reads. Its states are ``Held`` while something is known.

    Views that share a fold or a codec share what becomes of it here, so that who folds them can tell that they fold alike.
    """
    rows = view.rows

    @wraps(rows)
    def rows_of(state: Any) -> Iterable[Row]:
        return rows(state.state if type(state) is Held else state)

    return replace(view, fold=_followed(view.fold), rows=rows_of, codec=_held(view.codec))


def following(fold: Callable[[Any, Any, RecordedEvent], Any]) -> Callable[[Any, Any, RecordedEvent], Any]:
    """The fold of a view, for states that may be held and events that may be of earlier shapes."""

    @wraps(fold)
    def followed(state: Any, event: Any, recorded: RecordedEvent) -> Any:
        held = type(state) is Held
        if type(event) is not Earlier:
            return fold(state.state if held else state, event, recorded)
        decoded, known = event.settle(state.known if held else None, version=recorded.version)
        after = fold(state.state if held else state, decoded, recorded)
        return after if known is None else Held(after, known)

    return followed


def own_state(state: S | Held[S]) -> S:
    """The state itself."""
    return state.state if isinstance(state, Held) else state


class HeldCodec(Generic[S]):
    """``ViewStateCodec`` of states that may be held."""

    def __init__(self, own: ViewStateCodec[S]) -> None:
        self._own = own

    def encode(self, state: S | Held[S]) -> bytes:
        """The state's bytes, behind what is known where anything is."""
        if isinstance(state, Held):
            return with_known(self._own.encode(state.state), state.known)
        return self._own.encode(state)

    def decode(self, data: bytes) -> S | Held[S]:
        """The state."""
        known, own = split_known(data)
        state = self._own.decode(own)
        return state if known is None else Held(state, known)


_followed: Final = ByIdentity(following, SHARED_MAX)
_held: Final[ByIdentity[Any, HeldCodec[Any]]] = ByIdentity(HeldCodec, SHARED_MAX)


def with_known(data: bytes, known: Known | None) -> bytes:
    """A state's bytes behind what is known; the bytes alone where nothing is."""
    if data.startswith(MARK):
        raise ValueError("a state's bytes must not begin like what is known of a stream")
    if known is None:
        return data
    kept = _FRAMED.get(id(data))
    if kept is not None and kept[0] is data and kept[1] is known:
        return kept[2]
    framed = _front(known) + data
    if len(_FRAMED) >= FRONTS_MAX:
        _FRAMED.clear()
    _FRAMED[id(data)] = (data, known, framed)
    return framed


def _new_front(known: Known) -> bytes:
    text = _JSON.encode(dict(known)).encode()
    return b"".join((MARK, len(text).to_bytes(4, "big"), text))


# The views of a stream keep the very same value with their checkpoints, and those that share a fold the very same state.
_front: Final = ByIdentity(_new_front, FRONTS_MAX)
_FRAMED: Final[dict[int, tuple[bytes, Known, bytes]]] = {}


def split_known(data: bytes) -> tuple[Known | None, bytes]:
    """What is known, in plain tuples, and the state's own bytes.

    Raises ``EventUnreadable`` where the front of the bytes is broken.
    """
    if not data.startswith(MARK):
        return None, data
    begins = len(MARK) + 4
    ends = begins + int.from_bytes(data[len(MARK) : begins], "big")
    try:
        known = tuple((str(name), _tupled(value)) for name, value in json.loads(data[begins:ends]).items())
    except (ValueError, AttributeError) as error:
        raise UpcastFailed("known", version=0, cause=repr(error)) from error
    return known or None, data[ends:]


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value
