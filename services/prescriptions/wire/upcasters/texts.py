"""What the first version wrote as plain texts, read where they can be read in one way only."""

import re
from datetime import date
from typing import Final

from google.type.date_pb2 import Date

# ASCII digits alone: ``\d`` and ``str.isdigit`` also take those of other scripts.
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_NCPDP_ID: Final = re.compile(r"[0-9]{7}")
_NDC: Final = re.compile(r"([0-9]{4,5})-([0-9]{3,4})-([0-9]{1,2})")
_NDC_PLAIN: Final = re.compile(r"[0-9]{11}")
_NDC_SEGMENTS: Final = frozenset({(4, 4, 2), (5, 3, 2), (5, 4, 1), (5, 4, 2)})


def date_of(text: str) -> Date | None:
    """The day of ``YYYY-MM-DD``; None for anything else, also for a day that is in no calendar."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = map(int, found.groups())
    try:
        date(year, month, day)
    except ValueError:
        return None
    return Date(year=year, month=month, day=day)


def is_ncpdp_id(text: str) -> bool:
    """Whether a pharmacy was named by its NCPDP id: seven digits. Which pharmacy that is, is for read models to look up."""
    return _NCPDP_ID.fullmatch(text) is not None


def ndc11_of(text: str) -> str:
    """The National Drug Code as 5-4-2 digits; empty where that cannot be told.

    Ten digits with dashes are 4-4-2, 5-3-2 or 5-4-1, and the short segment is padded; ten without dashes may be any of them.
    Eleven without dashes are 5-4-2 (45 CFR 162.1002, as CMS prints them).
    """
    if _NDC_PLAIN.fullmatch(text):
        return f"{text[:5]}-{text[5:9]}-{text[9:]}"
    found = _NDC.fullmatch(text)
    if found is None:
        return ""
    labeler, product, package = found.groups()
    if (len(labeler), len(product), len(package)) not in _NDC_SEGMENTS:
        return ""
    return f"{labeler:0>5}-{product:0>4}-{package:0>2}"
