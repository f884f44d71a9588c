"""Waiting for whichever comes first, and for a store that does not answer yet."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from eventkernel.errors import KernelError
from eventkernel.ports import Clock

_log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.1
BACKOFF_SECONDS_MAX = 5.0


async def first_of(*awaitables: Awaitable[object]) -> None:
    """Return when the first of them is done; the others are cancelled. An error of the first is raised."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def gather(stop: asyncio.Event, clock: Clock, began: datetime, seconds: float) -> None:
    """Return when so many seconds have passed since ``began``, or when told to stop."""
    if seconds > 0:
        left = seconds - (clock.now() - began).total_seconds()
        if 0 < left <= seconds:
            await first_of(stop.wait(), clock.sleep(left))


async def until_available(
    attempt: Callable[[], Awaitable[object]],
    *,
    clock: Clock,
    name: str,
    stop: asyncio.Event | None = None,
    on_waiting: Callable[[KernelError], None] | None = None,
) -> bool:
    """Try until it succeeds, with backoff and for as long as it takes; False when ``stop`` came first.

    Only errors that may pass are waited out; any other, such as ``StoreMismatch``, is raised at once. ``on_waiting`` hears
    every failure, so that health can say NOT_SERVING.
    """
    stop = stop or asyncio.Event()
    backoff = FIRST_BACKOFF_SECONDS
    while not stop.is_set():
        try:
            await attempt()
        except KernelError as error:
            if not error.retriable:
                raise
            _log.warning("%s waits: %s", name, error)
            if on_waiting is not None:
                on_waiting(error)
            await first_of(stop.wait(), clock.sleep(backoff))
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
        else:
            return True
    return False
