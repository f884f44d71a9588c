"""The rules written in the contracts: what is malformed is refused, with its field and rule; what is well formed passes."""

from collections.abc import Callable
from typing import Final

import protovalidate
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from google.type.decimal_pb2 import Decimal

from erx.eventlog.v1 import consistency_pb2
from erx.prescriptions.types.v1 import enums_pb2, parties_pb2, values_pb2
from erx.prescriptions.v1 import (
    dispenses_pb2,
    dispensing_commands_pb2,
    filters_pb2,
    lifecycle_commands_pb2,
    prescription_pb2,
    query_service_pb2,
    statistics_pb2,
    worklists_pb2,
)

ID: Final = "3f8a7c1e-54d2-4c57-9d0b-0d3b6c0a7e11"
OTHER_ID: Final = "0b9e2f60-6f1d-4f0c-8a55-1f2e3d4c5b6a"
CODING: Final = values_pb2.Coding(system="http://www.nlm.nih.gov/research/umls/rxnorm", code="197361")
REASON: Final = values_pb2.ReasonCode(text="as agreed")


def quantity(value: str = "30") -> values_pb2.Quantity:
    return values_pb2.Quantity(value=Decimal(value=value), unit_code="{tablet}")


def content() -> prescription_pb2.PrescriptionContent:
    return prescription_pb2.PrescriptionContent(
        patient_id="patient-1",
        prescriber=parties_pb2.PersonRef(id="dr-1", npi="1234567893"),
        medication=[CODING],
        schedule=enums_pb2.SCHEDULE_NONE,
        quantity=quantity(),
        days_supply=30,
        refills_allowed=3,
        dosage=values_pb2.Dosage(text="one a day"),
        substitution=enums_pb2.SUBSTITUTION_ALLOWED,
    )


def create() -> lifecycle_commands_pb2.CreatePrescriptionRequest:
    return lifecycle_commands_pb2.CreatePrescriptionRequest(request_id=ID, content=content())


def sign() -> lifecycle_commands_pb2.SignPrescriptionRequest:
    return lifecycle_commands_pb2.SignPrescriptionRequest(
        request_id=ID,
        prescription_id=OTHER_ID,
        content_sha256=bytes(32),
        signature=b"s",
        algorithm="ES256",
        certificate_id="c",
        factors=[enums_pb2.SIGNING_FACTOR_KNOWLEDGE, enums_pb2.SIGNING_FACTOR_HARD_TOKEN],
    )


def dispense() -> dispensing_commands_pb2.DispenseMedicationRequest:
    return dispensing_commands_pb2.DispenseMedicationRequest(
        request_id=ID,
        prescription_id=OTHER_ID,
        claim_token="t",
        dispense_id=ID,
        product=[CODING],
        quantity=quantity(),
        pharmacist=parties_pb2.PersonRef(id="ph-1"),
    )


def partial() -> dispensing_commands_pb2.DispensePartiallyRequest:
    return dispensing_commands_pb2.DispensePartiallyRequest(
        request_id=ID,
        prescription_id=OTHER_ID,
        claim_token="t",
        dispense_id=ID,
        product=[CODING],
        quantity=quantity("10"),
        pharmacist=parties_pb2.PersonRef(id="ph-1"),
        partial_reason=enums_pb2.PARTIAL_REASON_STOCK,
    )


def cancel() -> lifecycle_commands_pb2.CancelPrescriptionRequest:
    return lifecycle_commands_pb2.CancelPrescriptionRequest(request_id=ID, prescription_id=OTHER_ID, reason=REASON)


def fetch_all() -> query_service_pb2.FetchAllPrescriptionsRequest:
    return query_service_pb2.FetchAllPrescriptionsRequest(
        page_size=200,
        consistency=consistency_pb2.CONSISTENCY_MODE_OVERLAY,
        filter=filters_pb2.PrescriptionFilter(
            statuses=[enums_pb2.PRESCRIPTION_STATUS_ISSUED],
            issue_time=filters_pb2.TimeRange(start_time=Timestamp(seconds=1), end_time=Timestamp(seconds=2)),
        ),
    )


