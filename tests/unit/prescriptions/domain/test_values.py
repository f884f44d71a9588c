"""How values compare."""

import pytest

from prescriptions.domain.values import Coding, PharmacyRef, Reason


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PharmacyRef("9900007"), PharmacyRef("9900007", "1234567893", "Corner")),
        (PharmacyRef(npi="1234567893"), PharmacyRef("9900007", "1234567893")),
        (PharmacyRef(name="Corner Pharmacy"), PharmacyRef("9900007", name="CORNER PHARMACY")),
    ],
)
def test_a_pharmacy_is_known_by_its_ids_and_in_old_records_by_its_name(one: PharmacyRef, other: PharmacyRef) -> None:
    assert one.is_same(other)
    assert other.is_same(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PharmacyRef("9900007", "1234567893"), PharmacyRef("9900019", "1234567893")),
        (PharmacyRef("9900007", name="Corner"), PharmacyRef(npi="1234567893", name="Corner")),
        (PharmacyRef("9900007", name="Corner"), PharmacyRef("9900019", name="Corner")),
        (PharmacyRef(), PharmacyRef()),
        (PharmacyRef(name="Corner"), PharmacyRef(name="Harbour")),
    ],
)
def test_a_name_never_stands_in_for_ids(one: PharmacyRef, other: PharmacyRef) -> None:
    assert not one.is_same(other)
    assert not other.is_same(one)


def test_a_reason_is_a_code_or_a_text() -> None:
    assert Reason(Coding("s", "c"))
    assert Reason(text="said")
    assert not Reason()
    assert not Reason(Coding("s", ""), "  ")
