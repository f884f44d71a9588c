"""Errors of the imports.

::

    ImportRefused        root
    ├── InputRefused     files that cannot be read as what they claim to be; nothing was sent
    └── TargetLost       the command service stayed unreachable; what was sent stays, and the import can be run again
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one file: where it is, the field it is about, and the rule that it breaks.

    ``line`` counts from 1 and is None where a whole file is meant; ``field`` is a column, a path in a document, or empty.
    """

    file: str
    line: int | None
    field: str
    rule: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.field}: {self.rule}" if self.field else f"{place}: {self.rule}"


class ImportRefused(Exception):
    """Root of the tree."""


class InputRefused(ImportRefused):
    """Every problem found, in the order of the files and their lines."""

    SHOWN_MAX = 20

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        shown = [str(problem) for problem in self.problems[: self.SHOWN_MAX]]
        if len(self.problems) > self.SHOWN_MAX:
            shown.append(f"... and {len(self.problems) - self.SHOWN_MAX} more")
        super().__init__("\n".join(shown))


class TargetLost(ImportRefused):
    """A call failed in a way that may pass, as often as was allowed."""

    def __init__(self, target: str, *, attempts: int, cause: str) -> None:
        super().__init__(f"{target} did not answer after {attempts} attempts: {cause}")
        self.target = target
        self.attempts = attempts
        self.cause = cause
