"""``prescription_view``: a row for each prescription in every status."""

import base64
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from eventkernel.filters import Filter, matches
from prescriptions.domain import commands as c
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.profiles import ACUTE
from prescriptions.domain.state import Status
from prescriptions.domain.values import ClearPatient, Coding, PharmacyRef, Sealed
from prescriptions.testing.recorded import prescription, recorded, stream_of, untold
from prescriptions.testing.stories import (
    AMOXICILLIN,
    AT_CORNER,
    CORNER,
    HARBOUR,
    PATIENT,
    PRESCRIBER,
    START,
    SYSTEM,
    WHY,
    Story,
)
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW, code_filter, record_of, text_filter
from prescriptions.views.supply import pharmacy_key


def not_dispensed() -> Story:
    story = untold().create().sign().issue().claim()
    return story.do(c.RecordNotDispensed(story.token, WHY), AT_CORNER)


IN_STATUS: dict[Status, Callable[[], Story]] = {
    Status.DRAFT: lambda: untold().create(),
    Status.SIGNED: lambda: untold().create().sign(),
    Status.ISSUED: lambda: untold().create().sign().issue(),
    Status.WITH_PHARMACY: lambda: untold().create().sign().issue().claim(),
    Status.PARTIALLY_DISPENSED: lambda: untold().create().sign().issue().claim().part(10, 1),
    Status.AWAITING_REFILL: lambda: untold().create().sign().issue().claim().dispense(30, 1),
    Status.ON_HOLD: lambda: untold().create().sign().issue().do(c.SuspendPrescription(WHY), PRESCRIBER),
    Status.COMPLETED: lambda: untold(refills_allowed=0).create().sign().issue().claim().dispense(30, 1),
    Status.NOT_DISPENSED: not_dispensed,
    Status.CANCELLED: lambda: untold().create().sign().issue().do(c.CancelPrescription(WHY), PRESCRIBER),
    Status.EXPIRED: lambda: untold().create().sign().issue().later(days=730).do(c.ExpirePrescription(), SYSTEM),
    Status.ENTERED_IN_ERROR: lambda: untold().create().do(c.MarkEnteredInError(WHY), PRESCRIBER),
}


def only(table: Any) -> Any:
    (row,) = table.rows.values()
    return row


@pytest.mark.parametrize("status", IN_STATUS, ids=lambda status: status.name)
def test_every_status_has_its_row(fold: Any, status: Status) -> None:
    story = IN_STATUS[status]()
    row = only(fold(PRESCRIPTION_VIEW, story))
    assert row["status"] == status.name
    assert record_of(row).state.status is status
    assert record_of(row).version == len(story.events)


@pytest.mark.parametrize("status", IN_STATUS, ids=lambda status: status.name)
def test_the_row_holds_what_the_domain_decides_by_without_its_secrets(fold: Any, status: Status) -> None:
    story = IN_STATUS[status]()
    state = record_of(only(fold(PRESCRIPTION_VIEW, story))).state
    bare = replace(story.state, seen_dispense_ids=frozenset())
    if bare.last_claim:
        bare = replace(bare, last_claim=replace(bare.last_claim, token_sha256=b""))
    assert state == replace(bare, dispenses=tuple(replace(d, claim=bare.last_claim) for d in bare.dispenses))


def test_columns_say_who_when_and_where(fold: Any) -> None:
    story = untold(group_id="g-1", nominated=HARBOUR).create().sign().issue().later(hours=2)
    story.do(c.NominatePharmacy(CORNER), PATIENT)
    row = only(fold(PRESCRIPTION_VIEW, story))
    assert row["patient_id"] == "patient-1"
    assert row["prescriber_id"] == "dr-grey"
    assert row["group_id"] == "g-1"
    assert (row["nominated_id"], row["holder_id"], row["dispenser_id"]) == (CORNER.ncpdp_id, None, None)
    assert (row["created_at"], row["issued_at"], row["updated_at"]) == (START, START, START + timedelta(hours=2))
    assert row["expires_at"] == story.state.expires_at


def test_the_holder_holds_until_the_fill_is_done_and_is_then_the_last_dispenser(fold: Any) -> None:
    story = untold().create().sign().issue().claim()
    assert only(fold(PRESCRIPTION_VIEW, story))["holder_id"] == CORNER.ncpdp_id
    row = only(fold(PRESCRIPTION_VIEW, story.dispense(30, 1)))
    assert (row["holder_id"], row["dispenser_id"]) == (None, CORNER.ncpdp_id)


