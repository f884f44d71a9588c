from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.errors import UnknownEventType, UnknownSchemaVersion, UpcasterGap, UpcastFailed
from eventkernel.upcasting import Context, Known, Shape, Step, Upcasters


def grow(payload: list[str]) -> list[str]:
    return [*payload, "step"]


def chain(newest: int, name: str = "Placed") -> Upcasters:
    return Upcasters({name: newest}, [Step(name, version, grow) for version in range(1, newest)])


@given(st.integers(1, 8), st.data())
def test_every_older_version_goes_through_every_step_to_the_newest(newest: int, data: st.DataObject) -> None:
    version = data.draw(st.integers(1, newest))
    upcasters = chain(newest)
    upcasters.check()
    assert upcasters.upcast(Shape("Placed", version, [])) == Shape("Placed", newest, ["step"] * (newest - version))


def test_the_newest_version_is_left_as_it_is() -> None:
    payload = object()
    assert chain(3).upcast(Shape("Placed", 3, payload)).payload is payload


def test_a_renamed_type_goes_on_under_its_new_name() -> None:
    upcasters = Upcasters(
        {"Placed": 3},
        [Step("Ordered", 1, grow, gives=("Placed",), type_of=lambda _: "Placed"), Step("Placed", 2, grow)],
    )
    upcasters.check()
    assert upcasters.upcast(Shape("Ordered", 1, [])) == Shape("Placed", 3, ["step", "step"])


def test_a_split_type_goes_where_its_payload_says() -> None:
    def kind(payload: dict[str, Any]) -> str:
        return "Filled" if payload["full"] else "PartlyFilled"

    upcasters = Upcasters(
        {"Filled": 2, "PartlyFilled": 2}, [Step("Filled", 1, dict, gives=("Filled", "PartlyFilled"), type_of=kind)]
    )
    upcasters.check()
    assert upcasters.upcast(Shape("Filled", 1, {"full": True})).type == "Filled"
    assert upcasters.upcast(Shape("Filled", 1, {"full": False})).type == "PartlyFilled"


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(UnknownEventType, match="Cancelled"):
        chain(2).upcast(Shape("Cancelled", 1, []))


def test_a_version_newer_than_the_newest_is_refused_with_both_numbers() -> None:
    with pytest.raises(UnknownSchemaVersion) as caught:
        chain(2).upcast(Shape("Placed", 3, []))
    assert (caught.value.version, caught.value.newest) == (3, 2)


def test_a_version_newer_than_a_renamed_type_ever_had_is_refused() -> None:
    upcasters = Upcasters({"Placed": 2}, [Step("Ordered", 1, grow, gives=("Placed",), type_of=lambda _: "Placed")])
    with pytest.raises(UnknownSchemaVersion):
        upcasters.upcast(Shape("Ordered", 5, []))


def test_a_version_without_a_step_fails() -> None:
    with pytest.raises(UpcastFailed, match="no step to version 2"):
        Upcasters({"Placed": 3}, [Step("Placed", 2, grow)]).upcast(Shape("Placed", 1, []))


def test_a_step_that_breaks_is_named_and_its_cause_kept() -> None:
    def broken(payload: Any) -> Any:
        raise KeyError("dose")

    with pytest.raises(UpcastFailed, match="Placed schema version 1: KeyError") as caught:
        Upcasters({"Placed": 2}, [Step("Placed", 1, broken)]).upcast(Shape("Placed", 1, []))
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_unreadable_payload_keeps_the_error_of_the_step() -> None:
    def unreadable(payload: Any) -> Any:
        raise UnknownEventType("Inner")

    with pytest.raises(UnknownEventType, match="Inner"):
        Upcasters({"Placed": 2}, [Step("Placed", 1, unreadable)]).upcast(Shape("Placed", 1, []))


@pytest.mark.parametrize(
    ("newest", "steps", "gap"),
    [
        ({"A": 3}, [Step("A", 1, grow)], "A has no step from version 2"),
        ({"A": 2}, [Step("A", 1, grow), Step("A", 2, grow)], "A version 2 leads to A version 3"),
        ({"A": 2}, [Step("B", 1, grow)], "B version 1 leads to B version 2"),
        ({"A": 2}, [Step("B", 1, grow, gives=("A", "C"))], "C version 2"),
    ],
)
def test_check_names_every_version_without_a_way_to_the_newest(
    newest: dict[str, int], steps: list[Step], gap: str
) -> None:
    with pytest.raises(UpcasterGap, match=gap):
        Upcasters(newest, steps).check()


