"""How long what was handed out lasts. Dates are UTC days; nothing here knows which day it is."""

from datetime import date, timedelta
from typing import Final

from prescriptions.domain.state import LIVE, Dispense, Prescription
from prescriptions.domain.values import PharmacyRef, PrescriptionContent

REFILL_LEAD_DAYS: Final = 7
"""A refill falls due this many days before the supply runs out."""


def supply_days(content: PrescriptionContent, dispense: Dispense) -> int | None:
    """How many days the dispense lasts: as it says itself, else as written where it was a whole fill; None: unknown."""
    if dispense.days_supply is not None:
        return dispense.days_supply
    return None if dispense.partial or dispense.short_close else content.days_supply


def runs_out(content: PrescriptionContent, dispense: Dispense) -> date | None:
    """The first day without supply; None where it cannot be told."""
    days = supply_days(content, dispense)
    if days is None or dispense.handed_over_at is None:
        return None
    try:
        return dispense.handed_over_at.date() + timedelta(days=days)
    except OverflowError:
        return None  # old records hold any number; such a day is in no calendar


def refill_date(content: PrescriptionContent, dispense: Dispense) -> date | None:
    """The day on which what was handed out runs low, not before the day it was handed out."""
    end = runs_out(content, dispense)
    if end is None or dispense.handed_over_at is None:
        return None
    return max(end - timedelta(days=REFILL_LEAD_DAYS), dispense.handed_over_at.date())


def may_be_filled(state: Prescription) -> bool:
    """Whether it has been issued, has not come to an end, and a fill is left."""
    return state.status in LIVE and state.refills_remaining >= 0


def pharmacy_key(pharmacy: PharmacyRef | None) -> str:
    """What a pharmacy is found by: its NCPDP id, else its NPI or name marked as such; empty for none."""
    if pharmacy is None:
        return ""
    named = f"name:{pharmacy.name}" if pharmacy.name else ""
    return pharmacy.ncpdp_id or (f"npi:{pharmacy.npi}" if pharmacy.npi else named)
