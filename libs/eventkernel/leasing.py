"""Dividing shards among owners: the pure part of every ``ShardLeases`` adapter."""

from collections.abc import Collection


def quota(owner: str, owners: Collection[str], shard_count: int) -> int:
    """How many shards are this owner's even share. The shares of all owners add up to ``shard_count``."""
    ranked = sorted({*owners, owner})
    share, rest = divmod(shard_count, len(ranked))
    return share + (1 if ranked.index(owner) < rest else 0)


def divide(
    owner: str, owners: Collection[str], held: Collection[int], taken: Collection[int], shard_count: int
) -> frozenset[int]:
    """The shards ``owner`` should hold now.

    ``owners`` are all live owners, ``held`` the owner's unexpired leases, ``taken`` those of the others. What is held is
    kept up to the quota, so that shards move only as far as the share demands; the rest is filled from free shards.
    """
    share = quota(owner, owners, shard_count)
    kept = sorted(shard for shard in held if 0 <= shard < shard_count)[:share]
    free = [shard for shard in range(shard_count) if shard not in {*held, *taken}]
    return frozenset(kept + free[: share - len(kept)])
