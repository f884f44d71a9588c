"""What older versions wrote that a hasty reader would get wrong: one test for each."""

import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.message import Message
from google.type.date_pb2 import Date
from google.type.decimal_pb2 import Decimal as DecimalMessage

from erx.prescriptions.events.v1 import dispensing_pb2 as d1
from erx.prescriptions.events.v1 import lifecycle_pb2 as l1
from erx.prescriptions.events.v2 import content_pb2 as c2
from erx.prescriptions.events.v2 import dispensing_pb2 as d2
from erx.prescriptions.events.v2 import lifecycle_pb2 as l2
from erx.prescriptions.events.v2 import values_pb2 as v2
from erx.prescriptions.types.v1 import parties_pb2, values_pb2
from eventkernel.errors import UpcastFailed
from prescriptions.domain import events as e
from prescriptions.domain.values import ClearPatient, Coding, Quantity, Reason, Schedule, Substitution
from prescriptions.testing.folding import read_stream
from prescriptions.wire.events import PrescriptionEventCodec
from prescriptions.wire.query_replies import newest_shape
from prescriptions.wire.upcasters.texts import ndc11_of
from prescriptions.wire.upcasters.v2_to_v3 import NDC, NDC_AS_WRITTEN, REASONS_V2, UCUM

CODEC = PrescriptionEventCodec()
DISPENSE = "7d444840-9dc0-41d1-b245-5ffdce74fad2"
ODD = "  1–2 Tbl. q6h;\tNICHT mehr als 8/d\r\n\u00a0(½ Std. vor dem Essen) "


def upcast(message: Message) -> Any:
    """The domain's event of a message of an older package."""
    package, _, name = message.DESCRIPTOR.full_name.rpartition(".")
    return CODEC.decode(name, int(package[-1]), message.SerializeToString())


def created(**fields: Any) -> Any:
    """The content of a prescription as version 1 wrote it."""
    return upcast(l1.PrescriptionCreated(**{"prescriber": parties_pb2.PersonRef(id="dr"), **fields})).content


def written(**fields: Any) -> Any:
    """The content of a prescription as version 2 wrote it."""
    given = {"quantity": v2.Quantity(value=DecimalMessage(value="1")), **fields}
    return upcast(l2.PrescriptionCreated(content=c2.PrescriptionContent(**given))).content


def test_a_dosage_text_is_never_parsed_and_survives_byte_for_byte() -> None:
    content = created(dosage_text=ODD)
    assert content.dosage.text == ODD
    assert content.dosage.steps == ()
    assert written(dosage=values_pb2.Dosage(text=ODD)).dosage.text == ODD


@pytest.mark.parametrize("number", [0, -1, 30, 2_147_483_647, -2_147_483_648])
def test_a_whole_number_stays_that_number_in_an_unknown_unit(number: int) -> None:
    assert created(quantity=number).quantity == Quantity(Decimal(number))


@pytest.mark.parametrize("text", ["0.25", "30.50", "0", "-2.0", "123456789012345678.123456789"])
def test_a_decimal_keeps_its_digits(text: str) -> None:
    quantity = v2.Quantity(value=DecimalMessage(value=text), unit=v2.UNIT_MILLILITER)
    assert format(written(quantity=quantity).quantity.value, "f") == text


def test_a_unit_of_the_second_version_becomes_a_code_beside_what_was_written() -> None:
    quantity = v2.Quantity(value=DecimalMessage(value="5"), unit=v2.UNIT_MILLILITER, unit_original="ml (Saft)")
    assert written(quantity=quantity).quantity == Quantity(Decimal(5), "mL", UCUM, "ml (Saft)")


def test_a_unit_in_words_alone_gets_no_code() -> None:
    quantity = v2.Quantity(value=DecimalMessage(value="5"), unit_original="Tabletten")
    assert written(quantity=quantity).quantity == Quantity(Decimal(5), unit_text="Tabletten")


@pytest.mark.parametrize("text", ["9900007", "0000000"])
def test_seven_digits_are_a_pharmacys_id(text: str) -> None:
    nominated = created(pharmacy=text).nominated
    assert (nominated.ncpdp_id, nominated.npi, nominated.name) == (text, "", "")


@pytest.mark.parametrize("text", ["990000", "99000071", "9900007 ", "٩٩٠٠٠٠٧", "99000𝟕7", "Corner Pharmacy", "990-007"])
def test_anything_else_is_a_pharmacys_name(text: str) -> None:
    nominated = created(pharmacy=text).nominated
    assert (nominated.ncpdp_id, nominated.npi, nominated.name) == ("", "", text)


def test_no_pharmacy_is_none() -> None:
    assert created().nominated is None


def test_a_patient_of_the_first_version_has_no_id_and_none_is_made() -> None:
    content = created(patient_name="Ann Exämple", patient_birth_date="1961-02-28")
    assert content.patient_id == ""
    assert content.patient_snapshot == ClearPatient("Ann Exämple", date(1961, 2, 28), "1961-02-28")


