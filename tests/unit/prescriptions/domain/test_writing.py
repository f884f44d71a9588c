"""Creating, amending, signing, issuing: the right event, and each guard by its name."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from eventkernel.envelope import Actor
from eventkernel.errors import RefusalKind
from prescriptions.domain import commands as c
from prescriptions.domain import events as ev
from prescriptions.domain.expiry import add_months
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.profiles import ACUTE, REPEAT, US
from prescriptions.domain.state import Status
from prescriptions.domain.values import PersonRef, PharmacyRef, Schedule, SigningFactor
from prescriptions.testing import stories as s

BROKEN_CONTENTS: list[tuple[str, str, dict[str, Any]]] = [
    ("PATIENT_REQUIRED", "content.patient_id", {"patient_id": ""}),
    ("MEDICATION_REQUIRED", "content.medication", {"medication": (), "medication_text": " "}),
    ("INVALID_NPI", "content.prescriber.npi", {"prescriber": replace(s.AUTHOR, npi="1234567890")}),
    ("INVALID_NPI", "content.prescriber.npi", {"prescriber": replace(s.AUTHOR, npi="")}),
    ("INVALID_QUANTITY", "content.quantity.value", {"quantity": s.tablets(0)}),
    ("INVALID_QUANTITY", "content.quantity.value", {"quantity": s.tablets(-1)}),
    ("INVALID_QUANTITY", "content.quantity.value", {"quantity": s.tablets(Decimal("NaN"))}),
    ("INVALID_QUANTITY", "content.quantity.value", {"quantity": s.tablets(Decimal("Infinity"))}),
    ("INVALID_DAYS_SUPPLY", "content.days_supply", {"days_supply": 0}),
    ("INVALID_REFILLS", "content.refills_allowed", {"refills_allowed": -1}),
    ("INVALID_REFILLS", "content.refills_allowed", {"refills_allowed": 100}),
    ("REFILLS_NOT_ALLOWED", "content.refills_allowed", {"schedule": Schedule.II, "refills_allowed": 1}),
    ("REFILLS_NOT_ALLOWED", "content.refills_allowed", {"schedule": Schedule.III, "refills_allowed": 6}),
    ("REFILLS_NOT_ALLOWED", "content.refills_allowed", {"schedule": Schedule.IV, "refills_allowed": 6}),
    *(
        ("INVALID_DEA", "content.prescriber.dea_number", {"schedule": schedule, "prescriber": prescriber})
        for schedule in (Schedule.II, Schedule.III, Schedule.IV, Schedule.V)
        for prescriber in (replace(s.AUTHOR, dea_number=""), replace(s.AUTHOR, dea_number="AB4523763"))
    ),
    ("INVALID_DEA", "content.prescriber.dea_number", {"prescriber": replace(s.AUTHOR, dea_number="AB4523763")}),
    ("INVALID_NPI", "content.nominated.npi", {"nominated": replace(s.CORNER, npi="1245319598")}),
    ("INVALID_NCPDP_ID", "content.nominated.ncpdp_id", {"nominated": PharmacyRef("9900008")}),
    ("INVALID_NCPDP_ID", "content.nominated.ncpdp_id", {"nominated": PharmacyRef(npi="1234567893")}),
]


def test_create_begins_a_draft() -> None:
    outcome = s.untold().when(c.CreatePrescription(s.content()), s.PRESCRIBER)
    assert outcome.then(ev.PrescriptionCreated(s.content())).state.status is Status.DRAFT


@pytest.mark.parametrize(("reason", "field", "changes"), BROKEN_CONTENTS)
def test_a_new_prescription_must_be_sound(reason: str, field: str, changes: dict[str, Any]) -> None:
    refusal = s.untold().when(c.CreatePrescription(s.content(**changes)), s.PRESCRIBER).refused(reason)
    assert refusal.kind is RefusalKind.ARGUMENT
    assert refusal.field == field


@pytest.mark.parametrize(("reason", "field", "changes"), BROKEN_CONTENTS)
def test_an_amended_prescription_must_be_sound(reason: str, field: str, changes: dict[str, Any]) -> None:
    outcome = s.draft().when(c.AmendPrescription(s.content(**changes)), s.PRESCRIBER)
    outcome.refused("PATIENT_CANNOT_CHANGE" if "patient_id" in changes else reason)


@pytest.mark.parametrize("schedule", [Schedule.II, Schedule.III, Schedule.IV, Schedule.V])
def test_a_controlled_substance_is_written_with_npi_and_dea_number(schedule: Schedule) -> None:
    assert s.draft(schedule=schedule).state.status is Status.DRAFT


@pytest.mark.parametrize(
    ("schedule", "refills"),
    [(Schedule.II, 0), (Schedule.III, 5), (Schedule.IV, 5), (Schedule.V, 99), (Schedule.NONE, 99)],
)
def test_the_most_refills_a_schedule_allows_are_allowed(schedule: Schedule, refills: int) -> None:
    assert s.draft(schedule=schedule, refills_allowed=refills).state.refills_remaining == refills


@pytest.mark.parametrize("actor", [s.AGENT, s.PATIENT, s.REPRESENTATIVE, s.AT_CORNER, s.SYSTEM])
def test_only_prescribers_write(actor: Actor) -> None:
    refusal = s.untold().when(c.CreatePrescription(s.content()), actor).refused("ROLE_NOT_ALLOWED")
    assert refusal.kind is RefusalKind.PERMISSION


def test_nobody_writes_in_the_name_of_another() -> None:
    s.untold().when(c.CreatePrescription(s.content()), s.OTHER_PRESCRIBER).refused("NOT_AUTHOR")


def test_a_prescriber_without_an_id_writes_nothing() -> None:
    nobody = Actor("", "prescriber")
    command = c.CreatePrescription(s.content(prescriber=replace(s.AUTHOR, id="")))
    s.untold().when(command, nobody).refused("PRESCRIBER_REQUIRED")


def test_the_first_digit_of_the_npi_counts_where_the_profile_says_so() -> None:
    prescriber = replace(s.AUTHOR, npi="9941339100")
    assert s.draft(prescriber=prescriber).state.status is Status.DRAFT
    strict = s.untold(replace(US, npi_first_digit=True), prescriber=prescriber)
    strict.when(c.CreatePrescription(strict.content), s.PRESCRIBER).refused("INVALID_NPI")


@pytest.mark.parametrize("profile", [ACUTE, REPEAT])
def test_a_national_service_does_without_us_numbers_but_a_stated_npi_must_be_valid(profile: Any) -> None:
    bare = PersonRef("dr-grey")
    assert s.draft(profile, prescriber=bare, schedule=Schedule.IV, nominated=PharmacyRef("FA123")).events
    story = s.untold(profile, prescriber=replace(bare, npi="123"))
    story.when(c.CreatePrescription(story.content), s.PRESCRIBER).refused("INVALID_NPI")
    nameless = s.untold(profile, nominated=PharmacyRef(name="Corner"))
    nameless.when(c.CreatePrescription(nameless.content), s.PRESCRIBER).refused("INVALID_NCPDP_ID")


def test_history_may_lack_numbers_but_not_hold_wrong_ones() -> None:
    bare = PersonRef("dr-grey")
    command = c.CreatePrescription(s.content(prescriber=bare, schedule=Schedule.II, refills_allowed=0))
    s.untold().when(command, s.IMPORTER).then(ev.PrescriptionCreated(command.content))
    for wrong, reason in ((replace(bare, npi="93360"), "INVALID_NPI"), (replace(bare, dea_number="X"), "INVALID_DEA")):
        content = replace(command.content, prescriber=wrong)
        s.untold().when(c.CreatePrescription(content), s.IMPORTER).refused(reason)


def test_amend_replaces_the_whole_content() -> None:
    new = s.content(quantity=s.tablets(60), refills_allowed=0)
    given = (
        s.draft()
        .when(c.AmendPrescription(new, "twice as many"), s.PRESCRIBER)
        .then(ev.PrescriptionAmended(new, "twice as many"))
    )
    assert given.state.content == new
    assert given.state.status is Status.DRAFT


def test_an_amendment_changes_something() -> None:
    s.draft().when(c.AmendPrescription(s.content(), "nothing really"), s.PRESCRIBER).refused("NO_CHANGE")


@pytest.mark.parametrize("actor", [s.OTHER_PRESCRIBER, s.AGENT, s.PATIENT, s.AT_CORNER, s.SYSTEM])
def test_only_the_author_amends(actor: Actor) -> None:
    refusal = s.draft().when(c.AmendPrescription(s.content(refills_allowed=0)), actor).refused("NOT_AUTHOR")
    assert refusal.kind is RefusalKind.PERMISSION


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("NOT_AUTHOR", {"prescriber": replace(s.AUTHOR, id="dr-brown")}),
        ("PATIENT_CANNOT_CHANGE", {"patient_id": "p-2"}),
    ],
)
def test_author_and_patient_of_a_draft_stay(reason: str, changes: dict[str, Any]) -> None:
    s.draft().when(c.AmendPrescription(s.content(**changes)), s.PRESCRIBER).refused(reason)


def test_sign_records_what_was_signed_when_and_with_what() -> None:
    story = s.draft().later(hours=1)
    command = story.signing()
    given = story.when(command, s.PRESCRIBER).then(
        ev.PrescriptionSigned(
            content_sha256(story.content), b"signature", "ES256", "cert-1", command.factors, signed_at=story.now
        )
    )
    assert given.state.status is Status.SIGNED
    assert given.state.written_date == date(2026, 3, 2)


@pytest.mark.parametrize("actor", [s.OTHER_PRESCRIBER, s.AGENT, s.PATIENT, s.AT_CORNER])
def test_only_the_author_signs(actor: Actor) -> None:
    story = s.draft()
    story.when(story.signing(), actor).refused("NOT_AUTHOR")


def test_the_hash_must_be_that_of_the_draft_as_it_is_now() -> None:
    story = s.draft()
    stale = story.signing()
    story.do(c.AmendPrescription(s.content(refills_allowed=0)), s.PRESCRIBER)
    story.when(stale, s.PRESCRIBER).refused("HASH_MISMATCH")
    story.when(replace(stale, content_sha256=b""), s.PRESCRIBER).refused("HASH_MISMATCH")


@pytest.mark.parametrize("schedule", [Schedule.II, Schedule.III, Schedule.IV, Schedule.V])
@pytest.mark.parametrize(
    "factors", [(), (SigningFactor.KNOWLEDGE,), (SigningFactor.HARD_TOKEN, SigningFactor.HARD_TOKEN)]
)
def test_a_controlled_substance_is_signed_with_two_different_factors(
    schedule: Schedule, factors: tuple[SigningFactor, ...]
) -> None:
    story = s.draft(schedule=schedule)
    story.when(story.signing(factors=factors), s.PRESCRIBER).refused("TWO_FACTOR_REQUIRED")
    two = (SigningFactor.KNOWLEDGE, SigningFactor.BIOMETRIC)
    assert story.when(story.signing(factors=two), s.PRESCRIBER).after.state.status is Status.SIGNED


def test_one_factor_or_none_will_do_for_what_is_not_controlled() -> None:
    story = s.draft()
    assert story.when(story.signing(factors=()), s.PRESCRIBER).after.state.status is Status.SIGNED


def test_an_empty_signature_signs_nothing() -> None:
    story = s.draft()
    story.when(story.signing(signature=b""), s.PRESCRIBER).refused("SIGNATURE_REQUIRED")


def test_a_signature_that_was_checked_and_failed_is_refused() -> None:
    story = s.draft()
    story.when(story.signing(), s.PRESCRIBER, signature_verified=False).refused("SIGNATURE_INVALID")
    assert story.when(story.signing(), s.PRESCRIBER, signature_verified=True).after.state.status is Status.SIGNED


def test_history_is_signed_by_the_record_of_it() -> None:
    story = s.draft(schedule=Schedule.II)
    command = story.signing(signature=b"", factors=(), algorithm="", certificate_id="")
    assert story.when(command, s.IMPORTER).after.state.status is Status.SIGNED
    story.when(replace(command, content_sha256=b"x" * 32), s.IMPORTER).refused("HASH_MISMATCH")
    story.when(story.signing(), s.IMPORTER, signature_verified=False).refused("SIGNATURE_INVALID")


def test_issue_fixes_the_expiry_and_keeps_the_nomination() -> None:
    story = s.signed(nominated=s.CORNER).later(days=1)
    given = story.when(c.IssuePrescription(), s.PRESCRIBER).then(
        ev.PrescriptionIssued(story.now, add_months(story.now, 12), s.CORNER)
    )
    assert given.state.status is Status.ISSUED
    assert given.state.nominated == s.CORNER


def test_issue_may_name_another_pharmacy() -> None:
    assert s.signed(nominated=s.CORNER).issue(nominated=s.HARBOUR).state.nominated == s.HARBOUR
    s.signed().when(c.IssuePrescription(PharmacyRef("1")), s.PRESCRIBER).refused("INVALID_NCPDP_ID")


@pytest.mark.parametrize("organisation", ["dr-grey", "1234567893"])
def test_an_agent_of_the_author_issues(organisation: str) -> None:
    agent = Actor("nurse-1", "agent", organisation)
    assert s.signed().issue(agent).state.status is Status.ISSUED


@pytest.mark.parametrize(
    "actor",
    [s.OTHER_PRESCRIBER, Actor("nurse-2", "agent", "dr-brown"), Actor("nurse-3", "agent"), s.PATIENT, s.AT_CORNER],
)
def test_nobody_else_issues(actor: Actor) -> None:
    s.signed().when(c.IssuePrescription(), actor).refused("NOT_AUTHOR")


def test_what_is_issued_is_what_was_signed() -> None:
    story = s.signed()
    story.events.append(ev.PrescriptionAmended(s.content(refills_allowed=9)))
    story.when(c.IssuePrescription(), s.PRESCRIBER).refused("HASH_MISMATCH")


def test_an_unsigned_prescription_is_not_issued_even_if_its_status_says_so() -> None:
    story = s.draft()
    given = replace(story.given, state=replace(story.state, status=Status.SIGNED))
    given.when(c.IssuePrescription(), story.facts(s.PRESCRIBER)).refused("HASH_MISMATCH")


def test_it_must_be_fillable_before_it_expires() -> None:
    last = date(2027, 3, 2)
    assert s.issued(earliest_fill=last).state.expires_at == add_months(s.START, 12)
    story = s.signed(earliest_fill=date(2027, 3, 3))
    story.when(c.IssuePrescription(), s.PRESCRIBER).refused("EARLIEST_FILL_AFTER_EXPIRY")
