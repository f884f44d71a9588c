"""Nominating, claiming, returning."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256

import pytest

from eventkernel.envelope import Actor
from eventkernel.errors import RefusalKind
from prescriptions.domain import commands as c
from prescriptions.domain import events as ev
from prescriptions.domain.profiles import ACUTE, US
from prescriptions.domain.state import Status
from prescriptions.domain.values import PersonRef, PharmacyRef
from prescriptions.testing import stories as s

TOKEN_HASH = sha256(b"token").digest()


def claim(story: s.Story, pharmacy: PharmacyRef = s.CORNER, actor: Actor = s.AT_CORNER) -> s.Asked:
    return story.when(c.ClaimPrescription(pharmacy), actor, claim_token_sha256=TOKEN_HASH)


@pytest.mark.parametrize("actor", [s.PATIENT, s.REPRESENTATIVE, s.PRESCRIBER])
@pytest.mark.parametrize("story", [s.issued(), s.awaiting_refill()], ids=["issued", "awaiting-refill"])
def test_patient_representative_and_author_nominate(story: s.Story, actor: Actor) -> None:
    given = story.when(c.NominatePharmacy(s.HARBOUR), actor).then(
        ev.PharmacyNominated(s.HARBOUR, PersonRef(actor.id, role=actor.role))
    )
    assert given.state.nominated == s.HARBOUR
    assert given.state.status is story.state.status


@pytest.mark.parametrize(
    ("actor", "reason"),
    [
        (Actor("patient-2", "patient"), "NOT_PATIENT"),
        (Actor("", "patient"), "NOT_PATIENT"),
        (Actor("mother-1", "representative", "patient-2"), "NOT_PATIENT"),
        (Actor("patient-1", "representative"), "NOT_PATIENT"),
        (s.OTHER_PRESCRIBER, "NOT_AUTHOR"),
        (s.AT_CORNER, "ROLE_NOT_ALLOWED"),
        (s.AGENT, "ROLE_NOT_ALLOWED"),
        (s.SYSTEM, "ROLE_NOT_ALLOWED"),
    ],
)
def test_nobody_else_nominates(actor: Actor, reason: str) -> None:
    refusal = s.issued().when(c.NominatePharmacy(s.HARBOUR), actor).refused(reason)
    assert refusal.kind is RefusalKind.PERMISSION


@pytest.mark.parametrize("pharmacy", [PharmacyRef("9900008"), PharmacyRef(name="Harbour"), PharmacyRef("123")])
def test_a_nomination_names_a_valid_pharmacy(pharmacy: PharmacyRef) -> None:
    refusal = s.issued().when(c.NominatePharmacy(pharmacy), s.PATIENT).refused("INVALID_NCPDP_ID")
    assert refusal.field == "pharmacy.ncpdp_id"


def test_a_profile_may_leave_the_check_digit_of_a_pharmacy_alone() -> None:
    lenient = replace(US, ncpdp_check_digit=False)
    assert s.issued(lenient).do(c.NominatePharmacy(PharmacyRef("9900008")), s.PATIENT).state.nominated


def test_a_nomination_changes_something() -> None:
    story = s.issued(nominated=s.CORNER)
    story.when(c.NominatePharmacy(replace(s.CORNER, name="the corner")), s.PATIENT).refused("NO_CHANGE")


def test_a_claim_holds_the_hash_of_its_token_and_the_number_of_its_fill() -> None:
    story = s.issued()
    given = claim(story).then(ev.PrescriptionClaimed(s.CORNER, TOKEN_HASH, 0, story.now))
    assert given.state.status is Status.WITH_PHARMACY
    story = s.awaiting_refill()
    assert claim(story).then(ev.PrescriptionClaimed(s.CORNER, TOKEN_HASH, 1, story.now)).state.claim is not None


@pytest.mark.parametrize("actor", [s.PRESCRIBER, s.PATIENT, s.AGENT, s.SYSTEM])
def test_only_pharmacies_claim(actor: Actor) -> None:
    claim(s.issued(), actor=actor).refused("ROLE_NOT_ALLOWED")


@pytest.mark.parametrize("organisation", ["", "9900019", "Corner Pharmacy"])
def test_a_pharmacy_claims_for_itself(organisation: str) -> None:
    refusal = claim(s.issued(), actor=Actor("rph-1", "pharmacy", organisation)).refused("NOT_YOUR_PHARMACY")
    assert refusal.kind is RefusalKind.PERMISSION


def test_a_pharmacy_may_be_known_by_its_npi() -> None:
    assert claim(s.issued(), actor=Actor("rph-1", "pharmacy", s.CORNER.npi)).after.state.claim


def test_a_pharmacy_without_an_id_claims_nothing_but_history_knows_some_by_name() -> None:
    named = PharmacyRef(name="Old Corner")
    claim(s.issued(), named).refused("NOT_YOUR_PHARMACY")
    assert claim(s.issued(), named, s.IMPORTER).after.state.status is Status.WITH_PHARMACY
    claim(s.issued(), PharmacyRef(), s.IMPORTER).refused("NOT_YOUR_PHARMACY")


@pytest.mark.parametrize(
    ("pharmacy", "reason", "field"),
    [
        (PharmacyRef("9900008", s.CORNER.npi), "INVALID_NCPDP_ID", "pharmacy.ncpdp_id"),
        (PharmacyRef("12", s.CORNER.npi), "INVALID_NCPDP_ID", "pharmacy.ncpdp_id"),
        (PharmacyRef(s.CORNER.ncpdp_id, "1245319598"), "INVALID_NPI", "pharmacy.npi"),
    ],
)
@pytest.mark.parametrize("who", ["pharmacy", "import"])
def test_ids_that_a_pharmacy_states_are_such_ids(pharmacy: PharmacyRef, reason: str, field: str, who: str) -> None:
    organisation = s.CORNER.npi if s.CORNER.npi in pharmacy.ids else s.CORNER.ncpdp_id
    refusal = claim(s.issued(), pharmacy, Actor("rph-1", who, organisation)).refused(reason)
    assert (refusal.kind, refusal.field) == (RefusalKind.ARGUMENT, field)
    if reason == "INVALID_NPI":
        s.issued().when(c.NominatePharmacy(pharmacy), s.PATIENT).refused(reason)


def test_where_there_are_no_ncpdp_ids_a_pharmacy_claims_by_any_id() -> None:
    elsewhere = PharmacyRef("FA123")
    assert claim(s.issued(ACUTE), elsewhere, Actor("rph-1", "pharmacy", "FA123")).after.state.claim


def test_it_is_not_claimed_before_its_first_day() -> None:
    story = s.issued(earliest_fill=date(2026, 3, 4))
    story.now = story.now.replace(day=3, hour=23, minute=59)
    claim(story).refused("NOT_YET_VALID")
    assert claim(story.later(minutes=1)).after.state.status is Status.WITH_PHARMACY


def test_it_is_not_claimed_at_or_after_its_expiry() -> None:
    story = s.issued()
    expires = story.state.expires_at
    assert expires is not None
    story.now = expires
    claim(story).refused("PRESCRIPTION_EXPIRED")
    story.now = expires - timedelta(microseconds=1)
    assert claim(story).after.state.status is Status.WITH_PHARMACY


def test_a_nomination_keeps_other_pharmacies_out() -> None:
    story = s.issued(nominated=s.HARBOUR)
    claim(story).refused("NOMINATED_ELSEWHERE")
    assert claim(story, s.HARBOUR, s.AT_HARBOUR).after.state.status is Status.WITH_PHARMACY
    story.do(c.NominatePharmacy(s.CORNER), s.PATIENT)
    assert claim(story).after.state.status is Status.WITH_PHARMACY


def test_a_nomination_is_a_wish_where_the_profile_says_so() -> None:
    story = s.issued(replace(US, nomination_binds=False), nominated=s.HARBOUR)
    assert claim(story).after.state.status is Status.WITH_PHARMACY


@pytest.mark.parametrize("story", [s.claimed(), s.begun()], ids=["held", "begun"])
def test_what_another_pharmacy_holds_cannot_be_claimed(story: s.Story) -> None:
    claim(story, s.HARBOUR, s.AT_HARBOUR).refused("PRESCRIPTION_WITH_ANOTHER_DISPENSER")
    claim(story).refused("INVALID_STATE_TRANSITION")


def test_a_refill_may_be_claimed_at_any_time_unless_the_profile_says_when() -> None:
    assert claim(s.awaiting_refill()).after.state.status is Status.WITH_PHARMACY
    story = s.awaiting_refill(replace(US, refill_share=Decimal("0.75")))
    claim(story.later(days=7)).refused("REFILL_TOO_SOON")
    assert claim(story.later(hours=12)).after.state.status is Status.WITH_PHARMACY


def test_how_long_the_last_fill_lasts_comes_from_that_fill_first() -> None:
    profile = replace(US, refill_share=Decimal(1))
    story = s.claimed(profile).dispense(30, 1, days_supply=20)
    claim(story.later(days=19)).refused("REFILL_TOO_SOON")
    unknown = s.awaiting_refill(profile, days_supply=None)
    assert claim(unknown).after.state.status is Status.WITH_PHARMACY
    first = s.issued(profile)
    assert claim(first).after.state.status is Status.WITH_PHARMACY


def test_a_claim_without_a_token_is_the_servers_mistake_not_a_refusal() -> None:
    with pytest.raises(ValueError, match="claim token"):
        s.issued().when(c.ClaimPrescription(s.CORNER), s.AT_CORNER)


def test_a_returned_prescription_is_where_it_came_from() -> None:
    story = s.claimed()
    given = story.when(c.ReturnPrescription(story.token, s.WHY), s.AT_CORNER).then(ev.PrescriptionReturned(s.WHY))
    assert given.state.status is Status.ISSUED
    assert given.state.claim is None
    assert s.awaiting_refill().claim().give_back().state.status is Status.AWAITING_REFILL


def test_what_was_returned_may_be_claimed_by_another() -> None:
    story = s.claimed().give_back()
    assert claim(story, s.HARBOUR, s.AT_HARBOUR).after.state.status is Status.WITH_PHARMACY


@pytest.mark.parametrize(
    ("token", "actor", "reason"),
    [
        ("wrong", s.AT_CORNER, "NOT_CLAIM_HOLDER"),
        ("", s.AT_CORNER, "NOT_CLAIM_HOLDER"),
        ("wrong", s.IMPORTER, "NOT_CLAIM_HOLDER"),
        (None, s.AT_HARBOUR, "NOT_CLAIM_HOLDER"),
        (None, s.PRESCRIBER, "ROLE_NOT_ALLOWED"),
        (None, s.PATIENT, "ROLE_NOT_ALLOWED"),
    ],
)
def test_only_the_holder_returns_it(token: str | None, actor: Actor, reason: str) -> None:
    story = s.claimed()
    command = c.ReturnPrescription(story.token if token is None else token, s.WHY)
    refusal = story.when(command, actor).refused(reason)
    assert refusal.kind is RefusalKind.PERMISSION


def test_an_old_token_is_worth_nothing_after_a_new_claim() -> None:
    story = s.claimed()
    old = story.token
    story.give_back().claim()
    story.when(c.ReturnPrescription(old, s.WHY), s.AT_CORNER).refused("NOT_CLAIM_HOLDER")


def test_an_unknown_token_hash_of_an_old_record_fits_no_token() -> None:
    story = s.issued(ACUTE)
    story.events.append(ev.PrescriptionClaimed(s.CORNER, b"", None, None))
    story.when(c.ReturnPrescription("", s.WHY), s.AT_CORNER).refused("NOT_CLAIM_HOLDER")
