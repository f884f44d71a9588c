"""JSON documents read strictly: every complaint names the file, the line or the path, and the rule."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from prescriptions.imports.errors import Problem

_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", Decimal: "a number"}


@dataclass(frozen=True, slots=True)
class Node:
    """An object inside a document and the path to it.

    Accessors give the kind's empty value for what is absent, and note a problem where something breaks its rule.
    """

    file: str
    path: str
    value: dict[str, Any]
    problems: list[Problem]

    def refuse(self, name: str, rule: str) -> None:
        """Note that a member breaks a rule."""
        self.problems.append(Problem(self.file, None, self.at(name), rule))

    def at(self, name: str) -> str:
        """The path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def text(self, name: str) -> str:
        """A text, or the empty one."""
        found = self._member(name, str)
        return found.strip() if isinstance(found, str) else ""

    def flag(self, name: str) -> bool | None:
        """True, false, or None where it is absent."""
        found = self._member(name, bool)
        return found if isinstance(found, bool) else None

    def number(self, name: str) -> Decimal | None:
        """An exact number, or None."""
        found = self._member(name, Decimal)
        return found if isinstance(found, Decimal) else None

    def whole_number(self, name: str) -> int | None:
        """A whole number, or None."""
        found = self.number(name)
        if found is None:
            return None
        if found != found.to_integral_value():
            self.refuse(name, f"{found} is not a whole number")
            return None
        return int(found)

    def child(self, name: str) -> "Node":
        """An object, or an empty one."""
        found = self._member(name, dict)
        return Node(self.file, self.at(name), found if isinstance(found, dict) else {}, self.problems)

    def children(self, name: str) -> Iterator["Node"]:
        """The objects of a list."""
        found = self._member(name, list)
        for place, item in enumerate(found if isinstance(found, list) else ()):
            path = f"{self.at(name)}[{place}]"
            if isinstance(item, dict):
                yield Node(self.file, path, item, self.problems)
            else:
                self.problems.append(Problem(self.file, None, path, "must be an object"))

    def first(self, name: str) -> "Node":
        """The first object of a list, or an empty one."""
        return next(self.children(name), Node(self.file, f"{self.at(name)}[0]", {}, self.problems))

    def moment(self, name: str) -> datetime | None:
        """A FHIR dateTime as a moment in UTC: a day alone means its first instant, a year or a month alone is refused."""
        found = self.text(name)
        if not found:
            return None
        try:
            if len(found) == 10:
                day = date.fromisoformat(found)
                return datetime(day.year, day.month, day.day, tzinfo=UTC)
            moment = datetime.fromisoformat(found)
        except ValueError:
            self.refuse(name, f"{found!r} is not a day or a time with its zone")
            return None
        if moment.tzinfo is None:
            self.refuse(name, f"{found!r} lacks its time zone")
            return None
        return moment.astimezone(UTC)

    def _member(self, name: str, kind: type[object]) -> object:
        found = self.value.get(name)
        if found is not None and not isinstance(found, kind):
            self.refuse(name, f"must be {_NAMES[kind]}")
            return None
        return found


def read_document(path: Path, problems: list[Problem]) -> Node | None:
    """The file's object; None with a problem noted where it is not JSON or not an object."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(Problem(path.name, None, "", f"the file is not UTF-8: byte {error.start}"))
        return None
    except OSError as error:
        problems.append(Problem(path.name, None, "", f"the file cannot be read: {error.strerror}"))
        return None
    try:
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_constant)
    except (json.JSONDecodeError, RecursionError, _Constant) as error:
        problems.append(_not_json(path.name, text, error))
        return None
    if not isinstance(value, dict):
        problems.append(Problem(path.name, 1, "", "must be a JSON object"))
        return None
    return Node(path.name, "", value, problems)


class _Constant(ValueError):
    """NaN and the infinities, which JSON does not have."""


def _no_constant(name: str) -> object:
    raise _Constant(f"{name} is not a JSON number")


def _not_json(file: str, text: str, error: Exception) -> Problem:
    if not isinstance(error, json.JSONDecodeError):
        return Problem(file, None, "", f"not JSON: {error}")
    cut_off = not text[error.pos :].strip() or "Unterminated" in error.msg
    ending = "; the file ends too early" if cut_off else ""
    said = error.msg.removesuffix(" at")  # some of the parser's messages end in the place, some do not
    return Problem(file, error.lineno, "", f"not JSON: {said} at column {error.colno}{ending}")
