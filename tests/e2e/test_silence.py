"""A store that hangs holds up those who need it and nobody else."""

from pathlib import Path

import pytest

from bootstrap.testing.silence_show import NEEDS, frozen, running

pytestmark = pytest.mark.stack

SECONDS = 2.0
CLIENTS = 8


async def test_whoever_does_not_need_a_store_is_served_while_it_is_frozen(tmp_path: Path) -> None:
    async with running(tmp_path) as (stack, people):
        for store in NEEDS:
            for seen in await frozen(stack, store, people, SECONDS, clients=CLIENTS):
                assert seen.needed or seen.took, f"{store} frozen, {seen}"
                assert not seen.is_wrong, f"{store} frozen, {seen}"
