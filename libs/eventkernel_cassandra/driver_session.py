"""The session on cassandra-driver: portable, for migrations and scans, and wherever acsylla has no wheel.

The driver answers in callbacks on its own event thread. They go into a queue, and the loop is woken once for all that came
while it was busy: a wake-up for every answer would have both threads fight for the interpreter.
"""

import asyncio
import ssl
import tempfile
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    RequestValidationException,
    Unavailable,
    UnresolvableContactPoints,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, ResultSet
from cassandra.policies import (
    ConstantReconnectionPolicy,
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
    RoundRobinPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import BadCredentials
from cassandra.protocol import RequestValidationException as RequestRefused
from cassandra.query import SimpleStatement, tuple_factory

from eventkernel_cassandra.errors import InDoubt, NotExecuted, ServerRefused
from eventkernel_cassandra.preparing import Prepared
from eventkernel_cassandra.session import APPLIED, CqlSession, Kind, Row, Statement, Value, Verdict
from eventkernel_cassandra.settings import ConnectionSettings, Reach, Tls

# Before and after it passed through the driver's own translation.
REFUSED = (RequestValidationException, RequestRefused, AuthenticationFailed, BadCredentials)
_SERIAL_LEVELS = (ConsistencyLevel.SERIAL, ConsistencyLevel.LOCAL_SERIAL)

_Answer: TypeAlias = tuple["asyncio.Future[Any]", Any, BaseException | None]


class DriverSession:
    """``CqlSession``. ``connection`` is a session of the driver with the profile that ``open_driver_session`` makes."""

    def __init__(self, connection: Any, reach: Reach) -> None:
        self._connection = connection
        local = reach is Reach.LOCAL
        self._quorum = ConsistencyLevel.LOCAL_QUORUM if local else ConsistencyLevel.QUORUM
        self._serial = ConsistencyLevel.LOCAL_SERIAL if local else ConsistencyLevel.SERIAL
        self._loop = asyncio.get_running_loop()
        self._blocking = ThreadPoolExecutor(1, "cassandra-prepare")
        self._prepared = Prepared(self._prepare)
        self._answers: deque[_Answer] = deque()
        self._woken = False
        self._closed = False

    async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
        """The rows, in the order of the columns selected."""
        prepared = self._prepared.now(statement) or await self._prepared.get(statement)
        try:
            rows, _ = await self._run(prepared.bind(values))
        except NotExecuted:
            raise
        except Exception as error:
            raise _unanswered(statement, error) from error
        return rows or ()

    async def write(self, statement: Statement, values: Sequence[Value]) -> None:
        """Run it once."""
        prepared = self._prepared.now(statement) or await self._prepared.get(statement)
        await self._write(statement, prepared.bind(values))

    async def apply(self, statement: Statement, values: Sequence[Value]) -> Verdict:
        """Run it once."""
        prepared = self._prepared.now(statement) or await self._prepared.get(statement)
        rows, future = await self._write(statement, prepared.bind(values))
        if rows[0][0]:
            return APPLIED
        columns = ResultSet(future, rows).column_names
        return Verdict(False, [dict(zip(columns, row, strict=True)) for row in rows] if len(columns) > 1 else ())

    async def define(self, cql: str) -> None:
        """Run it once; the driver waits until the nodes it sees agree."""
        await self._write(Statement("define", cql, Kind.WRITE), SimpleStatement(cql))

    async def close(self) -> None:
        """Close the connections; answers under way come first, or end as the driver ends them."""
        if not self._closed:
            self._closed = True
            await self._loop.run_in_executor(self._blocking, self._connection.cluster.shutdown)
            self._blocking.shutdown()
            self._deliver()

    async def _write(self, statement: Statement, bound: Any) -> tuple[Any, Any]:
        try:
            return await self._run(bound)
        except NotExecuted:
            raise
        except Exception as error:
            raise _translated(statement, error) from error

    async def _run(self, bound: Any) -> tuple[Any, Any]:
        if self._closed:
            raise NotExecuted("the session is closed")
        waiting: asyncio.Future[Any] = self._loop.create_future()
        future = self._connection.execute_async(bound)
        future.add_callbacks(self._answered, self._failed, callback_args=(waiting,), errback_args=(waiting,))
        return await waiting, future

    def _answered(self, rows: Any, waiting: "asyncio.Future[Any]") -> None:
        self._hand_over((waiting, rows, None))

    def _failed(self, error: BaseException, waiting: "asyncio.Future[Any]") -> None:
        self._hand_over((waiting, None, error))

    def _hand_over(self, answer: _Answer) -> None:
        """On the driver's thread. Append first, then look at the flag: so no answer is left without a wake-up."""
        self._answers.append(answer)
        if not self._woken:
            self._woken = True
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False
        while self._answers:
            waiting, rows, error = self._answers.popleft()
            if waiting.done():
                continue
            if error is None:
                waiting.set_result(rows)
            else:
                waiting.set_exception(error)

    async def _prepare(self, statement: Statement) -> Any:
        if self._closed:
            raise NotExecuted("the session is closed")
        try:
            prepared = await self._loop.run_in_executor(self._blocking, self._connection.prepare, statement.cql)
        except Exception as error:
            raise _unanswered(statement, error) from error
        prepared.consistency_level = self._serial if statement.kind is Kind.SERIAL_READ else self._quorum
        if statement.kind is Kind.CONDITIONAL:
            prepared.serial_consistency_level = self._serial
        prepared.is_idempotent = statement.kind in (Kind.READ, Kind.SERIAL_READ)
        return prepared


async def open_driver_session(settings: ConnectionSettings) -> DriverSession:
    """Connect. Raises ``NotExecuted`` where nobody answers, ``ServerRefused`` for a password or a certificate."""
    local = DCAwareRoundRobinPolicy(settings.local_dc) if settings.local_dc else RoundRobinPolicy()
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(local),
        # The default policy retries connection errors on the next host, conditional writes too, and then says
        # "not applied" of a write that was.
        retry_policy=FallthroughRetryPolicy(),
        request_timeout=settings.request_timeout_seconds,
        row_factory=tuple_factory,
    )

    def connect() -> Any:
        cluster = Cluster(
            settings.contact_points,
            port=settings.port,
            protocol_version=4,
            auth_provider=PlainTextAuthProvider(settings.username, settings.password) if settings.username else None,
            ssl_context=_ssl_context(settings.tls) if settings.tls else None,
            connect_timeout=settings.connect_timeout_seconds,
            reconnection_policy=ConstantReconnectionPolicy(settings.reconnect_delay_seconds, max_attempts=None),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        try:
            return cluster.connect()
        except BaseException:
            cluster.shutdown()
            raise

    with ThreadPoolExecutor(1, "cassandra-connect") as connecting:
        try:
            connection = await asyncio.get_running_loop().run_in_executor(connecting, connect)
        except Exception as error:
            raise _unanswered(Statement("connect", "", Kind.READ), error) from error
    connection.default_fetch_size = None  # statements have limits of their own
    return DriverSession(connection, settings.reach)


def _ssl_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=tls.trusted.decode())
    if tls.certificate is not None and tls.private_key is not None:
        with tempfile.TemporaryDirectory() as folder:  # the standard library reads a client's key from files only
            certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
            certificate.write_bytes(tls.certificate)
            key.touch(0o600)
            key.write_bytes(tls.private_key)
            context.load_cert_chain(certificate, key)
    return context


