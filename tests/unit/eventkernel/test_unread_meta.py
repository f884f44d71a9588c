"""An envelope that is read when something of it is first asked for is the envelope."""

import copy
import pickle
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from eventkernel.envelope import Actor, EventMeta, Provenance

META = EventMeta(
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
    uuid4(),
    Provenance(Actor("a", "pharmacy", "o"), "p", "co", "ca", "t"),
)


def unread() -> EventMeta:
    return EventMeta.unread(META.to_bytes())


def test_it_is_equal_to_what_it_will_be_from_either_side_and_hashes_alike() -> None:
    assert unread() == META
    known = META
    assert known == unread()
    assert unread() == unread()
    assert hash(unread()) == hash(META)
    assert unread() != replace(META, command_id=uuid4())
    other: object = "meta"
    assert unread() != other


@pytest.mark.parametrize("name", ["occurred_at", "recorded_at", "command_id", "provenance"])
def test_every_field_can_be_the_first_that_is_asked_for(name: str) -> None:
    meta = unread()
    assert getattr(meta, name) == getattr(META, name)
    assert meta == META


def test_it_is_written_printed_copied_and_changed_like_any_other() -> None:
    assert unread().to_bytes() == META.to_bytes()
    assert str(META.command_id) in repr(unread())
    assert copy.copy(unread()) == META
    assert pickle.loads(pickle.dumps(unread())) == META
    assert replace(unread(), command_id=META.command_id) == META
    with pytest.raises(AttributeError):
        getattr(unread(), "colour")  # noqa: B009 - it has none


def test_bytes_that_are_no_envelope_are_refused_when_they_are_read() -> None:
    meta = EventMeta.unread(b"{")
    with pytest.raises(ValueError, match="Expecting"):
        _ = meta.recorded_at
