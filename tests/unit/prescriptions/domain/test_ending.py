"""Suspending, resuming, cancelling, expiring, declaring void."""

from datetime import date, timedelta

import pytest

from eventkernel.envelope import Actor
from eventkernel.errors import RefusalKind
from prescriptions.domain import commands as c
from prescriptions.domain import events as ev
from prescriptions.domain.profiles import PATIENT_WITHDRAWAL, REPEAT
from prescriptions.domain.state import Status
from prescriptions.domain.values import PersonRef, Reason, Schedule
from prescriptions.testing import stories as s

CANCEL = c.CancelPrescription(s.WHY)


@pytest.mark.parametrize("story", [s.issued(), s.awaiting_refill()], ids=["issued", "awaiting-refill"])
def test_suspend_and_resume_come_back_to_where_it_was(story: s.Story) -> None:
    before = story.state.status
    suspended = story.when(c.SuspendPrescription(s.WHY, date(2026, 4, 1)), s.PRESCRIBER).then(
        ev.PrescriptionSuspended(s.WHY, date(2026, 4, 1))
    )
    assert suspended.state.status is Status.ON_HOLD
    assert suspended.state.hold is not None
    resumed = suspended.when(c.ResumePrescription(s.WHY), story.facts(s.PRESCRIBER)).then(ev.PrescriptionResumed(s.WHY))
    assert resumed.state.status is before
    assert resumed.state.hold is None


def test_a_suspension_has_a_reason() -> None:
    s.issued().when(c.SuspendPrescription(Reason()), s.PRESCRIBER).refused("REASON_REQUIRED")
    assert s.issued().do(c.SuspendPrescription(Reason(text="check the dose")), s.PRESCRIBER).state.hold


@pytest.mark.parametrize("actor", [s.OTHER_PRESCRIBER, s.AGENT, s.PATIENT, s.AT_CORNER, s.SYSTEM])
def test_only_the_author_suspends_and_resumes(actor: Actor) -> None:
    s.issued().when(c.SuspendPrescription(s.WHY), actor).refused("NOT_AUTHOR")
    s.on_hold().when(c.ResumePrescription(), actor).refused("NOT_AUTHOR")


def test_what_ran_out_while_on_hold_is_not_resumed() -> None:
    story = s.on_hold()
    story.later(days=366).when(c.ResumePrescription(), s.PRESCRIBER).refused("PRESCRIPTION_EXPIRED")


@pytest.mark.parametrize(
    "story",
    [s.draft(), s.signed(), s.issued(), s.awaiting_refill(), s.on_hold()],
    ids=["draft", "signed", "issued", "awaiting-refill", "on-hold"],
)
def test_the_author_cancels_what_nobody_holds(story: s.Story) -> None:
    given = story.when(CANCEL, s.PRESCRIBER).then(
        ev.PrescriptionCancelled(s.WHY, PersonRef("dr-grey", role="prescriber"))
    )
    assert given.state.status is Status.CANCELLED
    assert given.state.end_reason == s.WHY


def test_who_asked_for_the_cancellation_may_be_named() -> None:
    patient = PersonRef("patient-1", role="patient")
    event = s.issued().when(c.CancelPrescription(s.WHY, patient), s.PRESCRIBER).event
    assert event == ev.PrescriptionCancelled(s.WHY, patient)


def test_a_cancellation_has_a_coded_reason() -> None:
    s.issued().when(c.CancelPrescription(Reason(text="oops")), s.PRESCRIBER).refused("REASON_REQUIRED")


@pytest.mark.parametrize("actor", [s.OTHER_PRESCRIBER, s.AGENT, s.PATIENT, s.REPRESENTATIVE, s.AT_CORNER, s.SYSTEM])
def test_nobody_else_cancels(actor: Actor) -> None:
    assert s.issued().when(CANCEL, actor).refused("NOT_AUTHOR").kind is RefusalKind.PERMISSION


@pytest.mark.parametrize("actor", [s.PATIENT, s.REPRESENTATIVE])
def test_a_profile_lets_patients_withdraw_what_is_issued_and_unclaimed(actor: Actor) -> None:
    story = s.issued(PATIENT_WITHDRAWAL)
    assert story.when(CANCEL, actor).after.state.status is Status.CANCELLED
    s.claimed(PATIENT_WITHDRAWAL).when(CANCEL, actor).refused("CANCEL_NEEDS_PHARMACY")
    s.draft(PATIENT_WITHDRAWAL).when(CANCEL, actor).refused("NOT_AUTHOR")
    s.signed(PATIENT_WITHDRAWAL).when(CANCEL, actor).refused("NOT_AUTHOR")


