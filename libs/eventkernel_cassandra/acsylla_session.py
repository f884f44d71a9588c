"""The session on acsylla: asyncio over the C++ driver, for the hot path. A fifth of the other driver's CPU per append.

acsylla serves the event loop that runs when the session is opened; one loop at a time in a process.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import acsylla
from acsylla import errors

from eventkernel_cassandra.errors import InDoubt, NotExecuted, ServerRefused
from eventkernel_cassandra.preparing import Prepared
from eventkernel_cassandra.session import APPLIED, CqlSession, Kind, Row, Statement, Value, Verdict
from eventkernel_cassandra.settings import ConnectionSettings, Reach

# Warning: whatever is not listed in the next two is in doubt. An overloaded server, for one, may have sent the write to
# some replicas before it gave up.
REFUSED = (
    errors.CassErrorServerSyntaxError,
    errors.CassErrorServerInvalidQuery,
    errors.CassErrorServerUnauthorized,
    errors.CassErrorServerBadCredentials,
    errors.CassErrorServerConfigError,
    errors.CassErrorServerAlreadyExists,
    errors.CassErrorSourceSsl,
)
NOT_EXECUTED = (
    errors.CassErrorLibNoHostsAvailable,
    errors.CassErrorLibRequestQueueFull,
    errors.CassErrorLibNoStreams,
    errors.CassErrorLibNoAvailableIoThread,
    errors.CassErrorLibMessageEncode,
    errors.CassErrorLibUnableToConnect,
    errors.CassErrorLibHostResolution,
)


COALESCE_MICROSECONDS = 1_000
"""How long the driver's thread, once it was woken, waits for more to send. The first request after a pause does not wait."""


class AcsyllaSession:
    """``CqlSession``. Prepares every statement at its first use, with the consistency of its kind."""

    def __init__(self, cluster: Any, session: Any, reach: Reach) -> None:
        self._cluster = cluster
        self._session = session
        self._execute = session.execute
        local = reach is Reach.LOCAL
        self._quorum = acsylla.Consistency.LOCAL_QUORUM if local else acsylla.Consistency.QUORUM
        self._serial = acsylla.Consistency.LOCAL_SERIAL if local else acsylla.Consistency.SERIAL
        self._prepared = Prepared(self._prepare)
        self._closed = False

    async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
        """The rows, in the order of the columns selected."""
        prepared = self._prepared.now(statement) or await self._prepared.get(statement)
        bound = prepared.bind(values)
        bound.set_is_idempotent(True)
        try:
            return [row.as_tuple() for row in await self._run(bound)]
        except errors.CassException as error:
            raise _unanswered(statement, error) from error

    async def write(self, statement: Statement, values: Sequence[Value]) -> None:
        """Run it once."""
        prepared = self._prepared.now(statement) or await self._prepared.get(statement)
        try:
            await self._run(prepared.bind(values))
        except errors.CassException as error:
            raise _translated(statement, error) from error

    async def apply(self, statement: Statement, values: Sequence[Value]) -> Verdict:
        """Run it once."""
        prepared = self._prepared.now(statement) or await self._prepared.get(statement)
        try:
            result = await self._run(prepared.bind(values))
        except errors.CassException as error:
            raise _translated(statement, error) from error
        rows = [row.as_tuple() for row in result]
        if rows[0][0]:
            return APPLIED
        columns = result.columns_names()
        return Verdict(False, [dict(zip(columns, row, strict=True)) for row in rows] if len(columns) > 1 else ())

    async def define(self, cql: str) -> None:
        """Run it once; the driver waits until the nodes it sees agree."""
        try:
            await self._run(acsylla.create_statement(cql))
        except errors.CassException as error:
            raise _translated(Statement("define", cql, Kind.WRITE), error) from error

    async def close(self) -> None:
        """Close the connections."""
        if not self._closed:
            self._closed = True
            await self._session.close()
            self._cluster.destroy()  # the sockets by which the driver's threads wake the loop

    async def _run(self, bound: Any) -> Any:
        if self._closed:
            raise NotExecuted("the session is closed")
        return await self._execute(bound)

    async def _prepare(self, statement: Statement) -> Any:
        if self._closed:
            raise NotExecuted("the session is closed")
        consistency = self._serial if statement.kind is Kind.SERIAL_READ else self._quorum
        serial = self._serial if statement.kind is Kind.CONDITIONAL else None
        try:
            prepared = await self._session.create_prepared(
                statement.cql, consistency=consistency, serial_consistency=serial
            )
        except errors.CassException as error:
            raise _unanswered(statement, error) from error
        return prepared


async def open_acsylla_session(settings: ConnectionSettings) -> AcsyllaSession:
    """Connect. Raises ``NotExecuted`` where nobody answers, ``ServerRefused`` for a password or a certificate."""
    tls: dict[str, object] = {}
    if settings.tls is not None:
        tls = {
            "ssl_enabled": True,
            "ssl_trusted_cert": settings.tls.trusted.decode(),
            "ssl_cert": settings.tls.certificate.decode() if settings.tls.certificate else None,
            "ssl_private_key": settings.tls.private_key.decode() if settings.tls.private_key else None,
            "ssl_verify_flags": acsylla.SSLVerifyFlags.PEER_IDENTITY,
        }
    cluster = acsylla.create_cluster(
        list(settings.contact_points),
        port=settings.port,
        username=settings.username or None,
        password=settings.password or None,
        connect_timeout=settings.connect_timeout_seconds,
        request_timeout=settings.request_timeout_seconds,
        protocol_version=acsylla.ProtocolVersion.V4,
        load_balance_dc_aware=settings.local_dc or None,
        constant_reconnect_delay_ms=int(settings.reconnect_delay_seconds * 1000),
        exponential_reconnect_base_delay_ms=None,  # its default would take the place of the constant delay
        exponential_reconnect_max_delay_ms=None,
        coalesce_delay_us=COALESCE_MICROSECONDS,
        retry_policy="fallthrough",  # the default one retries, and a retried conditional write lies about its outcome
        speculative_execution_policy=None,
        log_level="critical",  # what matters comes back as an error of a call
        **tls,
    )
    try:
        return AcsyllaSession(cluster, await cluster.create_session(), settings.reach)
    except errors.CassException as error:
        cluster.destroy()
        raise _unanswered(Statement("connect", "", Kind.READ), error) from error


def _unanswered(statement: Statement, error: Exception) -> NotExecuted | ServerRefused:
    """What never changes anything is refused or not executed, whatever happened to the answer."""
    if isinstance(error, REFUSED):
        return ServerRefused(statement.name, str(error))
    return NotExecuted(f"{statement.name}: {error}")


def _translated(statement: Statement, error: Exception) -> Exception:
    if isinstance(error, (*REFUSED, *NOT_EXECUTED)):
        return _unanswered(statement, error)
    if isinstance(error, errors.CassErrorServerUnavailable) and _before_execution(statement, str(error)):
        return _unanswered(statement, error)
    return InDoubt(f"{statement.name}: {error}")


def _before_execution(statement: Statement, message: str) -> bool:
    """Too few replicas are found out before a plain write is sent; of a conditional one the commit may find it out too,
    after the decision. Which of the two it was shows in the consistency level of the message.
    """
    return statement.kind is not Kind.CONDITIONAL or "SERIAL" in message


if TYPE_CHECKING:
    _: type[CqlSession] = AcsyllaSession
