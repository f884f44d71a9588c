"""Shard leases in memory."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from eventkernel.leasing import divide
from eventkernel.ports.clock import Clock


@dataclass(slots=True)
class _Claim:
    expires_at: datetime
    shards: frozenset[int] = field(default_factory=frozenset)


class MemoryShardLeases:
    """One claim per owner, with the time at which all of it expires."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._claims: dict[str, _Claim] = {}

    async def acquire(self, owner: str, shard_count: int, ttl_seconds: float) -> Collection[int]:
        """Drop what expired, then divide among those who are left and the owner."""
        now = self._clock.now()
        self._claims = {name: claim for name, claim in self._claims.items() if claim.expires_at > now}
        held = self._claims.pop(owner, _Claim(now)).shards
        taken = {shard for claim in self._claims.values() for shard in claim.shards}
        shards = divide(owner, self._claims, held, taken, shard_count)
        self._claims[owner] = _Claim(now + timedelta(seconds=ttl_seconds), shards)
        return shards

    async def release(self, owner: str) -> None:
        """Forget the owner."""
        self._claims.pop(owner, None)


if TYPE_CHECKING:
    from eventkernel.ports.shard_leases import ShardLeases

    _: type[ShardLeases] = MemoryShardLeases
