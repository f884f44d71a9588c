"""What every call of a session does before it is sent and after it is answered. Pure but for what the session has seen."""

from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

from google.protobuf.message import Message

from erx.eventlog.v1.consistency_pb2 import ConsistencyMode
from erx_client.retries import Retries
from erx_client.seen import Seen
from eventkernel.envelope import Actor
from eventkernel_grpc import call_metadata

CALL_SECONDS = 30.0

M = TypeVar("M", bound=Message)
Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """Who asks, for which tenant, what was seen, how fresh answers have to be, and how failures are retried."""

    tenant: str = ""
    actor: Actor | None = None
    seen: Seen = field(default_factory=Seen)
    consistency: ConsistencyMode.ValueType = ConsistencyMode.CONSISTENCY_MODE_UNSPECIFIED
    retries: Retries = field(default_factory=Retries)
    call_seconds: float = CALL_SECONDS

    def request(self, given: M) -> M:
        """The request to send: a command gets a ``request_id`` and a query the session's freshness, unless it names one."""
        fields = given.DESCRIPTOR.fields_by_name
        missing: dict[str, object] = {}
        if "request_id" in fields and not getattr(given, "request_id"):  # noqa: B009  # any message that has the field
            missing["request_id"] = str(uuid4())
        if "consistency" in fields and not getattr(given, "consistency") and self.consistency:  # noqa: B009
            missing["consistency"] = self.consistency
        if not missing:
            return given
        made = type(given)()
        made.CopyFrom(given)
        for name, value in missing.items():
            setattr(made, name, value)
        return made

    def metadata(self, request: Message) -> Metadata:
        """The metadata to send; what was seen goes to queries alone."""
        token = self.seen.token if "consistency" in request.DESCRIPTOR.fields_by_name else b""
        return call_metadata(tenant=self.tenant, actor=self.actor, token=token)

    def answered(self, reply: Message) -> None:
        """Remember what the reply shows: the token of a command, or that of an answer about one prescription."""
        fields = reply.DESCRIPTOR.fields_by_name
        if "token" in fields:
            self.seen.add(getattr(reply, "token"))  # noqa: B009
        elif "as_of" in fields:
            self.seen.add(getattr(reply, "as_of").token)  # noqa: B009
