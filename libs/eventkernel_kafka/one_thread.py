"""A client of librdkafka and the one thread that uses it: its calls block, and are no use to two at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from eventkernel.errors import StoreUnavailable
from eventkernel_kafka.errors import STORE, translating

T = TypeVar("T")


class OneThread:
    """Runs calls one after another; a caller that is cancelled leaves its call to end by itself."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._closed = False

    async def run(self, call: Callable[[], T]) -> T:
        """The call's result; the driver's errors are translated."""
        if self._closed:
            raise StoreUnavailable(STORE, "closed")
        return await asyncio.wrap_future(self._threads.submit(_translated, call))

    async def close(self, last: Callable[[], None]) -> None:
        """Run the last call and end the thread; nothing happens the second time."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.wrap_future(self._threads.submit(_translated, last))
        finally:
            await asyncio.to_thread(self._threads.shutdown)


def _translated(call: Callable[[], T]) -> T:
    with translating():
        return call()
