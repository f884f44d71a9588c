"""``medication_list``: which prescriptions count as something the patient takes, and under which name."""

from typing import Any

import pytest

from prescriptions.domain import commands as c
from prescriptions.domain.values import Coding
from prescriptions.testing.recorded import prescription, untold
from prescriptions.testing.stories import AMOXICILLIN, PRESCRIBER, RXNORM, WHY, content
from prescriptions.views.medication_list import MEDICATION_LIST, medication_key, medication_text


def only(table: Any) -> Any:
    (row,) = table.rows.values()
    return row


@pytest.mark.parametrize("steps", [1, 2], ids=["draft", "signed"])
def test_what_is_not_released_is_not_taken(fold: Any, steps: int) -> None:
    story = untold().create()
    if steps == 2:
        story.sign()
    assert not fold(MEDICATION_LIST, story).rows


def test_a_released_prescription_has_a_row_under_patient_medication_and_id(fold: Any) -> None:
    table = fold(MEDICATION_LIST, untold().create().sign().issue())
    assert list(table.rows) == [("patient-1", f"{RXNORM}|{AMOXICILLIN.code}", prescription(1))]
    assert only(table)["active"]
    assert only(table)["last_handed_over_at"] is None


def test_an_ended_prescription_stays_as_inactive(fold: Any) -> None:
    story = untold().create().sign().issue().do(c.CancelPrescription(WHY), PRESCRIBER)
    row = only(fold(MEDICATION_LIST, story))
    assert (row["active"], row["status"]) == (False, "CANCELLED")


def test_a_void_prescription_never_was(fold: Any) -> None:
    story = untold().create().sign().issue().do(c.MarkEnteredInError(WHY), PRESCRIBER)
    assert not fold(MEDICATION_LIST, story).rows


def test_the_last_hand_out_counts_until_it_is_reversed(fold: Any) -> None:
    story = untold().create().sign().issue().claim().later(days=1).dispense(30, 1)
    assert only(fold(MEDICATION_LIST, story))["last_handed_over_at"] == story.now
    assert only(fold(MEDICATION_LIST, story.reverse(1)))["last_handed_over_at"] is None


def test_a_medication_is_told_apart_by_its_first_code_else_by_its_text_without_case() -> None:
    second = (AMOXICILLIN, Coding("urn:other", "1"))
    assert medication_key(content()) == medication_key(content(medication=second))
    written = [content(medication=(), medication_text=text) for text in ("Honey, warm", " honey, WARM ", "Tea")]
    assert medication_key(written[0]) == medication_key(written[1]) != medication_key(written[2])


def test_a_medication_is_called_as_written_else_by_its_display_else_by_its_code() -> None:
    assert medication_text(content()) == "amoxicillin 500 mg"
    assert medication_text(content(medication_text="")) == AMOXICILLIN.display
    assert medication_text(content(medication_text="", medication=(Coding(RXNORM, "1"),))) == "1"
