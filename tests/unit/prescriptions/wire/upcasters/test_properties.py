"""Whatever the older versions allowed can be read: without failing, without inventing, with every text as it was."""

from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.decimal_pb2 import Decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from erx.prescriptions.events.v1 import dispensing_pb2 as d1
from erx.prescriptions.events.v1 import lifecycle_pb2 as l1
from erx.prescriptions.events.v2 import content_pb2 as c2
from erx.prescriptions.events.v2 import dispensing_pb2 as d2
from erx.prescriptions.events.v2 import lifecycle_pb2 as l2
from erx.prescriptions.events.v2 import values_pb2 as v2
from erx.prescriptions.types.v1 import enums_pb2, parties_pb2, values_pb2
from eventkernel.envelope import Actor, EventMeta, Provenance, RecordedEvent
from eventkernel.following import own_state
from eventkernel.ids import StreamId
from prescriptions.domain.values import Schedule, Substitution
from prescriptions.testing.folding import folded, read_stream
from prescriptions.testing.stories import START
from prescriptions.views import VIEWS
from prescriptions.wire.events import decode_recorded
from prescriptions.wire.query_replies import newest_shape

TEXTS = st.text(max_size=30) | st.sampled_from(
    ["9900007", "0264751010", "0093-3109-01", "2012-12-31", "2012-02-30", " "]
)
NUMBERS = st.integers(-(2**31), 2**31 - 1) | st.integers(0, 60)
DISPENSES = st.integers(1, 4).map(lambda number: str(UUID(int=number)))
MOMENTS = st.none() | st.integers(-62_135_596_800, 253_402_300_799).map(lambda seconds: Timestamp(seconds=seconds))
DATES = st.none() | st.dates().map(lambda day: Date(year=day.year, month=day.month, day=day.day))
# The second version set no limit to the digits.
DECIMALS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,20})?", fullmatch=True)
PEOPLE = st.none() | st.builds(parties_pb2.PersonRef, id=TEXTS, npi=TEXTS, role=TEXTS)
CODINGS = st.builds(values_pb2.Coding, system=TEXTS, code=TEXTS, display=TEXTS)


def _of(enum: Any) -> st.SearchStrategy[int]:
    return st.sampled_from(enum.values())


V1 = st.one_of(
    st.builds(l1.PrescriptionSigned, content_sha256=st.binary(max_size=32), signed_at=MOMENTS),
    st.builds(l1.PrescriptionIssued, issued_at=MOMENTS, expires=TEXTS),
    st.builds(l1.PrescriptionCancelled, reason=TEXTS),
    st.builds(l1.PrescriptionExpired, expired_at=MOMENTS, quantity_forfeited=NUMBERS),
    st.builds(l1.PrescriptionEnteredInError, reason=TEXTS),
    st.builds(d1.PrescriptionClaimed, pharmacy=TEXTS, claimed_at=MOMENTS),
    st.builds(d1.PrescriptionReturned, reason=TEXTS),
    st.builds(
        d1.PrescriptionFilled,
        dispense_id=DISPENSES,
        pharmacy=TEXTS,
        ndc=TEXTS,
        quantity=NUMBERS,
        partial=st.booleans(),
        lot=TEXTS,
        pharmacist=PEOPLE,
        filled_at=MOMENTS,
    ),
    st.builds(d1.DispenseReversed, dispense_id=DISPENSES, reason=TEXTS, quantity_restored=NUMBERS),
)
CREATED_1 = st.builds(
    l1.PrescriptionCreated,
    patient_name=TEXTS,
    patient_birth_date=TEXTS,
    prescriber=PEOPLE,
    medication_text=TEXTS,
    medication=st.lists(CODINGS, max_size=2),
    schedule=_of(enums_pb2.Schedule),
    quantity=NUMBERS,
    refills_allowed=NUMBERS,
    dosage_text=TEXTS,
    as_needed=st.booleans(),
    pharmacy=TEXTS,
)

