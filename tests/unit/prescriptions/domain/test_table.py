"""Every cell of the transition table, the forbidden ones too."""

from dataclasses import replace
from typing import Any

import pytest

from eventkernel.testing.given_when_then import Cell, Given, cells
from prescriptions.domain import commands as c
from prescriptions.domain import errors
from prescriptions.domain import events as ev
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.events import Event
from prescriptions.domain.facts import Facts
from prescriptions.domain.state import HELD, LIVE, TERMINAL, Prescription, Status
from prescriptions.domain.table import ROWS, TABLE
from prescriptions.testing import stories as s

S = Status
ALLOWED: dict[type[Any], set[Status]] = {
    c.CreatePrescription: {S.NONE},
    c.AmendPrescription: {S.DRAFT},
    c.SignPrescription: {S.DRAFT},
    c.IssuePrescription: {S.SIGNED},
    c.NominatePharmacy: {S.ISSUED, S.AWAITING_REFILL},
    c.ClaimPrescription: {S.ISSUED, S.AWAITING_REFILL},
    c.ReturnPrescription: {S.WITH_PHARMACY},
    c.DispensePartially: {S.WITH_PHARMACY, S.PARTIALLY_DISPENSED},
    c.DispenseMedication: {S.WITH_PHARMACY, S.PARTIALLY_DISPENSED},
    c.RecordNotDispensed: {S.WITH_PHARMACY},
    c.ReverseDispense: {S.PARTIALLY_DISPENSED, S.AWAITING_REFILL, S.COMPLETED},
    c.CancelPrescription: {S.DRAFT, S.SIGNED, S.ISSUED, S.AWAITING_REFILL, S.ON_HOLD},
    c.SuspendPrescription: {S.ISSUED, S.AWAITING_REFILL},
    c.ResumePrescription: {S.ON_HOLD},
    c.ExpirePrescription: {
        S.ISSUED,
        S.WITH_PHARMACY,
        S.PARTIALLY_DISPENSED,
        S.AWAITING_REFILL,
        S.ON_HOLD,
        S.CHANGE_REQUESTED,
        S.CANCELLATION_REQUESTED,
        S.TRANSFER_REQUESTED,
    },
    c.MarkEnteredInError: set(S) - {S.NONE, S.ENTERED_IN_ERROR},
}
"""The rules written down a second time, on purpose: a cell that appears or goes must be meant."""

SAME: set[Status] = set()
OUTCOMES: dict[type[Any], tuple[type[Any], set[Status], set[str]]] = {
    c.CreatePrescription: (ev.PrescriptionCreated, {S.DRAFT}, {"INVALID_NPI", "REFILLS_NOT_ALLOWED", "INVALID_DEA"}),
    c.AmendPrescription: (ev.PrescriptionAmended, SAME, {"NOT_AUTHOR", "NO_CHANGE", "INVALID_NPI", "INVALID_DEA"}),
    c.SignPrescription: (
        ev.PrescriptionSigned,
        {S.SIGNED},
        {"NOT_AUTHOR", "HASH_MISMATCH", "TWO_FACTOR_REQUIRED"},
    ),
    c.IssuePrescription: (ev.PrescriptionIssued, {S.ISSUED}, {"NOT_AUTHOR", "HASH_MISMATCH"}),
    c.NominatePharmacy: (ev.PharmacyNominated, SAME, {"INVALID_NCPDP_ID", "NO_CHANGE"}),
    c.ClaimPrescription: (
        ev.PrescriptionClaimed,
        {S.WITH_PHARMACY},
        {"NOT_YET_VALID", "PRESCRIPTION_EXPIRED", "NOMINATED_ELSEWHERE", "REFILL_TOO_SOON"},
    ),
    c.ReturnPrescription: (ev.PrescriptionReturned, {S.ISSUED, S.AWAITING_REFILL}, {"NOT_CLAIM_HOLDER"}),
    c.DispensePartially: (
        ev.MedicationPartiallyDispensed,
        {S.PARTIALLY_DISPENSED},
        {
            "NOT_CLAIM_HOLDER",
            "QUANTITY_EXCEEDED",
            "USE_DISPENSE",
            "UNIT_MISMATCH",
            "SUBSTITUTION_NOT_ALLOWED",
            "PARTIAL_FILL_TOO_LATE",
            "DUPLICATE_DISPENSE",
        },
    ),
    c.DispenseMedication: (
        ev.MedicationDispensed,
        {S.AWAITING_REFILL, S.COMPLETED},
        {
            "NOT_CLAIM_HOLDER",
            "QUANTITY_EXCEEDED",
            "UNIT_MISMATCH",
            "SUBSTITUTION_NOT_ALLOWED",
            "PARTIAL_FILL_TOO_LATE",
            "DUPLICATE_DISPENSE",
            "REASON_REQUIRED",
        },
    ),
    c.RecordNotDispensed: (
        ev.MedicationNotDispensed,
        {S.NOT_DISPENSED},
        {"NOT_CLAIM_HOLDER", "REASON_REQUIRED", "FILL_ALREADY_BEGUN"},
    ),
    c.ReverseDispense: (
        ev.DispenseReversed,
        {S.WITH_PHARMACY, S.PARTIALLY_DISPENSED},
        {"NOT_CLAIM_HOLDER", "DISPENSE_NOT_LAST", "REVERSAL_TOO_LATE"},
    ),
    c.CancelPrescription: (ev.PrescriptionCancelled, {S.CANCELLED}, {"NOT_AUTHOR", "REASON_REQUIRED"}),
    c.SuspendPrescription: (ev.PrescriptionSuspended, {S.ON_HOLD}, {"NOT_AUTHOR", "REASON_REQUIRED"}),
    c.ResumePrescription: (
        ev.PrescriptionResumed,
        {S.ISSUED, S.AWAITING_REFILL},
        {"NOT_AUTHOR", "PRESCRIPTION_EXPIRED"},
    ),
    c.ExpirePrescription: (ev.PrescriptionExpired, {S.EXPIRED}, {"NOT_YET_EXPIRED"}),
    c.MarkEnteredInError: (
        ev.PrescriptionEnteredInError,
        {S.ENTERED_IN_ERROR},
        {"NOT_AUTHOR", "DISPENSED_CANNOT_VOID"},
    ),
}
"""What each command gives, where it leads, and the refusals that the rules name; the table may name more of these."""

