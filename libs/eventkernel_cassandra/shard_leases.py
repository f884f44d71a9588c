"""Shard leases on Cassandra: rows that expire by the server's time, so that no clock of a client matters."""

from collections.abc import Collection, Mapping
from math import ceil
from typing import TYPE_CHECKING

from eventkernel.leasing import divide
from eventkernel_cassandra.bounded import each
from eventkernel_cassandra.errors import InDoubt, NotExecuted
from eventkernel_cassandra.session import CqlSession, Statement, Value
from eventkernel_cassandra.statements import Statements

CALLS_MAX = 32
OWNERS_MAX = 1_000


class CassandraShardLeases:
    """``ShardLeases``. ``context`` names what is shared: relays of one context divide its shards among themselves."""

    def __init__(self, session: CqlSession, statements: Statements, context: str) -> None:
        self._session = session
        self._statements = statements
        self._context = context
        self._shard_count = 0

    async def acquire(self, owner: str, shard_count: int, ttl_seconds: float) -> Collection[int]:
        """Say that the owner lives, divide, then renew, take and give up, each lease by a conditional write of its own."""
        s, ttl = self._statements, max(1, ceil(ttl_seconds))
        self._shard_count = shard_count
        await self._write(s.insert_owner, [self._context, owner, ttl])
        owners = {row[0] for row in await self._session.read(s.select_owners, [self._context, OWNERS_MAX])}
        leases = await self._leases(shard_count)
        held = {shard for shard, holder in leases.items() if holder == owner}
        wanted = divide(owner, owners, held, leases.keys() - held, shard_count)

        async def hold(shard: int) -> bool:
            if shard in held:
                return await self._applied(s.renew_lease, [ttl, owner, self._context, shard, owner])
            return await self._applied(s.insert_lease, [self._context, shard, owner, ttl])

        await self._give_up(owner, held - wanted)
        shards = sorted(wanted)
        got = await each(CALLS_MAX, hold, shards)
        return frozenset(shard for shard, applied in zip(shards, got, strict=True) if applied)

    async def holders(self, shard_count: int) -> Mapping[int, str]:
        """Who holds which shard now, as far as it is held."""
        return await self._leases(shard_count)

    async def release(self, owner: str) -> None:
        """Delete the owner's leases and the owner."""
        leases = await self._leases(self._shard_count)
        await self._give_up(owner, {shard for shard, holder in leases.items() if holder == owner})
        await self._write(self._statements.delete_owner, [self._context, owner])

    async def _leases(self, shard_count: int) -> dict[int, str]:
        if shard_count == 0:
            return {}
        values: list[Value] = [self._context, list(range(shard_count))]
        rows = await self._session.read(self._statements.select_leases, values)
        return {shard: owner for shard, owner in rows if owner is not None}

    async def _give_up(self, owner: str, shards: Collection[int]) -> None:
        async def delete(shard: int) -> bool:
            return await self._applied(self._statements.delete_lease, [self._context, shard, owner])

        await each(CALLS_MAX, delete, shards)

    async def _applied(self, statement: Statement, values: list[Value]) -> bool:
        """A lease in doubt is not held: it is found again, or it expires."""
        try:
            return (await self._session.apply(statement, values)).applied
        except InDoubt:
            return False

    async def _write(self, statement: Statement, values: list[Value]) -> None:
        try:
            await self._session.write(statement, values)
        except InDoubt as error:
            raise NotExecuted(error.cause) from error


if TYPE_CHECKING:
    from eventkernel.ports.shard_leases import ShardLeases

    _: type[ShardLeases] = CassandraShardLeases
