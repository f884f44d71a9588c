"""Clients that write and read prescriptions among failures, and a history of all they did, saw and were told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from bootstrap.testing.calls import request, signing
from erx.prescriptions.v1 import command_service_pb2_grpc, query_service_pb2_grpc
from eventkernel.ids import StreamId
from eventkernel.testing.history import BUSY, CONFLICT, Recorder, WriteCall
from eventkernel_grpc import ChannelSettings, RemoteError, call_metadata, channel, remote_errors
from prescriptions.testing import stories
from prescriptions.wire.content import content_to_reply

CALL_SECONDS = 3.0
PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 0.5
_CERTAIN = frozenset(
    {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ABORTED,
    }
)


@dataclass(slots=True)
class Lives:
    """Writes prescriptions from draft to release, each call under its own id until it is answered, and reads them back.

    While ``gate`` is closed nobody begins a call; ``quiet`` returns when none is under way. So a test can look at the stores
    between what was told before a failure and what is sent after it.
    """

    commands: Any
    queries: Any
    recorder: Recorder
    tenant: str
    call_seconds: float = CALL_SECONDS
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    _under_way: int = 0
    _none_under_way: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, count: int, *, prescriptions: int = 3) -> None:
        """So many clients at once, each with some prescriptions one after the other."""
        self.gate.set()
        await asyncio.gather(*(self._client(f"client-{number}", prescriptions) for number in range(count)))

    async def quiet(self) -> None:
        """Let nobody begin, and wait until what is under way was answered or given up."""
        self.gate.clear()
        while self._under_way:
            self._none_under_way.clear()
            await self._none_under_way.wait()

    async def _client(self, name: str, prescriptions: int) -> None:
        for _ in range(prescriptions):
            await self.life(name)

    async def life(self, client: str) -> None:
        """One prescription: written, signed, released; its history is read in between."""
        prescription_id = str(uuid4())
        stream = StreamId(self.tenant, f"prescription-{prescription_id}")
        content = content_to_reply(stories.content())
        draft = await self.do(client, stream, 0, "CreatePrescription", content=content, prescription_id=prescription_id)
        await self.read(client, stream)
        await self.do(client, stream, 1, "SignPrescription", **signing(draft.prescription))
        await self.do(client, stream, 2, "IssuePrescription", prescription_id=prescription_id)
        await self.read(client, stream)

    async def do(self, client: str, stream: StreamId, expected: int | None, method: str, **fields: Any) -> Any:
        """Send a command until it is answered; ``expected`` None: at whatever version.

        A refusal that is certain is no part of a life, and raised.
        """
        command_id = uuid4()
        made = request(method, request_id=str(command_id), expected_version=expected, **fields)
        attempt = 0
        while True:
            await self.gate.wait()
            call = self.recorder.write(stream, command_id, client=client, expected=expected)
            self._under_way += 1
            try:
                reply = await self.ask(getattr(self.commands, method), made)
            except RemoteError as error:
                if _refused(call, error):
                    raise
            else:
                call.ok(reply.version)
                return reply
            finally:
                self._ended()
            await asyncio.sleep(min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2 ** min(attempt, 10)))
            attempt += 1

    async def read(self, client: str, stream: StreamId) -> None:
        """The history as the journal has it, once; a read that fails says nothing."""
        await self.gate.wait()
        call = self.recorder.read(stream, client=client)
        self._under_way += 1
        try:
            asked = request("FetchHistory", prescription_id=stream.id, page_size=200)
            answer = await self.ask(self.queries.FetchHistory, asked)
        except RemoteError:
            return
        finally:
            self._ended()
        events = [entry.envelope for entry in answer.entries]
        call.saw(events[-1].sequence if events else 0, (event.event_id for event in events))

    async def ask(self, method: Any, made: Message) -> Any:
        """Make a call, as the prescriber."""
        metadata = call_metadata(tenant=self.tenant, actor=stories.PRESCRIBER)
        with remote_errors():
            return await method(made, metadata=metadata, timeout=self.call_seconds)

    def _ended(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._none_under_way.set()


def _refused(call: WriteCall, error: RemoteError) -> bool:
    """Write down what a client was told. Whether the refusal is certain and for good."""
    if error.reason == "VERSION_CONFLICT":
        call.refused(CONFLICT)
    elif error.code in _CERTAIN and error.reason:
        call.refused(error.reason)
    elif error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.reason:
        call.refused(BUSY)
        return False
    else:
        call.unknown(str(error))
        return False
    return True


@asynccontextmanager
async def lives_on(command: str, query: str, recorder: Recorder, tenant: str) -> AsyncIterator[Lives]:
    """Clients of these addresses that send nothing twice by themselves, so that every attempt is written down."""
    settings = ChannelSettings(attempts_max=1, reconnect_seconds_max=0.5)
    async with channel(command, settings) as commands, channel(query, settings) as queries:
        yield Lives(
            command_service_pb2_grpc.PrescriptionCommandServiceStub(commands),
            query_service_pb2_grpc.PrescriptionQueryServiceStub(queries),
            recorder,
            tenant,
        )
