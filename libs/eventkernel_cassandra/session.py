"""The session port: all that the journal asks of a driver. acsylla, cassandra-driver and a simulated store implement it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

Value: TypeAlias = int | str | bytes | list[int] | list[str] | list[bytes] | None
"""What is bound and what comes back. UUIDs are kept as 16 bytes, times as microseconds: every driver agrees on these."""

Row: TypeAlias = tuple[Any, ...]


class Kind(Enum):
    """What a statement does, from which follow its consistency and whether a driver may try another host by itself."""

    READ = "at the consistency of writes; may be repeated by the driver"
    SERIAL_READ = "linearised with conditional writes of the same partition; may be repeated by the driver"
    WRITE = "plain and unconditional"
    CONDITIONAL = "applied if its conditions hold; must never be repeated by a driver"


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One statement of CQL with positional markers. It is prepared once per session, at its first use."""

    name: str
    cql: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a conditional statement: applied, or else the rows that kept it from being, by column.

    Rows are as Cassandra gives them: a condition on static columns alone gives a row without clustering columns, and a
    partition that does not exist gives none.
    """

    applied: bool
    found: Sequence[Mapping[str, Any]] = ()


APPLIED = Verdict(True)


class CqlSession(Protocol):
    """A connection to the cluster, for any number of calls at once, on one event loop.

    Errors: ``NotExecuted`` and ``ServerRefused`` from all, ``InDoubt`` from ``write``, ``apply`` and ``define`` only.
    Nothing is retried, speculated or guessed below this line: cassandra-driver's default policy, which sends a conditional
    write to the next host after a connection error, gave 9 false "not applied" among 978.
    """

    async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
        """All rows; statements carry a LIMIT, so that one answer is one page."""

    async def write(self, statement: Statement, values: Sequence[Value]) -> None:
        """A plain write. After ``InDoubt`` it may be repeated: plain writes here are idempotent."""

    async def apply(self, statement: Statement, values: Sequence[Value]) -> Verdict:
        """A conditional write. ``InDoubt`` is common and must be resolved by a serial read."""

    async def define(self, cql: str) -> None:
        """A statement of the schema, not prepared."""

    async def close(self) -> None:
        """Close the connections; calls after it raise ``NotExecuted``."""
