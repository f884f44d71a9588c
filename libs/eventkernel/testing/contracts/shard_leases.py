"""The contract of ``ShardLeases``: an even share among live owners, sooner or later."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from eventkernel.ports.shard_leases import ShardLeases
from eventkernel.testing.contracts.features import Suite

TTL_SECONDS = 2.0
LONG_SECONDS = 600.0
"""For leases that are not to end while a test runs, however slow a store is."""
ROUNDS_MAX = 8


@dataclass(frozen=True, slots=True)
class LeasesUnderTest:
    """Two instances over the same leases, and how to let the time of their store pass. ``ttl_seconds``: how long leases live
    that are to end, or be renewed every half of it; where time cannot be made to pass, longer than a slow store takes.
    """

    leases: ShardLeases
    peer: ShardLeases
    pass_seconds: Callable[[float], Awaitable[None]]
    ttl_seconds: float = TTL_SECONDS


class ShardLeasesContract(Suite):
    """Give it a fixture ``under_test``: ``LeasesUnderTest`` over leases of its own."""

    async def test_a_single_owner_gets_every_shard(self, under_test: LeasesUnderTest) -> None:
        assert sorted(await under_test.leases.acquire("a", 8, LONG_SECONDS)) == list(range(8))
        assert sorted(await under_test.leases.acquire("a", 8, LONG_SECONDS)) == list(range(8))

    async def test_live_owners_come_to_an_even_share_of_all_shards_without_overlap(
        self, under_test: LeasesUnderTest
    ) -> None:
        for owners in (["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d", "e"]):
            held = await _settle(under_test, owners, 16)
            shards = sorted(shard for share in held.values() for shard in share)
            assert shards == list(range(16)), held
            assert max(map(len, held.values())) - min(map(len, held.values())) <= 1

    async def test_settled_owners_keep_what_they_hold(self, under_test: LeasesUnderTest) -> None:
        owners = ["a", "b", "c"]
        held = await _settle(under_test, owners, 16)
        assert await _round(under_test, owners, 16) == held

    async def test_more_owners_than_shards_leave_some_without(self, under_test: LeasesUnderTest) -> None:
        held = await _settle(under_test, ["a", "b", "c"], 2)
        assert sorted(map(len, held.values())) == [0, 1, 1]

    async def test_what_is_released_goes_to_the_others(self, under_test: LeasesUnderTest) -> None:
        await _settle(under_test, ["a", "b"], 8)
        await under_test.peer.release("b")
        assert sorted(await under_test.leases.acquire("a", 8, LONG_SECONDS)) == list(range(8))

    async def test_releasing_nothing_is_allowed(self, under_test: LeasesUnderTest) -> None:
        await under_test.leases.release("nobody")
        assert sorted(await under_test.leases.acquire("a", 2, LONG_SECONDS)) == [0, 1]

    async def test_what_a_dead_owner_held_goes_to_the_others_after_its_time(self, under_test: LeasesUnderTest) -> None:
        seconds = under_test.ttl_seconds
        held = await _settle(under_test, ["a", "b"], 8, seconds=seconds)
        assert held["b"]
        for _ in range(3):
            await under_test.pass_seconds(seconds / 2)
            await under_test.leases.acquire("a", 8, LONG_SECONDS)
        assert sorted(await under_test.leases.acquire("a", 8, LONG_SECONDS)) == list(range(8))

    async def test_an_owner_that_renews_in_time_loses_nothing(self, under_test: LeasesUnderTest) -> None:
        seconds = under_test.ttl_seconds
        held = await _settle(under_test, ["a", "b"], 8, seconds=seconds)
        for _ in range(3):
            await under_test.pass_seconds(seconds / 2)
            assert await _round(under_test, ["a", "b"], 8, seconds=seconds) == held


async def _round(
    under_test: LeasesUnderTest, owners: list[str], shard_count: int, *, seconds: float = LONG_SECONDS
) -> dict[str, frozenset[int]]:
    """Every owner renews once; a and c through one instance, b and d through the other."""
    instances = [under_test.leases, under_test.peer]
    return {
        owner: frozenset(await instances[index % 2].acquire(owner, shard_count, seconds))
        for index, owner in enumerate(owners)
    }


async def _settle(
    under_test: LeasesUnderTest, owners: list[str], shard_count: int, *, seconds: float = LONG_SECONDS
) -> dict[str, frozenset[int]]:
    held: dict[str, frozenset[int]] = {}
    for _ in range(ROUNDS_MAX):
        before, held = held, await _round(under_test, owners, shard_count, seconds=seconds)
        if held == before:
            return held
    raise AssertionError(f"leases still move after {ROUNDS_MAX} rounds: {held}")
