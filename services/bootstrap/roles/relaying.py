"""The relay, outbox in and bus out, and the sweep that finds what nothing points at."""

import asyncio
import logging
import os
import socket

from bootstrap.carriers import relay_over
from bootstrap.measured import MeasuredOutbox
from bootstrap.metrics import RelayMetrics
from bootstrap.process import Process
from bootstrap.settings import SettingsError
from eventkernel.errors import KernelError
from eventkernel.ids import StreamId
from eventkernel.runtime.components import Component, LoopComponent
from eventkernel.runtime.relay import RelaySettings
from eventkernel.runtime.waiting import first_of

_log = logging.getLogger(__name__)


def relay(process: Process) -> Component:
    """Outbox in, bus out."""
    settings, stores = process.settings, process.stores
    owner, listener = f"{socket.gethostname()}/{os.getpid()}", None
    if stores.pokes is not None and settings.relay_poke_address:
        from eventkernel_cassandra.pokes import PokeListener

        try:
            listener = PokeListener(settings.relay_poke_address)
        except (OSError, ValueError) as error:
            raise SettingsError(f"relay_poke_address: {settings.relay_poke_address}: {error}") from error
        owner, stores.pokes.own = listener.ear.named(owner), listener.ear
    worker = relay_over(
        stores,
        owner,
        RelaySettings(
            shard_count=settings.shard_count,
            events_max=settings.relay_events_max,
            poll_seconds=settings.relay_poll_seconds,
            gather_seconds=settings.relay_gather_seconds,
            # The embedded store moves all cursors of a round in one transaction: waiting for more spares it nothing.
            cursor_seconds=settings.relay_cursor_seconds if settings.store == "stack" else 0.0,
            lease_seconds=settings.relay_lease_seconds,
        ),
        outbox=MeasuredOutbox(stores.outbox, process.metrics, stores.clock),
        observer=RelayMetrics(process.metrics),
    )

    def poke(stream: StreamId) -> None:
        stores.poke(stream)
        worker.poke(stream)

    async def run(stop: asyncio.Event) -> None:
        if listener is None:
            await worker.run(stop)
            return
        async with listener.listening(poke):
            await worker.run(stop)

    process.pokes.append(poke)
    return LoopComponent("relay", run, process.failed)


def sweep(process: Process) -> Component:
    """Now and then through the whole journal: pending work that nothing points at is found, told and put right."""
    look = process.stores.sweep
    clock = process.stores.clock

    async def run(stop: asyncio.Event) -> None:
        while look is not None and not stop.is_set():
            await first_of(stop.wait(), clock.sleep(process.settings.sweep_seconds))
            if stop.is_set():
                return
            try:
                if healed := await look():
                    _log.error(
                        "%d streams had unpublished events that nothing pointed at; they are published now", healed
                    )
            except KernelError as error:
                if not error.retriable:
                    raise
                _log.warning("sweep failed, tried again at the next: %s", error)

    return LoopComponent("sweep", run, process.failed)
