"""A client of librdkafka and the one thread that uses it: its calls block, and are no use to two at a time.

Some calls have no time limit (a synchronous commit waits for a coordinator as long as there is none). So callers stop waiting
at their deadline; the thread comes back when the brokers do, and is a daemon, so that it never holds up the end of a process.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from eventkernel.errors import StoreUnavailable
from eventkernel_kafka.errors import STORE, translating

T = TypeVar("T")

_log = logging.getLogger(__name__)


class OneThread:
    """Runs calls one after another. A call that nobody waits for any more is skipped if it was not begun."""

    def __init__(self, name: str, seconds: float) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._seconds = seconds
        self._closed = False

    async def run(self, call: Callable[[], T], seconds: float = 0.0) -> T:
        """The call's result within the thread's time limit, plus ``seconds``; the driver's errors are translated."""
        if self._closed:
            raise StoreUnavailable(STORE, "closed")
        return await answered(self._submit(call), self._seconds + seconds)

    async def close(self, last: Callable[[], None]) -> None:
        """Run the last call and end the thread; nothing happens the second time."""
        if self._closed:
            return
        self._closed = True
        ended = self._submit(last)
        self._calls.put(None)
        try:
            await answered(ended, self._seconds)
        except StoreUnavailable as error:
            _log.warning("%s was not closed in an orderly way: %s", self._thread.name, error)
        else:
            await asyncio.to_thread(self._thread.join)

    def _submit(self, call: Callable[[], T]) -> "Future[T]":
        if self._thread.ident is None:
            self._thread.start()
        answer: Future[T] = Future()
        self._calls.put((call, answer))
        return answer

    def _work(self) -> None:
        while (work := self._calls.get()) is not None:
            call, answer = work
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                with translating():
                    result = call()
            except Exception as error:  # noqa: BLE001 - it is raised where the call was asked for
                answer.set_exception(error)
            else:
                answer.set_result(result)


async def answered(answer: "Future[T]", seconds: float) -> T:
    """What a thread will answer, or ``StoreUnavailable`` when it takes longer."""
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.wrap_future(answer)
    except TimeoutError:
        raise StoreUnavailable(STORE, f"no answer within {seconds:g} s") from None
