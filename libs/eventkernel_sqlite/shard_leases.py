"""Shard leases on SQLite, for processes that share the file and so the machine's clock."""

from collections.abc import Collection
from datetime import timedelta
from functools import partial
from sqlite3 import Connection
from typing import TYPE_CHECKING

from eventkernel.envelope import to_micros
from eventkernel.leasing import divide
from eventkernel.ports.clock import Clock
from eventkernel_sqlite.database import Database

DELETE_EXPIRED_OWNERS = "DELETE FROM lease_owners WHERE expires_at <= ?"
DELETE_ORPHANS = "DELETE FROM leases WHERE owner NOT IN (SELECT owner FROM lease_owners)"
RENEW_OWNER = """
    INSERT INTO lease_owners (owner, expires_at) VALUES (?, ?)
    ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at
"""
SELECT_OWNERS = "SELECT owner FROM lease_owners"
SELECT_LEASES = "SELECT shard, owner FROM leases"
DELETE_LEASE = "DELETE FROM leases WHERE shard = ?"
INSERT_LEASE = "INSERT INTO leases (shard, owner) VALUES (?, ?)"
DELETE_OWNER = "DELETE FROM lease_owners WHERE owner = ?"


class SqliteShardLeases:
    """An owner's leases expire together with the owner's row."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def acquire(self, owner: str, shard_count: int, ttl_seconds: float) -> Collection[int]:
        """Drop what expired, renew the owner, divide, and write down the difference: one transaction."""
        now = self._clock.now()
        expires_at = to_micros(now + timedelta(seconds=ttl_seconds))
        return await self._database.write(partial(_acquire, owner, shard_count, to_micros(now), expires_at))

    async def release(self, owner: str) -> None:
        """Forget the owner and what it held."""
        await self._database.write(partial(_release, owner))


def _acquire(owner: str, shard_count: int, now: int, expires_at: int, connection: Connection) -> frozenset[int]:
    connection.execute(DELETE_EXPIRED_OWNERS, (now,))
    connection.execute(DELETE_ORPHANS)
    connection.execute(RENEW_OWNER, (owner, expires_at))
    owners = [name for (name,) in connection.execute(SELECT_OWNERS)]
    leases = connection.execute(SELECT_LEASES).fetchall()
    held = {shard for shard, name in leases if name == owner}
    taken = {shard for shard, name in leases if name != owner}
    shards = divide(owner, owners, held, taken, shard_count)
    connection.executemany(DELETE_LEASE, [(shard,) for shard in held - shards])
    connection.executemany(INSERT_LEASE, [(shard, owner) for shard in shards - held])
    return shards


def _release(owner: str, connection: Connection) -> None:
    connection.execute(DELETE_OWNER, (owner,))
    connection.execute(DELETE_ORPHANS)


if TYPE_CHECKING:
    from eventkernel.ports.shard_leases import ShardLeases

    _: type[ShardLeases] = SqliteShardLeases