QUANTITIES = st.builds(
    v2.Quantity,
    value=DECIMALS.map(lambda digits: Decimal(value=digits)),
    unit=_of(v2.Unit) | st.sampled_from([0, 99]),
    unit_original=TEXTS,
)
REASONS = st.none() | st.builds(v2.Reason, code=_of(v2.ReasonCode), text=TEXTS)
PHARMACIES = st.none() | st.builds(v2.PharmacyRef, ncpdp_id=TEXTS, name=TEXTS)
CONTENTS = st.builds(
    c2.PrescriptionContent,
    group_id=TEXTS,
    patient=st.builds(v2.Patient, patient_id=TEXTS, name=TEXTS, birth_date=DATES, birth_date_text=TEXTS),
    prescriber=PEOPLE,
    medication=st.lists(CODINGS, max_size=2),
    medication_text=TEXTS,
    schedule=_of(enums_pb2.Schedule),
    quantity=QUANTITIES,
    days_supply=st.none() | NUMBERS,
    refills_allowed=NUMBERS,
    dosage=st.none() | st.builds(values_pb2.Dosage, text=TEXTS),
    substitution=_of(enums_pb2.Substitution),
    reason=st.none() | CODINGS,
    earliest_fill=DATES,
    nominated=PHARMACIES,
)
_HANDED_OUT: dict[str, Any] = {
    "dispense_id": DISPENSES,
    "pharmacy": PHARMACIES,
    "product": st.none() | st.builds(v2.Product, ndc11=st.sampled_from(["", "12345-6789-01"]), original=TEXTS),
    "quantity": QUANTITIES,
    "days_supply": st.none() | NUMBERS,
    "lot": TEXTS,
    "pharmacist": PEOPLE,
    "handed_over_at": MOMENTS,
    "partial_reason": _of(enums_pb2.PartialReason),
    "substituted": st.booleans(),
}
CREATED_2 = st.builds(l2.PrescriptionCreated, content=CONTENTS)
V2 = st.one_of(
    st.builds(l2.PrescriptionAmended, content=CONTENTS, change_note=TEXTS),
    st.builds(l2.PrescriptionIssued, issued_at=MOMENTS, expires_on=DATES, expires_original=TEXTS, nominated=PHARMACIES),
    st.builds(l2.PharmacyNominated, pharmacy=PHARMACIES, nominated_by=PEOPLE),
    st.builds(d2.PrescriptionClaimed, pharmacy=PHARMACIES, claimed_at=MOMENTS),
    st.builds(d2.MedicationPartiallyDispensed, **_HANDED_OUT),
    st.builds(d2.MedicationDispensed, **_HANDED_OUT),
    st.builds(d2.MedicationNotDispensed, reason=REASONS, returned_to_stock=st.booleans()),
    st.builds(d2.DispenseReversed, dispense_id=DISPENSES, reason=REASONS, quantity_restored=QUANTITIES),
    st.builds(l2.PrescriptionCancelled, reason=REASONS, requested_by=PEOPLE),
    st.builds(l2.PrescriptionSuspended, reason=REASONS, until=DATES),
    st.builds(l2.PrescriptionResumed, reason=REASONS),
    st.builds(l2.PrescriptionExpired, expired_at=MOMENTS, quantity_forfeited=QUANTITIES),
    st.builds(l2.PrescriptionEnteredInError, reason=REASONS),
)
STREAMS = st.one_of(
    st.tuples(CREATED_1, st.lists(V1, max_size=8), st.lists(V2, max_size=4)),
    st.tuples(CREATED_2, st.just([]), st.lists(V2, max_size=8)),
).map(lambda parts: [parts[0], *parts[1], *parts[2]])


def stored(message: Message) -> tuple[str, int, bytes]:
    package, _, name = message.DESCRIPTOR.full_name.rpartition(".")
    return name, int(package[-1]), message.SerializeToString()


