"""What is made by generated code is what ``dataclasses`` itself would have made."""

import copy
import dataclasses
import pickle
from dataclasses import InitVar, dataclass, field, fields
from inspect import signature
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.envelope import RecordedEvent
from eventkernel.evolving import quickly_made, replaced
from prescriptions.domain.state import Prescription

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plain:
    """As states are."""

    name: str
    count: int = 0
    parts: tuple[int, ...] = field(default_factory=tuple)
    note: str = field(default="", repr=False, compare=False)


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick(Generic[T]):
    """As what is made for every command."""

    name: str
    value: T
    count: int = 1
    last: str = field(default="x", kw_only=True)


@quickly_made
@dataclass(frozen=True, slots=True, order=True)
class Checked:
    """With a check of its own."""

    low: int
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


class Below(Checked):
    """A subclass without a word of its own."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Derived(Plain):
    """Slots in two places."""

    more: int = 5


@dataclass(frozen=True)
class Open:
    """Without slots."""

    a: int
    b: int = 2


@dataclass
class Loose:
    """Not frozen."""

    a: int
    b: int = 2


@dataclass(frozen=True, slots=True)
class Computed:
    """With a field that is no argument."""

    a: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "twice", 2 * self.a)


@dataclass(frozen=True, slots=True)
class Scaled:
    """With an argument that is no field."""

    a: int
    by: InitVar[int]

    def __post_init__(self, by: int) -> None:
        object.__setattr__(self, "a", self.a * by)


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (Plain("a"), {}),
        (Plain("a", 3, (1,)), {"count": 4}),
        (Plain("a", 3, (1,)), {"parts": (2,), "name": "b"}),
        (Plain("a", 3, (1,), "n"), {"note": "m"}),
        (Quick("a", 1), {"value": "other"}),
        (Quick("a", 1, last="y"), {"last": "z", "count": 7}),
        (Checked(1, 2), {"low": 2}),
        (Below(1, 2), {"low": 2}),
        (Derived("a", more=1), {"name": "b", "more": 2}),
        (Open(1), {"b": 3}),
        (Loose(1), {"b": 3}),
        (Computed(2), {"a": 5}),
        (Prescription(), {"claim_open": True, "fills_done": 2}),
    ],
)
def test_a_change_gives_what_replace_gives(state: Any, changes: dict[str, Any]) -> None:
    for _ in range(2):
        expected, found = dataclasses.replace(state, **changes), replaced(state, **changes)
        assert type(found) is type(expected)
        assert found is not state
        assert [getattr(found, one.name) for one in fields(found)] == [
            getattr(expected, one.name) for one in fields(expected)
        ]
        assert found == expected
        assert repr(found) == repr(expected)


def test_what_a_change_does_not_name_stays_the_same_object() -> None:
    parts = (1, 2)
    assert replaced(Plain("a", parts=parts), name="b").parts is parts


@given(st.dictionaries(st.sampled_from([one.name for one in fields(Prescription)]), st.integers()))
def test_any_set_of_fields_may_change(changes: dict[str, Any]) -> None:
    assert replaced(Prescription(), **changes) == dataclasses.replace(Prescription(), **changes)


@pytest.mark.parametrize("state", [Plain("a"), Quick("a", 1), Open(1), Loose(1)])
def test_a_field_that_is_not_there_is_refused(state: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'absent'"):
        replaced(state, absent=1)


def test_what_replace_refuses_is_refused() -> None:
    with pytest.raises(ValueError, match="init=False"):
        replaced(Computed(1), twice=3)
    with pytest.raises(ValueError, match="InitVar 'by' must be specified"):
        replaced(Scaled(1, 1), a=3)  # type: ignore[call-arg]  # that is what is refused
    assert replaced(Scaled(1, 1), a=3, by=2) == Scaled(6, 1)


def test_a_check_after_the_initialisation_is_made_for_every_object() -> None:
    with pytest.raises(ValueError, match="low is above high"):
        replaced(Checked(1, 2), low=3)
    with pytest.raises(ValueError, match="low is above high"):
        Checked(3, 2)


@pytest.mark.parametrize(
    "made", [replaced(Plain("a"), count=2), Quick("a", 1), replaced(Quick("a", 1), count=2), Checked(1)]
)
def test_what_is_made_is_frozen_and_slotted(made: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, fields(made)[0].name, "changed")
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(made, fields(made)[0].name)
    assert not hasattr(made, "__dict__")


@pytest.mark.parametrize("made", [replaced(Plain("a"), count=2), Quick("a", 1), Checked(1), Below(1)])
def test_copies_and_pickles_are_equal(made: Any) -> None:
    for again in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert again == made
        assert type(again) is type(made)
        assert hash(again) == hash(made)


def test_a_quick_initialisation_takes_the_same_arguments() -> None:
    assert str(signature(Quick)) == "(name: str, value: ~T, count: int = 1, *, last: str = 'x') -> None"
    assert Quick("a", 1) == Quick(name="a", value=1, count=1, last="x")
    for wrong in ((), ("a",), ("a", 1, 2, "last")):
        with pytest.raises(TypeError, match="argument"):
            Quick(*wrong)
    with pytest.raises(TypeError, match="unexpected keyword argument 'absent'"):
        Quick("a", 1, absent=1)  # type: ignore[call-arg]  # that is what is tried


def test_order_and_hash_stay() -> None:
    assert sorted([Checked(3), Checked(1, 5), Checked(1, 4)]) == [Checked(1, 4), Checked(1, 5), Checked(3)]
    assert len({Quick("a", 1), Quick("a", 1), Quick("a", 2)}) == 2


def test_a_subclass_is_made_as_ever() -> None:
    assert type(Below(1)) is Below
    with pytest.raises(ValueError, match="low is above high"):
        Below(3, 2)


@pytest.mark.parametrize("kind", [Plain, Open, Loose, Computed, Scaled, Derived, int])
def test_other_classes_are_refused_a_quick_initialisation(kind: type[Any]) -> None:
    with pytest.raises(TypeError):
        quickly_made(kind)


def test_the_kernels_events_are_made_quickly_and_are_what_they_were() -> None:
    names = [one.name for one in fields(RecordedEvent)]
    made = RecordedEvent(*names)  # type: ignore[arg-type]  # any values
    assert [getattr(made, name) for name in names] == names
    assert dataclasses.replace(made, version=2) == replaced(made, version=2)
