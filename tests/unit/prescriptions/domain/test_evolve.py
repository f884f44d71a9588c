"""The fold: it never refuses, and takes records that know less than today's."""

from datetime import UTC, datetime

from prescriptions.domain import events as ev
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.state import Status
from prescriptions.domain.values import PharmacyRef, Quantity, Reason
from prescriptions.testing import stories as s

NAMED = PharmacyRef(name="Old Corner")


def old_dispense(number: int, amount: int) -> ev.MedicationDispensed:
    """A dispense as the oldest shape knows it."""
    return ev.MedicationDispensed(s.dispense_id(number), None, NAMED, s.tablets(amount), None, None, None)


def old_part(number: int, amount: int) -> ev.MedicationPartiallyDispensed:
    """A part as the oldest shape knows it."""
    return ev.MedicationPartiallyDispensed(s.dispense_id(number), None, NAMED, s.tablets(amount), None, None, None)


def test_the_number_of_a_fill_follows_from_the_stream_where_a_record_does_not_say() -> None:
    story = s.issued()
    story.events += [
        ev.PrescriptionClaimed(NAMED, b"", None, None),
        old_part(1, 10),
        old_dispense(2, 20),
        ev.PrescriptionClaimed(NAMED, b"", None, None),
        old_dispense(3, 30),
    ]
    state = story.state
    assert [d.fill_number for d in state.dispenses] == [0, 0, 1]
    assert state.status is Status.AWAITING_REFILL
    assert state.last_claim is not None
    assert state.last_claim.fill_number == 1


def test_a_dispense_without_a_claim_on_record_can_still_be_undone() -> None:
    story = s.issued()
    story.events += [old_dispense(1, 30), ev.DispenseReversed(s.dispense_id(1), s.tablets(30))]
    state = story.state
    assert state.status is Status.WITH_PHARMACY
    assert state.claim is not None
    assert (state.claim.pharmacy, state.claim.token_sha256) == (NAMED, b"")


def test_a_reversal_of_what_is_not_there_changes_nothing() -> None:
    story = s.claimed()
    before = story.state
    story.events.append(ev.DispenseReversed(s.dispense_id(7), s.tablets(30)))
    assert story.state == before


def test_a_nomination_in_the_content_holds_where_the_issue_says_nothing() -> None:
    story = s.signed(nominated=s.CORNER)
    story.events.append(ev.PrescriptionIssued(s.START, None))
    assert story.state.nominated == s.CORNER


def test_a_signature_without_a_time_has_no_written_date() -> None:
    story = s.draft()
    story.events.append(ev.PrescriptionSigned(b"", b"", "", "", (), None))
    assert story.state.status is Status.SIGNED
    assert story.state.written_date is None


def test_the_written_date_is_the_day_of_signing_in_utc() -> None:
    story = s.draft()
    story.now = datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)
    assert str(story.sign().state.written_date) == "2026-03-02"


def test_events_out_of_any_order_fold_without_a_word() -> None:
    story = s.awaiting_refill().reverse(1).give_back()
    ends: list[ev.Event] = [
        ev.MedicationNotDispensed(Reason(text="gone")),
        ev.PrescriptionExpired(s.START, Quantity(s.tablets(1).value)),
        ev.PrescriptionEnteredInError(None),
        ev.PrescriptionResumed(),
        ev.PrescriptionReturned(),
        old_dispense(1, 5),
    ]
    for event in [*story.events, *ends]:
        assert PRESCRIPTION.evolve(PRESCRIPTION.initial, event).status in Status
    assert PRESCRIPTION.fold(reversed([*story.events, *ends])).status in Status