def test_two_steps_for_one_version_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two steps read A version 1"):
        Upcasters({"A": 2}, [Step("A", 1, grow), Step("A", 1, grow)])


def counted(value: int, shape: Shape) -> int:
    return value + len(shape.payload)


SEEN = Context("seen", 2, 0, counted, int)
"""How much the payloads of version 2 held so far."""


def numbered(payload: list[str], seen: int | None) -> list[str]:
    return [*payload, f"after {seen}"]


def following() -> Upcasters:
    """``Placed`` has three versions, and its last step wants to know what came before; ``Noted`` only ever had one."""
    steps = [Step("Placed", 1, grow), Step("Placed", 2, numbered, context=SEEN)]
    return Upcasters({"Placed": 3, "Noted": 1}, steps)


def upcast_all(upcasters: Upcasters, shapes: list[Shape]) -> tuple[list[Shape], Known | None]:
    known: Known | None = upcasters.beginning
    read = []
    for shape in shapes:
        upcast, known = upcasters.upcast_after(shape, known)
        read.append(upcast)
    return read, known


def test_a_step_is_given_what_its_context_was_before_the_event() -> None:
    upcasters = following()
    upcasters.check()
    shapes = [Shape("Placed", 2, ["a", "b"]), Shape("Placed", 2, ["c"]), Shape("Placed", 2, [])]
    read, known = upcast_all(upcasters, shapes)
    assert [shape.payload[-1] for shape in read] == ["after 0", "after 2", "after 3"]
    assert known == (("seen", 3),)


def test_a_context_sees_older_events_upcast_to_its_version_and_others_as_they_are() -> None:
    read, known = upcast_all(following(), [Shape("Placed", 1, ["a"]), Shape("Noted", 1, ["x", "y", "z"])])
    assert read[0].payload == ["a", "step", "after 0"]
    assert read[1].payload == ["x", "y", "z"]
    assert known == (("seen", 5),)


def test_the_first_event_in_a_newer_shape_ends_the_context() -> None:
    read, known = upcast_all(
        following(), [Shape("Placed", 2, ["a"]), Shape("Placed", 3, ["b"]), Shape("Placed", 2, [])]
    )
    assert known is None
    assert read[-1].payload == ["after None"]


def test_without_the_stream_a_step_is_told_that_nothing_is_known() -> None:
    assert following().upcast(Shape("Placed", 2, ["a"])).payload == ["a", "after None"]
    assert following().upcast_after(Shape("Placed", 2, ["a"]), None)[1] is None


def test_only_events_as_old_as_a_context_take_part_in_it() -> None:
    assert [following().follows(version) for version in (1, 2, 3, 4)] == [True, True, False, False]
    assert not chain(3).follows(1)


def test_a_context_that_breaks_is_named() -> None:
    def broken(value: int, shape: Shape) -> int:
        raise KeyError("dose")

    upcasters = Upcasters({"A": 2}, [Step("A", 1, numbered, context=Context("dosed", 1, 0, broken, int))])
    with pytest.raises(UpcastFailed, match="context dosed: KeyError"):
        upcasters.upcast_after(Shape("A", 1, []), upcasters.beginning)


def test_check_names_a_context_that_folds_other_shapes_than_its_step_reads() -> None:
    with pytest.raises(UpcasterGap, match="A version 1: seen folds the shapes of version 2"):
        Upcasters({"A": 2}, [Step("A", 1, numbered, context=SEEN)]).check()


def test_check_names_two_contexts_of_one_name() -> None:
    other = Context("seen", 1, 0, counted, int)
    steps = [Step("A", 1, numbered, context=other), Step("A", 2, numbered, context=SEEN)]
    with pytest.raises(UpcasterGap, match="two contexts are called seen"):
        Upcasters({"A": 3}, steps).check()


def test_check_names_a_stored_shape_without_a_way_to_the_newest() -> None:
    with pytest.raises(UpcasterGap, match="A has no step from version 1"):
        Upcasters({"A": 2}, []).check([("A", 1)])
    with pytest.raises(UpcasterGap, match="B has no step from version 4"):
        Upcasters({"A": 2}, []).check([("A", 2), ("B", 4)])
