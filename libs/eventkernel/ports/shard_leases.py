"""Leases on shards: who of several relays works on what. For efficiency only."""

from collections.abc import Collection
from typing import Protocol


class ShardLeases(Protocol):
    """Expiring claims on shard numbers. Correctness never rests on them: a frozen holder may wake up past its lease."""

    async def acquire(self, owner: str, shard_count: int, ttl_seconds: float) -> Collection[int]:
        """Renew what ``owner`` holds, take or give up shards towards an even share among live owners; what it holds now."""

    async def release(self, owner: str) -> None:
        """Give up everything this owner holds."""
