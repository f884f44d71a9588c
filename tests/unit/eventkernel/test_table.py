from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest

from eventkernel.errors import Refusal, TransitionRefused
from eventkernel.table import Transition, TransitionTable


class Door(Enum):
    ABSENT = 0
    OPEN = 1
    SHUT = 2
    GONE = 3


@dataclass(frozen=True)
class Build: ...


@dataclass(frozen=True)
class Shut:
    hard: bool = False


@dataclass(frozen=True)
class Knock: ...


@dataclass(frozen=True)
class Raze: ...


@dataclass(frozen=True)
class Happened:
    what: str
    facts: str


@dataclass(frozen=True)
class Other: ...


def handler(name: str) -> Any:
    return lambda state, command, facts: Happened(name, facts)


def row(command: type[Any], sources: set[Door], *targets: Door, run: Any = None) -> Transition[Door]:
    return Transition(command, frozenset(sources), Happened, targets, run or handler(command.__name__))


BOTH = {Door.OPEN, Door.SHUT}


def glued(state: Door, command: Shut, facts: str) -> None:
    if command.hard:
        raise Refusal("DOOR_ALREADY_SHUT", "it is shut")


def table(*more: Transition[Door]) -> TransitionTable[Any, Any, Door, str, Door]:
    rows = (
        row(Build, {Door.ABSENT}, Door.OPEN),
        row(Shut, {Door.OPEN}, Door.SHUT),
        row(Knock, BOTH),
        row(Raze, BOTH, Door.GONE),
        *more,
    )
    return TransitionTable(lambda state: state, tuple(Door), Door.ABSENT, rows, {(Door.SHUT, Shut): glued})


def test_a_cell_runs_its_handler_with_the_facts() -> None:
    assert table().decide(Door.OPEN, Shut(), "at noon") == Happened("Shut", "at noon")


@pytest.mark.parametrize("status", list(Door))
@pytest.mark.parametrize("command", [Build(), Shut(), Knock(), Raze(), Other()])
def test_every_cell_either_yields_its_event_or_refuses_with_what_is_allowed(status: Door, command: Any) -> None:
    subject = table()
    if subject.cell(status, type(command)) is not None:
        assert isinstance(subject.decide(status, command, ""), Happened)
        assert type(command).__name__ in subject.allowed(status)
        return
    with pytest.raises(TransitionRefused) as caught:
        subject.decide(status, command, "")
    assert caught.value.reason == "INVALID_STATE_TRANSITION"
    assert (caught.value.state, caught.value.command) == (status.name, type(command).__name__)
    assert caught.value.allowed == subject.allowed(status)


def test_a_forbidden_cell_may_have_a_better_answer() -> None:
    with pytest.raises(Refusal) as caught:
        table().decide(Door.SHUT, Shut(hard=True), "")
    assert caught.value.reason == "DOOR_ALREADY_SHUT"


def test_what_is_allowed_comes_in_the_tables_order() -> None:
    assert table().allowed(Door.OPEN) == ("Shut", "Knock", "Raze")
    assert table().allowed(Door.GONE) == ()
    assert table().commands == (Build, Shut, Knock, Raze)


def test_only_commands_with_a_cell_at_the_start_create() -> None:
    assert [command for command in table().commands if table().creates(command)] == [Build]


def test_two_rows_for_one_cell_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two transitions for Knock in SHUT"):
        table(row(Knock, {Door.SHUT}))


def test_a_cell_that_is_allowed_and_refused_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Shut in SHUT is both allowed and refused"):
        table(row(Shut, {Door.SHUT}))


def test_a_handler_that_yields_another_event_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="Build must yield Happened"):
        table(row(Build, {Door.GONE}, run=lambda *_: Other())).decide(Door.GONE, Build(), "")


def test_the_diagram_is_the_table() -> None:
    assert table().mermaid() == (
        "stateDiagram-v2\n"
        "    [*] --> OPEN: Build\n"
        "    OPEN --> SHUT: Shut\n"
        "    OPEN --> OPEN: Knock\n"
        "    SHUT --> SHUT: Knock\n"
        "    OPEN --> GONE: Raze\n"
        "    SHUT --> GONE: Raze\n"
        "    GONE --> [*]\n"
    )