@pytest.mark.parametrize(
    "text", ["1961-02-29", "28.2.1961", "1961", "1961-2-28", "61-02-28", "1961-02-28 ", "0000-01-01"]
)
def test_a_birthday_that_is_no_date_stays_a_text(text: str) -> None:
    assert created(patient_name="A", patient_birth_date=text).patient_snapshot == ClearPatient("A", None, text)


def test_reading_a_patient_in_clear_neither_seals_nor_repeats_it(recorded_as: Any) -> None:
    """The bytes stay as they are; what is told on in today's shape is without them."""
    stored = l1.PrescriptionCreated(patient_name="Ann Exämple", patient_birth_date="1961-02-28")
    told = newest_shape(recorded_as(stored)).SerializeToString()
    assert "Ann Exämple".encode() in stored.SerializeToString()
    assert "Ann Exämple".encode() not in told
    assert b"1961" not in told


def test_what_the_first_version_did_not_ask_is_unknown() -> None:
    content = created()
    assert content.schedule is Schedule.UNKNOWN
    assert content.substitution is Substitution.UNKNOWN
    assert content.days_supply is None
    assert content.quantity.unit_code == content.quantity.unit_text == ""
    assert content.reason is None


def test_filled_is_split_by_what_it_says_of_the_rest() -> None:
    assert type(upcast(d1.PrescriptionFilled(dispense_id=DISPENSE, partial=True))) is e.MedicationPartiallyDispensed
    assert type(upcast(d1.PrescriptionFilled(dispense_id=DISPENSE))) is e.MedicationDispensed


def test_the_number_of_a_fill_comes_from_the_stream_and_is_unknown_without_it() -> None:
    def fill(number: int) -> tuple[str, int, bytes]:
        dispense_id = f"00000000-0000-4000-8000-{number:012}"
        message = d1.PrescriptionFilled(dispense_id=dispense_id, quantity=30, partial=number == 1)
        return "PrescriptionFilled", 1, message.SerializeToString()

    start = ("PrescriptionCreated", 1, l1.PrescriptionCreated(quantity=30, refills_allowed=2).SerializeToString())
    _, *fills = read_stream([start, *map(fill, (0, 1, 2))])
    assert [event.fill_number for event in fills if hasattr(event, "fill_number")] == [0, 1, 1]
    assert [event.refills_remaining for event in fills if hasattr(event, "refills_remaining")] == [2, 1, 1]
    alone: Any = CODEC.decode(*fill(1))
    assert alone.fill_number is alone.refills_remaining is alone.quantity_dispensed_this_fill is None


def test_a_reversed_fill_gives_its_number_back() -> None:
    events = [
        l1.PrescriptionCreated(quantity=30, refills_allowed=1),
        d1.PrescriptionFilled(dispense_id=DISPENSE, quantity=30),
        d1.DispenseReversed(dispense_id=DISPENSE, quantity_restored=30),
        d1.PrescriptionFilled(dispense_id=DISPENSE.replace("7d", "8d"), quantity=30),
    ]
    last: Any = read_stream([(m.DESCRIPTOR.name, 1, m.SerializeToString()) for m in events])[-1]
    assert last.fill_number == 0


@pytest.mark.parametrize(
    ("text", "eleven"),
    [
        ("0093-3109-01", "00093-3109-01"),  # 4-4-2
        ("12345-678-90", "12345-0678-90"),  # 5-3-2
        ("12345-6789-0", "12345-6789-00"),  # 5-4-1
        ("12345-6789-01", "12345-6789-01"),  # 5-4-2
        ("12345678901", "12345-6789-01"),  # eleven without dashes
        ("0264751010", ""),  # ten without dashes: any of three
        ("2501-813-16", ""),  # 4-3-2
        ("123456-7890-12", ""),  # 6-4-2, of which this version knew nothing
        ("0093-3109-0１", ""),  # a digit of another script
        (" 0093-3109-01", ""),
    ],
)
def test_a_drug_code_is_normalised_only_where_it_can_be_read_in_one_way(text: str, eleven: str) -> None:
    assert ndc11_of(text) == eleven
    product = upcast(d1.PrescriptionFilled(dispense_id=DISPENSE, ndc=text)).product
    assert product[-1] == Coding(NDC_AS_WRITTEN, text)
    assert product[:-1] == ((Coding(NDC, f"0{eleven}"),) if eleven else ())


def test_no_drug_code_is_no_product() -> None:
    assert upcast(d1.PrescriptionFilled(dispense_id=DISPENSE)).product == ()


@pytest.mark.parametrize("text", [ODD, "OTHER", "PATIENT_REQUEST", " ", "3"])
def test_a_reason_in_words_is_other_and_those_words(text: str) -> None:
    reason = upcast(l1.PrescriptionCancelled(reason=text)).reason
    assert reason == Reason(Coding(REASONS_V2, "OTHER"), text)


