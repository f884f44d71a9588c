"""Drives one prescription through its life over gRPC and prints what it saw, one line for each step.

It is written as a client elsewhere would be, on the package `erx_client`: a session that reads its own writes without being
told tokens, a watch that goes on after a cut, and errors as classes. docs/clients.md says what each line means.
"""

import argparse
from uuid import uuid4

from google.type.decimal_pb2 import Decimal

from erx.eventlog.v1.consistency_pb2 import ConsistencyMode
from erx.prescriptions.types.v1.enums_pb2 import PrescriptionStatus, Schedule, SigningFactor, Substitution
from erx.prescriptions.types.v1.parties_pb2 import PersonRef, PharmacyRef
from erx.prescriptions.types.v1.values_pb2 import Coding, Dosage, Quantity, ReasonCode
from erx.prescriptions.v1.dispensing_commands_pb2 import ClaimPrescriptionRequest, DispenseMedicationRequest
from erx.prescriptions.v1.filters_pb2 import PrescriptionFilter
from erx.prescriptions.v1.lifecycle_commands_pb2 import (
    CreatePrescriptionRequest,
    IssuePrescriptionRequest,
    ResumePrescriptionRequest,
    SignPrescriptionRequest,
    SuspendPrescriptionRequest,
)
from erx.prescriptions.v1.prescription_pb2 import Prescription, PrescriptionContent
from erx.prescriptions.v1.query_service_pb2 import FetchPrescriptionRequest
from erx.prescriptions.v1.watch_service_pb2 import PrescriptionChanged
from erx_client import Actor, Client, Session
from erx_client.errors import InvalidRequest, InvalidStateTransition

PRESCRIBER = Actor("dr-1", "prescriber")
PHARMACY = Actor("rph-1", "pharmacy", "9900007")
MEDICATION = Coding(system="http://www.nlm.nih.gov/research/umls/rxnorm", code="849574", display="Naproxen 220 mg")
TABLETS = Quantity(value=Decimal(value="30"), unit_text="tablet")


