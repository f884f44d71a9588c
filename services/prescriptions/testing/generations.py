"""One prescription as three generations of writers stored it, and as today's alone would have: message by message.

The first version drafts, issues, and hands out the first fill in two parts; the second goes on with the first refill, also in
parts, one of them taken back; the third hands out the last. What an older version could not say is unknown in the twin too.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal

from erx.prescriptions.events.v1 import dispensing_pb2 as d1
from erx.prescriptions.events.v1 import lifecycle_pb2 as l1
from erx.prescriptions.events.v2 import dispensing_pb2 as d2
from erx.prescriptions.events.v2 import values_pb2 as v2
from erx.prescriptions.events.v3 import content_pb2 as c3
from erx.prescriptions.events.v3 import dispensing_pb2 as d3
from erx.prescriptions.events.v3 import lifecycle_pb2 as l3
from erx.prescriptions.types.v1 import enums_pb2, parties_pb2, values_pb2
from eventkernel.envelope import Actor, EventMeta, NewEvent, Provenance
from eventkernel.ids import StreamId
from eventkernel.ports import Entry

BEGAN: Final = datetime.fromisoformat("2012-03-06T09:00:00+00:00")
SCHEDULE: Final = enums_pb2.SCHEDULE_IV
_NAMESPACE: Final = UUID("0f7c5f0e-6f0b-5a63-9a63-6f0e2f7b8c11")
_WRITER: Final = Provenance(Actor("dr-grey", "prescriber", "clinic-1"))
_DOCTOR: Final = parties_pb2.PersonRef(id="dr-grey", npi="1234567893", role="prescriber")
_CORNER: Final = parties_pb2.PharmacyRef(ncpdp_id="9900007")
_TOKEN: Final = bytes(range(32))
_AS_WRITTEN: Final = "urn:erx:prescriptions:ndc-as-written"
_OTHER: Final = values_pb2.Coding(system="urn:erx:prescriptions:reason:2", code="OTHER")
_MEDICATION: Final = values_pb2.Coding(
    system="http://www.nlm.nih.gov/research/umls/rxnorm", code="308191", display="amoxicillin"
)


def at(days: int) -> Timestamp:
    """So many days after the first event."""
    return Timestamp(seconds=int(BEGAN.timestamp()) + 86_400 * days)


def dispense(number: int) -> str:
    """The id of the n-th hand-out."""
    return str(UUID(int=0x40008000000000000000 + number))


def first() -> list[Message]:
    """As the first version wrote it: the draft up to the end of the first fill."""
    created = l1.PrescriptionCreated(
        patient_name="Ann Exämple",
        patient_birth_date="28.2.1961",
        prescriber=_DOCTOR,
        medication=[_MEDICATION],
        medication_text="Amoxicillin 500 mg",
        schedule=SCHEDULE,
        quantity=30,
        refills_allowed=2,
        dosage_text="1-0-1 ",
        pharmacy="9900007",
    )
    return [
        created,
        l1.PrescriptionSigned(content_sha256=_TOKEN, signature=b"signature", algorithm="ES256", signed_at=at(0)),
        l1.PrescriptionIssued(issued_at=at(0), expires="2099-12-31"),
        d1.PrescriptionClaimed(pharmacy="9900007", claim_token_sha256=_TOKEN, claimed_at=at(1)),
        d1.PrescriptionFilled(
            dispense_id=dispense(1), pharmacy="9900007", ndc="0264751010", quantity=10, partial=True, filled_at=at(1)
        ),
        d1.PrescriptionFilled(dispense_id=dispense(2), pharmacy="9900007", quantity=20, lot="LOT-2", filled_at=at(2)),
    ]


def second() -> list[Message]:
    """As the second version went on: the first refill, one part of which was taken back."""
    corner, other = v2.PharmacyRef(ncpdp_id="9900007"), v2.Reason(code=v2.REASON_CODE_OTHER, text="falsche Stärke ")
    ten, thirty = (v2.Quantity(value=Decimal(value=digits)) for digits in ("10", "30"))
    return [
        d2.PrescriptionClaimed(pharmacy=corner, claim_token_sha256=_TOKEN, claimed_at=at(30)),
        d2.MedicationPartiallyDispensed(
            dispense_id=dispense(3), pharmacy=corner, quantity=ten, handed_over_at=at(30), days_supply=10
        ),
        d2.DispenseReversed(dispense_id=dispense(3), reason=other, quantity_restored=ten),
        d2.MedicationDispensed(dispense_id=dispense(4), pharmacy=corner, quantity=thirty, handed_over_at=at(31)),
    ]


def third() -> list[Message]:
    """As today's version ends it: the last refill."""
    return [
        d3.PrescriptionClaimed(pharmacy=_CORNER, claim_token_sha256=_TOKEN, fill_number=2, claimed_at=at(60)),
        _whole(5, 2, at(60), _amount("30")),
    ]


