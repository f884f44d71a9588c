"""An HTTP server on loopback that takes webhooks and answers as it is told: well, badly, late, or not at all."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError

HEAD_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The message's id."""
        return self.headers["webhook-id"]

    @property
    def at(self) -> datetime:
        """When it says that it was sent."""
        return datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), UTC)

    @property
    def event(self) -> Any:
        """The body."""
        return json.loads(self.body)

    def signed_with(self, secret: str) -> bool:
        """Whether the package ``standardwebhooks`` accepts it. Of a message that a moved clock dates, the signature alone."""
        hook = Webhook(secret)
        if abs((datetime.now(UTC) - self.at).total_seconds()) > 240:
            return hook.sign(self.id, self.at, self.body.decode()) in self.headers["webhook-signature"].split(" ")
        try:
            hook.verify(self.body, dict(self.headers))
        except WebhookVerificationError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer. ``hangs``: nothing, ever; ``drops``: close the connection instead."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    drops: bool = False


OK = Reply()


class Receiver:
    """Listens while its ``async with`` block lasts; ``answer`` decides, and may be changed at any time."""

    def __init__(self, answer: Callable[[Received], Reply] = lambda _: OK, *, port: int = 0) -> None:
        self.answer = answer
        self.received: list[Received] = []
        self.accepted: list[Received] = []
        self.port = port
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Go down, with every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        while self._connections:
            for task in list(self._connections):
                task.cancel()
            await asyncio.wait(set(self._connections))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self._connections[task] = writer
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            del self._connections[task]

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        received = Received(head[0].split(" ")[1], headers, body)
        self.received.append(received)
        reply = self.answer(received)
        if reply.drops:
            return False
        if reply.hangs:
            await asyncio.Event().wait()
        if 200 <= reply.status < 300:
            self.accepted.append(received)
        lines = [f"HTTP/1.1 {reply.status} .", "content-length: 0", *(f"{k}: {v}" for k, v in reply.headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        await writer.drain()
        return True
