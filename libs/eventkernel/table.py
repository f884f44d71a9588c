"""The transition table: a state machine held as data.

From one table come the dispatch of commands, the list of what is allowed now, the refusals, the diagram in the docs and the
tests that walk every cell.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, NoReturn, TypeVar

from eventkernel.errors import TransitionRefused

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")
X = TypeVar("X")
Status = TypeVar("Status", bound=Enum)


@dataclass(frozen=True, slots=True)
class Transition(Generic[Status]):
    """One row: ``command`` in any of ``sources`` runs ``handler``, which yields one ``event`` and leads to one of ``targets``.

    ``targets`` empty means the status stays. ``guards`` names the refusals that the handler may raise, for the docs.
    """

    command: type[Any]
    sources: frozenset[Status]
    event: type[Any]
    targets: tuple[Status, ...]
    handler: Callable[..., Any]
    guards: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The command's name, which is also the RPC's."""
        return self.command.__name__


@dataclass(frozen=True, slots=True)
class TransitionTable(Generic[C, E, S, X, Status]):
    """All rows of one aggregate.

    ``refusals`` holds the forbidden cells that have a better answer than INVALID_STATE_TRANSITION: (status, command type) →
    a function of (state, command, facts) that raises it; a function may also return, and the plain refusal follows.
    """

    status_of: Callable[[S], Status]
    statuses: Sequence[Status]
    start: Status
    transitions: tuple[Transition[Status], ...]
    refusals: Mapping[tuple[Status, type[Any]], Callable[[S, Any, X], None]] = field(default_factory=dict)
    _cells: dict[tuple[Status, type[Any]], Transition[Status]] = field(init=False, repr=False)
    _allowed: dict[Status, tuple[str, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the rows; two rows for one cell are a mistake in the table and raise ``ValueError``."""
        cells: dict[tuple[Status, type[Any]], Transition[Status]] = {}
        for row in self.transitions:
            for source in row.sources:
                if (source, row.command) in cells:
                    raise ValueError(f"two transitions for {row.name} in {source.name}")
                cells[source, row.command] = row
        for status, command in self.refusals:
            if (status, command) in cells:
                raise ValueError(f"{command.__name__} in {status.name} is both allowed and refused")
        allowed: dict[Status, tuple[str, ...]] = {}
        for row in self.transitions:
            for source in row.sources:
                allowed[source] = (*allowed.get(source, ()), row.name)
        object.__setattr__(self, "_cells", cells)
        object.__setattr__(self, "_allowed", allowed)

    @property
    def commands(self) -> tuple[type[Any], ...]:
        """Every command type, in the table's order."""
        return tuple(dict.fromkeys(row.command for row in self.transitions))

    def cell(self, status: Status, command: type[Any]) -> Transition[Status] | None:
        """The row for a status and a command type, or None where it is forbidden."""
        return self._cells.get((status, command))

    def allowed(self, status: Status) -> tuple[str, ...]:
        """Names of the commands that have a cell in this status, in the table's order."""
        return self._allowed.get(status, ())

    def creates(self, command: type[Any]) -> bool:
        """Whether the command may be the first of a stream."""
        return (self.start, command) in self._cells

    def decide(self, state: S, command: C, facts: X) -> E:
        """Dispatch: the row's event, or the row's refusal, or the table's."""
        status = self.status_of(state)
        row = self._cells.get((status, type(command)))
        if row is None:
            self._refuse(state, status, command, facts)
        event: E = row.handler(state, command, facts)
        if type(event) is not row.event:
            raise TypeError(f"{row.name} must yield {row.event.__name__}, its handler gave {type(event).__name__}")
        return event

    def _refuse(self, state: S, status: Status, command: C, facts: X) -> NoReturn:
        better = self.refusals.get((status, type(command)))
        if better is not None:
            better(state, command, facts)
        raise TransitionRefused(state=status.name, command=type(command).__name__, allowed=self.allowed(status))

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram, one arrow per (source, target), commands of one arrow joined."""
        arrows: dict[tuple[str, str], list[str]] = {}
        for row in self.transitions:
            for source in self._in_order(row.sources):
                for target in row.targets or (source,):
                    arrows.setdefault((self._node(source), self._node(target)), []).append(row.name)
        lines = ["stateDiagram-v2"]
        lines += [f"    {a} --> {b}: {' / '.join(names)}" for (a, b), names in arrows.items()]
        lines += [f"    {status.name} --> [*]" for status in self.statuses if not self.allowed(status)]
        return "\n".join(lines) + "\n"

    def _node(self, status: Status) -> str:
        return "[*]" if status is self.start else status.name

    def _in_order(self, statuses: Iterable[Status]) -> list[Status]:
        chosen = set(statuses)
        return [status for status in self.statuses if status in chosen]
