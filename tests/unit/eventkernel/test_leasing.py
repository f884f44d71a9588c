from hypothesis import given
from hypothesis import strategies as st

from eventkernel.leasing import divide, quota

OWNERS = st.sets(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=6)


@given(OWNERS, st.integers(0, 64))
def test_quotas_add_up_and_differ_by_one_at_most(owners: set[str], shards: int) -> None:
    quotas = [quota(owner, owners, shards) for owner in owners]
    assert sum(quotas) == shards
    assert max(quotas) - min(quotas) <= 1


@given(OWNERS, st.integers(1, 40), st.data())
def test_whoever_held_what_two_rounds_end_in_an_even_division_without_overlap(
    owners: set[str], shards: int, data: st.DataObject
) -> None:
    holder = data.draw(st.lists(st.sampled_from([None, *sorted(owners)]), min_size=shards, max_size=shards))
    held = {owner: frozenset(s for s, h in enumerate(holder) if h == owner) for owner in owners}
    for _ in range(2):
        for owner in sorted(owners):
            taken = frozenset().union(*(held[other] for other in owners if other != owner))
            held[owner] = divide(owner, owners, held[owner], taken, shards)
            assert not held[owner] & taken
    assert sorted(s for share in held.values() for s in share) == list(range(shards))


def test_shards_that_are_no_more_are_given_up() -> None:
    assert divide("a", ["a"], {0, 5, 9}, (), 4) == {0, 1, 2, 3}
