from collections.abc import Callable
from dataclasses import dataclass

from eventkernel.remembered import ByIdentity


@dataclass(frozen=True)
class Value:
    number: int


def seen(asked: list[Value]) -> Callable[[Value], int]:
    def number_of(value: Value) -> int:
        asked.append(value)
        return value.number

    return number_of


def test_the_same_object_is_computed_once_and_an_equal_one_anew() -> None:
    asked: list[Value] = []
    remembered = ByIdentity(seen(asked), kept_max=10)
    one, equal = Value(1), Value(1)
    assert [remembered(value) for value in (one, one, equal)] == [1, 1, 1]
    assert len(asked) == 2
    assert asked[0] is one
    assert asked[1] is equal


def test_what_is_kept_has_a_limit() -> None:
    asked: list[Value] = []
    remembered = ByIdentity(seen(asked), kept_max=2)
    values = [Value(number) for number in range(3)]
    for value in (*values, values[2], values[0]):
        remembered(value)
    assert asked == [*values, values[0]]


def test_an_argument_that_is_gone_is_not_taken_for_a_new_one() -> None:
    remembered = ByIdentity(seen([]), kept_max=10_000)
    assert [remembered(Value(number)) for number in range(5_000)] == list(range(5_000))
