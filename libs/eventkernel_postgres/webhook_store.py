"""Webhook subscriptions, cursors and lanes in one schema of a PostgreSQL database; any number of processes may share it.

Whatever changes a subscription's lanes locks the subscription's row first: taking, leasing and settling of one endpoint come
one after the other, in whatever processes. So a head that is delivered sees what is taken behind it; lanes keep their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

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
from eventkernel.sql import Statement
from eventkernel_postgres import webhook_tables as t
from eventkernel_postgres.batches import Batch
from eventkernel_postgres.connection import Database, Session
from eventkernel_postgres.settings import PostgresSettings

_INSERT_DELIVERIES = Batch(t.INSERT_DELIVERIES)


class PostgresWebhookStore:
    """Every method is one short transaction; ``open`` migrates the schema."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, settings: PostgresSettings) -> "PostgresWebhookStore":
        """Connect and migrate. Raises ``StoreMismatch`` or ``StoreUnavailable``."""
        return cls(await Database.open(settings, t.WEBHOOK_MIGRATIONS))

    async def close(self) -> None:
        """Close every connection that is not in use; the others when their transactions end."""
        await self._database.close()

    async def add(self, subscription: Subscription, positions: Mapping[int, int]) -> Subscription:
        """Insert, unless the id is taken."""
        row = (subscription.id, subscription.tenant, subscription_to_json(subscription), positions_to_json(positions))
        async with self._database.writing() as session:
            await session.fetch(t.INSERT_SUBSCRIPTION, row)
            [known] = await session.fetch(t.SELECT_SUBSCRIPTION, (subscription.id, subscription.tenant))
            return subscription_from_json(*known)

    async def get(self, tenant: str, subscription_id: str) -> Subscription | None:
        """One row."""
        found = await self._read(t.SELECT_SUBSCRIPTION, (subscription_id, tenant))
        return subscription_from_json(*found[0]) if found else None

    async def select(self, tenant: str | None, after: str, limit: int) -> Sequence[Subscription]:
        """A page."""
        found = await self._read(t.SELECT_SUBSCRIPTIONS, (after, tenant, tenant, limit))
        return [subscription_from_json(*row) for row in found]

    async def replace(self, subscription: Subscription) -> bool:
        """Conditional on the version."""
        place = (subscription.id, subscription.tenant, subscription.version)
        async with self._database.writing() as session:
            return bool(await session.fetch(t.UPDATE_SUBSCRIPTION, (subscription_to_json(subscription), *place)))

    async def remove(self, tenant: str, subscription_id: str) -> bool:
        """With everything that hangs on it."""
        async with self._database.writing() as session:
            if not await session.fetch(t.DELETE_SUBSCRIPTION, (subscription_id, tenant)):
                return False
            gone = (t.DELETE_DELIVERIES, t.DELETE_ATTEMPTS)
            await session.run([Statement(text, (subscription_id,)) for text in gone])
            return True

    async def positions(self, subscription_id: str) -> Mapping[int, int]:
        """The cursor."""
        found = await self._read(t.SELECT_POSITIONS, (subscription_id,))
        return positions_from_json(found[0][0]) if found else {}

    async def take(
        self, subscription_id: str, before: Mapping[int, int], after: Mapping[int, int], new: Sequence[Delivery]
    ) -> bool:
        """Cursor and lanes at once."""
        async with self._database.writing() as session:
            held = await session.fetch(t.LOCK_SUBSCRIPTION, (subscription_id,))
            if not held or held[0][0] != positions_to_json(before):
                return False
            streams = sorted({one.stream for one in new})
            lanes = dict(await session.fetch(t.SELECT_LANES, (subscription_id, streams))) if streams else {}
            rows = []
            for one in new:
                due_at = None if one.stream in lanes else one.due_at
                parked = lanes.setdefault(one.stream, False)
                key = (subscription_id, one.stream, one.version, one.tenant)
                event = (one.event_id.bytes, one.event_type, one.failed_attempts)
                rows.append((*key, *event, due_at, parked, _text(one.last_error)))
            moved = Statement(t.MOVE_POSITIONS, (positions_to_json(after), subscription_id))
            await session.run([moved, *_INSERT_DELIVERIES.of(rows)])
            return True

    async def claim(self, subscription_id: str, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        """Look first: an idle subscription costs no write and no lock."""
        if not await self._read(t.IS_ANY_DUE, (subscription_id, now, now)):
            return []
        async with self._database.writing() as session:
            held = await session.fetch(t.LOCK_SUBSCRIPTION, (subscription_id,))
            if not held or (held[0][1] is not None and held[0][1] > now):
                return []
            rows = await session.fetch(t.LEASE_DUE, (until, subscription_id, now, limit))
        # The server gives times in its own zone object; the caller's is as good and equal.
        return sorted(
            (replace(_delivery(row), due_at=until) for row in rows), key=lambda one: (one.stream, one.version)
        )

    async def settle(self, delivery: Delivery, settlement: Settlement, attempt: Attempt) -> bool:
        """Conditional on the lease."""
        key = (delivery.subscription_id, delivery.stream, delivery.version)
        lane = (attempt.at, key[0], [delivery.stream])
        async with self._database.writing() as session:
            await session.fetch(t.LOCK_SUBSCRIPTION, (delivery.subscription_id,))
            held = await session.fetch(t.SELECT_LEASE, key)
            if not held or held[0][0] is None or held[0][0] != delivery.due_at:
                return False
            error = _text(attempt.error)
            what = (attempt.event_id.bytes, attempt.event_type, attempt.at, attempt.number, attempt.http_status, error)
            statements = [
                Statement(t.INSERT_ATTEMPT, (*key, *what)),
                Statement(t.PRUNE_ATTEMPTS, (key[0], key[0], ATTEMPTS_KEPT)),
            ]
            match settlement:
                case Delivered():
                    statements += [Statement(t.DELETE_DELIVERY, key), Statement(t.HEADS_DUE, lane)]
                case TryAgain(due_at, pause_until):
                    statements.append(Statement(t.FAIL_DELIVERY, (due_at, error, *key)))
                    if pause_until is not None:
                        statements.append(Statement(t.PAUSE, (pause_until, key[0])))
                case Park():
                    statements.append(Statement(t.FAIL_DELIVERY, (None, error, *key)))
                    statements.append(Statement(t.PARK_LANE, key[:2]))
            await session.run(statements)
            return True

    async def counts(self, subscription_id: str) -> tuple[int, int]:
        """Waiting and parked."""
        [(waiting, parked)] = await self._read(t.SELECT_COUNTS, (subscription_id,))
        return waiting, parked

    async def deliveries(
        self, subscription_id: str, *, parked: bool, after: tuple[str, int], limit: int
    ) -> Sequence[Delivery]:
        """A page."""
        return [
            _delivery(row) for row in await self._read(t.SELECT_DELIVERIES, (subscription_id, parked, *after, limit))
        ]

    async def replay(self, subscription_id: str, stream: str | None, now: datetime) -> int:
        """Lanes wait again."""
        async with self._database.writing() as session:
            await session.fetch(t.LOCK_SUBSCRIPTION, (subscription_id,))
            return await _unpark(session, subscription_id, stream, now)

    async def drop(self, subscription_id: str, stream: str, up_to: int, now: datetime) -> int:
        """Delete, and let the rest of the lane go on."""
        async with self._database.writing() as session:
            await session.fetch(t.LOCK_SUBSCRIPTION, (subscription_id,))
            gone = await session.fetch(t.DROP_PARKED, (subscription_id, stream, up_to))
            if gone:
                await _unpark(session, subscription_id, stream, now)
            return len(gone)

    async def attempts(self, subscription_id: str, limit: int) -> Sequence[Attempt]:
        """Newest first."""
        return [
            Attempt(stream, version, UUID(bytes=event_id), event_type, at, number, status, error)
            for stream, version, event_id, event_type, at, number, status, error in await self._read(
                t.SELECT_ATTEMPTS, (subscription_id, limit)
            )
        ]

    async def _read(self, text: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        async with self._database.reading() as session:
            return await session.fetch(text, parameters)


async def _unpark(session: Session, subscription_id: str, stream: str | None, now: datetime) -> int:
    waiting = [lane for (lane,) in await session.fetch(t.UNPARK, (subscription_id, stream, stream))]
    if waiting:
        await session.run([Statement(t.HEADS_DUE, (now, subscription_id, sorted(set(waiting))))])
    return len(waiting)


def _delivery(row: tuple[Any, ...]) -> Delivery:
    subscription_id, tenant, stream, version, event_id, event_type, *rest = row
    return Delivery(subscription_id, tenant, stream, version, UUID(bytes=event_id), event_type, *rest)


def _text(said: str) -> str:
    """Postgres holds no NUL in a text; what an endpoint says may."""
    return said.replace("\x00", "\\0")


if TYPE_CHECKING:
    from eventkernel.ports.webhook_store import WebhookStore

    _: type[WebhookStore] = PostgresWebhookStore
