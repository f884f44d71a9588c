from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.canonical import plain, request_hash
from eventkernel.envelope import Actor

ACTOR = Actor("p1", "prescriber", "Praxis")


class Colour(Enum):
    RED = 1


class Rank(IntEnum):
    HIGH = 9


@dataclass(frozen=True)
class Part:
    amount: Decimal
    note: str = ""


@dataclass(frozen=True)
class Order:
    id: str
    parts: tuple[Part, ...] = ()
    tags: frozenset[str] = frozenset()
    note: str | None = None


def same_name_with_a_field_more() -> type[Any]:
    @dataclass(frozen=True)
    class Order:
        id: str
        added: str | None = None
        also: tuple[str, ...] = ()

    return Order


def test_equal_commands_hash_alike_and_different_ones_do_not() -> None:
    one = Order("1", (Part(Decimal("2.50")),), frozenset({"a", "b"}))
    two = Order("1", (Part(Decimal("2.5")),), frozenset({"b", "a"}))
    assert request_hash(one, ACTOR) == request_hash(two, ACTOR)
    assert len(request_hash(one, ACTOR)) == 32
    for other in (Order("2"), Order("1", (Part(Decimal("2.51")),), frozenset({"a", "b"})), Order("1", note="x")):
        assert request_hash(other, ACTOR) != request_hash(one, ACTOR)


@pytest.mark.parametrize(
    "actor", [Actor("p2", "prescriber", "Praxis"), Actor("p1", "agent", "Praxis"), Actor("p1", "prescriber")]
)
def test_the_same_command_from_somebody_else_hashes_differently(actor: Actor) -> None:
    assert request_hash(Order("1"), actor) != request_hash(Order("1"), ACTOR)


def test_an_optional_field_added_later_leaves_older_hashes_alone() -> None:
    assert request_hash(same_name_with_a_field_more()("1"), ACTOR) == request_hash(Order("1"), ACTOR)


def test_the_form_of_today_stays() -> None:
    order = Order("1", (Part(Decimal("2.50"), "n"),), frozenset({"b", "a"}))
    assert plain(order) == {"id": "1", "parts": [{"amount": "2.5", "note": "n"}], "tags": ["a", "b"]}
    assert request_hash(order, ACTOR).hex() == "5cbc03ddc2b687bc9eabae5980e76ac4501b051837fb1255c0de3178cdf43924"


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (Colour.RED, "RED"),
        (Rank.HIGH, "HIGH"),
        (True, True),
        (0, 0),
        (date(2026, 3, 1), "2026-03-01"),
        (datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=1))), "2026-03-01T08:00:00+00:00"),
        (datetime(2026, 3, 1, 8, tzinfo=UTC), "2026-03-01T08:00:00+00:00"),
        (Decimal("1E+3"), "1000"),
        (Decimal(100), "100"),
        (Decimal("0.00"), "0"),
        (Decimal("-0"), "0"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\x00\xff", "00ff"),
        ({"b": 1, 2: (3,)}, {"b": 1, "2": [3]}),
        (["", None], ["", None]),
    ],
)
def test_each_type_has_one_form(value: Any, form: Any) -> None:
    assert plain(value) == form


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40), st.integers(0, 5))
def test_decimals_of_equal_value_have_one_form_in_every_context(value: Decimal, zeros: int) -> None:
    text = format(value, "f")
    padded = Decimal(text + ("" if "." in text else ".") + "0" * zeros)
    with localcontext() as context:
        context.prec = 2
        assert plain(padded) == plain(value)
        assert Decimal(plain(value)) == value


@pytest.mark.parametrize("value", [1.5, object(), 1j])
def test_a_type_without_a_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="no canonical form"):
        plain(value)