def test_a_draft_is_meant_for_the_pharmacy_named_in_it(fold: Any) -> None:
    row = only(fold(PRESCRIPTION_VIEW, untold(nominated=CORNER).create()))
    assert row["nominated_id"] == CORNER.ncpdp_id


def test_a_pharmacy_without_an_ncpdp_id_is_not_any_pharmacy(fold: Any) -> None:
    row = only(fold(PRESCRIPTION_VIEW, untold(ACUTE, nominated=PharmacyRef(npi="1245319599")).create()))
    assert row["nominated_id"] == "npi:1245319599"
    assert pharmacy_key(PharmacyRef(name="Corner")) == "name:Corner"


def test_a_reversed_dispense_leaves_the_state_and_is_remembered_as_undone(fold: Any) -> None:
    story = untold().create().sign().issue().claim().dispense(30, 1).reverse(1)
    record = record_of(only(fold(PRESCRIPTION_VIEW, story)))
    assert record.state.status is Status.WITH_PHARMACY
    assert record.state.dispenses == ()
    assert [dispense.dispense_id.int for dispense in record.reversed_dispenses] == [1]


@pytest.mark.parametrize("snapshot", [Sealed("key", b"cipher", b"nonce"), ClearPatient("Ann Example")])
def test_no_patient_details_reach_the_row_but_the_hash_covers_them(snapshot: Any, empty: Any) -> None:
    story = untold(patient_snapshot=snapshot)
    stream = stream_of(1)
    created = c.CreatePrescription(story.content)
    event = story.when(created, PRESCRIBER).event
    envelope = recorded(untold().create(), stream)[0]
    record = PRESCRIPTION_VIEW.fold(PRESCRIPTION_VIEW.initial, event, envelope)
    (row,) = PRESCRIPTION_VIEW.rows(record)
    assert record.state.written.patient_snapshot is None
    document = zlib.decompress(row["document"])
    assert b"dr-grey" in document
    assert b"cipher" not in document
    assert b"Ann" not in document
    assert record.content_sha256 == content_sha256(story.content)


def test_claim_tokens_leave_no_trace(fold: Any) -> None:
    story = untold().create().sign().issue().claim().part(10, 1)
    document = zlib.decompress(only(fold(PRESCRIPTION_VIEW, story))["document"])
    hashed = story.state.last_claim.token_sha256 if story.state.last_claim else b""
    assert document.count(b'"token_sha256":""') == 2
    assert base64.urlsafe_b64encode(hashed) not in document


SYSTEM_A, SYSTEM_B = "http://a.example/codes", "http://b.example/codes"
CODED = (Coding(SYSTEM_A, "X1", "Alpha"), Coding(SYSTEM_B, "y2", "Beta"))


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (code_filter("X1"), True),
        (code_filter("y2"), True),
        (code_filter("y2", SYSTEM_B), True),
        (code_filter("y2", SYSTEM_A), False),
        (code_filter("x1"), False),
        (code_filter("Y2"), False),
        (code_filter("X"), False),
        (code_filter("1"), False),
        (code_filter("X1", "http://a.example"), False),
        (text_filter("BETA"), True),
        (text_filter("Drei Mal TÄGLICH"), True),
        (text_filter("gamma"), False),
    ],
)
def test_codes_are_found_exactly_and_texts_in_part(fold: Any, where: Filter, found: bool) -> None:
    story = untold(medication=CODED, dosage=replace(untold().content.dosage, text="drei mal täglich")).create()
    assert matches(where, only(fold(PRESCRIPTION_VIEW, story))) is found


def test_a_prescription_by_text_alone_has_no_codes(fold: Any) -> None:
    row = only(fold(PRESCRIPTION_VIEW, untold(medication=()).create()))
    assert row["medication_codes"] == ""
    assert not matches(code_filter(AMOXICILLIN.code), row)


def test_refills_may_follow_until_the_last_fill_is_the_next(fold: Any) -> None:
    story = untold(refills_allowed=1).create().sign().issue()
    assert only(fold(PRESCRIPTION_VIEW, story))["has_refills"]
    story.claim().dispense(30, 1)
    assert not only(fold(PRESCRIPTION_VIEW, story))["has_refills"]


def test_the_id_is_the_streams(fold: Any) -> None:
    assert list(fold(PRESCRIPTION_VIEW, untold().create()).rows) == [(prescription(1),)]
