"""Connecting that is not left in the middle of it."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from eventkernel_cassandra.session import CqlSession

S = TypeVar("S", bound=CqlSession)


async def connected(attempt: Awaitable[S]) -> S:
    """The session. Who is cancelled meanwhile comes back when the attempt has ended, and what it opened is closed.

    Drivers connect in threads of their own. Given up in the middle of it, acsylla 1.2.0 stands still for ever, the event loop
    with it, and cassandra-driver leaves connections behind that nobody closes.
    """
    task, cancelled = asyncio.ensure_future(attempt), None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if task.exception() is None:
        await task.result().close()
    raise cancelled
