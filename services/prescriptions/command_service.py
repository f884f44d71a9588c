"""The command side's inbound port: a request becomes a command, the aggregate after its event becomes the reply."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from google.protobuf.message import Message

from erx.prescriptions.v1 import command_service_pb2 as cs
from erx.prescriptions.v1 import dispensing_commands_pb2 as d
from erx.prescriptions.v1 import lifecycle_commands_pb2 as lc
from erx.prescriptions.v1.command_service_pb2_grpc import PrescriptionCommandServiceServicer
from eventkernel.canonical import request_hash
from eventkernel.codec import Codecs
from eventkernel.envelope import StreamPosition
from eventkernel.errors import InvalidCommand, StreamNotFound
from eventkernel.ids import StreamId
from eventkernel.runtime.aggregate import Aggregate, AggregateType, CommandRequest
from eventkernel.runtime.command_handler import CommandHandler
from eventkernel_grpc.call import current_call
from eventkernel_grpc.tokens import encode_token
from prescriptions.domain.commands import ClaimPrescription, Command
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.events import Event
from prescriptions.domain.facts import Facts
from prescriptions.domain.profiles import Profile
from prescriptions.domain.state import Prescription
from prescriptions.domain.table import TABLE
from prescriptions.streams import CATEGORY, CONTEXT, stream_of
from prescriptions.wire.commands import command_from
from prescriptions.wire.events import PrescriptionEventCodec
from prescriptions.wire.replies import prescription_fields
from prescriptions.wire.snapshots import PrescriptionStateCodec
from prescriptions.wire.values import STATUS_TO, time_from

_ID_NAMESPACE = UUID("0b7c2a4e-91f6-5c59-8d7e-5f1d1a6b9c30")

Handler = CommandHandler[Command, Event, Prescription, Facts]


def claim_token(key: bytes, stream: StreamId, request_id: UUID) -> str:
    """The claim token that this request gets: an HMAC, so that it can be given again though only its hash is stored."""
    return hmac.new(key, f"claim/{stream.key}/{request_id}".encode(), sha256).hexdigest()


def prescription_type(profile: Profile, key: bytes) -> AggregateType[Command, Event, Prescription, Facts]:
    """The prescription as the kernel's command handler takes it."""

    def facts(request: CommandRequest[Command], occurred_at: datetime) -> Facts:
        token_hash = None
        if isinstance(request.command, ClaimPrescription):
            token_hash = sha256(claim_token(key, request.stream, request.command_id).encode()).digest()
        return Facts(occurred_at, request.provenance.actor, profile, token_hash)

    return AggregateType(
        context=CONTEXT,
        category=CATEGORY,
        decider=PRESCRIPTION,
        codecs=Codecs(PrescriptionEventCodec(), PrescriptionStateCodec()),
        creates=TABLE.creates,
        facts=facts,
    )


