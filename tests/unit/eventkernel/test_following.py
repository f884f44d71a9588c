import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from eventkernel.envelope import Actor, EventMeta, Provenance, RecordedEvent
from eventkernel.errors import EventUnreadable
from eventkernel.following import MARK, Earlier, Held, in_context, own_state, settled, split_known, with_known
from eventkernel.ids import StreamId
from eventkernel.upcasting import Context, Known, Shape, Step, Upcasters
from eventkernel.view import Column, ColumnType, TableKind, View

STREAM = StreamId("t", "counter-1")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def summed(value: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    return (*value, shape.payload)


PAST: Context[tuple[int, ...]] = Context("past", 1, (), summed, tuple)
UPCASTERS = Upcasters({"Added": 2}, [Step("Added", 1, lambda payload, past: (payload, past), context=PAST)])


class Codec:
    """Version 1 is a number; version 2 says besides which numbers came before it."""

    upcasters = UPCASTERS

    def read(self, event_type: str, schema_version: int, data: bytes) -> Any:
        shape = Shape(event_type, schema_version, json.loads(data))
        if not UPCASTERS.follows(schema_version):
            return tuple(shape.payload)

        def settle(known: Known | None) -> tuple[Any, Known | None]:
            newest, after = UPCASTERS.upcast_after(shape, known)
            return newest.payload, after

        return Earlier(settle, UPCASTERS.beginning)


class JsonCodec:
    def encode(self, state: list[Any]) -> bytes:
        return json.dumps(state).encode()

    def decode(self, data: bytes) -> Any:
        return json.loads(data)


VIEW: View[Any, Any] = View(
    name="past",
    version=1,
    kind=TableKind.OWNED,
    categories=frozenset({"counter"}),
    columns=(Column("id", ColumnType.TEXT), Column("told", ColumnType.TEXT)),
    key=("id",),
    indexes=(),
    initial=[],
    fold=lambda state, event, recorded: [*state, event],
    rows=lambda state: ({"id": "1", "told": str(state)},) if state else (),
    codec=JsonCodec(),
)
FOLLOWING = in_context(VIEW)


def recorded(version: int, schema_version: int, value: Any) -> RecordedEvent:
    meta = EventMeta(AT, AT, UUID(int=version), Provenance(Actor("a", "system")))
    return RecordedEvent(STREAM, version, UUID(int=version), "Added", schema_version, json.dumps(value).encode(), meta)


def fold(state: Any, event: RecordedEvent) -> Any:
    return FOLLOWING.fold(state, Codec().read(event.type, event.schema_version, event.data), event)


def test_a_view_is_told_what_an_older_event_means_in_its_stream() -> None:
    state = FOLLOWING.initial
    for version, number in enumerate((7, 8, 9), 1):
        state = fold(state, recorded(version, 1, number))
    assert own_state(state) == [(7, ()), (8, (7,)), (9, (7, 8))]
    assert state == Held(own_state(state), (("past", (7, 8, 9)),))
    assert list(FOLLOWING.rows(state)) == list(VIEW.rows(own_state(state)))


def test_what_is_known_goes_with_the_state_into_the_checkpoint_and_comes_back() -> None:
    state = fold(fold(FOLLOWING.initial, recorded(1, 1, 7)), recorded(2, 1, 8))
    kept = FOLLOWING.codec.encode(state)
    after = fold(FOLLOWING.codec.decode(kept), recorded(3, 1, 9))
    assert own_state(after)[-1] == (9, (7, 8))


def test_a_stream_of_todays_events_carries_nothing() -> None:
    state = fold(FOLLOWING.initial, recorded(1, 2, [7, []]))
    assert type(state) is list
    assert FOLLOWING.codec.encode(state) == VIEW.codec.encode(state)


def test_the_first_event_of_today_ends_what_is_known() -> None:
    state = fold(fold(FOLLOWING.initial, recorded(1, 1, 7)), recorded(2, 2, [8, [7]]))
    assert type(state) is list
    late = fold(state, recorded(3, 1, 9))
    assert own_state(late)[-1] == (9, None)


def test_a_checkpoint_from_before_there_was_anything_to_know_leaves_it_unknown() -> None:
    assert own_state(fold([(7, [])], recorded(2, 1, 8)))[-1] == (8, None)


def test_the_beginning_of_a_stream_is_known_whatever_was_said() -> None:
    earlier = Codec().read("Added", 1, b"7")
    assert settled(earlier, None, version=1)[0] == (7, ())
    assert settled(earlier, None, version=2)[0] == (7, None)


def test_several_folds_of_one_event_read_it_once() -> None:
    read = []

    def settle(known: Known | None) -> tuple[str, Known | None]:
        read.append(known)
        return "event", known

    earlier = Earlier(settle, (("past", ()),))
    for _ in range(3):
        earlier.settle((("past", (1,)),), version=2)
    assert read == [(("past", (1,)),)]


def test_an_event_of_today_is_settled_as_it_is() -> None:
    assert settled("event", (("past", ()),), version=5) == ("event", None)


@pytest.mark.parametrize("known", [(("a", "ä"),), (("a", (1, ("x", None, True))), ("b", 0))])
def test_known_values_come_back_in_plain_tuples(known: Known) -> None:
    assert split_known(with_known(b"state", known)) == (known, b"state")


def test_nothing_known_leaves_the_bytes_as_they_are() -> None:
    assert with_known(b"state", None) == b"state"
    assert split_known(b"state") == (None, b"state")


def test_bytes_that_begin_like_what_is_known_are_refused() -> None:
    with pytest.raises(ValueError, match="must not begin"):
        with_known(MARK, None)


@pytest.mark.parametrize("front", [b"", b"\0", b"\0\0\0\x02[]", b"\0\0\0\x04\xff\xff\xff\xff"])
def test_a_broken_front_is_unreadable(front: bytes) -> None:
    with pytest.raises(EventUnreadable):
        split_known(MARK + front)
