"""What an import was told took effect, and whether a store still has all of it."""

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from bootstrap.stores import Stores
from eventkernel.ids import StreamId
from prescriptions.imports.report import Acknowledged


def acknowledged_in(file: Path) -> list[Acknowledged]:
    """The whole lines of a file that ``erx import --acknowledgements`` writes; a last line may be cut off with its writer."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="ascii").splitlines(keepends=True)
    words = [line.split() for line in lines if line.endswith("\n")]
    return [Acknowledged(tenant, UUID(one), UUID(request), int(version)) for tenant, one, request, version in words]


async def lost(stores: Stores, acknowledged: Iterable[Acknowledged]) -> list[Acknowledged]:
    """Those that the journal does not have at the version that was acknowledged."""
    gone = []
    for one in acknowledged:
        stream = StreamId(one.tenant, f"prescription-{one.prescription_id}")
        record = await stores.events.find_command(stream, one.request_id)
        if record is None or record.last_version != one.version:
            gone.append(one)
    return gone
