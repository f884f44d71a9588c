"""Check digits of the ids used in US prescribing. A valid number has the right shape; whether it was ever given out is
another question, which only a registry answers.
"""

import re

_NPI = re.compile(r"[0-9]{10}\Z")
_DEA = re.compile(r"[A-Z][A-Z9][0-9]{7}\Z")
_NCPDP = re.compile(r"[0-9]{7}\Z")
_NPI_PREFIX_SUM = 24
"""What the digits of 80840 add to the Luhn sum when they lead a ten-digit number (45 CFR 162.406; CMS, NPI check digit)."""


def npi_is_valid(npi: str, *, first_digit: bool = False) -> bool:
    """Ten digits whose Luhn sum with the prefix 80840 is a multiple of ten.

    ``first_digit`` also asks for a 1 or a 2 in front (69 FR 3434). It is a switch because published examples break it.
    """
    if not _NPI.match(npi):
        return False
    return (luhn_sum(npi) + _NPI_PREFIX_SUM) % 10 == 0 and (not first_digit or npi[0] in "12")


def luhn_sum(digits: str) -> int:
    """Add the digits, every second one from the right doubled and its own digits added (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total


def dea_is_valid(number: str) -> bool:
    """Two letters (the second may be a 9, for a business name) and seven digits of which the last is the check digit.

    No government page with a worked example was found; see docs/prescriptions.md for the provenance.
    """
    return bool(_DEA.match(number)) and _odd_plus_twice_even(number[2:8]) % 10 == int(number[8])


def ncpdp_id_is_valid(pharmacy_id: str, *, check_digit: bool = True) -> bool:
    """Seven digits. ``check_digit`` also asks that the last follows from the six before, as in a DEA number.

    NCPDP publishes the shape but not the sum. The rule was inferred from ids that mail-order pharmacies publish (the Luhn
    sum does not fit them), so it is a switch of its own.
    """
    if not _NCPDP.match(pharmacy_id):
        return False
    return not check_digit or _odd_plus_twice_even(pharmacy_id[:6]) % 10 == int(pharmacy_id[6])


def _odd_plus_twice_even(six_digits: str) -> int:
    digits = [int(digit) for digit in six_digits]
    return sum(digits[0::2]) + 2 * sum(digits[1::2])
