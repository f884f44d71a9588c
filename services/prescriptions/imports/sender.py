"""Sends plans to the command service: the commands of one prescription in order, many prescriptions at a time."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count, cycle
from typing import Any

import grpc

from erx.prescriptions.v1.command_service_pb2_grpc import PrescriptionCommandServiceStub
from eventkernel.envelope import Actor
from eventkernel.ids import DEFAULT_TENANT
from eventkernel_grpc.client import remote_error
from eventkernel_grpc.errors import RemoteError
from eventkernel_grpc.metadata import call_metadata
from prescriptions.domain.commands import ClaimPrescription, DispenseMedication
from prescriptions.imports.errors import TargetLost
from prescriptions.imports.plan import PlannedPrescription, PlannedStep
from prescriptions.imports.report import (
    Acknowledged,
    ImportReport,
    OnAcknowledged,
    OnProgress,
    Progress,
    RefusedCommand,
)
from prescriptions.imports.requests import request_of

# Made by grpc itself where the service could not say that a retry helps; a server cut off while it drains cancels.
_RETRIABLE = frozenset(
    {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED}
)


@dataclass(frozen=True, slots=True)
class SendLimits:
    """How much at a time, and how patient.

    ``in_flight`` prescriptions at a time; ``attempts_max`` tries of one call, ``call_seconds`` each, the pause between them
    doubling from ``pause_seconds`` to ``pause_seconds_max``. A service that has accepted something in this run is there, and
    is waited for longer: ``attempts_away_max`` tries.
    """

    in_flight: int = 64
    attempts_max: int = 12
    attempts_away_max: int = 60
    call_seconds: float = 30.0
    pause_seconds: float = 0.05
    pause_seconds_max: float = 2.0


@dataclass(slots=True)
class _Tally:
    """What one run has counted so far."""

    commands_total: int
    began_at: float
    began: float
    accepted: int = 0
    known_before: int = 0
    fills: int = 0
    retries: int = 0
    done: int = 0
    refused: list[RefusedCommand] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


class Sender:
    """Sends over the channels it is given, in turn.

    A refusal ends its prescription and is reported; it does not end the run. ``acknowledged`` hears of each command as soon
    as its reply is here, before the next of its prescription is sent.
    """

    def __init__(
        self,
        channels: Sequence[grpc.aio.Channel],
        *,
        target: str,
        tenant: str = "",
        limits: SendLimits | None = None,
        acknowledged: OnAcknowledged | None = None,
    ) -> None:
        self._stubs = [PrescriptionCommandServiceStub(channel) for channel in channels]
        self._target = target
        self._tenant = tenant
        self._limits = limits or SendLimits()
        self._acknowledged = acknowledged
        self._metadata = lru_cache(maxsize=8192)(self._metadata_of)

    async def send(
        self, plans: Sequence[PlannedPrescription], *, sources: int, progress: OnProgress | None = None
    ) -> ImportReport:
        """Send every plan. Raises ``TargetLost`` when a call fails too often; running it again then is safe."""
        tally = _Tally(sum(len(plan.steps) for plan in plans), time.time(), time.monotonic())
        waiting = iter(plans)
        stubs = cycle(self._stubs)
        workers = min(self._limits.in_flight, max(len(plans), 1))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(waiting, next(stubs), tally, progress))
        except* TargetLost as lost:
            raise lost.exceptions[0] from None
        return ImportReport(
            sources=sources,
            prescriptions=len(plans),
            commands=tally.commands_total,
            accepted=tally.accepted,
            known_before=tally.known_before,
            fills=tally.fills,
            retries=tally.retries,
            refused=tuple(sorted(tally.refused, key=lambda refused: (refused.source, refused.command))),
            seconds=tally.seconds,
        )

    async def _work(
        self,
        waiting: Iterator[PlannedPrescription],
        stub: PrescriptionCommandServiceStub,
        tally: _Tally,
        progress: OnProgress | None,
    ) -> None:
        for plan in waiting:
            await self._send_one(plan, stub, tally)
            if progress is not None:
                progress(Progress(tally.done, tally.commands_total, tally.fills, tally.seconds))

    async def _send_one(self, plan: PlannedPrescription, stub: PrescriptionCommandServiceStub, tally: _Tally) -> None:
        claim_token = ""
        for place, step in enumerate(plan.steps):
            try:
                reply = await self._call(plan, step, claim_token, stub, tally)
            except RemoteError as error:
                tally.refused.append(_refused(plan, step, error, not_sent=len(plan.steps) - place - 1))
                tally.done += len(plan.steps) - place
                return
            if self._acknowledged is not None:
                tenant = self._tenant or DEFAULT_TENANT
                self._acknowledged(Acknowledged(tenant, plan.prescription_id, step.request_id, reply.version))
            tally.done += 1
            tally.accepted += 1
            recorded = reply.prescription.record_time
            tally.known_before += recorded.seconds + recorded.nanos / 1e9 < tally.began_at
            tally.fills += type(step.command) is DispenseMedication
            if type(step.command) is ClaimPrescription:
                claim_token = reply.claim_token

    async def _call(
        self,
        plan: PlannedPrescription,
        step: PlannedStep,
        claim_token: str,
        stub: PrescriptionCommandServiceStub,
        tally: _Tally,
    ) -> Any:
        """The reply; the same request is sent again while its failure may pass."""
        method = getattr(stub, type(step.command).__name__)
        request = request_of(plan, step, claim_token)
        metadata = self._metadata(step.actor)
        for attempt in count(1):
            try:
                return await method(request, metadata=metadata, timeout=self._limits.call_seconds)
            except grpc.aio.AioRpcError as error:
                remote = remote_error(error)
                if not remote.may_retry and remote.code not in _RETRIABLE:
                    raise remote from error
                limits = self._limits
                if attempt >= (limits.attempts_away_max if tally.accepted else limits.attempts_max):
                    raise TargetLost(self._target, attempts=attempt, cause=str(remote)) from error
                tally.retries += 1
                await asyncio.sleep(self._pause(attempt, remote))
        raise AssertionError("counting has no end")

    def _pause(self, attempt: int, error: RemoteError) -> float:
        doubled = self._limits.pause_seconds * float(2 ** (attempt - 1))
        pause = max(min(doubled, self._limits.pause_seconds_max), error.retry_after_seconds or 0.0)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing

    def _metadata_of(self, actor: Actor) -> tuple[tuple[str, str | bytes], ...]:
        return call_metadata(tenant=self._tenant, actor=actor)


def _refused(plan: PlannedPrescription, step: PlannedStep, error: RemoteError, *, not_sent: int) -> RefusedCommand:
    return RefusedCommand(
        source=plan.source,
        prescription_id=plan.prescription_id,
        command=type(step.command).__name__,
        reason=error.reason or error.code.name,
        message=error.message,
        not_sent=not_sent,
    )