def _unanswered(statement: Statement, error: BaseException) -> NotExecuted | ServerRefused:
    """What never changes anything is refused or not executed, whatever happened to the answer."""
    causes = [error, *error.errors.values()] if isinstance(error, NoHostAvailable) and _by_host(error) else [error]
    for cause in causes:
        if isinstance(cause, REFUSED):
            return ServerRefused(statement.name, str(cause))
    return NotExecuted(f"{statement.name}: {type(error).__name__}: {error}")


def _by_host(error: Any) -> bool:
    return isinstance(error.errors, dict)


def _translated(statement: Statement, error: BaseException) -> Exception:
    """Under the fallthrough policy a host lands in ``NoHostAvailable`` only if nothing was sent to it."""
    if isinstance(error, (*REFUSED, NoHostAvailable, UnresolvableContactPoints)):
        return _unanswered(statement, error)
    if isinstance(error, Unavailable) and _before_execution(statement, error):
        return _unanswered(statement, error)
    # Everything else: timeouts, lost connections, an overloaded server, and error 0x1700 (the outcome of a conditional
    # write is unknown), which comes as a bare ErrorMessage.
    return InDoubt(f"{statement.name}: {type(error).__name__}: {error}")


def _before_execution(statement: Statement, error: Unavailable) -> bool:
    """Too few replicas are found out before a plain write is sent; of a conditional one the commit may find it out too,
    after the decision. Which of the two it was shows in the consistency level of the error.
    """
    return statement.kind is not Kind.CONDITIONAL or error.consistency in _SERIAL_LEVELS


if TYPE_CHECKING:
    _: type[CqlSession] = DriverSession
