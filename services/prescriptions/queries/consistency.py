"""What an answer has to have seen: read from token, mode and ``min_version``; waited for; and said in the answer."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from erx.eventlog.v1 import consistency_pb2
from eventkernel.envelope import StreamPosition
from eventkernel.errors import InvalidCommand, TokenNotReached
from eventkernel.ids import StreamId
from eventkernel.ports import ViewReading
from eventkernel.runtime.consistency import wait_for
from eventkernel.runtime.overlay import OverlayFull
from eventkernel.runtime.overlay_reading import OverlaidReading
from eventkernel.view import View
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.deadlines import reply_seconds
from eventkernel_grpc.tokens import encode_token
from prescriptions.queries.restricted import restricted
from prescriptions.queries.sources import Sources, streams_seen
from prescriptions.streams import CONTEXT

WAIT_SECONDS: Final = 10.0
"""How long to wait for a caller who set no deadline."""


class Asking(Protocol):
    """The two fields that every query has."""

    @property
    def token(self) -> bytes:
        """What the answer has to have seen."""

    @property
    def consistency(self) -> consistency_pb2.ConsistencyMode.ValueType:
        """How fresh it has to be."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Versions that the answer should have, whether to wait for them, and whether not to wait for the view but to fold what is
    pending onto it. Where that cannot be, an overlay waits as well.
    """

    wanted: Mapping[StreamId, int]
    waits: bool
    overlays: bool = False


def demand_of(call: CallContext, request: Asking, own: Mapping[StreamId, int] | None = None) -> Demand:
    """From the token (field or metadata), the mode, and ``own`` wishes of the request.

    Not said means at least what is named, if anything is. Raises ``InvalidCommand`` for tokens that cannot be, or are another
    tenant's, and for modes that there are not.
    """
    wanted = dict(streams_seen(call.tenant, call.seen(request.token)))
    for stream, version in (own or {}).items():
        wanted[stream] = max(version, wanted.get(stream, 0))
    match request.consistency:
        case consistency_pb2.CONSISTENCY_MODE_UNSPECIFIED | consistency_pb2.CONSISTENCY_MODE_AT_LEAST:
            return Demand(wanted, waits=True)
        case consistency_pb2.CONSISTENCY_MODE_ANY:
            return Demand(wanted, waits=False)
        case consistency_pb2.CONSISTENCY_MODE_OVERLAY:
            return Demand(wanted, waits=True, overlays=True)
        case _:
            raise InvalidCommand("consistency", "must be ANY, AT_LEAST or OVERLAY", reason="MODE_NOT_SUPPORTED")


async def waited(sources: Sources, view: View[Any, Any], call: CallContext, demand: Demand) -> None:
    """Return when the view has what is demanded; ``TokenNotReached`` shortly before the deadline."""
    if not demand.waits or not demand.wanted:
        return
    left = seconds_to_wait(call)
    await wait_for(
        sources.views,
        view,
        demand.wanted,
        clock=sources.clock,
        deadline_seconds=WAIT_SECONDS if left is None else left,
        progress=sources.progress,
    )


def seconds_to_wait(call: CallContext) -> float | None:
    """How long a query may wait: less than the caller does, who is to hear why the time was not enough."""
    left = call.remaining_seconds()
    return None if left is None else left - reply_seconds(left)


@asynccontextmanager
async def answering(
    sources: Sources, view: View[Any, Any], call: CallContext, demand: Demand
) -> AsyncIterator[tuple[ViewReading, consistency_pb2.Freshness]]:
    """A reading that has seen what is demanded, and as of when it is; how much was overlaid it says after the block.

    The freshness is asked first: the rows may be newer than it says, never older. It is asked while no reading is held: a store
    has room for some, and those who hold them would wait for somebody who wants one more.
    """
    async with AsyncExitStack() as stack:
        if demand.overlays:
            made = await sources.freshness.of(view)
            overlaid = await _overlaid(stack, sources, view, call, demand)
            if overlaid is not None:
                if demand.wanted:
                    made.requested_token_reached = True
                yield restricted(sources, call, overlaid), made
                made.events_overlaid = overlaid.events_overlaid
                return
        await waited(sources, view, call, demand)
        made = await sources.freshness.of(view)
        made.overlay_degraded = demand.overlays
        reading = await stack.enter_async_context(sources.views.reading())
        if demand.wanted:
            made.requested_token_reached = await _reached(view, reading, demand)
        yield restricted(sources, call, reading), made


async def _overlaid(
    stack: AsyncExitStack, sources: Sources, view: View[Any, Any], call: CallContext, demand: Demand
) -> OverlaidReading | None:
    """A reading with what is pending folded onto it; None where the server keeps no overlay or too much is pending for it."""
    if sources.overlay is None:
        return None
    left = seconds_to_wait(call)
    reading = sources.overlay.reading(view, demand.wanted, deadline_seconds=left)
    try:
        return await stack.enter_async_context(reading)
    except OverlayFull:
        return None


async def _reached(view: View[Any, Any], reading: ViewReading, demand: Demand) -> bool:
    wanted = {stream: version for stream, version in demand.wanted.items() if stream.category in view.categories}
    checkpoints = await reading.checkpoints(view, list(wanted)) if wanted else {}
    return all(checkpoints[stream].version >= version for stream, version in wanted.items())


def shown(made: consistency_pb2.Freshness, call: CallContext, stream: StreamId, version: int) -> None:
    """Add the token of the one stream that the answer shows, to the message and to the reply's metadata."""
    made.token = encode_token([StreamPosition(CONTEXT, stream.name, version)], tenant=call.tenant)
    call.reply_token(made.token)


def as_of_log(
    call: CallContext, demand: Demand, stream: StreamId, head: int, version: int
) -> consistency_pb2.Freshness:
    """As of when an answer from the log is: the log is never behind itself. A version that it lacks was never written."""
    wanted = demand.wanted.get(stream, 0)
    if demand.waits and wanted > head:
        raise TokenNotReached("the event log", stream.name, wanted=wanted, reached=head)
    made = consistency_pb2.Freshness(events_behind=0)
    if demand.wanted:
        made.requested_token_reached = wanted <= head
    shown(made, call, stream, version)
    return made
