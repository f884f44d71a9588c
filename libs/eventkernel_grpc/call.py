"""The call that is being served: what the edge read before the handler began."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from eventkernel.envelope import Provenance, StreamPosition
from eventkernel.evolving import quickly_made
from eventkernel_grpc import metadata
from eventkernel_grpc.tokens import decode_token, merge_positions


@quickly_made
@dataclass(frozen=True, slots=True)
class CallContext:
    """Tenant, provenance and deadline of one call; ``deadline`` is in the event loop's time, None for a stream without one."""

    method: str
    tenant: str
    provenance: Provenance
    deadline: float | None
    consistency: bytes = b""
    servicer_context: Any = field(default=None, repr=False, compare=False)

    def remaining_seconds(self, *, reserve_seconds: float = 0.0) -> float | None:
        """The time left until the deadline less a reserve for the reply's way back, at least 0; None where there is none."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - reserve_seconds - asyncio.get_running_loop().time())

    def seen(self, field_token: bytes = b"") -> tuple[StreamPosition, ...]:
        """What the caller has seen, from the metadata and the request's token field together. Raises ``InvalidCommand``."""
        tokens = [token for token in (self.consistency, field_token) if token]
        return merge_positions(*(decode_token(token, tenant=self.tenant) for token in tokens))

    def reply_token(self, token: bytes) -> None:
        """Send this token with the reply, as metadata beside the field."""
        if self.servicer_context is not None:
            self.servicer_context.set_trailing_metadata(((metadata.CONSISTENCY, token),))


_CURRENT: ContextVar[CallContext] = ContextVar("eventkernel_grpc_call")


def current_call() -> CallContext:
    """The call whose handler is running. Raises ``LookupError`` outside of one."""
    return _CURRENT.get()


def enter_call(call: CallContext) -> None:
    """Make this the current call of the running task. The edge does it; tests of handlers may."""
    _CURRENT.set(call)
