"""Clients of the command servers, through a network that loses requests and answers; each call is written down."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import UUID

from eventkernel.errors import (
    InvalidCommand,
    KernelError,
    OutcomeUnknown,
    Overloaded,
    Refusal,
    StoreUnavailable,
    StreamNotFound,
    VersionConflict,
)
from eventkernel.ids import StreamId
from eventkernel.runtime.aggregate import CommandRequest
from eventkernel.testing.counter import Add, Close, Command, Open, request
from eventkernel.testing.history import BUSY, Recorder
from eventkernel_simulation.nodes import Ground, Node

CALL_SECONDS = 6.0
ATTEMPTS_MAX = 8


class NoAnswer(Exception):
    """The connection was lost, or the time is over: nothing is known."""


class Client:
    """Sends so many commands, several at a time where the plan wants bursts, and repeats what it is in doubt about."""

    def __init__(
        self, name: str, ground: Ground, nodes: Sequence[Node], streams: Sequence[StreamId], recorder: Recorder
    ) -> None:
        self.name = name
        self._ground = ground
        self._weather = ground.weather
        self._nodes = [node for node in nodes if "command" in node.parts]
        self._streams = streams
        self._recorder = recorder
        self._random = Random(ground.loop.random.random())  # noqa: S311 - a seeded history, not a secret
        self._seen: dict[StreamId, int] = {}

    async def run(self) -> None:
        """All of its commands."""
        plan, left = self._ground.plan, self._ground.plan.commands_each
        while left > 0:
            await asyncio.sleep(plan.think_seconds * self._random.random())
            some = min(left, plan.burst)
            left -= some
            stream = self._random.choice(self._streams)
            await asyncio.gather(*(self._command(stream) for _ in range(some)))
            if self._random.random() < 0.3:
                await self._read(stream)

    async def _command(self, stream: StreamId) -> None:
        expected = self._seen.get(stream) if self._random.random() < 0.15 else None
        command_id = UUID(int=self._random.getrandbits(128), version=4)
        asked = request(stream, self._one(stream), command_id, expected_version=expected)
        hurried = self._random.random() < self._ground.plan.hurry
        for _ in range(ATTEMPTS_MAX):
            # A client in a hurry asks two servers at once: one of them is answered as a repeat.
            final = await asyncio.gather(*(self._attempt(asked) for _ in range(2 if hurried else 1)))
            if all(final):
                return
            await asyncio.sleep(0.02 + 0.5 * self._random.random())
            if self._random.random() < 0.15:
                return

    async def _attempt(self, asked: CommandRequest[Command]) -> bool:
        """Whether the answer is final for this client."""
        call = self._recorder.write(asked.stream, asked.command_id, client=self.name, expected=asked.expected_version)
        node = self._random.choice(self._nodes)
        told = ""
        final = True
        try:
            reply = await self._call(node, lambda: node.handler.handle(asked))  # type: ignore[union-attr]  # it is alive
        except VersionConflict:
            told = "conflict"
            call.conflict()
        except (Refusal, InvalidCommand, StreamNotFound) as error:
            told = f"refused {error}"
            call.refused(type(error).__name__)
        except (StoreUnavailable, Overloaded) as error:
            told = f"not executed: {error}"
            call.refused(BUSY)
            final = self._random.random() < 0.4
        except (OutcomeUnknown, NoAnswer) as error:
            told = f"unknown: {error}"
            call.unknown(str(error))
            final = False
        else:
            version = reply.aggregate.version
            told = f"ok, version {version}{' replayed' if reply.replayed else ''}"
            self._seen[asked.stream] = version
            call.ok(version)
        if self._weather.tracing:
            command = f"{type(asked.command).__name__} {asked.command_id.hex[:6]} on {asked.stream.key[-4:]}"
            self._weather.note(self.name, f"{command} by {node.process.name}: {told}")
        return final

    async def _read(self, stream: StreamId) -> None:
        node = self._random.choice(self._nodes)
        call = self._recorder.read(stream, client=self.name)
        try:
            loaded = await self._call(node, lambda: node.events.load(stream))
        except (KernelError, NoAnswer):
            return
        self._seen[stream] = loaded.position.version
        call.saw(loaded.position.version, [event.event_id for event in loaded.events])

    async def _call(self, node: Node, work: Any) -> Any:
        """Run it in the node's process; its answer, if it comes."""
        loop, weather = self._ground.loop, self._weather
        answer: asyncio.Future[Any] = loop.create_future()
        if weather.strikes("rpc.request_lost"):
            loop.later(weather.trip(), _lose, answer)
        else:
            loop.later(weather.trip(), self._arrive, node, work, answer)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await answer
        except (TimeoutError, ConnectionError) as error:
            raise NoAnswer(str(error) or "no answer in time") from error

    def _arrive(self, node: Node, work: Any, answer: "asyncio.Future[Any]") -> None:
        if not node.process.alive:
            _lose(answer)
            return
        node.outstanding.append(answer)
        _ = self._ground.loop.spawn(node.process, self._serve(work, answer))

    async def _serve(self, work: Any, answer: "asyncio.Future[Any]") -> None:
        """In the node's process."""
        loop, weather = self._ground.loop, self._weather
        try:
            result = await work()
        except KernelError as error:
            reply: Any = error
        except Exception as error:  # noqa: BLE001 - no handler may raise anything else
            self._ground.broken("command server", error)
            return
        else:
            reply = result
        if weather.strikes("rpc.reply_lost"):
            loop.later(weather.trip(), _lose, answer)
        else:
            loop.later(weather.trip(), _answer, answer, reply)

    def _one(self, stream: StreamId) -> Command:
        chance = self._random.random()
        if stream not in self._seen and chance < 0.8:
            return Open()
        if chance < 0.03:
            return Close()
        return Open() if chance < 0.06 else Add(self._random.randint(1, 9))


def _lose(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(ConnectionError("the connection is gone"))


def _answer(answer: "asyncio.Future[Any]", reply: Any) -> None:
    if answer.done():
        return
    if isinstance(reply, BaseException):
        answer.set_exception(reply)
    else:
        answer.set_result(reply)
