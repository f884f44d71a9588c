"""A driver's session with the simulated cluster: what the network does to a statement, and what the client hears of it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from eventkernel.envelope import to_micros
from eventkernel_cassandra.errors import InDoubt, NotExecuted
from eventkernel_cassandra.session import CqlSession, Kind, Row, Statement, Value, Verdict
from eventkernel_simulation.cluster import Cluster
from eventkernel_simulation.loop import Process
from eventkernel_simulation.weather import SkewedClock, Weather

REQUEST_SECONDS = 2.0

CONDITIONAL_FAULTS = (
    "cql.unanswered",
    "cql.refused",
    "cql.lost",
    "cql.reply_lost",
    "cql.late",
    "cql.accepted",
    "cql.unsettled",
)
PLAIN_FAULTS = ("cql.refused", "cql.lost", "cql.reply_lost", "cql.late")
READ_FAULTS = ("cql.refused",)


class SimulatedDriver:
    """``CqlSession`` of one process. Every call ends in time: with an answer, with ``NotExecuted`` or with ``InDoubt``.

    ``retries``: the driver sends a conditional write to the next host when the connection to the first was lost, as
    cassandra-driver does by default. It is there for the simulation's own test.
    """

    def __init__(self, cluster: Cluster, weather: Weather, process: Process, *, retries: bool = False) -> None:
        self.cluster = cluster
        self.weather = weather
        self.loop = weather.loop
        self.process = process
        self.clock = SkewedClock(weather.loop, process)
        self.retries = retries
        self.cut = False
        self._closed = False

    async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
        """The rows."""
        rows: Sequence[Row] = await self._call(statement, values, READ_FAULTS)
        return rows

    async def write(self, statement: Statement, values: Sequence[Value]) -> None:
        """Write."""
        await self._call(statement, values, PLAIN_FAULTS)

    async def apply(self, statement: Statement, values: Sequence[Value]) -> Verdict:
        """Write on conditions."""
        verdict: Verdict = await self._call(statement, values, CONDITIONAL_FAULTS)
        return verdict

    async def define(self, cql: str) -> None:
        """The tables are there."""

    async def close(self) -> None:
        """Refuse what comes after."""
        self._closed = True

    async def _call(self, statement: Statement, values: Sequence[Value], faults: tuple[str, ...]) -> Any:
        if self._closed:
            raise NotExecuted("the session is closed")
        answer: asyncio.Future[Any] = self.loop.create_future()
        _Request(self, statement, values, answer).send(faults)
        return await answer


class _Request:
    """One statement on its way. What happens to it happens whether its sender lives or not."""

    def __init__(
        self, driver: SimulatedDriver, statement: Statement, values: Sequence[Value], answer: asyncio.Future[Any]
    ) -> None:
        self._driver = driver
        self._cluster = driver.cluster
        self._weather = driver.weather
        self._later = driver.loop.later
        self._statement = statement
        self._values = values
        self._answer = answer
        self._written_at = to_micros(driver.clock.now()) if statement.kind is Kind.WRITE else 0

    def send(self, faults: tuple[str, ...]) -> None:
        trip = self._weather.trip()
        if self._driver.cut or not self._cluster.up:
            self._later(trip, self._refuse, "no host available")
            return
        fault = self._weather.one_of(faults)
        if fault is None:
            self._later(trip, self._execute)
            return
        if self._weather.tracing:
            self._note(f"{self._name()}: {fault}")
        if fault == "cql.refused":
            self._later(trip, self._refuse, "too few replicas")
            return
        if fault == "cql.late":
            self._later(self._weather.long(), self._execute_unheard)
        elif fault == "cql.reply_lost":
            self._later(trip, self._execute_unheard)
        elif fault == "cql.accepted":
            self._later(trip, self._accept)
        elif fault == "cql.unsettled":
            self._later(trip, self._execute_unsettled)
        # A cut connection is noticed at once, silence when the time is over.
        if self._weather.random.random() < 0.5:
            self._later(trip + self._weather.trip(), self._lose, "connection lost")
        else:
            self._later(REQUEST_SECONDS, self._lose, "timed out")

    def _execute(self) -> None:
        if self._is_deferred(self._execute):
            self._later(REQUEST_SECONDS, self._lose, "timed out")
            return
        if not self._cluster.up:
            self._lose("connection lost")
            return
        answer = self._cluster.execute(self._statement, self._values, self._written_at)
        if self._weather.tracing:
            self._note(f"{self._name()} -> {_shown(answer)}")
        self._later(self._weather.trip(), self._reply, answer)

    def _execute_unheard(self) -> None:
        if self._is_deferred(self._execute_unheard) or not self._cluster.up:
            return
        answer = self._cluster.execute(self._statement, self._values, self._written_at)
        if self._weather.tracing:
            self._note(f"{self._name()} -> {_shown(answer)}, unheard")

    def _execute_unsettled(self) -> None:
        if not self._is_deferred(self._execute_unsettled) and self._cluster.up:
            self._cluster.execute_unsettled(self._statement, self._values)

    def _accept(self) -> None:
        if not self._is_deferred(self._accept) and self._cluster.up:
            self._cluster.accept(self._statement, self._values)

    def _is_deferred(self, again: Callable[[], None]) -> bool:
        """While the server stalls it takes nothing, and everything afterwards."""
        left = self._cluster.stalled_until - self._driver.loop.time()
        if left <= 0 or not self._cluster.up:
            return False
        self._later(left + self._weather.trip(), again)
        return True

    def _reply(self, answer: Any) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)

    def _refuse(self, cause: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(NotExecuted(f"{self._statement.name}: {cause}"))

    def _lose(self, cause: str) -> None:
        if self._answer.done():
            return
        if self._statement.kind in (Kind.READ, Kind.SERIAL_READ):
            self._refuse(cause)
        elif self._driver.retries and self._statement.kind is Kind.CONDITIONAL and cause == "connection lost":
            self._try_next_host()
        else:
            self._answer.set_exception(InDoubt(f"{self._statement.name}: {cause}"))

    def _try_next_host(self) -> None:
        """What must never be done: the answer of the second attempt is taken for the answer of the first."""
        again = _Request(self._driver, self._statement, self._values, self._answer)
        if self._weather.random.random() < 0.5:
            self._refuse("too few replicas")
        else:
            self._later(self._weather.trip(), again._execute)

    def _name(self) -> str:
        shown = [value for value in self._values if isinstance(value, int | str)]
        return f"{self._statement.name}{shown[:8]}"

    def _note(self, text: str) -> None:
        self._weather.note(self._driver.process.name, text)


def _shown(answer: Any) -> str:
    if isinstance(answer, Verdict):
        found = [{key: row[key] for key in ("head", "gen", "kind") if key in row} for row in answer.found]
        return "applied" if answer.applied else f"not applied {found}"
    return "written" if answer is None else f"{len(answer)} rows"


if TYPE_CHECKING:
    _: type[CqlSession] = SimulatedDriver
