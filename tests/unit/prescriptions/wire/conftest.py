"""Values of the domain's dataclasses, by their types: any by hypothesis, or the one with every field filled in."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from hypothesis import strategies as st

from prescriptions.domain import events as e
from prescriptions.domain.values import ClearPatient, PersonRef, Reason

GOLDEN = Path(__file__).parents[3] / "golden" / "prescriptions"

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: st.integers(0, 2**31 - 1),
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
    UUID: st.uuids(),
    date: st.dates(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12),
}
_SPOKEN = st.builds(Reason, coding=st.none(), text=st.text(min_size=1, max_size=20))
# What the domain always says, whatever the type allows for older records.
_FIELDS: dict[tuple[type[Any], str], st.SearchStrategy[Any]] = {
    (e.PrescriptionReturned, "reason"): _SPOKEN,
    (e.DispenseReversed, "reason"): _SPOKEN,
    (e.PrescriptionResumed, "reason"): _SPOKEN,
    (e.PrescriptionEnteredInError, "reason"): _SPOKEN,
    (e.MedicationDispensed, "short_close_reason"): st.none() | _SPOKEN,
    (e.PrescriptionCancelled, "requested_by"): st.builds(PersonRef, id=st.text(max_size=20)),
}


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type of the domain."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not ClearPatient]
        return st.one_of(*(st.none() if kind is NoneType else any_of(kind) for kind in kinds))
    if get_origin(hint) is tuple:
        return st.lists(any_of(get_args(hint)[0]), max_size=3).map(tuple)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    assert is_dataclass(hint), hint
    kind: Any = hint
    hints = get_type_hints(kind)
    return st.builds(kind, **{f.name: _field(kind, f.name, hints[f.name]) for f in fields(kind)})


def _field(kind: Any, name: str, hint: Any) -> st.SearchStrategy[Any]:
    return _FIELDS[kind, name] if (kind, name) in _FIELDS else any_of(hint)


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def values_of() -> Callable[[Any], st.SearchStrategy[Any]]:
    return any_of
