"""What holds in every life a prescription can have, however commands follow one another."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventkernel.canonical import request_hash
from eventkernel.envelope import Actor
from prescriptions.domain import commands as c
from prescriptions.domain import events as ev
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.profiles import PROFILES
from prescriptions.domain.state import HELD, Prescription, Status
from prescriptions.domain.table import TABLE
from prescriptions.domain.values import PartialReason, Reason, Schedule
from prescriptions.testing import stories as s

IN_CELLS = {
    "INVALID_STATE_TRANSITION",
    "PRESCRIPTION_EXPIRED",
    "PRESCRIPTION_WITH_ANOTHER_DISPENSER",
    "CANCEL_NEEDS_PHARMACY",
    "DUPLICATE_DISPENSE",
}
Make = Callable[[s.Story, int], c.Command]
MOVES: list[tuple[Make, Actor]] = [
    (lambda story, n: c.CreatePrescription(story.content), s.PRESCRIBER),
    (lambda story, n: c.AmendPrescription(s.content(refills_allowed=n % 3)), s.PRESCRIBER),
    (lambda story, n: story.signing(), s.PRESCRIBER),
    (lambda story, n: c.IssuePrescription(), s.AGENT),
    (lambda story, n: c.NominatePharmacy((s.CORNER, s.HARBOUR)[n % 2]), s.PATIENT),
    (lambda story, n: c.ClaimPrescription(s.CORNER), s.AT_CORNER),
    (lambda story, n: c.ClaimPrescription(s.HARBOUR), s.AT_HARBOUR),
    (lambda story, n: c.ReturnPrescription(story.token, s.WHY), s.AT_CORNER),
    (lambda story, n: story.partially(n % 32, n % 9), s.AT_CORNER),
    (lambda story, n: story.partially(n % 32, n % 9, partial_reason=PartialReason.PATIENT_REQUEST), s.AT_HARBOUR),
    (lambda story, n: story.wholly(story.state.remaining_this_fill if story.events else 30, n), s.AT_CORNER),
    (lambda story, n: story.wholly(n % 32, n, short_close=True, short_close_reason=s.WHY), s.AT_CORNER),
    (lambda story, n: c.RecordNotDispensed(story.token, s.WHY), s.AT_CORNER),
    (lambda story, n: c.ReverseDispense(s.CORNER, last_id(story.state, n), s.WHY), s.AT_CORNER),
    (lambda story, n: c.CancelPrescription(s.WHY if n % 4 else Reason()), s.PRESCRIBER),
    (lambda story, n: c.SuspendPrescription(s.WHY), s.PRESCRIBER),
    (lambda story, n: c.ResumePrescription(), s.PRESCRIBER),
    (lambda story, n: c.ExpirePrescription(), s.SYSTEM),
    (lambda story, n: c.MarkEnteredInError(s.WHY), s.PRESCRIBER),
]
ANYBODY = [s.PRESCRIBER, s.OTHER_PRESCRIBER, s.AGENT, s.PATIENT, s.AT_CORNER, s.AT_HARBOUR, s.SYSTEM, s.IMPORTER]


def last_id(state: Prescription, number: int) -> Any:
    return state.dispenses[-1].dispense_id if state.dispenses else s.dispense_id(number)


steps = st.lists(
    st.tuples(
        st.sampled_from(MOVES),
        st.integers(0, 1_000),
        st.one_of(st.none(), st.none(), st.none(), st.sampled_from(ANYBODY)),
        st.sampled_from([0, 0, 1, 24, 80, 24 * 40]),
    ),
    max_size=25,
)
lives = st.builds(
    lambda profile, schedule, refills: s.untold(PROFILES[profile], schedule=schedule, refills_allowed=refills),
    st.sampled_from(sorted(PROFILES)),
    st.sampled_from([Schedule.NONE, Schedule.II, Schedule.III]),
    st.integers(0, 2),
)
beginnings = st.sampled_from(
    [s.untold, s.draft, s.issued, s.claimed, s.begun, s.awaiting_refill, s.completed, s.on_hold]
)


def live(story: s.Story, taken: list[Any], see: Callable[[s.Story, Prescription, Any], None]) -> None:
    """Ask for every step; what is decided becomes part of the story. ``see`` gets the state before and the outcome."""
    for (make, usual), number, somebody, hours in taken:
        story.later(hours=hours)
        command = make(story, number)
        token = f"token-{len(story.events)}"
        before = story.state
        outcome = story.when(command, somebody or usual, claim_token_sha256=sha256(token.encode()).digest())
        if outcome.decided is not None:
            story.events.append(outcome.decided)
            if isinstance(outcome.decided, ev.PrescriptionClaimed):
                story.token = token
        see(story, before, outcome)


@given(lives, steps)
def test_an_event_leads_to_a_target_of_its_row_and_a_refusal_is_one_the_table_names(story: s.Story, taken: Any) -> None:
    def see(now: s.Story, before: Prescription, outcome: Any) -> None:
        row = TABLE.cell(before.status, type(outcome.command))
        if outcome.refusal is not None:
            assert now.state == before
            assert outcome.refusal.reason in (row.guards if row else IN_CELLS)
        else:
            assert row is not None
            assert now.state.status in (row.targets or (before.status,))

    live(story, taken, see)


@given(beginnings, steps)
def test_no_fill_ever_hands_out_more_than_was_prescribed(begin: Callable[[], s.Story], taken: Any) -> None:
    def see(now: s.Story, _before: Prescription, _outcome: Any) -> None:
        state = now.state
        per_fill: Counter[int] = Counter()
        for dispense in state.dispenses:
            per_fill[dispense.fill_number] += int(dispense.quantity.value)
        limit = int(state.content.quantity.value) if state.content else 0
        assert all(0 < handed_out <= limit for handed_out in per_fill.values())
        assert all(fill <= (state.content.refills_allowed if state.content else 0) for fill in per_fill)

    live(begin(), taken, see)


@given(beginnings, steps)
def test_status_claim_and_fills_agree(begin: Callable[[], s.Story], taken: Any) -> None:
    def see(now: s.Story, _before: Prescription, _outcome: Any) -> None:
        state = now.state
        if state.status is Status.NONE:
            return
        assert (state.claim is not None) == (state.status in HELD)
        assert (state.status is Status.PARTIALLY_DISPENSED) <= bool(state.parts)
        assert (state.status is Status.WITH_PHARMACY) <= (not state.parts)
        assert (state.status is Status.ISSUED) <= (state.fills_done == 0)
        assert (state.status is Status.AWAITING_REFILL) <= (state.fills_done > 0 and state.refills_remaining >= 0)
        assert (state.status is Status.COMPLETED) <= (state.refills_remaining < 0)
        assert {d.dispense_id for d in state.dispenses} <= state.seen_dispense_ids

    live(begin(), taken, see)


@given(beginnings, steps)
def test_deciding_twice_gives_the_same(begin: Callable[[], s.Story], taken: Any) -> None:
    def see(now: s.Story, before: Prescription, outcome: Any) -> None:
        facts = now.facts(s.IMPORTER, claim_token_sha256=b"h" * 32)
        again = [now.given.when(outcome.command, facts) for _ in range(2)]
        assert again[0].decided == again[1].decided
        assert str(again[0].refusal) == str(again[1].refusal)
        assert request_hash(outcome.command, s.PATIENT) == request_hash(outcome.command, s.PATIENT)

    live(begin(), taken, see)


@settings(max_examples=50)
@given(beginnings, steps)
def test_reversing_restores_what_was_there_before_the_dispense(begin: Callable[[], s.Story], taken: Any) -> None:
    def see(now: s.Story, before: Prescription, outcome: Any) -> None:
        if not isinstance(outcome.decided, ev.MedicationDispensed | ev.MedicationPartiallyDispensed):
            return
        undo = ev.DispenseReversed(outcome.decided.dispense_id, outcome.decided.quantity)
        after = PRESCRIPTION.evolve(now.state, undo)
        assert after.seen_dispense_ids == before.seen_dispense_ids | {outcome.decided.dispense_id}
        for name in ("status", "fills_done", "dispenses", "last_claim", "claim_open", "remaining_this_fill"):
            assert getattr(after, name) == getattr(before, name), name

    live(begin(), taken, see)


@given(st.lists(st.decimals("0.001", "9.999", places=3), min_size=1, max_size=6))
def test_parts_sum_exactly_whatever_their_decimals(amounts: list[Decimal]) -> None:
    story = s.claimed(quantity=s.tablets(sum(amounts)))
    for number, amount in enumerate(amounts[:-1]):
        story.part(amount, number)
    assert story.state.remaining_this_fill == amounts[-1]
    story.dispense(amounts[-1], 99)
    assert story.state.status is Status.AWAITING_REFILL


@pytest.mark.parametrize("begin", [s.issued, s.claimed, s.begun, s.awaiting_refill, s.on_hold])
def test_what_is_forfeited_and_what_was_handed_out_make_what_was_prescribed(begin: Callable[[], s.Story]) -> None:
    story = begin().later(days=400).do(c.ExpirePrescription(), s.SYSTEM)
    handed_out = sum(d.quantity.value for d in story.state.dispenses)
    assert story.state.quantity_forfeited is not None
    assert story.state.quantity_forfeited.value + handed_out == 90
