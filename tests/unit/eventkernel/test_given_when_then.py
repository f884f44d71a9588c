"""The words that tests of deciders are written in fail when what they say is not so."""

from dataclasses import dataclass
from enum import Enum

import pytest

from eventkernel.decider import Decider
from eventkernel.errors import Refusal, TransitionRefused
from eventkernel.table import Transition, TransitionTable
from eventkernel.testing.given_when_then import cells, given, given_state


class Light(Enum):
    OFF = "off"
    ON = "on"


@dataclass(frozen=True)
class Switch:
    by: str


@dataclass(frozen=True)
class Smash:
    pass


@dataclass(frozen=True)
class Switched:
    to: Light


def switch(state: Light, command: Switch, allowed_by: str) -> Switched:
    if command.by != allowed_by:
        raise Refusal("NOT_YOU", "somebody else's lamp")
    return Switched(Light.ON)


def smash(_state: Light, _command: Smash, _facts: str) -> Switched:
    raise RuntimeError("glass everywhere")


TABLE: TransitionTable[Switch | Smash, Switched, Light, str, Light] = TransitionTable(
    status_of=lambda state: state,
    statuses=tuple(Light),
    start=Light.OFF,
    transitions=(
        Transition(Switch, frozenset({Light.OFF}), Switched, (Light.ON,), switch),
        Transition(Smash, frozenset({Light.ON}), Switched, (Light.OFF,), smash),
    ),
)
LAMP: Decider[Switch | Smash, Switched, Light, str] = Decider(Light.OFF, TABLE.decide, lambda _state, event: event.to)


def test_then_goes_on_after_the_event() -> None:
    after = given(LAMP).when(Switch("me"), "me").then(Switched(Light.ON))
    assert after.state is Light.ON
    assert isinstance(after.when(Switch("me"), "me").refused("INVALID_STATE_TRANSITION"), TransitionRefused)


def test_given_folds_the_events() -> None:
    assert given(LAMP, Switched(Light.ON), Switched(Light.OFF)).state is Light.OFF
    assert given_state(LAMP, Light.ON).state is Light.ON


def test_then_fails_on_another_event() -> None:
    with pytest.raises(AssertionError, match="expected Switched"):
        given(LAMP).when(Switch("me"), "me").then(Switched(Light.OFF))


def test_then_fails_on_a_refusal_and_says_which() -> None:
    with pytest.raises(AssertionError, match="NOT_YOU"):
        given(LAMP).when(Switch("you"), "me").then(Switched(Light.ON))


def test_refused_fails_on_an_event_and_on_another_reason() -> None:
    with pytest.raises(AssertionError, match="expected NOT_YOU, got Switched"):
        given(LAMP).when(Switch("me"), "me").refused("NOT_YOU")
    with pytest.raises(AssertionError, match="expected TOO_DARK, got NOT_YOU"):
        given(LAMP).when(Switch("you"), "me").refused("TOO_DARK")


def test_an_error_that_is_no_refusal_is_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="glass"):
        given_state(LAMP, Light.ON).when(Smash(), "me")


def test_cells_are_all_pairs_in_the_tables_order() -> None:
    walked = list(cells(TABLE))
    assert [str(cell) for cell in walked] == ["Switch-in-OFF", "Smash-in-OFF", "Switch-in-ON", "Smash-in-ON"]
    assert [cell.row is not None for cell in walked] == [True, False, False, True]