def mixed() -> list[Message]:
    """The whole of it."""
    return [*first(), *second(), *third()]


def twin() -> list[Message]:
    """The same, as if today's version had written all of it."""
    content = c3.PrescriptionContent(
        patient=parties_pb2.Patient(clear=parties_pb2.ClearPatient(name="Ann Exämple", birth_date_text="28.2.1961")),
        prescriber=_DOCTOR,
        medication=[_MEDICATION],
        medication_text="Amoxicillin 500 mg",
        schedule=SCHEDULE,
        quantity=_amount("30"),
        refills_allowed=2,
        dosage=values_pb2.Dosage(text="1-0-1 "),
        nominated=_CORNER,
    )
    ends = Timestamp()
    ends.FromJsonString("2100-01-01T00:00:00Z")
    product = values_pb2.Coding(system=_AS_WRITTEN, code="0264751010")
    why = values_pb2.ReasonCode(coding=_OTHER, text="falsche Stärke ")
    return [
        l3.PrescriptionCreated(content=content),
        l3.PrescriptionSigned(content_sha256=_TOKEN, signature=b"signature", algorithm="ES256", signed_at=at(0)),
        l3.PrescriptionIssued(issued_at=at(0), expires_at=ends),
        d3.PrescriptionClaimed(pharmacy=_CORNER, claim_token_sha256=_TOKEN, fill_number=0, claimed_at=at(1)),
        _part(1, 0, at(1), product=[product]),
        _whole(2, 0, at(2), _amount("20"), lot="LOT-2"),
        d3.PrescriptionClaimed(pharmacy=_CORNER, claim_token_sha256=_TOKEN, fill_number=1, claimed_at=at(30)),
        _part(3, 1, at(30), days_supply=10),
        d3.DispenseReversed(dispense_id=dispense(3), reason=why, quantity_restored=_amount("10")),
        _whole(4, 1, at(31), _amount("30")),
        *third(),
    ]


def entries(stream: StreamId, messages: Sequence[Message]) -> list[Entry]:
    """The messages on their way into a store, a day apart; the same ones whenever they are asked for."""
    made = []
    for place, message in enumerate(messages):
        package, _, name = message.DESCRIPTOR.full_name.rpartition(".")
        moment, named = BEGAN + timedelta(days=place), f"{stream.key}/{place}"
        meta = EventMeta(moment, moment, uuid5(_NAMESPACE, f"command/{named}"), _WRITER)
        data = message.SerializeToString(deterministic=True)
        new = NewEvent(uuid5(_NAMESPACE, f"event/{named}"), name, int(package[-1]), data, meta)
        made.append(Entry(new, meta.command_id, b""))
    return made


def _amount(digits: str) -> values_pb2.Quantity:
    return values_pb2.Quantity(value=Decimal(value=digits))


def _part(
    number: int,
    fill: int,
    moment: Timestamp,
    *,
    product: Sequence[values_pb2.Coding] = (),
    days_supply: int | None = None,
) -> Message:
    return d3.MedicationPartiallyDispensed(
        dispense_id=dispense(number),
        fill_number=fill,
        pharmacy=_CORNER,
        product=product,
        quantity=_amount("10"),
        quantity_dispensed_this_fill=_amount("10"),
        refills_remaining=2 - fill,
        days_supply=days_supply,
        handed_over_at=moment,
    )


def _whole(number: int, fill: int, moment: Timestamp, amount: values_pb2.Quantity, *, lot: str = "") -> Message:
    return d3.MedicationDispensed(
        dispense_id=dispense(number),
        fill_number=fill,
        pharmacy=_CORNER,
        quantity=amount,
        quantity_dispensed_this_fill=_amount("30"),
        refills_remaining=2 - fill,
        lot=lot,
        handed_over_at=moment,
    )
