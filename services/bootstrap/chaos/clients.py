"""The clients: prescriptions written and read through two command servers, some by several clients at once."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from bootstrap.testing.calls import request
from bootstrap.testing.lives import Lives, lives_on
from erx.eventlog.v1 import consistency_pb2
from eventkernel.ids import StreamId
from eventkernel.testing.history import Recorder
from eventkernel_grpc import RemoteError
from prescriptions.domain.values import Dosage
from prescriptions.testing import stories
from prescriptions.wire.content import content_to_reply

AMENDMENTS = 6
RIVALS = 3


@dataclass(slots=True)
class Crowd:
    """``lives``: one for each command server. A refusal that no rule explains ends a client, and is told in ``failed``."""

    lives: Sequence[Lives]
    failed: list[str]

    async def run(self, clients: int, stop: asyncio.Event) -> None:
        """So many clients until they are to stop; what is under way then stays without an answer."""
        for lives in self.lives:
            lives.gate.set()
        tasks = [asyncio.create_task(self._client(number), name=f"client-{number}") for number in range(clients)]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _client(self, number: int) -> None:
        name = f"client-{number}"
        try:
            for turn in itertools.count(number):
                lives = self.lives[turn % len(self.lives)]
                if turn % 3:
                    await lives.life(name)
                else:
                    await self._rivalry(name, turn)
        except RemoteError as error:
            self.failed.append(f"{name}: {error}")

    async def _rivalry(self, name: str, turn: int) -> None:
        """One draft, amended by several through both servers, whatever its version; the reader wants what was written."""
        prescription_id = str(uuid4())
        first = self.lives[turn % len(self.lives)]
        stream = StreamId(first.tenant, f"prescription-{prescription_id}")
        content = content_to_reply(stories.content())
        await first.do(name, stream, 0, "CreatePrescription", content=content, prescription_id=prescription_id)
        async with asyncio.TaskGroup() as rivals:
            for number in range(RIVALS):
                rivals.create_task(self._amend(f"{name}/{number}", self.lives[number % len(self.lives)], stream))

    async def _amend(self, name: str, lives: Lives, stream: StreamId) -> None:
        for _ in range(AMENDMENTS):
            content = content_to_reply(stories.content(dosage=Dosage(f"as {name} says: {uuid4()}")))
            try:
                reply = await lives.do(
                    name, stream, None, "AmendPrescription", prescription_id=stream.id, content=content
                )
            except RemoteError as error:
                if error.reason != "VERSION_CONFLICT":
                    raise
            else:
                await _read_back(lives, name, stream, reply.version, reply.token)


async def _read_back(lives: Lives, name: str, stream: StreamId, version: int, token: bytes) -> None:
    """The row of the view with what is still on the bus: it must show what was just written."""
    overlay = consistency_pb2.CONSISTENCY_MODE_OVERLAY
    asked = request("FetchPrescription", prescription_id=stream.id, token=token, consistency=overlay)
    call = lives.recorder.read(stream, client=name, at_least=version)
    try:
        answer = await lives.ask(lives.queries.FetchPrescription, asked)
    except RemoteError:
        return
    call.saw(answer.prescription.version)


@asynccontextmanager
async def crowd(commands: Sequence[str], query: str, recorder: Recorder, tenant: str) -> AsyncIterator[Crowd]:
    """Clients of these servers, all written down by one recorder."""
    async with AsyncExitStack() as opened:
        lives = [await opened.enter_async_context(lives_on(one, query, recorder, tenant)) for one in commands]
        yield Crowd(lives, [])
