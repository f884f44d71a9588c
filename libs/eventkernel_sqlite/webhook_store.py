"""Webhook subscriptions, cursors and lanes in a file of their own; several processes may share it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventkernel.envelope import from_micros, to_micros
from eventkernel.ports.webhook_json import (
    positions_from_json,
    positions_to_json,
    subscription_from_json,
    subscription_to_json,
)
from eventkernel.ports.webhook_store import (
    ATTEMPTS_KEPT,
    Attempt,
    Delivered,
    Delivery,
    Park,
    Settlement,
    Subscription,
    TryAgain,
)
from eventkernel_sqlite.connection import Schema
from eventkernel_sqlite.database import Database

CREATE_SUBSCRIPTIONS = """
    CREATE TABLE subscriptions (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, positions TEXT NOT NULL,
        paused_until INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID
"""
CREATE_DELIVERIES = """
    CREATE TABLE deliveries (
        subscription TEXT NOT NULL, stream TEXT NOT NULL, version INTEGER NOT NULL, tenant TEXT NOT NULL,
        event_id BLOB NOT NULL, event_type TEXT NOT NULL, failed_attempts INTEGER NOT NULL, due_at INTEGER,
        parked INTEGER NOT NULL, last_error TEXT NOT NULL, PRIMARY KEY (subscription, stream, version)
    ) STRICT, WITHOUT ROWID
"""
CREATE_DUE = "CREATE INDEX deliveries_due ON deliveries (subscription, due_at) WHERE due_at IS NOT NULL"
CREATE_PARKED = "CREATE INDEX deliveries_parked ON deliveries (subscription, stream, version) WHERE parked = 1"
CREATE_ATTEMPTS = """
    CREATE TABLE attempts (
        number INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL, stream TEXT NOT NULL, version INTEGER NOT NULL,
        event_id BLOB NOT NULL, event_type TEXT NOT NULL, at INTEGER NOT NULL, attempt INTEGER NOT NULL,
        http_status INTEGER NOT NULL, error TEXT NOT NULL
    ) STRICT
"""
CREATE_ATTEMPTS_OF = "CREATE INDEX attempts_of ON attempts (subscription, number)"
WEBHOOKS_SCHEMA = Schema(
    store="webhooks",
    application_id=0x65765F68,
    migrations=(
        (CREATE_SUBSCRIPTIONS, CREATE_DELIVERIES, CREATE_DUE, CREATE_PARKED, CREATE_ATTEMPTS, CREATE_ATTEMPTS_OF),
    ),
)

INSERT_SUBSCRIPTION = "INSERT INTO subscriptions (id, tenant, version, body, positions) VALUES (?, ?, ?, ?, ?)"
SELECT_SUBSCRIPTION = "SELECT tenant, id, version, body FROM subscriptions WHERE id = ? AND tenant = ?"
SELECT_SUBSCRIPTIONS = (
    "SELECT tenant, id, version, body FROM subscriptions WHERE id > ? AND (? IS NULL OR tenant = ?) ORDER BY id LIMIT ?"
)
UPDATE_SUBSCRIPTION = (
    "UPDATE subscriptions SET body = ?, version = version + 1 WHERE id = ? AND tenant = ? AND version = ?"
)
DELETE_SUBSCRIPTION = "DELETE FROM subscriptions WHERE id = ? AND tenant = ?"
DELETE_DELIVERIES = "DELETE FROM deliveries WHERE subscription = ?"
DELETE_ATTEMPTS = "DELETE FROM attempts WHERE subscription = ?"
SELECT_POSITIONS = "SELECT positions FROM subscriptions WHERE id = ?"
MOVE_POSITIONS = "UPDATE subscriptions SET positions = ? WHERE id = ? AND positions = ?"
SELECT_LANE = "SELECT count(*), coalesce(max(parked), 0) FROM deliveries WHERE subscription = ? AND stream = ?"
INSERT_DELIVERY = (
    "INSERT INTO deliveries (subscription, stream, version, tenant, event_id, event_type, failed_attempts, due_at, parked,"
    " last_error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_COLUMNS = "subscription, tenant, stream, version, event_id, event_type, failed_attempts, due_at, parked, last_error"
SELECT_DUE = (
    f"SELECT {_COLUMNS} FROM deliveries WHERE subscription = ? AND due_at <= ?"  # noqa: S608 - columns of this module
    " AND NOT EXISTS (SELECT 1 FROM subscriptions s WHERE s.id = subscription AND s.paused_until > ?)"
    " ORDER BY due_at, stream LIMIT ?"
)
LEASE = "UPDATE deliveries SET due_at = ? WHERE subscription = ? AND stream = ? AND version = ?"
SELECT_LEASE = "SELECT due_at FROM deliveries WHERE subscription = ? AND stream = ? AND version = ?"
DELETE_DELIVERY = "DELETE FROM deliveries WHERE subscription = ? AND stream = ? AND version = ?"
HEAD_DUE = """
    UPDATE deliveries SET due_at = ? WHERE subscription = ? AND stream = ? AND parked = 0 AND version =
        (SELECT min(version) FROM deliveries d WHERE d.subscription = deliveries.subscription AND d.stream = deliveries.stream)
"""
FAIL_DELIVERY = (
    "UPDATE deliveries SET due_at = ?, failed_attempts = failed_attempts + 1, last_error = ?"
    " WHERE subscription = ? AND stream = ? AND version = ?"
)
PAUSE = "UPDATE subscriptions SET paused_until = ? WHERE id = ?"
PARK_LANE = "UPDATE deliveries SET parked = 1, due_at = NULL WHERE subscription = ? AND stream = ?"
INSERT_ATTEMPT = (
    "INSERT INTO attempts (subscription, stream, version, event_id, event_type, at, attempt, http_status, error)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
PRUNE_ATTEMPTS = """
    DELETE FROM attempts WHERE subscription = ? AND number <=
        (SELECT number FROM attempts WHERE subscription = ? ORDER BY number DESC LIMIT 1 OFFSET ?)
"""
SELECT_COUNTS = (
    "SELECT count(*) - coalesce(sum(parked), 0), coalesce(sum(parked), 0) FROM deliveries WHERE subscription = ?"
)
SELECT_DELIVERIES = (
    f"SELECT {_COLUMNS} FROM deliveries WHERE subscription = ? AND parked = ? AND (stream, version) > (?, ?)"  # noqa: S608 - columns of this module
    " ORDER BY stream, version LIMIT ?"
)
SELECT_PARKED_LANES = (
    "SELECT DISTINCT stream FROM deliveries WHERE subscription = ? AND parked = 1 AND (? IS NULL OR stream = ?)"
)
UNPARK_LANE = (
    "UPDATE deliveries SET parked = 0, failed_attempts = 0 WHERE subscription = ? AND stream = ? AND parked = 1"
)
DROP_PARKED = "DELETE FROM deliveries WHERE subscription = ? AND stream = ? AND parked = 1 AND version <= ?"
SELECT_ATTEMPTS = (
    "SELECT stream, version, event_id, event_type, at, attempt, http_status, error FROM attempts WHERE subscription = ?"
    " ORDER BY number DESC LIMIT ?"
)


class SqliteWebhookStore:
    """Every method is one statement or one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, subscription: Subscription, positions: Mapping[int, int]) -> Subscription:
        """Insert, unless the id is taken."""

        def work(connection: Connection) -> Subscription:
            known = connection.execute(SELECT_SUBSCRIPTION, (subscription.id, subscription.tenant)).fetchone()
            if known is not None:
                return subscription_from_json(*known)
            row = (
                subscription.id,
                subscription.tenant,
                1,
                subscription_to_json(subscription),
                positions_to_json(positions),
            )
            connection.execute(INSERT_SUBSCRIPTION, row)
            return subscription

        return await self._database.write(work)

    async def get(self, tenant: str, subscription_id: str) -> Subscription | None:
        """One row."""
        row = self._database.read_now(lambda c: c.execute(SELECT_SUBSCRIPTION, (subscription_id, tenant)).fetchone())
        return None if row is None else subscription_from_json(*row)

    async def select(self, tenant: str | None, after: str, limit: int) -> Sequence[Subscription]:
        """A page."""
        bounds = (after, tenant, tenant, limit)
        rows = self._database.read_now(lambda c: c.execute(SELECT_SUBSCRIPTIONS, bounds).fetchall())
        return [subscription_from_json(*row) for row in rows]

    async def replace(self, subscription: Subscription) -> bool:
        """Conditional on the version."""
        row = (subscription_to_json(subscription), subscription.id, subscription.tenant, subscription.version)
        return await self._database.write(lambda c: c.execute(UPDATE_SUBSCRIPTION, row).rowcount) == 1

    async def remove(self, tenant: str, subscription_id: str) -> bool:
        """With everything that hangs on it."""

        def work(connection: Connection) -> bool:
            if connection.execute(DELETE_SUBSCRIPTION, (subscription_id, tenant)).rowcount == 0:
                return False
            connection.execute(DELETE_DELIVERIES, (subscription_id,))
            connection.execute(DELETE_ATTEMPTS, (subscription_id,))
            return True

        return await self._database.write(work)

    async def positions(self, subscription_id: str) -> Mapping[int, int]:
        """The cursor."""
        row = self._database.read_now(lambda c: c.execute(SELECT_POSITIONS, (subscription_id,)).fetchone())
        return {} if row is None else positions_from_json(row[0])

    async def take(
        self, subscription_id: str, before: Mapping[int, int], after: Mapping[int, int], new: Sequence[Delivery]
    ) -> bool:
        """One transaction."""

        def work(connection: Connection) -> bool:
            move = (positions_to_json(after), subscription_id, positions_to_json(before))
            if connection.execute(MOVE_POSITIONS, move).rowcount == 0:
                return False
            for one in new:
                count, parked = connection.execute(SELECT_LANE, (subscription_id, one.stream)).fetchone()
                due_at = None if count or one.due_at is None else to_micros(one.due_at)
                key = (subscription_id, one.stream, one.version)
                what = (one.tenant, one.event_id.bytes, one.event_type, one.failed_attempts)
                connection.execute(INSERT_DELIVERY, (*key, *what, due_at, parked, one.last_error))
            return True

        return await self._database.write(work)

    async def claim(self, subscription_id: str, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        """Look first: an idle subscription costs no write."""
        bounds = (subscription_id, to_micros(now), to_micros(now), limit)
        if not self._database.read_now(lambda c: c.execute(SELECT_DUE, bounds).fetchall()):
            return []

        def work(connection: Connection) -> list[Delivery]:
            rows = connection.execute(SELECT_DUE, bounds).fetchall()
            lease = to_micros(until)
            connection.executemany(LEASE, [(lease, row[0], row[2], row[3]) for row in rows])
            return [_delivery((*row[:7], lease, *row[8:])) for row in rows]

        return await self._database.write(work)

    async def settle(self, delivery: Delivery, settlement: Settlement, attempt: Attempt) -> bool:
        """Conditional on the lease."""
        key = (delivery.subscription_id, delivery.stream, delivery.version)

        def work(connection: Connection) -> bool:
            held = connection.execute(SELECT_LEASE, key).fetchone()
            if held is None or delivery.due_at is None or held[0] != to_micros(delivery.due_at):
                return False
            what = (attempt.event_id.bytes, attempt.event_type, to_micros(attempt.at), attempt.number)
            connection.execute(INSERT_ATTEMPT, (*key, *what, attempt.http_status, attempt.error))
            connection.execute(PRUNE_ATTEMPTS, (key[0], key[0], ATTEMPTS_KEPT))
            match settlement:
                case Delivered():
                    connection.execute(DELETE_DELIVERY, key)
                    connection.execute(HEAD_DUE, (to_micros(attempt.at), *key[:2]))
                case TryAgain(due_at, pause_until):
                    connection.execute(FAIL_DELIVERY, (to_micros(due_at), attempt.error, *key))
                    if pause_until is not None:
                        connection.execute(PAUSE, (to_micros(pause_until), key[0]))
                case Park():
                    connection.execute(FAIL_DELIVERY, (None, attempt.error, *key))
                    connection.execute(PARK_LANE, key[:2])
            return True

        return await self._database.write(work)

    async def counts(self, subscription_id: str) -> tuple[int, int]:
        """Waiting and parked."""
        waiting, parked = self._database.read_now(lambda c: c.execute(SELECT_COUNTS, (subscription_id,)).fetchone())
        return waiting, parked

    async def deliveries(
        self, subscription_id: str, *, parked: bool, after: tuple[str, int], limit: int
    ) -> Sequence[Delivery]:
        """A page."""
        bounds = (subscription_id, int(parked), *after, limit)
        rows = self._database.read_now(lambda c: c.execute(SELECT_DELIVERIES, bounds).fetchall())
        return [_delivery(row) for row in rows]

    async def replay(self, subscription_id: str, stream: str | None, now: datetime) -> int:
        """Lane by lane."""
        return await self._database.write(lambda c: _unpark(c, subscription_id, stream, now))

    async def drop(self, subscription_id: str, stream: str, up_to: int, now: datetime) -> int:
        """Delete, and let the rest of the lane go on."""

        def work(connection: Connection) -> int:
            gone = connection.execute(DROP_PARKED, (subscription_id, stream, up_to)).rowcount
            if gone:
                _unpark(connection, subscription_id, stream, now)
            return gone

        return await self._database.write(work)

    async def attempts(self, subscription_id: str, limit: int) -> Sequence[Attempt]:
        """Newest first."""
        rows = self._database.read_now(lambda c: c.execute(SELECT_ATTEMPTS, (subscription_id, limit)).fetchall())
        return [
            Attempt(stream, version, UUID(bytes=event_id), event_type, from_micros(at), number, status, error)
            for stream, version, event_id, event_type, at, number, status, error in rows
        ]


def _unpark(connection: Connection, subscription_id: str, stream: str | None, now: datetime) -> int:
    count = 0
    for (lane,) in connection.execute(SELECT_PARKED_LANES, (subscription_id, stream, stream)).fetchall():
        count += connection.execute(UNPARK_LANE, (subscription_id, lane)).rowcount
        connection.execute(HEAD_DUE, (to_micros(now), subscription_id, lane))
    return count


def _delivery(row: Any) -> Delivery:
    subscription_id, tenant, stream, version, event_id, event_type, failed, due_at, parked, error = row
    moment = None if due_at is None else from_micros(due_at)
    return Delivery(
        subscription_id, tenant, stream, version, UUID(bytes=event_id), event_type, failed, moment, bool(parked), error
    )


if TYPE_CHECKING:
    from eventkernel.ports.webhook_store import WebhookStore

    _: type[WebhookStore] = SqliteWebhookStore