def as_of() -> query_service_pb2.FetchAsOfRequest:
    return query_service_pb2.FetchAsOfRequest(prescription_id=ID, version=1)


def statistics() -> statistics_pb2.FetchStatisticsRequest:
    return statistics_pb2.FetchStatisticsRequest(first_day=Date(year=2026, month=1, day=1))


def as_of_list() -> query_service_pb2.FetchAllPrescriptionsRequest:
    return query_service_pb2.FetchAllPrescriptionsRequest(recorded_time=Timestamp(seconds=1))


def inbox() -> worklists_pb2.FetchByPrescriberRequest:
    return worklists_pb2.FetchByPrescriberRequest(
        prescriber_id="dr-grey", tasks=[worklists_pb2.INBOX_TASK_SIGN], unanswered_days=3
    )


def expiring() -> worklists_pb2.FetchExpiringSoonRequest:
    return worklists_pb2.FetchExpiringSoonRequest(within=Duration(seconds=1))


def due_refills() -> worklists_pb2.FetchDueRefillsRequest:
    return worklists_pb2.FetchDueRefillsRequest(day=Date(year=2026, month=1, day=1), lead_days=0)


def dispenses() -> dispenses_pb2.FetchDispensesRequest:
    return dispenses_pb2.FetchDispensesRequest(lot="AB1", last_day=Date(year=2026, month=1, day=1), reversed=False)


WELL_FORMED: list[Callable[[], Message]] = [
    create,
    sign,
    dispense,
    partial,
    cancel,
    fetch_all,
    as_of,
    statistics,
    as_of_list,
    inbox,
    expiring,
    due_refills,
    dispenses,
]


def violations(message: Message) -> set[tuple[str, str]]:
    """Field path and rule of everything that is wrong."""
    found = protovalidate.collect_violations(message)
    return {(path_of(v.proto.field), v.proto.rule_id) for v in found}


def path_of(field: object) -> str:
    elements = getattr(field, "elements", ())
    return ".".join(element.field_name for element in elements)


def changed(make: Callable[[], Message], change: Callable[..., object]) -> Message:
    message = make()
    change(message)
    return message


@pytest.mark.parametrize("make", WELL_FORMED, ids=lambda make: make.__name__)
def test_a_well_formed_request_passes(make: Callable[[], Message]) -> None:
    assert violations(make()) == set()


def refills(request: lifecycle_commands_pb2.CreatePrescriptionRequest, count: int) -> None:
    request.content.refills_allowed = count


def never_taken(request: lifecycle_commands_pb2.CreatePrescriptionRequest) -> None:
    request.content.dosage.steps.append(values_pb2.DoseStep(frequency=0))


def taken_every_now_and_then(request: lifecycle_commands_pb2.CreatePrescriptionRequest) -> None:
    request.content.dosage.steps.append(values_pb2.DoseStep(frequency=1, period=Decimal(value="often")))


