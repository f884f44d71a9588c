"""Between protobuf's values and Python's: exact, or refused with the field's name.

Whether a message is there at all is the caller's to ask (``HasField``). Times are UTC with microseconds:
a Timestamp's last three digits, which no store keeps, are dropped, never rounded up.
"""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date as DateMessage
from google.type.decimal_pb2 import Decimal as DecimalMessage

from eventkernel.envelope import from_micros, to_micros
from eventkernel.errors import InvalidCommand

DIGITS_MAX = 28
SCALE_MAX = 12
DURATION_SECONDS_MAX = 315_576_000_000

_TIMESTAMP_SECONDS = range(-62_135_596_800, 253_402_300_800)
_NANOS = 1_000_000_000
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)\Z")


def to_timestamp(moment: datetime) -> Timestamp:
    """A Timestamp of an aware datetime."""
    seconds, micros = divmod(to_micros(moment), 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def from_timestamp(value: Timestamp, field: str) -> datetime:
    """The UTC datetime; microseconds, the rest dropped. Raises ``InvalidCommand`` outside of years 1 to 9999."""
    if value.seconds not in _TIMESTAMP_SECONDS:
        raise InvalidCommand(field, "must be between the years 1 and 9999")
    if not 0 <= value.nanos < _NANOS:
        raise InvalidCommand(field, "must have nanos from 0 to 999999999")
    return from_micros(value.seconds * 1_000_000 + value.nanos // 1000)


def to_duration(span: timedelta) -> Duration:
    """A Duration of a timedelta; seconds and nanos have the same sign."""
    micros = span // timedelta(microseconds=1)
    seconds, rest = divmod(abs(micros), 1_000_000)
    sign = -1 if micros < 0 else 1
    return Duration(seconds=sign * seconds, nanos=sign * rest * 1000)


def from_duration(value: Duration, field: str) -> timedelta:
    """The timedelta; microseconds, the rest dropped towards zero. Raises ``InvalidCommand`` for what is no Duration."""
    if abs(value.seconds) > DURATION_SECONDS_MAX or abs(value.nanos) >= _NANOS:
        raise InvalidCommand(field, "must be at most 10,000 years and its nanos below a second")
    if value.seconds * value.nanos < 0:
        raise InvalidCommand(field, "must have seconds and nanos of the same sign")
    micros = abs(value.nanos) // 1000
    return timedelta(seconds=value.seconds, microseconds=micros if value.nanos >= 0 else -micros)


def to_date(day: date) -> DateMessage:
    """A google.type.Date with year, month and day."""
    return DateMessage(year=day.year, month=day.month, day=day.day)


def from_date(value: DateMessage, field: str) -> date:
    """The date. Raises ``InvalidCommand`` for a year or month alone and for days that no calendar has."""
    if not (value.year and value.month and value.day):
        raise InvalidCommand(field, "must have year, month and day")
    try:
        return date(value.year, value.month, value.day)
    except (ValueError, OverflowError) as error:
        raise InvalidCommand(field, "must be a day that exists") from error


def to_decimal(number: Decimal) -> DecimalMessage:
    """A google.type.Decimal in plain digits; trailing zeros stay. The number must be finite."""
    if not number.is_finite():
        raise ValueError(f"{number} has no decimal digits")
    return DecimalMessage(value=format(number, "f"))


def from_decimal(
    value: DecimalMessage, field: str, *, digits_max: int = DIGITS_MAX, scale_max: int = SCALE_MAX
) -> Decimal:
    """The number, exactly. Plain digits with an optional sign and point; no exponent, nothing empty.

    ``digits_max`` counts digits without leading zeros, ``scale_max`` those after the point.
    """
    text = value.value
    if len(text) > 2 * (digits_max + scale_max) or not _DECIMAL.match(text):
        raise InvalidCommand(field, "must be a number in plain decimal digits")
    whole, _, fraction = text.lstrip("+-").partition(".")
    if len(fraction) > scale_max:
        raise InvalidCommand(field, f"must have at most {scale_max} digits after the point")
    if len((whole + fraction).lstrip("0")) > digits_max:
        raise InvalidCommand(field, f"must have at most {digits_max} digits")
    number = Decimal(text)
    return number or abs(number)