class PrescriptionCommandService(PrescriptionCommandServiceServicer):
    """One RPC per command; every one goes the same way."""

    def __init__(self, handler: Handler, key: bytes) -> None:
        self._handler = handler
        self._key = key

    async def CreatePrescription(self, request: lc.CreatePrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """Without an id of the client's the prescription's id follows from the request's, so that a retry is the same one."""
        prescription_id = request.prescription_id or str(uuid5(_ID_NAMESPACE, request.request_id.lower()))
        return await self._run(request, lc.CreatePrescriptionResponse, prescription_id)

    async def AmendPrescription(self, request: lc.AmendPrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """Replace a draft's content."""
        return await self._run(request, lc.AmendPrescriptionResponse)

    async def SignPrescription(self, request: lc.SignPrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """Sign."""
        return await self._run(request, lc.SignPrescriptionResponse)

    async def IssuePrescription(self, request: lc.IssuePrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """Release to pharmacies."""
        return await self._run(request, lc.IssuePrescriptionResponse)

    async def NominatePharmacy(self, request: lc.NominatePharmacyRequest, context: Any) -> Any:  # noqa: N802
        """Name a pharmacy."""
        return await self._run(request, lc.NominatePharmacyResponse)

    async def ClaimPrescription(self, request: d.ClaimPrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """Take it exclusively; the reply alone carries the claim token."""
        stream = stream_of(current_call().tenant, request.prescription_id)
        token = claim_token(self._key, stream, UUID(request.request_id))
        return await self._run(request, d.ClaimPrescriptionResponse, claim_token=token)

    async def ReturnPrescription(self, request: d.ReturnPrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """Give a claim back."""
        return await self._run(request, d.ReturnPrescriptionResponse)

    async def DispensePartially(self, request: d.DispensePartiallyRequest, context: Any) -> Any:  # noqa: N802
        """Hand out a part."""
        return await self._run(request, d.DispensePartiallyResponse)

    async def DispenseMedication(self, request: d.DispenseMedicationRequest, context: Any) -> Any:  # noqa: N802
        """Hand out the rest of the fill."""
        return await self._run(request, d.DispenseMedicationResponse)

    async def RecordNotDispensed(self, request: d.RecordNotDispensedRequest, context: Any) -> Any:  # noqa: N802
        """End it unfilled."""
        return await self._run(request, d.RecordNotDispensedResponse)

    async def ReverseDispense(self, request: d.ReverseDispenseRequest, context: Any) -> Any:  # noqa: N802
        """Undo the last dispense."""
        return await self._run(request, d.ReverseDispenseResponse)

    async def CancelPrescription(self, request: lc.CancelPrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """Withdraw."""
        return await self._run(request, lc.CancelPrescriptionResponse)

    async def SuspendPrescription(self, request: lc.SuspendPrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """Put on hold."""
        return await self._run(request, lc.SuspendPrescriptionResponse)

    async def ResumePrescription(self, request: lc.ResumePrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """End the hold."""
        return await self._run(request, lc.ResumePrescriptionResponse)

    async def ExpirePrescription(self, request: lc.ExpirePrescriptionRequest, context: Any) -> Any:  # noqa: N802
        """Record that its time ran out."""
        return await self._run(request, lc.ExpirePrescriptionResponse)

    async def MarkEnteredInError(self, request: lc.MarkEnteredInErrorRequest, context: Any) -> Any:  # noqa: N802
        """Void it."""
        return await self._run(request, lc.MarkEnteredInErrorResponse)

    async def ListAllowedCommands(self, request: cs.ListAllowedCommandsRequest, context: Any) -> Any:  # noqa: N802
        """What the table allows in the state it is in now."""
        stream = stream_of(current_call().tenant, request.prescription_id)
        aggregate = await self._handler.repository.load(stream)
        if not aggregate.version:
            raise StreamNotFound(stream.name)
        return cs.ListAllowedCommandsResponse(
            status=STATUS_TO[aggregate.state.status],
            allowed_commands=TABLE.allowed(aggregate.state.status),
            version=aggregate.version,
        )

    async def _run(
        self, request: Any, response: Callable[..., Message], prescription_id: str = "", **extra: str
    ) -> Message:
        call = current_call()
        stream = stream_of(call.tenant, prescription_id or request.prescription_id)
        command = command_from(request)
        effective_time = _given_time(request)
        reply = await self._handler.handle(
            CommandRequest(
                stream=stream,
                command=command,
                command_id=UUID(request.request_id),
                request_hash=request_hash(command, call.provenance.actor, effective_time),
                provenance=call.provenance,
                expected_version=request.expected_version if request.HasField("expected_version") else None,
                effective_time=effective_time,
            )
        )
        aggregate = reply.aggregate
        token = encode_token([StreamPosition(CONTEXT, stream.name, aggregate.version)], tenant=call.tenant)
        call.reply_token(token)
        return response(prescription=_fields_of(aggregate), token=token, version=aggregate.version, **extra)


def _fields_of(aggregate: Aggregate[Prescription]) -> dict[str, Any]:
    """The reply's aggregate, as the reply takes it."""
    first, last, recorded = aggregate.created_at, aggregate.occurred_at, aggregate.recorded_at
    if first is None or last is None or recorded is None:
        raise StreamNotFound(aggregate.stream.name)
    return prescription_fields(
        aggregate.state,
        prescription_id=aggregate.stream.id,
        version=aggregate.version,
        created_at=first,
        occurred_at=last,
        recorded_at=recorded,
        allowed=TABLE.allowed(aggregate.state.status),
    )


def _given_time(request: Any) -> datetime | None:
    if not request.HasField("effective_time"):
        return None
    try:
        return time_from(request.effective_time).astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise InvalidCommand("effective_time", "lies outside of the calendar") from error