def recorded(version: int, message: Message) -> RecordedEvent:
    name, schema_version, data = stored(message)
    meta = EventMeta(START, START, UUID(int=version), Provenance(Actor("dr-grey", "prescriber")))
    stream = StreamId("default", f"prescription-{UUID(int=9)}")
    return RecordedEvent(stream, version, UUID(int=version), name, schema_version, data, meta)


def texts_of(message: Message) -> list[str]:
    """Every text of a message, of its parts too, but for patients' and numbers'."""
    found: list[str] = []
    for descriptor, value in message.ListFields():
        is_patients = message.DESCRIPTOR.name in ("Patient", "ClearPatient") and descriptor.name == "name"
        if is_patients or descriptor.name in ("birth_date_text", "patient_birth_date", "patient_name"):
            continue
        for item in value if descriptor.is_repeated else [value]:
            if isinstance(item, Message):
                found += texts_of(item)
            elif isinstance(item, str):
                found.append(item)
    return found


@settings(max_examples=60, deadline=None)
@given(STREAMS)
def test_whatever_was_allowed_is_read_folded_and_shown(messages: list[Message]) -> None:
    assert folded(map(stored, messages)).content is not None
    for view in VIEWS:
        state = view.initial
        for version, message in enumerate(messages, 1):
            event = recorded(version, message)
            state = view.fold(state, decode_recorded(event), event)
        rows = list(view.rows(state))
        assert list(view.rows(view.codec.decode(view.codec.encode(state)))) == rows
        assert own_state(state).version == len(messages)


@settings(max_examples=60, deadline=None)
@given(st.one_of(V1, V2, CREATED_1, CREATED_2))
def test_texts_are_kept_byte_for_byte(message: Message) -> None:
    """Every text that was written is in today's shape too; only days that are dates become dates."""
    told = texts_of(newest_shape(recorded(1, message)))
    for text in texts_of(message):
        is_day = (
            isinstance(message, l1.PrescriptionIssued) and message.expires == text and not any(text == t for t in told)
        )
        is_code = isinstance(message, (d2.MedicationDispensed, d2.MedicationPartiallyDispensed)) and f"0{text}" in told
        superseded = isinstance(message, l2.PrescriptionIssued) and message.HasField("expires_on")
        assert text in told or is_day or is_code or superseded, text


@settings(max_examples=60, deadline=None)
@given(CREATED_1)
def test_nothing_is_invented_for_what_the_first_version_could_not_say(message: l1.PrescriptionCreated) -> None:
    content = folded([stored(message)]).content
    assert content is not None
    assert content.patient_id == content.group_id == ""
    assert (content.quantity.unit_code, content.quantity.unit_system, content.quantity.unit_text) == ("", "", "")
    unsaid = (content.days_supply, content.reason, content.earliest_fill, content.prior_prescription_id)
    assert unsaid == (None, None, None, None)
    assert content.substitution is Substitution.UNKNOWN
    assert (content.schedule is Schedule.UNKNOWN) == (message.schedule == 0)
    assert content.dosage.steps == ()
    assert content.nominated is None or content.nominated.npi == ""


@settings(max_examples=40, deadline=None)
@given(st.lists(V1 | V2, min_size=1, max_size=8))
def test_a_fill_has_no_number_where_the_stream_before_it_is_not_known(messages: list[Message]) -> None:
    for version, message in enumerate(messages, 2):
        earlier: Any = decode_recorded(recorded(version, message))
        event, known = earlier.settle(None, version=version)
        assert known is None
        assert getattr(event, "fill_number", None) is None
        assert getattr(event, "refills_remaining", None) is None
        assert not getattr(event, "short_close", False)


@settings(max_examples=40, deadline=None)
@given(STREAMS)
def test_fills_are_numbered_as_the_domain_counts_them(messages: list[Message]) -> None:
    """The context's fold and the domain's agree, though neither knows of the other."""
    events = read_stream(map(stored, messages))
    for place, event in enumerate(events):
        number = getattr(event, "fill_number", None)
        if number is not None:
            assert number == folded(map(stored, messages[:place])).fills_done