@pytest.mark.parametrize(
    "actor", [Actor("patient-2", "patient"), Actor("x", "representative", "patient-2"), s.AT_CORNER]
)
def test_not_even_there_do_others_withdraw_it(actor: Actor) -> None:
    s.issued(PATIENT_WITHDRAWAL).when(CANCEL, actor).refused("NOT_AUTHOR")


@pytest.mark.parametrize("story", [s.claimed(), s.begun()], ids=["held", "begun"])
def test_what_a_pharmacy_holds_is_not_cancelled_without_it(story: s.Story) -> None:
    story.when(CANCEL, s.PRESCRIBER).refused("CANCEL_NEEDS_PHARMACY")


def test_it_expires_at_its_expiry_and_not_before() -> None:
    story = s.issued()
    expires = story.state.expires_at
    assert expires is not None
    story.now = expires - timedelta(microseconds=1)
    story.when(c.ExpirePrescription(), s.SYSTEM).refused("NOT_YET_EXPIRED")
    story.now = expires
    given = story.when(c.ExpirePrescription(), s.SYSTEM).then(ev.PrescriptionExpired(expires, s.tablets(90)))
    assert given.state.status is Status.EXPIRED


@pytest.mark.parametrize(
    ("story", "forfeited"),
    [
        (s.issued(refills_allowed=0), 30),
        (s.claimed(), 90),
        (s.begun(), 80),
        (s.awaiting_refill(), 60),
        (s.awaiting_refill().claim().part(1, 2), 59),
        (s.on_hold(), 90),
    ],
    ids=["no-refills", "held", "begun", "awaiting-refill", "refill-begun", "on-hold"],
)
def test_all_that_was_owed_is_forfeited(story: s.Story, forfeited: int) -> None:
    ended = s.Story(story.content).retell(story).later(days=366).do(c.ExpirePrescription(), s.SYSTEM)
    assert ended.state.status is Status.EXPIRED
    assert ended.state.quantity_forfeited == s.tablets(forfeited)
    assert ended.state.claim is None


def test_it_expires_when_the_clock_of_a_begun_fill_runs_out() -> None:
    story = s.begun(schedule=Schedule.II).later(hours=71)
    story.when(c.ExpirePrescription(), s.SYSTEM).refused("NOT_YET_EXPIRED")
    assert story.later(hours=1).do(c.ExpirePrescription(), s.SYSTEM).state.quantity_forfeited == s.tablets(20)
    owing = s.begun(REPEAT).later(days=180)
    assert owing.do(c.ExpirePrescription(), s.SYSTEM).state.status is Status.EXPIRED


def test_an_old_record_without_an_expiry_does_not_expire() -> None:
    story = s.signed()
    story.events.append(ev.PrescriptionIssued(None, None))
    story.later(days=10_000).when(c.ExpirePrescription(), s.SYSTEM).refused("NOT_YET_EXPIRED")


@pytest.mark.parametrize("actor", [s.PRESCRIBER, s.AT_CORNER, s.PATIENT])
def test_only_the_system_expires(actor: Actor) -> None:
    s.issued().later(days=366).when(c.ExpirePrescription(), actor).refused("ROLE_NOT_ALLOWED")


@pytest.mark.parametrize(
    "story",
    [
        s.draft(),
        s.signed(),
        s.issued(),
        s.claimed(),
        s.on_hold(),
        s.cancelled(),
        s.not_dispensed(),
        s.expired(),
        s.begun().reverse(1),
    ],
    ids=["draft", "signed", "issued", "held", "on-hold", "cancelled", "not-dispensed", "expired", "reversed"],
)
def test_what_never_reached_anybody_can_be_void(story: s.Story) -> None:
    given = story.when(c.MarkEnteredInError(s.WHY), s.PRESCRIBER).then(ev.PrescriptionEnteredInError(s.WHY))
    assert given.state.status is Status.ENTERED_IN_ERROR
    assert given.state.claim is None


@pytest.mark.parametrize(
    "story", [s.begun(), s.awaiting_refill(), s.completed()], ids=["begun", "awaiting-refill", "completed"]
)
def test_what_was_handed_out_cannot_be_void(story: s.Story) -> None:
    story.when(c.MarkEnteredInError(s.WHY), s.PRESCRIBER).refused("DISPENSED_CANNOT_VOID")


@pytest.mark.parametrize("actor", [s.OTHER_PRESCRIBER, s.AGENT, s.PATIENT, s.AT_CORNER, s.SYSTEM])
def test_only_the_author_declares_it_void(actor: Actor) -> None:
    s.issued().when(c.MarkEnteredInError(s.WHY), actor).refused("NOT_AUTHOR")


def test_declaring_void_has_a_reason() -> None:
    s.issued().when(c.MarkEnteredInError(Reason()), s.PRESCRIBER).refused("REASON_REQUIRED")