REACHED: dict[tuple[type[Any], Status], Status] = {
    (c.ReturnPrescription, S.WITH_PHARMACY): S.ISSUED,
    (c.DispenseMedication, S.WITH_PHARMACY): S.AWAITING_REFILL,
    (c.DispenseMedication, S.PARTIALLY_DISPENSED): S.AWAITING_REFILL,
    (c.ReverseDispense, S.PARTIALLY_DISPENSED): S.WITH_PHARMACY,
    (c.ReverseDispense, S.AWAITING_REFILL): S.WITH_PHARMACY,
    (c.ReverseDispense, S.COMPLETED): S.WITH_PHARMACY,
    (c.ResumePrescription, S.ON_HOLD): S.ISSUED,
}
"""Where a command that can lead to several statuses leads in the stories told here: first fills, each in one part but the one
that is begun, and refills left but where it is completed."""

ASKED_BY = {
    c.NominatePharmacy: s.PATIENT,
    c.ClaimPrescription: s.AT_HARBOUR,
    c.ReturnPrescription: s.AT_CORNER,
    c.DispensePartially: s.AT_CORNER,
    c.DispenseMedication: s.AT_CORNER,
    c.RecordNotDispensed: s.AT_CORNER,
    c.ReverseDispense: s.AT_CORNER,
    c.ExpirePrescription: s.SYSTEM,
}

STORIES = {
    S.NONE: s.untold,
    S.DRAFT: s.draft,
    S.SIGNED: s.signed,
    S.ISSUED: s.issued,
    S.WITH_PHARMACY: s.claimed,
    S.PARTIALLY_DISPENSED: s.begun,
    S.AWAITING_REFILL: s.awaiting_refill,
    S.ON_HOLD: s.on_hold,
    S.COMPLETED: s.completed,
    S.NOT_DISPENSED: s.not_dispensed,
    S.CANCELLED: s.cancelled,
    S.EXPIRED: s.expired,
    S.ENTERED_IN_ERROR: s.void,
}


def story_in(status: Status) -> tuple[s.Story, Given[c.Command, Event, Prescription, Facts]]:
    """A story in this status; where none leads there, one of a held prescription with the status put in."""
    story = STORIES.get(status, s.claimed)()
    return story, replace(story.given, state=replace(story.state, status=status))


def command_of(kind: type[Any], story: s.Story) -> c.Command:
    """A command of this kind that only the status can be against."""
    commands: tuple[c.Command, ...] = (
        c.CreatePrescription(story.content),
        c.AmendPrescription(s.content(refills_allowed=0)),
        story.signing(),
        c.IssuePrescription(),
        c.NominatePharmacy(s.HARBOUR),
        c.ClaimPrescription(s.HARBOUR),
        c.ReturnPrescription(story.token, s.WHY),
        story.partially(1, 9),
        story.wholly(story.state.remaining_this_fill if story.events else 30, 9),
        c.RecordNotDispensed(story.token, s.WHY),
        c.ReverseDispense(s.CORNER, s.dispense_id(1), s.WHY),
        c.CancelPrescription(s.WHY),
        c.SuspendPrescription(s.WHY),
        c.ResumePrescription(),
        c.ExpirePrescription(),
        c.MarkEnteredInError(s.WHY),
    )
    return next(command for command in commands if type(command) is kind)


