"""What differs between the SQL of SQLite and of Postgres, as data.

Column types and what they mean for order and equality, the same in both and in Python:

=========  ==============================  ===================  ======================================================
type       SQLite                          Postgres             why
=========  ==============================  ===================  ======================================================
TEXT       TEXT (BINARY)                   TEXT COLLATE "C"     order of UTF-8 bytes is the order of code points
INTEGER    INTEGER                         BIGINT               64 bit in both
BOOLEAN    INTEGER 0/1                     BOOLEAN              false sorts before true
TIME       INTEGER, µs since 1970 UTC      TIMESTAMPTZ          exact to the microsecond
DATE       TEXT, ISO 8601                  DATE                 ISO text sorts as dates do
DECIMAL    TEXT, canonical, COLLATE        NUMERIC              exact; SQLite's own numbers are floats
           decimal_order
BYTES      BLOB                            BYTEA                byte order
=========  ==============================  ===================  ======================================================

A SQLite connection that touches a DECIMAL column registers ``decimal_order`` and ``decimal_add`` (below) first.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from eventkernel.envelope import from_micros, to_micros
from eventkernel.view import ColumnType
from eventkernel.view_sums import EXACT

Conversion: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """Templates and conversions. A type without a conversion is passed to and taken from the driver as it is.

    ``contains`` has the fields {column} and {text}, ``any_of`` {column} and {values} (one parameter: ``encode_list`` of the
    values), ``decimal_sum`` {stored} and {added}. ``literal`` writes an encoded value into DDL, where no parameters
    may stand. ``row_list`` precedes the tuples of ``(a, b) IN (…)``.
    """

    name: str
    placeholder: str
    types: Mapping[ColumnType, str]
    encode: Mapping[ColumnType, Conversion]
    decode: Mapping[ColumnType, Conversion]
    literal: Callable[[Any], str]
    contains: str
    any_of: str
    encode_list: Callable[[Sequence[str]], Any]
    decimal_sum: str
    lock_rows: str
    row_list: str
    table_options: str

    def encoded(self, kind: ColumnType, value: Any) -> Any:
        """The driver's value of a column's value; None stays None."""
        convert = self.encode.get(kind)
        return value if convert is None or value is None else convert(value)


def exact_decimal(value: Decimal | int) -> Decimal:
    """The value as a Decimal; what is not exact or not finite is refused."""
    if not isinstance(value, (Decimal, int)):
        raise TypeError(f"a DECIMAL column holds Decimal or int, not {type(value).__name__}")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"a DECIMAL column holds finite numbers, not {number}")
    return number


def aware(moment: datetime) -> datetime:
    """The moment itself; one without a time zone is refused, which Postgres would read in the session's."""
    if moment.tzinfo is None:
        raise TypeError(f"a TIME column holds moments with a time zone, not {moment.isoformat()}")
    return moment


def plain_text(value: str) -> str:
    """The text itself, also of a subclass: psycopg would write the name of an enum's member, not its value."""
    return value if type(value) is str else str.__str__(value)


def decimal_text(value: Decimal | int) -> str:
    """The canonical text: no exponent, no trailing zeros, no minus before zero; the value is never rounded."""
    number = exact_decimal(value)
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimal_order(left: str, right: str) -> int:
    """Collation: compares canonical texts as the numbers they are."""
    if left == right:
        return 0
    return -1 if Decimal(left) < Decimal(right) else 1


def decimal_add(left: str, right: str) -> str:
    """SQL function: the exact sum of two canonical texts."""
    return decimal_text(EXACT.add(Decimal(left), Decimal(right)))


def sqlite_literal(value: Any) -> str:
    """An encoded value as SQLite writes it."""
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(int(value))


def postgres_literal(value: Any) -> str:
    """A value as Postgres writes it; typed literals are constants, so they may stand in an index's condition."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, bytes):
        return f"BYTEA '\\x{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.astimezone(UTC).isoformat()}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return decimal_text(value)


def _json_list(values: Sequence[str]) -> str:
    return json.dumps(list(values), ensure_ascii=False)


SQLITE = Dialect(
    name="sqlite",
    placeholder="?",
    types={
        ColumnType.TEXT: "TEXT",
        ColumnType.INTEGER: "INTEGER",
        ColumnType.BOOLEAN: "INTEGER",
        ColumnType.TIME: "INTEGER",
        ColumnType.DATE: "TEXT",
        ColumnType.DECIMAL: "TEXT COLLATE decimal_order",
        ColumnType.BYTES: "BLOB",
    },
    encode={
        ColumnType.BOOLEAN: int,
        ColumnType.TIME: to_micros,
        ColumnType.DATE: date.isoformat,
        ColumnType.DECIMAL: decimal_text,
    },
    decode={
        ColumnType.BOOLEAN: bool,
        ColumnType.TIME: from_micros,
        ColumnType.DATE: date.fromisoformat,
        ColumnType.DECIMAL: Decimal,
    },
    literal=sqlite_literal,
    contains="instr(lower({column}), {text}) > 0",
    any_of="{column} IN (SELECT value FROM json_each({values}))",
    encode_list=_json_list,
    decimal_sum="decimal_add({stored}, {added})",
    lock_rows="",
    row_list="VALUES ",
    table_options=" STRICT",
)

POSTGRES = Dialect(
    name="postgres",
    placeholder="%s",
    types={
        ColumnType.TEXT: 'TEXT COLLATE "C"',
        ColumnType.INTEGER: "BIGINT",
        ColumnType.BOOLEAN: "BOOLEAN",
        ColumnType.TIME: "TIMESTAMPTZ",
        ColumnType.DATE: "DATE",
        ColumnType.DECIMAL: "NUMERIC",
        ColumnType.BYTES: "BYTEA",
    },
    encode={
        ColumnType.TEXT: plain_text,
        ColumnType.BOOLEAN: bool,
        ColumnType.TIME: aware,
        ColumnType.DECIMAL: exact_decimal,
    },
    decode={ColumnType.TIME: lambda moment: moment.astimezone(UTC), ColumnType.BYTES: bytes},
    literal=postgres_literal,
    contains='strpos(lower({column} COLLATE "C"), {text}) > 0',
    any_of="{column} = ANY({values})",
    encode_list=list,
    decimal_sum="{stored} + {added}",
    lock_rows=" FOR UPDATE",
    row_list="",
    table_options="",
)
