"""Refusing early what would only wait: the share of new calls that is let in, from how long calls wait to be taken up.

A Python server takes one call at a time from grpc's queue, so under more load than it can carry the calls wait there,
where no count of calls in progress sees them: with 512 clients and 128 places none was refused, and each waited. What can be
seen is time. A probe of the server's own queues like everybody's calls, and when several in a row waited longer than
allowed, a growing share of new calls is refused at once (additive increase, multiplicative decrease: Chiu and Jain, 1989),
with the time after which to come back. A single late probe is a stall of the process and refuses nobody.
"""

import asyncio
import logging
import random
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc

from eventkernel.errors import Overloaded

PROBE = "/eventkernel.Probe/Ping"
TICK_SECONDS = 0.05
LATE_IN_A_ROW = 3
SHARE_MIN = 0.02
SHARE_STEP = 0.05
SHARE_FACTOR = 0.5
RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 5.0

_CONNECT_SECONDS = 10.0
_FOREVER_MS = 2**31 - 1  # grpc takes it for "never"

_log = logging.getLogger(__name__)


class Admission:
    """Lets in a share of the calls. ``queue_seconds_max``: how long a call may wait before its handler begins.

    For one event loop; not thread-safe. ``chance`` gives numbers in [0, 1).
    """

    def __init__(self, queue_seconds_max: float, *, chance: Callable[[], float] = random.random) -> None:
        self.queue_seconds_max = queue_seconds_max
        self.share = 1.0
        self.arrived = 0
        self.queue_seconds = 0.0
        self._late = 0
        self._chance = chance

    def admit(self) -> None:
        """Let a call in, or raise ``Overloaded``; the smaller the share let in, the later the caller may come back."""
        self.arrived += 1
        if self.share < 1.0 and self._chance() >= self.share:
            wait = min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN / self.share)
            raise Overloaded("queue_seconds", at=self.queue_seconds_max, retry_after_seconds=round(wait, 1))

    def observe(self, seconds: float) -> None:
        """Take in how long the latest probe has waited, answered or not."""
        self.queue_seconds = seconds
        if seconds <= self.queue_seconds_max:
            self._late = 0
            self.share = min(1.0, self.share + SHARE_STEP)
            return
        self._late += 1
        # A smaller share shows in the waiting time only when what waits already is done with, so not before that again.
        if self._late == LATE_IN_A_ROW:
            self._late -= max(LATE_IN_A_ROW, round(self.queue_seconds_max / TICK_SECONDS))
            if self.share == 1.0:
                _log.warning("calls wait %.2f s to be taken up; a share of new ones is refused from now on", seconds)
            self.share = max(SHARE_MIN, self.share * SHARE_FACTOR)


class QueueProbe:
    """Calls a server through a socket of its own and tells an ``Admission`` how long that took.

    The socket's name is removed as soon as the probe is connected: nobody else can come in by it, and nothing is left over
    when the process is killed.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._folder: Path | None = None
        self._running: asyncio.Task[None] | None = None

    @staticmethod
    def handler() -> "grpc.RpcMethodHandler[Any, Any]":
        """What answers the probe."""

        async def ping(_request: bytes, _context: Any) -> bytes:
            return b""

        return grpc.unary_unary_rpc_method_handler(ping)

    def listen(self, server: grpc.aio.Server) -> None:
        """Add the probe's socket to a server that has not started."""
        self._folder = Path(tempfile.mkdtemp(prefix="erx-probe-"))
        server.add_insecure_port(f"unix:{self._folder / 'queue'}")

    async def start(self) -> None:
        """Connect, forget the socket's name, and probe from now on."""
        if self._folder is None:
            raise RuntimeError("listen() comes before start()")
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.client_idle_timeout_ms", _FOREVER_MS))
        channel = grpc.aio.insecure_channel(f"unix:{self._folder / 'queue'}", options=options)
        try:
            await asyncio.wait_for(channel.channel_ready(), _CONNECT_SECONDS)
        except TimeoutError:
            _log.warning("the server's own probe found no connection; overload is not seen by waiting time")
            await channel.close()
            return
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._running = asyncio.create_task(self._run(channel), name="grpc-queue-probe")

    async def stop(self) -> None:
        """End the probe."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self, channel: grpc.aio.Channel) -> None:
        call: Any = channel.unary_unary(PROBE)
        admission, clock = self._admission, asyncio.get_running_loop().time
        seen = 0
        async with channel:
            while True:
                await asyncio.sleep(TICK_SECONDS)
                if admission.arrived == seen and admission.share == 1.0:
                    continue  # nobody came, nobody waits
                seen = admission.arrived
                began = clock()
                probe = asyncio.ensure_future(call(b""))
                try:
                    while not (await asyncio.wait({probe}, timeout=TICK_SECONDS))[0]:
                        admission.observe(clock() - began)
                    await probe
                except grpc.aio.AioRpcError as error:
                    admission.share = 1.0
                    _log.warning("the server's own probe ended (%s); overload is not seen any more", error.code().name)
                    return
                finally:
                    probe.cancel()
                admission.observe(clock() - began)
