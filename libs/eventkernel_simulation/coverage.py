"""Which marked branches of the modules that ship a run went through, and which it never did."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from eventkernel import marks

PACKAGES: Final = ("eventkernel.runtime", "eventkernel_cassandra")
"""What runs in the simulation."""

_MARK = re.compile(r"marks\.hit\((.*?)\)\n", re.DOTALL)
_NAME = re.compile(r'"([^"]+)"')


def all_marks() -> frozenset[str]:
    """Every mark there is, found in the source."""
    found: set[str] = set()
    for package in PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for module in sorted(Path(folder).glob("*.py")):
                for arguments in _MARK.findall(module.read_text(encoding="utf-8")):
                    found.update(_NAME.findall(arguments))
    return frozenset(found)


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count marks for the time of the block."""
    hits: Counter[str] = Counter()

    def hit(name: str) -> None:
        hits[name] += 1

    before, marks.hit = marks.hit, hit
    try:
        yield hits
    finally:
        marks.hit = before
