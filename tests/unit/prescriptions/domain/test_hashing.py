"""What a signature is over."""

from dataclasses import fields, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from prescriptions.domain.hashing import content_sha256, is_hash_of
from prescriptions.domain.values import (
    Coding,
    Dosage,
    PersonRef,
    PharmacyRef,
    PrescriptionContent,
    Reason,
    Schedule,
    Sealed,
    Substitution,
)
from prescriptions.testing.stories import content, tablets

CHANGED: dict[str, Any] = {
    "patient_id": "patient-2",
    "prescriber": PersonRef("dr-brown"),
    "quantity": tablets(31),
    "medication": (Coding("urn:example", "1"),),
    "medication_text": "something else",
    "schedule": Schedule.V,
    "days_supply": 11,
    "refills_allowed": 3,
    "dosage": Dosage("two tablets"),
    "substitution": Substitution.DISPENSE_AS_WRITTEN,
    "reason": Reason(text="otitis media"),
    "earliest_fill": date(2026, 4, 1),
    "nominated": PharmacyRef("9900007"),
    "group_id": "group-1",
    "prior_prescription_id": UUID(int=1),
    "patient_snapshot": Sealed("key-1", b"\x01", b"\x02"),
}


@pytest.mark.parametrize("name", [field.name for field in fields(PrescriptionContent)])
def test_every_field_is_signed(name: str) -> None:
    assert content_sha256(content()) != content_sha256(content(**{name: CHANGED[name]}))


def test_the_hash_of_a_content_stays_for_ever() -> None:
    """Signatures made yesterday must match tomorrow: this value is added to by a new form, never edited."""
    assert content_sha256(content(), form=1).hex() == (
        "56cce18f56b0fa0c39fbf455b6ecfc441ea84a6f3aaa17d859e496fb7488ee16"
    )


def test_equal_amounts_have_equal_hashes() -> None:
    whole = content(quantity=tablets("30"))
    assert content_sha256(content(quantity=tablets("30.00"))) == content_sha256(whole)
    assert content_sha256(content(quantity=tablets(Decimal("3E+1")))) == content_sha256(whole)


def test_a_hash_belongs_to_its_content_only() -> None:
    assert is_hash_of(content_sha256(content()), content())
    assert not is_hash_of(content_sha256(content()), replace(content(), refills_allowed=1))
    assert not is_hash_of(b"", content())
