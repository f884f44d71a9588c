"""Check digits: published examples are valid, one digit off is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from prescriptions.domain.identifiers import dea_is_valid, luhn_sum, ncpdp_id_is_valid, npi_is_valid

# 1234567893 is CMS's worked example; the others are from US Core's examples and published tools.
VALID_NPIS = ["1234567893", "1144221847", "1245319599", "9941339100", "3412549073", "1558598797", "1993999998"]


@pytest.mark.parametrize("npi", VALID_NPIS)
def test_a_published_npi_is_valid(npi: str) -> None:
    assert npi_is_valid(npi)


@pytest.mark.parametrize("npi", VALID_NPIS)
def test_an_npi_with_any_other_last_digit_is_not(npi: str) -> None:
    assert not any(npi_is_valid(npi[:9] + digit) for digit in "0123456789" if digit != npi[9])


@pytest.mark.parametrize(
    "npi", ["", "470", "93360", "12345678930", "123456789O", " 1234567893", "1234567893\n", "١٢٣٤٥٦٧٨٩٣"]
)
def test_an_npi_is_ten_ascii_digits(npi: str) -> None:
    assert not npi_is_valid(npi)


def test_the_first_digit_of_an_npi_is_a_check_of_its_own() -> None:
    assert npi_is_valid("9941339100")
    assert not npi_is_valid("9941339100", first_digit=True)
    assert npi_is_valid("1234567893", first_digit=True)


@pytest.mark.parametrize("digits", ["49927398716", "490154203237518", "1428572"])
def test_the_luhn_sum_of_a_valid_number_ends_in_zero(digits: str) -> None:
    assert luhn_sum(digits) % 10 == 0


@pytest.mark.parametrize("digits", ["4992739871", "7894"])
def test_the_luhn_sum_of_an_invalid_number_does_not(digits: str) -> None:
    assert luhn_sum(digits) % 10 != 0


@given(st.from_regex(r"[0-9]{10}", fullmatch=True))
def test_the_constant_24_is_what_the_prefix_80840_adds(npi: str) -> None:
    assert npi_is_valid(npi) == luhn.is_valid("80840" + npi)


@pytest.mark.parametrize("number", ["AP5836727", "AJ5184279", "F91234563"])
def test_a_known_dea_number_is_valid(number: str) -> None:
    assert dea_is_valid(number)


@pytest.mark.parametrize(
    "number", ["AB4523763", "AB4523767", "AB1234569", "", "AP583672", "ap5836727", "A15836727", "AP58367270"]
)
def test_a_dea_number_made_by_a_wrong_rule_is_not(number: str) -> None:
    assert not dea_is_valid(number)


@pytest.mark.parametrize("pharmacy_id", ["0556540", "9900007", "9900019"])
def test_an_ncpdp_id_ends_in_its_check_digit(pharmacy_id: str) -> None:
    assert ncpdp_id_is_valid(pharmacy_id)
    assert not any(ncpdp_id_is_valid(pharmacy_id[:6] + digit) for digit in "0123456789" if digit != pharmacy_id[6])


def test_the_check_digit_of_an_ncpdp_id_is_a_switch() -> None:
    assert not ncpdp_id_is_valid("1234567")
    assert ncpdp_id_is_valid("1234567", check_digit=False)


@pytest.mark.parametrize("pharmacy_id", ["", "123456", "12345678", "12A4567", "1234567\n"])
def test_an_ncpdp_id_is_seven_digits(pharmacy_id: str) -> None:
    assert not ncpdp_id_is_valid(pharmacy_id, check_digit=False)
