"""How much one fill is, and for how long: Synthea names the product, not the amount.

The dose form at the end of the RxNorm name picks the rule, so that the amounts are those a pharmacy would hand out: so many
a day for what is taken daily, whole packages for what comes in packages.
"""

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache

from prescriptions.domain.values import Quantity
from prescriptions.imports.systems import UCUM

DAYS_SUPPLY_USUAL = 30
DAYS_SUPPLY_MAX = 90

_HOURS_WORN = re.compile(r"^(\d+) HR .*Transdermal System$")


@dataclass(frozen=True, slots=True)
class _Form:
    """A dose form: what its name holds, its unit, and either so much a day or so much a fill."""

    words: str
    unit_code: str
    unit_text: str
    per_day: int = 0
    per_fill: int = 0


# The first that fits counts.
_FORMS = (
    _Form("Day Pack", "{pack}", "pack", per_fill=1),
    _Form("Implant", "{implant}", "implant", per_fill=1),
    _Form("Intrauterine System", "{device}", "device", per_fill=1),
    _Form("Vaginal System", "{ring}", "ring", per_fill=1),
    _Form("Metered Dose Inhaler", "{inhaler}", "inhaler", per_fill=1),
    _Form("Dry Powder Inhaler", "{inhaler}", "inhaler", per_fill=1),
    _Form("Mucosal Spray", "{bottle}", "bottle", per_fill=1),
    _Form("Auto-Injector", "{auto-injector}", "auto-injector", per_fill=2),
    _Form("Prefilled Syringe", "{syringe}", "syringe", per_day=1),
    _Form("Inhalation Solution", "mL", "mL", per_day=3),
    _Form("Oral Solution", "mL", "mL", per_day=10),
    _Form("Oral Suspension", "mL", "mL", per_day=10),
    _Form("Topical Cream", "g", "g", per_fill=30),
    _Form("Oral Gel", "g", "g", per_fill=56),
    _Form("Injectable", "{vial}", "vial", per_fill=1),
    _Form("Injection", "{vial}", "vial", per_fill=1),
    _Form("Powder", "{sachet}", "sachet", per_fill=1),
    _Form("Capsule", "{capsule}", "capsule", per_day=1),
    _Form("Tablet", "{tablet}", "tablet", per_day=1),
)
_OTHER = _Form("", "{unit}", "unit", per_fill=1)


def days_supply_of(interval: timedelta) -> int:
    """How many days a fill lasts: until the next one, at least 1 and at most 90; 30 where that is not known."""
    days = round(interval / timedelta(days=1))
    return min(max(days, 1), DAYS_SUPPLY_MAX) if interval else DAYS_SUPPLY_USUAL


@lru_cache(maxsize=4096)
def quantity_of(description: str, days_supply: int) -> Quantity:
    """The amount of one fill of a product that lasts so many days."""
    worn = _HOURS_WORN.match(description)
    if worn:
        patches = math.ceil(days_supply * 24 / int(worn.group(1)))
        return Quantity(Decimal(patches), "{patch}", UCUM, "patch")
    form = next((form for form in _FORMS if form.words in description), _OTHER)
    return Quantity(Decimal(form.per_fill or form.per_day * days_supply), form.unit_code, UCUM, form.unit_text)
