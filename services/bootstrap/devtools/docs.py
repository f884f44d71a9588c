"""Parts of the documentation that are made from the code: `python -m bootstrap.devtools.docs [--check]`.

A generated part stands between two comments in a page that people write; only what is between them is replaced.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bootstrap.checkout import ROOT
from eventkernel.table import Transition
from prescriptions.domain import errors
from prescriptions.domain.commands import ExpirePrescription, MarkEnteredInError
from prescriptions.domain.state import LIVE, Status
from prescriptions.domain.table import ROWS, TABLE, Row

COMMAND: Final = "python -m bootstrap.devtools.docs"


@dataclass(frozen=True, slots=True)
class Part:
    """A generated part: the page, the name in its markers, and what makes its text."""

    page: str
    name: str
    make: Callable[[], str]


def main(argv: Sequence[str] | None = None) -> int:
    """Bring the pages up to date, or with `--check` only say what is out of date; then the status is 1."""
    parser = argparse.ArgumentParser(prog="bootstrap.devtools.docs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if a page is out of date")
    if parser.parse_args(argv).check:
        problems = check()
        print("\n".join(problems) or f"{len(PARTS)} generated parts are current")
        return 1 if problems else 0
    changed = generate()
    print("\n".join(f"{page}: renewed" for page in changed) or "every page is current")
    return 0


def generate(root: Path = ROOT) -> list[str]:
    """Write every generated part into its page; give the pages that changed."""
    changed = []
    for page, text in rendered(root).items():
        if (root / page).read_text() != text:
            (root / page).write_text(text)
            changed.append(page)
    return changed


def check(root: Path = ROOT) -> list[str]:
    """Say which pages are not what `generate` would make of them."""
    texts = rendered(root)
    return [
        f"{page}: out of date, run `{COMMAND}`" for page, text in texts.items() if (root / page).read_text() != text
    ]


def rendered(root: Path) -> Mapping[str, str]:
    """Every page with its generated parts as they should be. A page without a part's markers raises ``ValueError``."""
    pages: dict[str, str] = {}
    for part in PARTS:
        text = pages.get(part.page) or (root / part.page).read_text()
        pages[part.page] = between_markers(text, part)
    return pages


def between_markers(text: str, part: Part) -> str:
    """Put the part's text between its markers."""
    begin, end = f"<!-- generated: {part.name} -->\n", f"<!-- end of {part.name} -->"
    head, found_begin, rest = text.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{part.page} lacks the markers of {part.name}")
    return f"{head}{begin}{part.make()}{end}{tail}"


def prescription_diagram() -> str:
    """The state diagram, without the two commands that lead from nearly everywhere to one end."""
    everywhere = (ExpirePrescription, MarkEnteredInError)
    drawn = tuple(row for row in TABLE.transitions if row.command not in everywhere)
    reached = {status for row in drawn for status in (*row.sources, *row.targets)}
    statuses = tuple(status for status in TABLE.statuses if status in reached)
    # Refusals are not drawn, and a cell of a row that is left out may have one.
    table = replace(TABLE, statuses=statuses, transitions=drawn, refusals={})
    return f"```mermaid\n{table.mermaid()}```\n"


def prescription_commands() -> str:
    """Every command with who may send it, where it is heard, and what comes of it."""
    lines = ["| Command | By | From | Event | To | Refuses with |", "|---|---|---|---|---|---|"]
    lines += [_command_line(row) for row in ROWS]
    return "\n".join(lines) + "\n"


def _command_line(row: Row) -> str:
    transition = row.transition
    targets = ", ".join(status.name for status in transition.targets) or "the same"
    cells = (
        f"`{transition.name}`",
        ", ".join(row.roles),
        _sources(transition),
        f"`{transition.event.__name__}`",
        targets,
        _codes(transition.guards),
    )
    return f"| {' | '.join(cells)} |"


def _sources(transition: Transition[Status]) -> str:
    if transition.sources == LIVE:
        return "any live status"
    absent = [status.name for status in Status if status not in transition.sources]
    if len(absent) < len(transition.sources):
        return f"any but {', '.join(absent)}"
    return ", ".join(status.name for status in Status if status in transition.sources)


def prescription_refusals() -> str:
    """Every named refusal, by what it means to the caller."""
    names = [value for value in vars(errors).values() if isinstance(value, errors.RefusalName)]
    lines = ["| Kind | Reasons |", "|---|---|"]
    lines += [
        f"| {kind.name} | {_codes(name.reason for name in names if name.kind is kind)} |"
        for kind in dict.fromkeys(name.kind for name in names)
    ]
    return "\n".join(lines) + "\n"


def _codes(words: Iterable[str]) -> str:
    return " ".join(f"`{word}`" for word in words)


PARTS: Final = (
    Part("docs/prescriptions.md", "prescription diagram", prescription_diagram),
    Part("docs/prescriptions.md", "prescription commands", prescription_commands),
    Part("docs/prescriptions.md", "prescription refusals", prescription_refusals),
)


if __name__ == "__main__":
    sys.exit(main())
