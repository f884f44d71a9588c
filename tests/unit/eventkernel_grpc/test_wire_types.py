from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date as DateMessage
from google.type.decimal_pb2 import Decimal as DecimalMessage
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.errors import InvalidCommand
from eventkernel_grpc import wire_types as wire


@given(st.datetimes(timezones=st.just(UTC)))
def test_time_comes_back_to_the_microsecond(moment: datetime) -> None:
    assert wire.from_timestamp(wire.to_timestamp(moment), "f") == moment


@given(st.timedeltas(timedelta(days=-3_652_500), timedelta(days=3_652_500)))
def test_duration_comes_back_to_the_microsecond(span: timedelta) -> None:
    assert wire.from_duration(wire.to_duration(span), "f") == span


@given(st.dates())
def test_date_comes_back(day: date) -> None:
    assert wire.from_date(wire.to_date(day), "f") == day


@given(st.decimals(-(10**15), 10**15, places=12))
def test_decimal_comes_back_digit_by_digit(number: Decimal) -> None:
    back = wire.from_decimal(wire.to_decimal(number), "f")
    assert back == number
    assert back.as_tuple().exponent == number.as_tuple().exponent


def test_digits_below_the_microsecond_are_dropped_not_rounded() -> None:
    assert wire.from_timestamp(Timestamp(seconds=-1, nanos=999_999_999), "f").microsecond == 999_999
    assert wire.from_duration(Duration(nanos=-1_999), "f") == timedelta(microseconds=-1)


@pytest.mark.parametrize(
    "value",
    [
        Timestamp(seconds=253_402_300_800),
        Timestamp(seconds=-62_135_596_801),
        Timestamp(nanos=-1),
        Timestamp(nanos=1_000_000_000),
    ],
)
def test_timestamp_out_of_range_is_refused_by_its_field(value: Timestamp) -> None:
    with pytest.raises(InvalidCommand) as caught:
        wire.from_timestamp(value, "effective_time")
    assert caught.value.field == "effective_time"


@pytest.mark.parametrize(
    "value",
    [Duration(seconds=1, nanos=-1), Duration(seconds=315_576_000_001), Duration(nanos=1_000_000_000)],
)
def test_duration_that_is_none_is_refused(value: Duration) -> None:
    with pytest.raises(InvalidCommand):
        wire.from_duration(value, "f")


@pytest.mark.parametrize(
    ("year", "month", "day"), [(0, 1, 1), (2026, 0, 0), (2026, 2, 29), (2026, 13, 1), (10_000, 1, 1), (2026, 1, -1)]
)
def test_date_that_is_no_whole_day_is_refused(year: int, month: int, day: int) -> None:
    with pytest.raises(InvalidCommand):
        wire.from_date(DateMessage(year=year, month=month, day=day), "f")


@pytest.mark.parametrize(
    "text",
    ["", ".", "+", "1e5", "NaN", "Infinity", "1_0", " 1", "1,5", "٣", "--1", "0x1", "1\n", "1." + "0" * 13, "9" * 29],
)
def test_decimal_that_is_no_plain_bounded_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidCommand):
        wire.from_decimal(DecimalMessage(value=text), "quantity.value")


@pytest.mark.parametrize(("text", "plain"), [("+2.50", "2.50"), (".5", "0.5"), ("5.", "5"), ("007", "7"), ("-0", "0")])
def test_decimal_s_other_spellings_are_read_as_the_standard_says(text: str, plain: str) -> None:
    assert str(wire.from_decimal(DecimalMessage(value=text), "f")) == plain


def test_decimal_that_is_not_finite_is_not_sent() -> None:
    with pytest.raises(ValueError, match="digits"):
        wire.to_decimal(Decimal("NaN"))
