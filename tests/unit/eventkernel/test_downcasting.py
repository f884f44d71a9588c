from typing import Any

import pytest

from eventkernel.downcasting import CannotBeExpressed, Downcasters, DownStep
from eventkernel.upcasting import Shape, Step, Upcasters

UPCASTERS = Upcasters(
    {"Placed": 3, "Noted": 3},
    [Step("Placed", 2, dict), Step("Ordered", 1, dict, gives=("Placed",), type_of=lambda _: "Placed")],
)


def without_unit(payload: dict[str, Any]) -> dict[str, Any]:
    return {"amount": payload["amount"]}


def whole(payload: dict[str, Any]) -> dict[str, Any]:
    if payload["amount"] % 1:
        raise ValueError("no whole number")
    return payload


def differences(newest: dict[str, Any], again: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, value in newest.items() if again.get(name) != value)


DOWN = Downcasters(
    UPCASTERS,
    [DownStep("Placed", 3, without_unit), DownStep("Placed", 2, whole, gives="Ordered")],
    differences=differences,
)


def test_the_newest_is_given_as_it_is() -> None:
    lowered = DOWN.downcast(Shape("Placed", 3, {"amount": 1, "unit": "g"}), 3)
    assert (lowered.shape.version, lowered.lost) == (3, ())


def test_what_an_older_shape_does_not_say_is_told() -> None:
    lowered = DOWN.downcast(Shape("Placed", 3, {"amount": 1, "unit": "g"}), 2)
    assert lowered.shape == Shape("Placed", 2, {"amount": 1})
    assert lowered.lost == ("unit",)


def test_steps_are_chained_and_types_take_their_older_names() -> None:
    assert DOWN.downcast(Shape("Placed", 3, {"amount": 1}), 1).shape == Shape("Ordered", 1, {"amount": 1})


def test_what_cannot_be_said_is_refused_with_its_reason() -> None:
    with pytest.raises(CannotBeExpressed, match="Placed cannot be expressed in schema version 1: no whole number"):
        DOWN.downcast(Shape("Placed", 3, {"amount": 0.5}), 1)


def test_an_event_that_did_not_exist_is_refused() -> None:
    with pytest.raises(CannotBeExpressed, match="version 2 has no such event"):
        DOWN.downcast(Shape("Noted", 3, {}), 2)


def test_versions_that_are_offered_are_those_some_event_can_be_told_in() -> None:
    assert DOWN.offered == {1, 2}
