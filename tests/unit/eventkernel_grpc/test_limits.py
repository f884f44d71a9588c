import asyncio

import pytest

from eventkernel.errors import Overloaded
from eventkernel_grpc.limits import ConcurrencyLimit


def test_one_more_than_the_limit_is_refused_by_name_until_a_place_is_free() -> None:
    limit = ConcurrencyLimit("calls", 2)
    limit.enter()
    limit.enter()
    with pytest.raises(Overloaded) as caught:
        limit.enter()
    assert (caught.value.limit, caught.value.at) == ("calls", 2)
    limit.leave()
    limit.enter()


async def test_idle_waits_for_the_last_to_leave() -> None:
    limit = ConcurrencyLimit("calls", 2)
    await limit.idle()
    limit.enter()
    limit.enter()
    waiting = asyncio.create_task(limit.idle())
    limit.leave()
    await asyncio.wait([waiting], timeout=0)
    assert not waiting.done()
    limit.leave()
    await waiting


def test_limit_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        ConcurrencyLimit("calls", 0)
