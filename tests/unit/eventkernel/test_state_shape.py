"""The shape of a state changes with whatever a snapshot's reader could take for something else."""

from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Optional, Union

import pytest

from eventkernel.state_shape import FINGERPRINT_DIGITS, changes, fingerprint, shape_of


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Line:
    item: str
    price: Decimal | None = None


@dataclass(frozen=True)
class Order:
    lines: tuple[Line, ...] = ()
    colour: Colour = Colour.RED
    marks: "frozenset[int] | None" = None


@dataclass(frozen=True)
class Tree:
    branches: "tuple[Tree, ...]" = ()


def test_every_field_that_can_be_reached_is_told_with_its_type() -> None:
    assert shape_of(Order) == {
        "Colour": "RED=1 BLUE=2",
        "Line.item": "str",
        "Line.price": "Decimal | None",
        "Order.colour": "Colour",
        "Order.lines": "tuple[Line, ...]",
        "Order.marks": "frozenset[int] | None",
    }


def test_a_state_may_hold_itself() -> None:
    assert shape_of(Tree) == {"Tree.branches": "tuple[Tree, ...]"}


@pytest.mark.parametrize("hint", [Optional[Decimal], Union[None, Decimal], Decimal | None])  # noqa: UP007, UP045 - all three
def test_one_type_has_one_text_however_it_is_written(hint: Any) -> None:
    assert shape_of(make_dataclass("S", [("f", hint)])) == {"S.f": "Decimal | None"}


CHANGED: dict[str, list[tuple[str, Any]]] = {
    "a name": [("totals", int), ("kind", Colour)],
    "a type": [("total", str), ("kind", Colour)],
    "a field more": [("total", int), ("kind", Colour), ("more", int)],
    "a field less": [("total", int)],
    "whether it may be absent": [("total", int | None), ("kind", Colour)],
    "the values of an enum": [("total", int), ("kind", Enum("Colour", {"RED": 2, "BLUE": 1}))],
    "the names of an enum": [("total", int), ("kind", Enum("Colour", {"GREEN": 1, "BLUE": 2}))],
}


@pytest.mark.parametrize("after", CHANGED.values(), ids=CHANGED.keys())
def test_whatever_changes_it_shows(after: list[tuple[str, Any]]) -> None:
    before = shape_of(make_dataclass("S", [("total", int), ("kind", Colour)]))
    now = shape_of(make_dataclass("S", after))
    assert fingerprint(before) != fingerprint(now)
    assert changes(before, now)


def test_changes_name_the_place() -> None:
    assert changes({"S.a": "int", "S.b": "int"}, {"S.a": "str", "S.c": "int"}) == [
        "S.a was int and is str",
        "S.b is gone, it was int",
        "S.c is new: int",
    ]
    assert changes({"S.a": "int"}, {"S.a": "int"}) == []


def test_a_fingerprint_is_the_same_in_every_process_and_order() -> None:
    assert fingerprint({"b": "1", "a": "2"}) == fingerprint({"a": "2", "b": "1"}) == "48ddb3cd1823d37f"
    assert len(fingerprint(shape_of(Order))) == FINGERPRINT_DIGITS


def test_two_types_of_one_name_are_refused() -> None:
    other = make_dataclass("Line", [("item", int)])
    with pytest.raises(ValueError, match="two different types are called Line"):
        shape_of(make_dataclass("S", [("a", Line), ("b", other)]))