def test_no_reason_is_none() -> None:
    assert upcast(l1.PrescriptionCancelled()).reason == Reason()
    assert upcast(l1.PrescriptionCancelled()).requested_by is None


def test_a_code_without_a_name_stays_its_number() -> None:
    code: Any = 99
    reason = upcast(l2.PrescriptionCancelled(reason=v2.Reason(code=code, text="later"))).reason
    assert reason == Reason(Coding(REASONS_V2, "99"), "later")


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_a_last_day_ends_at_the_same_moment_whatever_zone_the_reader_is_in(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        expires_at = upcast(l1.PrescriptionIssued(expires="2012-03-10")).expires_at
    finally:
        monkeypatch.undo()
        time.tzset()
    assert expires_at == datetime(2012, 3, 11, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2012-02-30", "31.12.2012", "2012-12", "2012-1-1", "soon", "٢٠١٢-١٢-٣١"])
def test_a_last_day_that_is_no_date_is_unknown_and_not_never(text: str) -> None:
    issued = upcast(l1.PrescriptionIssued(expires=text))
    assert (issued.expires_at, issued.expires_text) == (None, text)


def test_no_last_day_is_never() -> None:
    issued = upcast(l1.PrescriptionIssued())
    assert (issued.expires_at, issued.expires_text) == (None, "")


def test_the_last_day_of_the_calendar_has_an_end() -> None:
    assert upcast(l1.PrescriptionIssued(expires="9999-12-31")).expires_at == datetime.max.replace(tzinfo=UTC)


def test_half_a_date_is_no_day() -> None:
    issued = upcast(l2.PrescriptionIssued(expires_on=Date(year=2020, month=2)))
    assert (issued.expires_at, issued.expires_text) == (None, "2020-02-00")


def test_a_time_that_was_not_written_is_unknown_and_not_1970() -> None:
    assert upcast(l1.PrescriptionSigned()).signed_at is None
    assert upcast(l1.PrescriptionIssued()).issued_at is None
    assert upcast(d1.PrescriptionClaimed()).claimed_at is None
    assert upcast(d1.PrescriptionFilled(dispense_id=DISPENSE)).handed_over_at is None
    assert upcast(l1.PrescriptionExpired()).expired_at is None


def test_a_fill_that_ended_with_less_than_prescribed_was_closed_short() -> None:
    content = c2.PrescriptionContent(quantity=v2.Quantity(value=DecimalMessage(value="30"), unit=v2.UNIT_TABLET))
    events = [
        l2.PrescriptionCreated(content=content),
        d2.MedicationDispensed(
            dispense_id=DISPENSE, quantity=v2.Quantity(value=DecimalMessage(value="29.5"), unit=v2.UNIT_TABLET)
        ),
    ]
    last: Any = read_stream([(m.DESCRIPTOR.name, 2, m.SerializeToString()) for m in events])[-1]
    assert last.short_close
    assert last.short_close_reason is None


def test_parts_are_added_to_the_last_digit() -> None:
    amounts = ["123456789012345678901234567890.123456789", "0.000000001"]
    parts = [
        d2.MedicationPartiallyDispensed(
            dispense_id=f"00000000-0000-4000-8000-{place:012}", quantity=v2.Quantity(value=DecimalMessage(value=amount))
        )
        for place, amount in enumerate(amounts)
    ]
    events = [l2.PrescriptionCreated(content=c2.PrescriptionContent(quantity=parts[0].quantity)), *parts]
    last: Any = read_stream([(m.DESCRIPTOR.name, 2, m.SerializeToString()) for m in events])[-1]
    assert format(last.quantity_dispensed_this_fill.value, "f") == "123456789012345678901234567890.123456790"


@pytest.mark.parametrize("text", ["NaN", "-sNaN", "Infinity", "-inf", "thirty"])
def test_an_amount_that_is_no_number_is_unreadable(text: str) -> None:
    with pytest.raises(UpcastFailed):
        written(quantity=v2.Quantity(value=DecimalMessage(value=text)))


def test_amounts_in_different_units_are_not_added() -> None:
    def part(unit: Any, place: int) -> Message:
        quantity = v2.Quantity(value=DecimalMessage(value="1"), unit=unit)
        return d2.MedicationPartiallyDispensed(dispense_id=f"00000000-0000-4000-8000-{place:012}", quantity=quantity)

    content = c2.PrescriptionContent(quantity=v2.Quantity(value=DecimalMessage(value="30"), unit=v2.UNIT_TABLET))
    events = [l2.PrescriptionCreated(content=content), part(v2.UNIT_TABLET, 1), part(v2.UNIT_GRAM, 2)]
    _, first, second = read_stream([(m.DESCRIPTOR.name, 2, m.SerializeToString()) for m in events])
    assert isinstance(first, e.MedicationPartiallyDispensed)
    assert isinstance(second, e.MedicationPartiallyDispensed)
    assert first.quantity_dispensed_this_fill is not None
    assert second.quantity_dispensed_this_fill is None
