"""An admin client whose questions end soon where the brokers do not let this program in.

librdkafka tries again whatever a broker says, also after a wrong password and a certificate that nobody vouches for, and in
the end gives a time-out. What it noticed meanwhile is the reason; it is told as such once it came repeatedly, since a broker
that begins or ends may turn away somebody whom it would let in a moment later.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from eventkernel.errors import StoreUnavailable
from eventkernel_kafka.error_codes import MISMATCHES
from eventkernel_kafka.errors import STORE, translated
from eventkernel_kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")

LOOK_SECONDS = 0.02
GRACE_SECONDS = 1.0  # the client's own time limit, which says more, comes first
REFUSALS_MAX = 3


class Admin:
    """``client`` is for what is asked of it; answers are awaited through ``answer`` and ``called``."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.seconds = settings.call_seconds
        self._refusals: list[KafkaError] = []
        configuration: dict[str, Any] = {**settings.common(), "error_cb": self._noticed}
        self.client = AdminClient(configuration)

    async def answer(self, asked: "Future[T]") -> T:
        """What the brokers will answer. Raises ``StoreMismatch`` where they do not let this program in."""
        return await self._awaited(asyncio.wrap_future(asked))

    async def called(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """The answer of a method of the client that blocks."""
        return await self._awaited(asyncio.ensure_future(asyncio.to_thread(call, *arguments, **named)))

    async def _awaited(self, answer: "asyncio.Future[T]") -> T:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.seconds + GRACE_SECONDS
        while not answer.done() and loop.time() < until and len(self._refusals) < REFUSALS_MAX:
            await asyncio.wait([answer], timeout=LOOK_SECONDS)
            self.client.poll(0)
        failed = not answer.done() or answer.exception() is not None
        if failed and self._refusals:
            answer.add_done_callback(_looked_at)
            raise translated(self._refusals[-1])
        if not answer.done():
            answer.add_done_callback(_looked_at)
            raise StoreUnavailable(STORE, f"no answer within {self.seconds:g} s")
        return answer.result()

    def _noticed(self, error: KafkaError) -> None:
        if error.code() in MISMATCHES:
            self._refusals.append(error)


def _looked_at(answer: "asyncio.Future[Any]") -> None:
    if not answer.cancelled():
        answer.exception()
