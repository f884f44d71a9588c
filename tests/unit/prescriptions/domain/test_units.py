"""When two quantities count as the same unit."""

from dataclasses import replace
from decimal import Decimal

import pytest

from prescriptions.domain.profiles import US
from prescriptions.domain.units import same_unit
from prescriptions.domain.values import Quantity

UCUM = "http://unitsofmeasure.org"
FORMS = "http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm"


def unit(code: str = "", system: str = "", text: str = "") -> Quantity:
    return Quantity(Decimal(1), code, system, text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (unit("mg", UCUM), unit("mg", UCUM)),
        (unit("mg", UCUM, "mg"), unit("mg", UCUM, "milligram")),
        (unit(text="Tablet"), unit(text="tablet ")),
        (unit("{tbl}", UCUM, "tablet"), unit("TAB", FORMS, "Tablet")),
        (unit("{tbl}", UCUM, "tablet"), unit(text="TABLET")),
        (unit(), unit()),
    ],
)
def test_same_code_or_same_text_is_the_same_unit(one: Quantity, other: Quantity) -> None:
    assert same_unit(one, other, US)
    assert same_unit(other, one, US)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (unit("mg", UCUM), unit("g", UCUM)),
        (unit("mg", UCUM, "dose"), unit("g", UCUM, "dose")),
        (unit("mg", UCUM), unit("mg", FORMS)),
        (unit("TAB", FORMS), unit(text="tablet")),
        (unit(text="tablet"), unit(text="capsule")),
        (unit("mg", UCUM), unit()),
        (unit(text="tablet"), unit()),
    ],
)
def test_anything_else_is_another_unit(one: Quantity, other: Quantity) -> None:
    assert not same_unit(one, other, US)
    assert not same_unit(other, one, US)


def test_a_profile_may_call_two_units_equal() -> None:
    pair = frozenset({(UCUM, "{tbl}"), (FORMS, "TAB")})
    profile = replace(US, equal_units=frozenset({pair}))
    assert same_unit(unit("{tbl}", UCUM), unit("TAB", FORMS), profile)
    assert not same_unit(unit("{tbl}", UCUM), unit("CAP", FORMS), profile)
