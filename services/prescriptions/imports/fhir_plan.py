"""From FHIR resources to planned prescriptions, and an outcome for every file: the rules are told in docs/imports.md.

Each plan is rehearsed against the decider while it is made, so what the domain would refuse is refused here, by its own reason,
before anything is sent.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from eventkernel.envelope import Actor
from eventkernel.errors import Refusal
from prescriptions.domain.commands import (
    CancelPrescription,
    ClaimPrescription,
    Command,
    CreatePrescription,
    DispenseMedication,
    IssuePrescription,
    MarkEnteredInError,
    RecordNotDispensed,
    SuspendPrescription,
)
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.profiles import Profile
from prescriptions.domain.state import Prescription, Status
from prescriptions.domain.values import Coding, PrescriptionContent, Reason
from prescriptions.imports.fhir import DispenseFile, FhirFiles, RequestFile
from prescriptions.imports.fhir_content import (
    content_of,
    pharmacist_of,
    pharmacy_of,
    prescription_id_of,
    quantity_of,
    refuse_another_substance,
)
from prescriptions.imports.fhir_outcome import FhirPlan, FileOutcome, Outcome, Untold
from prescriptions.imports.made_ids import made_uuid
from prescriptions.imports.plan import PlannedPrescription, Script, as_pharmacy, as_prescriber
from prescriptions.imports.rehearsal import rehearse_step
from prescriptions.imports.schedules import ScheduleTable
from prescriptions.imports.signing import import_signature

_ORDERS = frozenset({"order", "original-order", "reflex-order", "filler-order", "instance-order"})
_NOT_HAPPENED = frozenset({"entered-in-error", "cancelled", "declined"})
_HELD = frozenset({"preparation", "in-progress", "on-hold"})
_REQUEST_STATUS = "http://hl7.org/fhir/CodeSystem/medicationrequest-status"
_DISPENSE_STATUS = "http://terminology.hl7.org/CodeSystem/medicationdispense-status"
_LAST = datetime.max.replace(tzinfo=UTC)


def plan_fhir(files: FhirFiles, schedules: ScheduleTable, profile: Profile) -> FhirPlan:
    """The prescriptions of all requests, and what becomes of each file."""
    by_request: dict[str, list[DispenseFile]] = defaultdict(list)
    for dispense in files.dispenses:
        by_request[dispense.request].append(dispense)
    plans: list[PlannedPrescription] = []
    outcomes = [FileOutcome(file, Outcome.LEFT_OUT, "OTHER_RESOURCE") for file in files.others]
    for request in files.requests:
        dispenses = sorted(by_request.pop(f"MedicationRequest/{request.id}", ()), key=_order)
        telling = _Telling(request, schedules, profile)
        try:
            plans.append(telling.tell(dispenses))
        except Untold as untold:
            telling.withdraw(dispenses, untold.reason)
        outcomes += telling.outcomes
    for orphans in by_request.values():
        outcomes += [FileOutcome(dispense.file, Outcome.REFUSED, "REQUEST_MISSING") for dispense in orphans]
    return FhirPlan(tuple(plans), tuple(sorted(outcomes, key=lambda outcome: outcome.file)))


class _Telling:
    """Makes the plan of one request and its dispenses, rehearsing each step as it is added."""

    def __init__(self, request: RequestFile, schedules: ScheduleTable, profile: Profile) -> None:
        self.request = request
        self.schedules = schedules
        self.profile = profile
        self.outcomes: list[FileOutcome] = []
        self._script = Script(prescription_id_of(f"MedicationRequest/{request.id}"), request.file)
        self._state: Prescription = PRESCRIPTION.initial

    def tell(self, dispenses: Sequence[DispenseFile]) -> PlannedPrescription:
        """The whole plan, or ``Untold`` with the reason that the request is refused for."""
        supplied: list[str] = []
        content = self._begin(dispenses, supplied)
        if self.request.status not in {"draft", "entered-in-error"}:
            for dispense in dispenses:
                self._add_dispense(dispense, content)
        self._end(content)
        status = self._state.status.name
        self.outcomes.append(FileOutcome(self.request.file, Outcome.IMPORTED, "", status, tuple(supplied)))
        return self._script.finished()

    def withdraw(self, dispenses: Sequence[DispenseFile], reason: str) -> None:
        """Record that nothing of the request is imported."""
        self.outcomes = [FileOutcome(self.request.file, Outcome.REFUSED, reason)]
        for dispense in dispenses:
            left_out = _left_out(dispense)
            self.outcomes.append(left_out or FileOutcome(dispense.file, Outcome.REFUSED, "REQUEST_REFUSED"))

    def _begin(self, dispenses: Sequence[DispenseFile], supplied: list[str]) -> PrescriptionContent:
        request = self.request
        if request.intent not in _ORDERS or request.do_not_perform:
            raise Untold("NOT_AN_ORDER")
        if request.authored_on is None:
            raise Untold("TIME_MISSING")
        content = content_of(request, [one for one in dispenses if self._is_of_request(one)], self.schedules, supplied)
        prescriber = as_prescriber(content.prescriber.id)
        self._add(CreatePrescription(content), request.authored_on, prescriber)
        if request.status not in {"draft", "entered-in-error"}:
            self._add(
                import_signature(content_sha256(content), content.schedule, "fhir"), request.authored_on, prescriber
            )
            self._add(IssuePrescription(), request.authored_on, prescriber)
        return content

    def _is_of_request(self, dispense: DispenseFile) -> bool:
        if dispense.status in _NOT_HAPPENED:
            return False
        try:
            refuse_another_substance(self.request, dispense, self.schedules)
        except Untold:
            return False
        return True

    def _add_dispense(self, dispense: DispenseFile, content: PrescriptionContent) -> None:
        left_out = _left_out(dispense)
        if left_out is not None:
            self.outcomes.append(left_out)
            return
        supplied: list[str] = []
        state, kept = self._state, self._script.mark()
        try:
            refuse_another_substance(self.request, dispense, self.schedules)
            self._tell_dispense(dispense, content, supplied)
        except Untold as untold:
            self._state = state
            self._script.reset(kept)
            self.outcomes.append(FileOutcome(dispense.file, Outcome.REFUSED, untold.reason))
        else:
            status = self._state.status.name
            self.outcomes.append(FileOutcome(dispense.file, Outcome.IMPORTED, "", status, tuple(supplied)))

    def _tell_dispense(self, dispense: DispenseFile, content: PrescriptionContent, supplied: list[str]) -> None:
        pharmacy = pharmacy_of(dispense, supplied)
        pharmacist = pharmacist_of(dispense, pharmacy)
        actor = as_pharmacy(pharmacy, pharmacist.id)
        done_at = self._time_of(dispense, supplied)
        held = self._state.claim
        if self._state.status is not Status.WITH_PHARMACY or held is None or not held.pharmacy.is_same(pharmacy):
            claimed_at = dispense.prepared_at if dispense.prepared_at and dispense.prepared_at <= done_at else done_at
            self._add(ClaimPrescription(pharmacy), claimed_at, actor)
        match dispense.status:
            case "completed":
                command = DispenseMedication(
                    claim_token="",
                    dispense_id=made_uuid("dispense", f"MedicationDispense/{dispense.id}"),
                    quantity=quantity_of(dispense, content, supplied),
                    product=dispense.medication.codings,
                    days_supply=dispense.days_supply,
                    pharmacist=pharmacist,
                )
                self._add(command, done_at, actor)
            case "stopped":
                reason = _coded(dispense.status_reason, _DISPENSE_STATUS, dispense.status)
                self._add(RecordNotDispensed("", reason), done_at, actor)
            case status:
                if status not in _HELD:
                    raise Untold("STATUS_UNKNOWN")

    def _time_of(self, dispense: DispenseFile, supplied: list[str]) -> datetime:
        if dispense.status in _HELD:
            # Not handed over yet, whatever other field says: only the claim is told, at the time of the preparation.
            if dispense.prepared_at is not None:
                return dispense.prepared_at
            supplied.append("claim time")
            return self._script.latest
        if dispense.handed_over_at is not None:
            return dispense.handed_over_at
        if dispense.prepared_at is None:
            raise Untold("TIME_MISSING")
        supplied.append("hand-over time")
        return dispense.prepared_at

    def _end(self, content: PrescriptionContent) -> None:
        prescriber, latest = as_prescriber(content.prescriber.id), self._script.latest
        reason = _coded(self.request.status_reason, _REQUEST_STATUS, self.request.status)
        match self.request.status:
            case "active" | "draft":
                pass
            case "completed":
                if self._state.status is not Status.COMPLETED:
                    raise Untold("FILLS_MISSING")
            case "on-hold":
                self._add(SuspendPrescription(reason), latest, prescriber)
            case "cancelled" | "stopped":
                if self._state.status is not Status.NOT_DISPENSED:
                    self._add(CancelPrescription(reason), latest, prescriber)
            case "entered-in-error":
                self._add(MarkEnteredInError(reason), latest, prescriber)
            case _:
                raise Untold("STATUS_UNKNOWN")

    def _add(self, command: Command, at: datetime, actor: Actor) -> None:
        self._script.add(command, at, actor)
        try:
            self._state = rehearse_step(self._state, self._script.last, self.profile)
        except Refusal as refusal:
            raise Untold(refusal.reason) from refusal


def _coded(reason: Reason, system: str, status: str) -> Reason:
    """The reason given, or where it has no code, the status itself as the code."""
    return reason if reason.has_code else Reason(Coding(system, status, "as the imported record says"), reason.text)


def _left_out(dispense: DispenseFile) -> FileOutcome | None:
    if dispense.status not in _NOT_HAPPENED:
        return None
    return FileOutcome(dispense.file, Outcome.LEFT_OUT, dispense.status.upper().replace("-", "_"))


def _order(dispense: DispenseFile) -> tuple[datetime, str]:
    return (dispense.handed_over_at or dispense.prepared_at or _LAST, dispense.id)
