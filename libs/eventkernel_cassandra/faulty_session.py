"""Faults between the journal and a session, real or simulated: what a network and a dying server do to writes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from eventkernel_cassandra.errors import InDoubt, NotExecuted
from eventkernel_cassandra.session import CqlSession, Row, Statement, Value, Verdict


class Fault(Enum):
    """What happens to one statement."""

    REFUSED = "rejected before it was executed"
    LOST = "never arrives; the caller cannot know"
    REPLY_LOST = "executed; the caller cannot know"
    LATE = "the caller cannot know; executed when ``land`` is called"


Plan: TypeAlias = Callable[[Statement, Sequence[Value]], Fault | None]


class FaultySession:
    """``CqlSession`` around another one. ``plan`` is asked about every statement; reads only know ``REFUSED``."""

    def __init__(self, inner: CqlSession, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan
        self._late: list[Callable[[], Awaitable[Any]]] = []

    async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
        """Read, with faults."""
        if self._plan(statement, values) is not None:
            raise NotExecuted(f"{statement.name}: no answer")
        return await self._inner.read(statement, values)

    async def write(self, statement: Statement, values: Sequence[Value]) -> None:
        """Write, with faults."""
        await self._with_faults(statement, values, self._inner.write)

    async def apply(self, statement: Statement, values: Sequence[Value]) -> Verdict:
        """Apply, with faults."""
        verdict: Verdict = await self._with_faults(statement, values, self._inner.apply)
        return verdict

    async def define(self, cql: str) -> None:
        """Define, without faults."""
        await self._inner.define(cql)

    async def close(self) -> None:
        """Close the inner one."""
        await self._inner.close()

    async def land(self) -> list[bool]:
        """Execute what is late, all at once; says of each write whether it was applied."""
        late, self._late = self._late, []
        verdicts = await asyncio.gather(*(execute() for execute in late))
        return [verdict is None or verdict.applied for verdict in verdicts]

    async def _with_faults(self, statement: Statement, values: Sequence[Value], execute: Any) -> Any:
        match self._plan(statement, values):
            case None:
                return await execute(statement, values)
            case Fault.REFUSED:
                raise NotExecuted(f"{statement.name}: too few replicas")
            case Fault.LOST:
                raise InDoubt(f"{statement.name}: the request was lost")
            case Fault.REPLY_LOST:
                await execute(statement, values)
                raise InDoubt(f"{statement.name}: the reply was lost")
            case Fault.LATE:
                self._late.append(partial(execute, statement, values))
                raise InDoubt(f"{statement.name}: the request is on its way")


if TYPE_CHECKING:
    _: type[CqlSession] = FaultySession