def main() -> None:
    """Run every step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--command", default="127.0.0.1:50051", help="address of the command server")
    parser.add_argument("--query", default="127.0.0.1:50052", help="address of the query server")
    parser.add_argument("--tenant", default="default", help="whose data")
    options = parser.parse_args()
    with Client(options.command, options.query, tenant=options.tenant) as client:
        doctor = client.session(PRESCRIBER)
        patient = f"patient-{uuid4()}"
        prescription_id = write(doctor, patient)
        fill(doctor.acting(PHARMACY), prescription_id)
        watch(doctor, patient, prescription_id)
        refusals(doctor, prescription_id)
    print("done")


def write(doctor: Session, patient: str) -> str:
    """Draft, sign and release a prescription; the draft is sent twice under one request_id."""
    create = CreatePrescriptionRequest(request_id=str(uuid4()), content=content(patient))
    draft = doctor.commands.CreatePrescription(create)
    one = draft.prescription.prescription_id
    say("created", draft.prescription, f"id={one}")
    again = doctor.commands.CreatePrescription(create)
    say("repeated", again.prescription, f"same={str(draft == again).lower()}")
    sign = SignPrescriptionRequest(
        prescription_id=one,
        content_sha256=draft.prescription.content_sha256,
        signature=b"signed",
        algorithm="ES256",
        certificate_id="cert-1",
        factors=[SigningFactor.SIGNING_FACTOR_KNOWLEDGE, SigningFactor.SIGNING_FACTOR_HARD_TOKEN],
    )
    say("signed", doctor.commands.SignPrescription(sign).prescription)
    say("issued", doctor.commands.IssuePrescription(IssuePrescriptionRequest(prescription_id=one)).prescription)
    return one


def fill(pharmacy: Session, one: str) -> None:
    """Claim and dispense it, and read each write at once: the session carries the tokens."""
    place = PharmacyRef(ncpdp_id="9900007", npi="1245319599", name="Corner Pharmacy")
    claimed = pharmacy.commands.ClaimPrescription(ClaimPrescriptionRequest(prescription_id=one, pharmacy=place))
    say("claimed", claimed.prescription)
    read(pharmacy, one, ConsistencyMode.CONSISTENCY_MODE_OVERLAY)
    dispense = DispenseMedicationRequest(
        prescription_id=one,
        claim_token=claimed.claim_token,
        dispense_id=str(uuid4()),
        product=[MEDICATION],
        quantity=TABLETS,
        days_supply=15,
    )
    say("dispensed", pharmacy.commands.DispenseMedication(dispense).prescription)
    read(pharmacy, one, ConsistencyMode.CONSISTENCY_MODE_AT_LEAST)


def read(session: Session, one: str, mode: ConsistencyMode.ValueType) -> None:
    """Ask for it as it is now."""
    shown = session.queries.FetchPrescription(FetchPrescriptionRequest(prescription_id=one, consistency=mode))
    name = ConsistencyMode.Name(mode).removeprefix("CONSISTENCY_MODE_")
    reached = str(shown.as_of.requested_token_reached).lower()
    say("read", shown.prescription, f"mode={name}", f"reached={reached}")


def watch(doctor: Session, patient: str, one: str) -> None:
    """Follow the patient's prescriptions, hear of one change, be cut off, and go on where it was."""
    wanted = PrescriptionFilter(patient_id=patient)
    with doctor.watch(wanted) as watched:
        for told in watched:
            if told.HasField("row"):
                say("watched row", told.row)
            elif told.HasField("rows_complete"):
                print("watched rows_complete")
                reason = ReasonCode(text="laboratory values awaited")
                suspend = SuspendPrescriptionRequest(prescription_id=one, reason=reason)
                say("suspended", doctor.commands.SuspendPrescription(suspend).prescription)
            elif told.HasField("changed"):
                say_changed(told.changed)
                break
    # Nobody watches while this happens; the token remembers where to go on.
    say("resumed", doctor.commands.ResumePrescription(ResumePrescriptionRequest(prescription_id=one)).prescription)
    with doctor.watch(wanted, resume_token=watched.resume_token) as resumed:
        say_changed(next(resumed).changed)


def refusals(doctor: Session, one: str) -> None:
    """Ask for what cannot be, and hear why not."""
    try:
        doctor.commands.IssuePrescription(IssuePrescriptionRequest(prescription_id=one))
    except InvalidStateTransition as refused:
        reason, allowed = refused.reason, ",".join(refused.allowed)
        code, domain = refused.code.name, refused.domain
        print(f"refused code={code} reason={reason} domain={domain} state={refused.state} allowed={allowed}")
    broken = content("")
    broken.refills_allowed = 100
    try:
        doctor.commands.CreatePrescription(CreatePrescriptionRequest(request_id="seven", content=broken))
    except InvalidRequest as invalid:
        violations = ",".join(f"{violation.field}:{violation.rule}" for violation in invalid.violations)
        print(f"invalid code={invalid.code.name} reason={invalid.reason} violations={violations}")


def content(patient: str) -> PrescriptionContent:
    """What the prescriber writes."""
    return PrescriptionContent(
        patient_id=patient,
        prescriber=PersonRef(id="dr-1", npi="1234567893"),
        medication=[MEDICATION],
        schedule=Schedule.SCHEDULE_NONE,
        quantity=TABLETS,
        refills_allowed=1,
        dosage=Dosage(text="one tablet twice a day"),
        substitution=Substitution.SUBSTITUTION_ALLOWED,
    )


def say(step: str, shown: Prescription, *more: str) -> None:
    """Print one step: its name, the version and status of the prescription, and what else there is."""
    status = PrescriptionStatus.Name(shown.status).removeprefix("PRESCRIPTION_STATUS_")
    print(step, f"version={shown.version}", f"status={status}", *more)


def say_changed(changed: PrescriptionChanged) -> None:
    """Print one change."""
    say("watched changed", changed.prescription, f"event={changed.event_type}")


if __name__ == "__main__":
    main()