def expected_refusal(cell: Cell[Status]) -> str:
    """What a forbidden cell answers to a command that comes from another pharmacy, or brings a new dispense."""
    if cell.status is S.EXPIRED and cell.command is not c.CreatePrescription:
        return "PRESCRIPTION_EXPIRED"
    if cell.status in HELD and cell.command is c.ClaimPrescription:
        return "PRESCRIPTION_WITH_ANOTHER_DISPENSER"
    if cell.status in HELD and cell.command is c.CancelPrescription:
        return "CANCEL_NEEDS_PHARMACY"
    return "INVALID_STATE_TRANSITION"


def test_the_table_allows_what_the_rules_allow() -> None:
    assert {command: {st for st in S if TABLE.cell(st, command)} for command in TABLE.commands} == ALLOWED


@pytest.mark.parametrize("command", OUTCOMES, ids=lambda command: command.__name__)
def test_a_command_gives_the_event_of_the_rules_and_leads_where_they_say(command: type[Any]) -> None:
    (row,) = (row.transition for row in ROWS if row.transition.command is command)
    event, targets, refusals = OUTCOMES[command]
    assert (row.event, set(row.targets)) == (event, targets)
    assert refusals <= set(row.guards)


@pytest.mark.parametrize("cell", [cell for cell in cells(TABLE) if cell.row is None], ids=str)
def test_a_forbidden_cell_says_status_command_and_what_is_allowed(cell: Cell[Status]) -> None:
    story, given = story_in(cell.status)
    actor = ASKED_BY.get(cell.command, s.PRESCRIBER)
    facts = story.facts(actor, claim_token_sha256=b"h" * 32)
    refusal = given.when(command_of(cell.command, story), facts).refused(expected_refusal(cell))
    assert refusal.state == cell.status.name
    assert refusal.command == cell.command.__name__
    assert refusal.allowed == TABLE.allowed(cell.status)


@pytest.mark.parametrize("cell", [cell for cell in cells(TABLE) if cell.row is not None], ids=str)
def test_an_allowed_cell_gives_its_event_and_leads_to_its_target_or_names_a_guard(cell: Cell[Status]) -> None:
    assert cell.row is not None
    story, given = story_in(cell.status)
    if cell.command is c.ExpirePrescription:
        story.later(days=366)
    facts = story.facts(ASKED_BY.get(cell.command, s.PRESCRIBER), claim_token_sha256=b"h" * 32)
    outcome = given.when(command_of(cell.command, story), facts)
    if cell.command is c.MarkEnteredInError and story.state.dispenses:
        outcome.refused("DISPENSED_CANNOT_VOID")
        return
    event, targets, _ = OUTCOMES[cell.command]
    assert type(outcome.event) is event
    target = REACHED.get((cell.command, cell.status)) or next(iter(targets), cell.status)
    assert outcome.after.state.status is target


def test_a_refusal_by_a_guard_says_status_command_and_what_is_allowed_too() -> None:
    refusal = s.claimed().when(c.ReturnPrescription("wrong", s.WHY), s.AT_CORNER).refused("NOT_CLAIM_HOLDER")
    assert (refusal.state, refusal.command) == ("WITH_PHARMACY", "ReturnPrescription")
    assert "ReturnPrescription" in refusal.allowed


def test_only_create_begins_a_stream() -> None:
    assert [command for command in TABLE.commands if TABLE.creates(command)] == [c.CreatePrescription]


def test_every_command_has_one_row_and_every_event_one_command() -> None:
    assert len(TABLE.commands) == len(ROWS)
    assert len({row.transition.event for row in ROWS}) == len(ROWS)


def test_every_command_and_event_of_the_unions_is_in_the_table() -> None:
    assert set(TABLE.commands) == set(c.Command.__args__)
    assert {row.transition.event for row in ROWS} == set(Event.__args__)


def test_live_terminal_and_the_rest_are_all_statuses() -> None:
    assert LIVE | TERMINAL | {S.NONE, S.DRAFT, S.SIGNED} == set(S)
    assert not LIVE & TERMINAL
    assert HELD < LIVE


def test_terminal_statuses_accept_only_what_is_said_of_them() -> None:
    for status in TERMINAL:
        more = {"ReverseDispense"} if status is S.COMPLETED else set()
        void = set() if status is S.ENTERED_IN_ERROR else {"MarkEnteredInError"}
        assert set(TABLE.allowed(status)) == more | void


def test_every_guard_of_the_table_is_a_named_refusal_and_every_one_is_used() -> None:
    named = {value.reason for value in vars(errors).values() if isinstance(value, errors.RefusalName)}
    in_rows = {guard for row in ROWS for guard in row.transition.guards}
    in_cells = {"PRESCRIPTION_WITH_ANOTHER_DISPENSER", "CANCEL_NEEDS_PHARMACY"}
    assert in_rows | in_cells == named


def test_the_decider_begins_with_nothing() -> None:
    assert PRESCRIPTION.initial.status is S.NONE
    with pytest.raises(ValueError, match="no prescription yet"):
        _ = PRESCRIPTION.initial.written
