"""``prescription_stats``: what each prescription contributes, and that what was undone contributes no more."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from prescriptions.domain import commands as c
from prescriptions.domain.values import Coding, Reason, Schedule
from prescriptions.testing.recorded import recorded, stream_of, untold
from prescriptions.testing.stories import AMOXICILLIN, AT_CORNER, PRESCRIBER, SYSTEM, WHY, Story
from prescriptions.views.durations import middle_of
from prescriptions.views.prescription_stats import PRESCRIPTION_STATS, coding_and_text, quantity_of, reason_of


def issued(**changes: Any) -> Story:
    return untold(**changes).create().sign().issue()


def counts(table: Any, kind: str) -> Mapping[Any, int]:
    """Counts of one kind, by key, or by key and subkey where there is one."""
    return {
        (key, subkey) if subkey else key: row["count"]
        for (found, key, subkey), row in table.rows.items()
        if found == kind
    }


def test_each_prescription_counts_once_in_its_status_and_schedule(fold: Any) -> None:
    table = fold(PRESCRIPTION_STATS, untold().create(), issued(), issued(schedule=Schedule.IV))
    assert counts(table, "status") == {"DRAFT": 1, "ISSUED": 2}
    assert counts(table, "schedule") == {"NONE": 2, "IV": 1}


def test_totals_count_what_ever_happened(fold: Any) -> None:
    cancelled = issued().do(c.CancelPrescription(WHY), PRESCRIBER)
    expired = issued().later(days=730).do(c.ExpirePrescription(), SYSTEM)
    unfilled = issued().claim()
    unfilled.do(c.RecordNotDispensed(unfilled.token, WHY), AT_CORNER)
    table = fold(PRESCRIPTION_STATS, untold().create(), cancelled, expired, unfilled)
    assert counts(table, "total") == {
        "created": 4,
        "issued": 3,
        "claimed": 1,
        "cancelled": 1,
        "expired": 1,
        "not_dispensed": 1,
    }


def test_a_fill_is_a_closed_hand_out_and_parts_are_counted_apart(fold: Any) -> None:
    table = fold(PRESCRIPTION_STATS, issued().claim().part(10, 1).dispense(20, 2).later(days=9).claim().dispense(30, 3))
    assert (counts(table, "total")["fill"], counts(table, "total")["part"]) == (2, 1)
    (((key, display), fills),) = counts(table, "filled").items()
    assert (coding_and_text(key, display), fills) == ((AMOXICILLIN, ""), 2)


def test_quantities_add_up_by_medication_and_unit(fold: Any) -> None:
    table = fold(PRESCRIPTION_STATS, issued().claim().part("0.25", 1), issued().claim().dispense(30, 1))
    ((_, _, unit), row) = next((key, row) for key, row in table.rows.items() if key[0] == "dispensed")
    quantity = quantity_of(unit, row["quantity"])
    assert (quantity.value, quantity.unit_code, row["count"]) == (Decimal("30.25"), "{tbl}", 2)


def test_a_reversed_fill_is_taken_out_of_every_count_but_remains_a_reversal(fold: Any) -> None:
    before = fold(PRESCRIPTION_STATS, issued().claim())
    after = fold(PRESCRIPTION_STATS, issued().claim().later(minutes=5).dispense(30, 1).later(days=2).reverse(1))
    added = {key: row for key, row in after.rows.items() if row != before.rows.get(key)}
    assert {key[:3]: row["count"] for key, row in added.items()} == {
        ("total", "reversed", ""): 1,
        ("day", "2026-03-04", "reversed"): 1,
    }
    assert set(before.rows) <= set(after.rows)


def test_days_are_those_on_which_things_took_effect(fold: Any) -> None:
    table = fold(PRESCRIPTION_STATS, issued().later(days=1).claim().later(days=1).dispense(30, 1))
    assert counts(table, "day") == {
        ("2026-03-02", "created"): 1,
        ("2026-03-02", "issued"): 1,
        ("2026-03-03", "claimed"): 1,
        ("2026-03-04", "fill"): 1,
    }


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Reason(Coding("urn:why", "dup", "duplicate"), "said twice"), (Coding("urn:why", "dup", "duplicate"), "")),
        (Reason(None, "changed my mind"), (None, "changed my mind")),
        (None, (None, "")),
    ],
)
def test_a_reason_is_known_by_its_code_else_by_its_text(reason: Reason | None, told: Any) -> None:
    assert coding_and_text(*reason_of(reason)) == told


def test_cancellations_count_by_reason(fold: Any) -> None:
    table = fold(PRESCRIPTION_STATS, *(issued().do(c.CancelPrescription(WHY), PRESCRIBER) for _ in range(2)))
    assert counts(table, "reason:cancelled") == {reason_of(WHY): 2}


def test_a_cancellation_that_became_void_is_no_cancellation_by_reason_any_more(fold: Any) -> None:
    story = issued().do(c.CancelPrescription(WHY), PRESCRIBER).do(c.MarkEnteredInError(WHY), PRESCRIBER)
    table = fold(PRESCRIPTION_STATS, story)
    assert not counts(table, "reason:cancelled")
    assert counts(table, "status") == {"ENTERED_IN_ERROR": 1}


def test_a_medication_without_a_code_counts_by_its_text(fold: Any) -> None:
    table = fold(PRESCRIPTION_STATS, *(issued(medication=(), medication_text=text) for text in ("tea", "tea", "honey")))
    told = {coding_and_text(key, ""): count for key, count in counts(table, "prescribed").items()}
    assert told == {(None, "tea"): 2, (None, "honey"): 1}


def test_the_first_claim_is_measured_from_the_release_and_each_claim_to_its_first_hand_out(fold: Any) -> None:
    story = issued().later(hours=2).claim().later(minutes=10).part(10, 1).later(minutes=30).dispense(20, 2)
    story.later(days=5).claim().later(minutes=20).dispense(30, 3)
    table = fold(PRESCRIPTION_STATS, story)
    (to_claim,) = (middle_of(int(key)) for key in counts(table, "issue_to_claim"))
    assert abs(to_claim - timedelta(hours=2)) <= timedelta(hours=2) / 100
    to_dispense = sorted(middle_of(int(key)) for key in counts(table, "claim_to_dispense"))
    for found, true in zip(to_dispense, (timedelta(minutes=10), timedelta(minutes=20)), strict=True):
        assert abs(found - true) <= true / 100


def test_taking_every_prescription_out_leaves_nothing(empty: Any) -> None:
    table = empty(PRESCRIPTION_STATS)
    told = [issued().claim().part("0.1", 1).dispense("29.9", 2), issued(schedule=Schedule.II).claim()]
    for number, story in enumerate(told):
        table.apply(recorded(story, stream_of(number)))
    for number in range(len(told)):
        table.remove(stream_of(number))
    assert table.rows == {}
