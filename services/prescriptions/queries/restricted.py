"""A reading that leaves out what its viewer may not see, and answers that leave out what is not the viewer's to know."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message

from erx.prescriptions.types.v1.parties_pb2 import PharmacyRef
from erx.prescriptions.v1.prescription_pb2 import Prescription
from eventkernel.filters import All, Eq, Filter, Query, matches
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, StoredRow, ViewReading
from eventkernel.view import Key, TableKind, View
from eventkernel_grpc.call import CallContext
from prescriptions.queries.sources import Sources
from prescriptions.queries.visibility import Viewer, viewer_of
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW

_ONE: Final = 1


class RestrictedReading:
    """A ``ViewReading`` of what a viewer sees: rows that are its own, and those of patients who are its own."""

    def __init__(self, below: ViewReading, viewer: Viewer, tenant: str) -> None:
        self._below = below
        self._viewer = viewer
        self._tenant = tenant
        self._patients: dict[str, bool] = {}

    async def get(self, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
        """The row, if it is to be seen; else it is as unknown as one that never was."""
        row = await self._below.get(view, tenant, key)
        if view.kind is TableKind.SUMMED:
            self._viewer.require_statistics()
            return row
        if row is None or matches(self._viewer.rows(view), row.values):
            return row
        patient = row.values.get("patient_id")
        return row if patient is not None and await self._is_own_patient(patient) else None

    async def select(self, view: View[Any, Any], query: Query) -> Sequence[StoredRow]:
        """Of the page only what is to be seen."""
        return await self._below.select(view, await self._narrowed(view, query))

    async def count(self, view: View[Any, Any], query: Query) -> int:
        """The same."""
        return await self._below.count(view, await self._narrowed(view, query))

    async def checkpoints(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """How far the view is: no secret."""
        return await self._below.checkpoints(view, streams)

    async def corrections(self, view: View[Any, Any]) -> int:
        """As below."""
        return await self._below.corrections(view)

    async def scan(self, view: View[Any, Any]) -> AsyncIterator[tuple[StreamId, Checkpoint]]:
        """As below: audits alone ask for it."""
        async for found in self._below.scan(view):
            yield found

    async def _narrowed(self, view: View[Any, Any], query: Query) -> Query:
        if view.kind is TableKind.SUMMED:
            self._viewer.require_statistics()
            return query
        rows = self._viewer.rows(view)
        for patient in _patients_named(query.where):
            if await self._is_own_patient(patient):
                return query
        return replace(query, where=All((query.where, rows)))

    async def _is_own_patient(self, patient: str) -> bool:
        """Whether the viewer wrote anything for the patient."""
        column = self._viewer.sight.patients_of
        if not column:
            return False
        if patient not in self._patients:
            written = All((Eq(column, self._viewer.own), Eq("patient_id", patient)))
            found = await self._below.select(PRESCRIPTION_VIEW, Query(self._tenant, written, limit=_ONE))
            self._patients[patient] = bool(found)
        return self._patients[patient]


def _patients_named(where: Filter) -> Iterator[str]:
    """The patients to whom a filter keeps itself."""
    match where:
        case Eq("patient_id", patient):
            yield patient
        case All(parts):
            for part in parts:
                yield from _patients_named(part)
        case _:
            pass


def viewer_in(sources: Sources, call: CallContext) -> Viewer | None:
    """Who asks this server; None: sees everything."""
    return viewer_of(call.provenance.actor, by_role=sources.by_role)


def restricted(sources: Sources, call: CallContext, reading: ViewReading) -> ViewReading:
    """The reading as the caller may have it."""
    viewer = viewer_in(sources, call)
    return reading if viewer is None else RestrictedReading(reading, viewer, call.tenant)


def veiled(viewer: Viewer | None, answer: Message) -> Message:
    """The answer without what its viewer may not know of prescriptions that it sees."""
    if viewer is None or not viewer.sight.offered:
        return answer
    for prescription in _prescriptions_in(answer):
        mine = [one for one in prescription.dispenses if _key(one.pharmacy) == viewer.own]
        own = bool(mine) or viewer.own in _with(prescription)
        del prescription.dispenses[:]
        if own:
            prescription.dispenses.extend(mine)
        else:
            prescription.content.ClearField("patient_id")
    return answer


def _prescriptions_in(message: Message) -> Iterable[Prescription]:
    if isinstance(message, Prescription):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if field.is_repeated else (value,):
            if isinstance(inner, Message):
                yield from _prescriptions_in(inner)


def _with(prescription: Prescription) -> set[str]:
    """The pharmacies that hold it or are meant."""
    found = {_key(prescription.nominated_pharmacy)} if prescription.HasField("nominated_pharmacy") else set()
    if prescription.HasField("claim") and prescription.claim.active:
        found.add(_key(prescription.claim.pharmacy))
    return found


def _key(pharmacy: PharmacyRef) -> str:
    """As ``pharmacy_key`` has it."""
    named = f"name:{pharmacy.name}" if pharmacy.name else ""
    return pharmacy.ncpdp_id or (f"npi:{pharmacy.npi}" if pharmacy.npi else named)


if TYPE_CHECKING:
    _: type[ViewReading] = RestrictedReading
