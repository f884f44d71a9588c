"""A caller of both servers, who speaks for a tenant and for whoever acts, and the prescription they usually write."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from erx.prescriptions.v1 import (
    command_service_pb2,
    command_service_pb2_grpc,
    dispensing_commands_pb2,
    lifecycle_commands_pb2,
    query_service_pb2,
    query_service_pb2_grpc,
    statistics_pb2,
)
from eventkernel.envelope import Actor
from eventkernel_grpc import ChannelSettings, call_metadata, channel, remote_errors
from prescriptions.testing import stories
from prescriptions.wire.content import content_to_reply
from prescriptions.wire.values import codings_to, person_to, pharmacy_to, quantity_to

CALL_SECONDS = 30.0
_REQUESTS = (
    command_service_pb2,
    lifecycle_commands_pb2,
    dispensing_commands_pb2,
    query_service_pb2,
    statistics_pb2,
)
_ACTORS = {
    **dict.fromkeys(("Claim", "Return", "Dispense", "Record", "Reverse"), stories.AT_CORNER),
    "Expire": stories.SYSTEM,
}


def request(method: str, **fields: Any) -> Message:
    """The request message of a method."""
    name = f"{method}Request"
    module = next(module for module in _REQUESTS if hasattr(module, name))
    made: Message = getattr(module, name)(**fields)
    return made


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls both services; errors arrive as ``RemoteError``."""

    commands: grpc.aio.Channel
    queries: grpc.aio.Channel
    tenant: str

    async def do(self, method: str, *, actor: Actor | None = None, **fields: Any) -> Any:
        """Give a command, with a new ``request_id`` unless one is named, as somebody who may."""
        made = request(method, **{"request_id": str(uuid4()), **fields})
        return await self.send(method, made, actor=actor)

    async def send(
        self, method: str, made: Message, *, actor: Actor | None = None, seconds: float = CALL_SECONDS
    ) -> Any:
        """Send this very command; ``seconds`` is the call's deadline."""
        actor = actor or next((a for start, a in _ACTORS.items() if method.startswith(start)), stories.PRESCRIBER)
        stub = command_service_pb2_grpc.PrescriptionCommandServiceStub(self.commands)
        with remote_errors():
            metadata = call_metadata(tenant=self.tenant, actor=actor)
            return await getattr(stub, method)(made, metadata=metadata, timeout=seconds)

    async def ask(self, method: str, **fields: Any) -> Any:
        """Ask the query server."""
        return await self.ask_within(CALL_SECONDS, method, **fields)

    async def ask_within(self, seconds: float, method: str, **fields: Any) -> Any:
        """Ask the query server; ``seconds`` is the call's deadline."""
        stub = query_service_pb2_grpc.PrescriptionQueryServiceStub(self.queries)
        with remote_errors():
            metadata = call_metadata(tenant=self.tenant)
            return await getattr(stub, method)(request(method, **fields), metadata=metadata, timeout=seconds)

    async def write(self, *, request_id: str = "", **changes: Any) -> Any:
        """A draft of what a story's author writes; keyword arguments change its content."""
        content = content_to_reply(stories.content(**changes))
        return await self.do("CreatePrescription", content=content, request_id=request_id or str(uuid4()))

    async def write_within(self, seconds: float) -> Any:
        """The same within a deadline."""
        content = content_to_reply(stories.content())
        made = request("CreatePrescription", content=content, request_id=str(uuid4()))
        return await self.send("CreatePrescription", made, seconds=seconds)

    async def issued(self, **changes: Any) -> Any:
        """Written, signed by the hash that the reply names, and released."""
        draft = (await self.write(**changes)).prescription
        await self.do("SignPrescription", **signing(draft))
        return await self.do("IssuePrescription", prescription_id=draft.prescription_id)

    async def claim(self, prescription_id: str, pharmacy: Any = stories.CORNER, **fields: Any) -> Any:
        """Take it for a pharmacy."""
        actor = Actor("rph-1", "pharmacy", pharmacy.ncpdp_id)
        return await self.do(
            "ClaimPrescription", prescription_id=prescription_id, pharmacy=pharmacy_to(pharmacy), actor=actor, **fields
        )

    async def dispense(self, prescription_id: str, claim_token: str, amount: int = 30, **fields: Any) -> Any:
        """Hand out a whole fill, or with ``method="DispensePartially"`` a part of it."""
        method = fields.pop("method", "DispenseMedication")
        return await self.do(
            method,
            **{**dispensing(amount), "prescription_id": prescription_id, "claim_token": claim_token, **fields},
        )

    async def history(self, prescription_id: str) -> list[Any]:
        """All events of a prescription."""
        answer = await self.ask("FetchHistory", prescription_id=prescription_id, page_size=200)
        return list(answer.entries)


def signing(draft: Any) -> dict[str, Any]:
    """The fields by which the author signs a draft as a reply showed it."""
    return {
        "prescription_id": draft.prescription_id,
        "content_sha256": draft.content_sha256,
        "signature": b"signature",
        "algorithm": "ES256",
        "certificate_id": "cert-1",
        "factors": [1, 2],
    }


def dispensing(amount: int) -> dict[str, Any]:
    """The fields of a hand-out of so many tablets."""
    return {
        "dispense_id": str(uuid4()),
        "product": codings_to((stories.AMOXICILLIN,)),
        "quantity": quantity_to(stories.tablets(amount)),
        "days_supply": 10,
        "lot": "lot-1",
        "pharmacist": person_to(stories.AUTHOR),
    }


@asynccontextmanager
async def caller(command: str, query: str, *, tenant: str = "", attempts_max: int = 1) -> AsyncIterator[Caller]:
    """A caller of these addresses, who by default sends nothing twice."""
    settings = ChannelSettings(attempts_max=attempts_max)
    async with channel(command, settings) as commands, channel(query, settings) as queries:
        yield Caller(commands, queries, tenant)
