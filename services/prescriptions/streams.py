"""The names that both sides of this context share: the context's own, and those of its streams."""

from typing import Final

from eventkernel.ids import StreamId

CONTEXT: Final = "prescriptions"
CATEGORY: Final = "prescription"


def stream_of(tenant: str, prescription_id: str) -> StreamId:
    """The stream of a prescription; the id in lower case, as UUIDs compare."""
    return StreamId(tenant, f"{CATEGORY}-{prescription_id.lower()}")
