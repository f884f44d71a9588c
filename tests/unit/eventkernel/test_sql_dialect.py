from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.sql_dialect import POSTGRES, SQLITE, decimal_add, decimal_order, decimal_text
from eventkernel.view import ColumnType

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Decimal("1.50"), "1.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal(100), "100"),
        (Decimal("-0.00"), "0"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("-12.0"), "-12"),
        (7, "7"),
    ],
)
def test_a_decimal_has_one_text(number: Decimal | int, text: str) -> None:
    assert decimal_text(number) == text


@given(DECIMALS)
def test_a_decimals_text_reads_back_to_the_same_number(number: Decimal) -> None:
    assert Decimal(decimal_text(number)) == number


@given(DECIMALS, DECIMALS)
def test_texts_of_decimals_compare_as_the_numbers_do(left: Decimal, right: Decimal) -> None:
    assert decimal_order(decimal_text(left), decimal_text(right)) == (left > right) - (left < right)


@given(st.lists(st.decimals(min_value=-(10**20), max_value=10**20, places=9), max_size=20))
def test_adding_decimals_loses_nothing_in_any_order(numbers: list[Decimal]) -> None:
    forwards = backwards = "0"
    for number in numbers:
        forwards = decimal_add(forwards, decimal_text(number))
    for number in reversed(numbers):
        backwards = decimal_add(decimal_text(number), backwards)
    assert forwards == backwards
    assert Fraction(forwards) == sum(map(Fraction, numbers))


@pytest.mark.parametrize("value", [1.5, "1.5"])
def test_what_is_not_exact_is_no_decimal(value: object) -> None:
    with pytest.raises(TypeError, match="holds Decimal or int"):
        SQLITE.encoded(ColumnType.DECIMAL, value)


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_what_is_not_finite_is_no_decimal(value: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        decimal_text(Decimal(value))


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        SQLITE.encoded(ColumnType.TIME, datetime(2026, 3, 1))  # noqa: DTZ001 - the mistake under test


def test_a_time_of_any_zone_comes_back_as_the_same_moment_in_utc() -> None:
    moment = datetime(2026, 3, 1, 8, 0, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    stored = SQLITE.decode[ColumnType.TIME](SQLITE.encoded(ColumnType.TIME, moment))
    assert (stored, stored.tzinfo) == (moment, UTC)
    assert POSTGRES.decode[ColumnType.TIME](moment).tzinfo is UTC
