import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from eventkernel_cassandra.errors import NotExecuted
from eventkernel_cassandra.late_session import PAUSE_SECONDS, LateSession
from eventkernel_cassandra.session import APPLIED, CqlSession, Kind, Statement, Value, Verdict
from eventkernel_memory.clock import ManualClock

ONE = Statement("one", "SELECT 1", Kind.READ)


@dataclass
class Opened:
    """What was asked of the session, and whether it is closed."""

    asked: list[str] = field(default_factory=list)
    closed: bool = False

    async def read(self, statement: Statement, _values: Sequence[Value]) -> Sequence[Any]:
        self.asked.append(f"read {statement.name}")
        return [(1,)]

    async def write(self, statement: Statement, _values: Sequence[Value]) -> None:
        self.asked.append(f"write {statement.name}")

    async def apply(self, statement: Statement, _values: Sequence[Value]) -> Verdict:
        self.asked.append(f"apply {statement.name}")
        return APPLIED

    async def define(self, cql: str) -> None:
        self.asked.append(f"define {cql}")

    async def close(self) -> None:
        self.closed = True


@dataclass
class Cluster:
    """Answers attempts to connect while ``up``, and not before ``answers`` is set."""

    up: bool = True
    attempts: int = 0
    opened: Opened = field(default_factory=Opened)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self) -> CqlSession:
        self.attempts += 1
        await self.answers.wait()
        if not self.up:
            raise NotExecuted("nobody there")
        return self.opened


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def session(cluster: Cluster, clock: ManualClock) -> AsyncIterator[LateSession]:
    made = LateSession(cluster.connect, clock)
    yield made
    await made.close()


async def test_calls_wait_for_the_one_attempt_under_way_and_go_through(cluster: Cluster, session: LateSession) -> None:
    asked = [
        asyncio.ensure_future(session.read(ONE, [])),
        asyncio.ensure_future(session.write(ONE, [])),
        asyncio.ensure_future(session.apply(ONE, [])),
        asyncio.ensure_future(session.define("x")),
    ]
    await asyncio.sleep(0)
    cluster.answers.set()
    assert await asyncio.gather(*asked) == [[(1,)], None, APPLIED, None]
    assert cluster.opened.asked == ["read one", "write one", "apply one", "define x"]
    assert cluster.attempts == 1


async def test_a_call_that_is_given_up_does_not_end_the_attempt_of_the_others(
    cluster: Cluster, session: LateSession
) -> None:
    first, second = (asyncio.ensure_future(session.read(ONE, [])) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    cluster.answers.set()
    assert await second == [(1,)]
    assert first.cancelled()
    assert cluster.attempts == 1


async def test_after_a_failure_calls_are_refused_for_a_pause_and_then_connect_again(
    cluster: Cluster, session: LateSession, clock: ManualClock
) -> None:
    cluster.up = False
    cluster.answers.set()
    for _ in range(3):
        with pytest.raises(NotExecuted, match="nobody there"):
            await session.read(ONE, [])
    assert cluster.attempts == 1
    await clock.advance(PAUSE_SECONDS)
    cluster.up = True
    assert await session.read(ONE, []) == [(1,)]
    assert cluster.attempts == 2


async def test_closing_closes_what_was_opened_and_refuses_from_then_on(cluster: Cluster, session: LateSession) -> None:
    cluster.answers.set()
    await session.read(ONE, [])
    await session.close()
    assert cluster.opened.closed
    with pytest.raises(NotExecuted, match="closed"):
        await session.read(ONE, [])


@pytest.mark.parametrize("up", [True, False])
async def test_closing_lets_an_attempt_come_to_its_end_and_closes_what_it_opened(
    cluster: Cluster, clock: ManualClock, up: bool
) -> None:
    cluster.up = up
    session = LateSession(cluster.connect, clock)
    waiting = asyncio.ensure_future(session.read(ONE, []))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(session.close())
    await asyncio.wait({closing}, timeout=0.01)
    assert not closing.done()
    cluster.answers.set()
    await closing
    with pytest.raises(NotExecuted, match="closed" if up else "nobody there"):
        await waiting
    assert cluster.opened.closed == up


async def test_closing_gives_up_an_attempt_that_does_not_end(
    cluster: Cluster, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkernel_cassandra.late_session.CLOSE_SECONDS_MAX", 0.01)
    session = LateSession(cluster.connect, clock)
    waiting = asyncio.ensure_future(session.read(ONE, []))
    await asyncio.sleep(0)
    await session.close()
    with pytest.raises(NotExecuted, match="closed"):
        await waiting
    assert not cluster.opened.closed
