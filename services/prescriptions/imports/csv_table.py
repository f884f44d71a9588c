"""CSV files read strictly: every complaint names the file, the line, the column and the rule."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from prescriptions.imports.errors import Problem


@dataclass(frozen=True, slots=True)
class Row:
    """One record and the line it begins on. Its accessors note a problem and return None where a rule is broken."""

    file: str
    line: int
    values: dict[str, str]
    problems: list[Problem]

    def refuse(self, column: str, rule: str) -> None:
        """Note that a column breaks a rule."""
        self.problems.append(Problem(self.file, self.line, column, rule))

    def text(self, column: str) -> str | None:
        """The column's text, which must not be empty."""
        value = self.values[column].strip()
        if not value:
            self.refuse(column, "must not be empty")
            return None
        return value

    def uuid(self, column: str) -> str | None:
        """The column as a UUID in its usual form of 36 characters."""
        value = self.values[column]
        try:
            parsed = str(UUID(value))
        except ValueError:
            parsed = ""
        if parsed != value.lower():
            self.refuse(column, f"{value!r} is not a UUID")
            return None
        return parsed

    def moment(self, column: str) -> datetime | None:
        """The column as a moment, ``YYYY-MM-DDTHH:MM:SSZ``."""
        value = self.values[column]
        try:
            return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            self.refuse(column, f"{value!r} is not a time of the form YYYY-MM-DDTHH:MM:SSZ")
            return None

    def whole_number(self, column: str, *, at_least: int, at_most: int) -> int | None:
        """The column as a whole number within two bounds."""
        value = self.values[column]
        if not (value.isascii() and value.isdigit() and len(value) < 19 and at_least <= int(value) <= at_most):
            self.refuse(column, f"{value!r} is not a whole number from {at_least} to {at_most}")
            return None
        return int(value)


def read_rows(path: Path, columns: Sequence[str], problems: list[Problem]) -> Iterator[Row]:
    """The rows of a file that has at least ``columns``; what is wrong with it goes to ``problems`` and is left out."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield from _rows(path.name, lines, columns, problems)
    except FileNotFoundError:
        problems.append(Problem(path.name, None, "", "the file is missing"))
    except OSError as error:
        problems.append(Problem(path.name, None, "", f"the file cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        problems.append(Problem(path.name, None, "", f"the file is not UTF-8: byte {error.start} of a block"))


def _rows(file: str, lines: Iterable[str], columns: Sequence[str], problems: list[Problem]) -> Iterator[Row]:
    records = csv.reader(lines, strict=True)
    header: list[str] | None = None
    line = 1
    while True:
        begins_on = line
        try:
            record = next(records)
        except StopIteration:
            break
        except csv.Error as error:
            problems.append(Problem(file, records.line_num, "", f"the line is not CSV: {error}"))
            break
        line = records.line_num + 1
        if header is None:
            header = record
            missing = [column for column in columns if column not in header]
            problems.extend(Problem(file, begins_on, column, "the header lacks this column") for column in missing)
            if missing:
                return
        elif record:
            row = _row(file, begins_on, header, record, problems)
            if row is not None:
                yield row
    if header is None:
        problems.append(Problem(file, 1, "", "the file is empty; a header was expected"))


def _row(file: str, line: int, header: list[str], record: list[str], problems: list[Problem]) -> Row | None:
    if len(record) < len(header):
        rule = f"missing: the row has {len(record)} columns, the header names {len(header)}"
        problems.append(Problem(file, line, header[len(record)], rule))
        return None
    if len(record) > len(header):
        rule = f"the row has {len(record)} columns, the header names {len(header)}"
        problems.append(Problem(file, line, "", rule))
        return None
    return Row(file, line, dict(zip(header, record, strict=True)), problems)
