"""``ViewAdminService`` over the ports: rebuilds and parked lanes of whatever views a context declares."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

from erx.eventlog.v1 import view_admin_service_pb2 as pb
from erx.eventlog.v1.view_admin_service_pb2_grpc import ViewAdminServiceServicer
from eventkernel.errors import BadPageToken, InvalidCommand, Refusal, RefusalKind
from eventkernel.ids import StreamId
from eventkernel.runtime.discards import discard_parked, load_discards, passing_over
from eventkernel.runtime.parked_lanes import retry_in
from eventkernel.runtime.rebuild_admin import Wish, rebuilds, start_rebuilds, stop_rebuild
from eventkernel.runtime.rebuild_advance import Sources
from eventkernel.runtime.rebuild_stream import rebuild_stream
from eventkernel.runtime.rebuild_switch import roll_back, switch
from eventkernel.view import View
from eventkernel_grpc.call import CallContext, current_call
from eventkernel_grpc.pages import page_size
from eventkernel_grpc.view_admin_messages import (
    WireName,
    discard_to,
    lane_to,
    outcome_to,
    parked_to,
    rebuild_to,
    stream_outcome_to,
)
from eventkernel_grpc.wire_types import from_timestamp

CHANGERS = frozenset({"system", "correction"})
READERS = CHANGERS | {"auditor"}
EVENTS_SHOWN_MAX = 100


class ViewAdminService(ViewAdminServiceServicer):
    """``wanted`` is told that a rebuild may have work, ``changed`` that another table answers or rows were mended."""

    def __init__(
        self,
        sources: Sources[Any],
        views: Sequence[View[Any, Any]],
        *,
        context: str,
        wire_name: WireName,
        wanted: Callable[[], None] = lambda: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._from = sources
        self._views = {view.name: view for view in views}
        self._context = context
        self._wire_name = wire_name
        self._wanted = wanted
        self._changed = changed

    async def ListRebuilds(self, request: pb.ListRebuildsRequest, context: Any) -> Any:  # noqa: N802
        """Every view asked for."""
        _call(READERS)
        return pb.ListRebuildsResponse(rebuilds=await self._shown(self._asked(request.views)))

    async def StartRebuild(self, request: pb.StartRebuildRequest, context: Any) -> Any:  # noqa: N802
        """Note that they are wanted; a rebuilder takes them up."""
        call, views = _call(CHANGERS), self._asked(request.views)
        since = from_timestamp(request.since_time, "since_time") if request.HasField("since_time") else None
        wish = Wish(call.provenance.actor.id, since, request.switch_when_equal, request.restart)
        await start_rebuilds(self._from.store, views, wish, clock=self._from.clock)
        self._wanted()
        return pb.StartRebuildResponse(rebuilds=await self._shown(views))

    async def StopRebuild(self, request: pb.StopRebuildRequest, context: Any) -> Any:  # noqa: N802
        """Note that it is not."""
        _call(CHANGERS)
        view = self._view(request.view)
        await stop_rebuild(self._from.store, view, clock=self._from.clock)
        return pb.StopRebuildResponse(rebuild=(await self._shown([view]))[0])

    async def SwitchView(self, request: pb.SwitchViewRequest, context: Any) -> Any:  # noqa: N802
        """Forward."""
        _call(CHANGERS)
        view = self._view(request.view)
        await switch(self._from, view, force=request.force)
        self._changed()
        return pb.SwitchViewResponse(rebuild=(await self._shown([view]))[0])

    async def RollBackView(self, request: pb.RollBackViewRequest, context: Any) -> Any:  # noqa: N802
        """Back."""
        _call(CHANGERS)
        view = self._view(request.view)
        await roll_back(self._from, view, force=request.force)
        self._changed()
        return pb.RollBackViewResponse(rebuild=(await self._shown([view]))[0])

    async def RebuildStream(self, request: pb.RebuildStreamRequest, context: Any) -> Any:  # noqa: N802
        """One stream in place."""
        call, view = _call(CHANGERS), self._view(request.view)
        done = await rebuild_stream(self._from, view, _stream(call, request.stream), dry_run=request.dry_run)
        if not request.dry_run:
            self._changed()
        return pb.RebuildStreamResponse(outcome=stream_outcome_to(done))

    async def ListParkedLanes(self, request: pb.ListParkedLanesRequest, context: Any) -> Any:  # noqa: N802
        """By the stream's name."""
        call, view = _call(READERS), self._view(request.view)
        size = page_size(request.page_size)
        async with self._from.store.transaction() as transaction:
            after = _after(request.page_token)
            lanes = await transaction.catalogue.lanes(view, call.tenant, after, size + 1)
        shown = [lane_to(view, lane) for lane in lanes[:size]]
        more = base64.urlsafe_b64encode(shown[-1].stream.encode()).decode() if len(lanes) > size else ""
        return pb.ListParkedLanesResponse(lanes=shown, next_page_token=more)

    async def FetchParkedLane(self, request: pb.FetchParkedLaneRequest, context: Any) -> Any:  # noqa: N802
        """The events in their stored bytes."""
        call, view = _call(READERS), self._view(request.view)
        stream = _stream(call, request.stream)
        async with self._from.store.transaction() as transaction:
            checkpoint = (await transaction.load(view, [stream]))[stream]
            lane = (await transaction.parked(view, [stream])).get(stream, ())
        if not lane:
            raise Refusal("LANE_EMPTY", f"nothing of {stream.key} waits in {view.name}")
        events = [parked_to(parked, self._context, self._wire_name) for parked in lane[:EVENTS_SHOWN_MAX]]
        return pb.FetchParkedLaneResponse(applied_version=checkpoint.version, events=events, events_total=len(lane))

    async def RetryParkedLane(self, request: pb.RetryParkedLaneRequest, context: Any) -> Any:  # noqa: N802
        """With the upcasters and the fold of this program."""
        call, view = _call(CHANGERS), self._view(request.view)
        stream, sources = _stream(call, request.stream), self._from
        async with sources.store.transaction() as transaction:
            if stream not in await transaction.parked(view, [stream]):
                raise Refusal("LANE_EMPTY", f"nothing of {stream.key} waits in {view.name}")
            passing, decode = passing_over(view, sources.decode, await load_discards(transaction, view))
            done = await retry_in(
                transaction,
                passing,
                stream,
                decode=decode,
                journal=sources.journal,
                clock=sources.clock,
                dry_run=request.dry_run,
            )
        if not request.dry_run:
            self._changed()
        return pb.RetryParkedLaneResponse(outcome=outcome_to(done))

    async def DiscardParkedEvent(self, request: pb.DiscardParkedEventRequest, context: Any) -> Any:  # noqa: N802
        """Move over it."""
        call, view = _call(CHANGERS), self._view(request.view)
        done = await discard_parked(
            self._from.store,
            view,
            _stream(call, request.stream),
            request.version,
            reason=request.reason,
            by=call.provenance.actor.id,
            decode=self._from.decode,
            journal=self._from.journal,
            clock=self._from.clock,
        )
        self._changed()
        return pb.DiscardParkedEventResponse(outcome=outcome_to(done))

    async def ListDiscards(self, request: pb.ListDiscardsRequest, context: Any) -> Any:  # noqa: N802
        """Those of the tenant."""
        call, view = _call(READERS), self._view(request.view)
        async with self._from.store.transaction() as transaction:
            discards = await load_discards(transaction, view)
        own = [discard for discard in discards.values() if StreamId.from_key(discard.stream).tenant == call.tenant]
        return pb.ListDiscardsResponse(discards=[discard_to(view, discard) for discard in own])

    async def _shown(self, views: Sequence[View[Any, Any]]) -> list[pb.ViewRebuild]:
        known = await rebuilds(self._from.store, views)
        statuses = await self._from.store.status(views)
        return [
            rebuild_to(view, active, status, rebuild)
            for (view, active, rebuild), status in zip(known, statuses, strict=True)
        ]

    def _asked(self, names: Sequence[str]) -> list[View[Any, Any]]:
        return [self._view(name) for name in sorted(set(names) or self._views)]

    def _view(self, name: str) -> View[Any, Any]:
        if name not in self._views:
            raise InvalidCommand("view", f"{name!r} is none of {', '.join(sorted(self._views))}", reason="UNKNOWN_VIEW")
        return self._views[name]


def _call(roles: frozenset[str]) -> CallContext:
    call = current_call()
    if call.provenance.actor.role not in roles:
        message = f"as {call.provenance.actor.role or 'nobody'}; it takes one of {', '.join(sorted(roles))}"
        raise Refusal("ROLE_NOT_ALLOWED", message, kind=RefusalKind.PERMISSION)
    return call


def _stream(call: CallContext, name: str) -> StreamId:
    return StreamId(call.tenant, name).validated()


def _after(page_token: str) -> str:
    try:
        return base64.urlsafe_b64decode(page_token.encode("ascii")).decode()
    except (binascii.Error, UnicodeError) as error:
        raise BadPageToken("cannot be read") from error