REFUSED: list[tuple[str, Callable[[], Message], Callable[..., object], str, str]] = [
    ("request_id missing", create, lambda m: m.ClearField("request_id"), "request_id", "required"),
    ("request_id no UUID", create, lambda m: setattr(m, "request_id", "42"), "request_id", "string.uuid"),
    (
        "prescription_id no UUID",
        create,
        lambda m: setattr(m, "prescription_id", "42"),
        "prescription_id",
        "string.uuid",
    ),
    ("prescription_id missing", cancel, lambda m: m.ClearField("prescription_id"), "prescription_id", "required"),
    (
        "expected_version negative",
        cancel,
        lambda m: setattr(m, "expected_version", -1),
        "expected_version",
        "int64.gte",
    ),
    ("content missing", create, lambda m: m.ClearField("content"), "content", "required"),
    ("patient missing", create, lambda m: m.content.ClearField("patient_id"), "content.patient_id", "required"),
    ("prescriber missing", create, lambda m: m.content.ClearField("prescriber"), "content.prescriber", "required"),
    (
        "no medication at all",
        create,
        lambda m: m.content.ClearField("medication"),
        "content",
        "prescription_content.medication.given",
    ),
    (
        "medication text too long",
        create,
        lambda m: setattr(m.content, "medication_text", "x" * 1001),
        "content.medication_text",
        "string.max_len",
    ),
    (
        "code empty",
        create,
        lambda m: m.content.medication[0].ClearField("code"),
        "content.medication.code",
        "string.min_len",
    ),
    ("schedule not said", create, lambda m: m.content.ClearField("schedule"), "content.schedule", "enum.not_in"),
    (
        "schedule unheard of",
        create,
        lambda m: setattr(m.content, "schedule", 99),
        "content.schedule",
        "enum.defined_only",
    ),
    (
        "substitution not said",
        create,
        lambda m: m.content.ClearField("substitution"),
        "content.substitution",
        "enum.not_in",
    ),
    ("quantity missing", create, lambda m: m.content.ClearField("quantity"), "content.quantity", "required"),
    ("amount missing", create, lambda m: m.content.quantity.ClearField("value"), "content.quantity.value", "required"),
    ("days_supply 0", create, lambda m: setattr(m.content, "days_supply", 0), "content.days_supply", "int32.gte_lte"),
    (
        "refills below 0",
        create,
        lambda m: setattr(m.content, "refills_allowed", -1),
        "content.refills_allowed",
        "int32.gte_lte",
    ),
    (
        "refills above 99",
        create,
        lambda m: setattr(m.content, "refills_allowed", 100),
        "content.refills_allowed",
        "int32.gte_lte",
    ),
    (
        "half a date",
        create,
        lambda m: m.content.earliest_fill.CopyFrom(Date(year=2026, month=3)),
        "content.earliest_fill",
        "earliest_fill.whole_date",
    ),
    (
        "prior prescription no UUID",
        create,
        lambda m: setattr(m.content, "prior_prescription_id", "42"),
        "content.prior_prescription_id",
        "string.uuid",
    ),
    ("hash too short", sign, lambda m: setattr(m, "content_sha256", bytes(31)), "content_sha256", "bytes.len"),
    ("hash missing", sign, lambda m: m.ClearField("content_sha256"), "content_sha256", "bytes.len"),
    ("signature missing", sign, lambda m: m.ClearField("signature"), "signature", "bytes.min_len"),
    (
        "one factor twice",
        sign,
        lambda m: m.factors.append(enums_pb2.SIGNING_FACTOR_KNOWLEDGE),
        "factors",
        "repeated.unique",
    ),
    ("factor not said", sign, lambda m: m.factors.append(0), "factors", "enum.not_in"),
    ("claim token missing", dispense, lambda m: m.ClearField("claim_token"), "claim_token", "required"),
    ("dispense_id no UUID", dispense, lambda m: setattr(m, "dispense_id", "1"), "dispense_id", "string.uuid"),
    ("product missing", dispense, lambda m: m.ClearField("product"), "product", "repeated.min_items"),
    (
        "partial reason unheard of",
        partial,
        lambda m: setattr(m, "partial_reason", 9),
        "partial_reason",
        "enum.defined_only",
    ),
    ("frequency 0", create, never_taken, "content.dosage.steps.frequency", "int32.gte_lte"),
    ("period no decimal", create, taken_every_now_and_then, "content.dosage.steps", "dose_step.period.decimal"),
    ("reason missing", cancel, lambda m: m.ClearField("reason"), "reason", "required"),
    ("reason empty", cancel, lambda m: m.reason.Clear(), "reason", "reason_code.given"),
    ("page too large", fetch_all, lambda m: setattr(m, "page_size", 201), "page_size", "int32.gte_lte"),
    ("page below 0", fetch_all, lambda m: setattr(m, "page_size", -1), "page_size", "int32.gte_lte"),
    ("mode unheard of", fetch_all, lambda m: setattr(m, "consistency", 9), "consistency", "enum.defined_only"),
    ("order unheard of", fetch_all, lambda m: setattr(m, "order_by", 9), "order_by", "enum.defined_only"),
    ("status not said", fetch_all, lambda m: m.filter.statuses.append(0), "filter.statuses", "enum.not_in"),
    (
        "range backwards",
        fetch_all,
        lambda m: m.filter.issue_time.start_time.CopyFrom(Timestamp(seconds=2)),
        "filter.issue_time",
        "time_range.order",
    ),
    ("as of nothing", as_of, lambda m: m.ClearField("version"), "point", "required"),
    ("as of version 0", as_of, lambda m: setattr(m, "version", 0), "version", "int64.gte"),
    ("half a first day", statistics, lambda m: m.first_day.ClearField("day"), "first_day", "first_day.whole_date"),
    (
        "a page of a list as of a moment too long",
        as_of_list,
        lambda m: setattr(m, "page_size", 201),
        "page_size",
        "int32.gte_lte",
    ),
    ("a prescriber missing", inbox, lambda m: m.ClearField("prescriber_id"), "prescriber_id", "required"),
    ("a task not said", inbox, lambda m: m.tasks.append(0), "tasks", "enum.not_in"),
    ("a task twice", inbox, lambda m: m.tasks.append(m.tasks[0]), "tasks", "repeated.unique"),
    (
        "a wait of eleven years",
        inbox,
        lambda m: setattr(m, "unanswered_days", 4_000),
        "unanswered_days",
        "int32.gte_lte",
    ),
    ("a span missing", expiring, lambda m: m.ClearField("within"), "within", "required"),
    ("a span of nothing", expiring, lambda m: m.within.Clear(), "within", "duration.gt_lte"),
    ("a span of eleven years", expiring, lambda m: m.within.FromSeconds(347_000_000), "within", "duration.gt_lte"),
    ("a lead before today", due_refills, lambda m: setattr(m, "lead_days", -1), "lead_days", "int32.gte_lte"),
    ("a day without its month", due_refills, lambda m: setattr(m.day, "month", 0), "day", "day.whole_date"),
    ("a lot longer than a label", dispenses, lambda m: setattr(m, "lot", "x" * 129), "lot", "string.max_len"),
    ("a day without its year", dispenses, lambda m: setattr(m.last_day, "year", 0), "last_day", "last_day.whole_date"),
]


@pytest.mark.parametrize(
    ("make", "change", "field", "rule"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_malformed_request_is_refused_by_the_rule_for_it(
    make: Callable[[], Message], change: Callable[..., object], field: str, rule: str
) -> None:
    assert violations(changed(make, change)) == {(field, rule)}


@pytest.mark.parametrize("value", ["0.25", "30", "-1", "+2.5", ".5", "7.", "0", "999999999999999999.999999999"])
def test_a_decimal_is_well_formed_whatever_its_sign_for_that_is_the_domains_to_refuse(value: str) -> None:
    assert violations(quantity(value)) == set()


@pytest.mark.parametrize(
    "value", ["", ".", "-", "1e3", "NaN", "Infinity", "1,5", " 1", "1\n", "٣", "1" * 19, "0." + "1" * 10]
)
def test_what_is_no_plain_decimal_is_refused(value: str) -> None:
    assert violations(quantity(value)) == {("", "quantity.value.decimal")}


def test_a_wrong_check_digit_is_not_a_matter_of_shape() -> None:
    request = create()
    request.content.prescriber.npi = "1234567890"
    assert violations(request) == set()
