"""Policy profiles: what differs between jurisdictions and customers, as data.

Limits named in law carry their source; the other numbers are policies that a customer is expected to set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias

from prescriptions.domain.values import PartialReason, Schedule

UnitKey: TypeAlias = tuple[str, str]
"""A unit as (system, code); a unit known by its text alone is ("", text in lower case)."""


class ClockBasis(Enum):
    """From when the clock of a partly filled prescription runs."""

    WRITTEN_DATE = "the day it was written; the clock ends with a day (UTC)"
    FIRST_PART = "the first part handed out for one of the clock's reasons"
    LAST_PART = "the newest part handed out for one of the clock's reasons"


@dataclass(frozen=True, slots=True)
class PartialClock:
    """The rest of a fill may be handed out until ``limit`` after ``basis``; no ``reasons`` means whatever the reason."""

    basis: ClockBasis
    limit: timedelta
    reasons: frozenset[PartialReason] = frozenset()


@dataclass(frozen=True, slots=True)
class ScheduleRule:
    """What a profile asks of one schedule. ``expiry_months`` count from the moment of issue."""

    expiry_months: int
    refills_max: int
    dea_required: bool = False
    signing_factors_min: int = 0
    partial_reason_required: bool = False
    partial_clocks: tuple[PartialClock, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """The rules of one place.

    ``npi_required`` and ``ncpdp_required``: whether prescribers and nominated pharmacies are known by these ids here; the
    switches beside them say how strictly the ids are read. ``nomination_binds``: only the nominated pharmacy may claim.
    ``cancellers``: roles beside the author that may cancel while no pharmacy holds it. ``refill_share``: the share of
    ``days_supply`` that must have passed since the last fill. ``equal_units``: pairs of units that count as the same.
    ``reversal_window``: how long after its hand-over a dispense may be reversed, None for ever.
    """

    name: str
    schedules: Mapping[Schedule, ScheduleRule]
    npi_required: bool = True
    npi_first_digit: bool = False
    ncpdp_required: bool = True
    ncpdp_check_digit: bool = True
    nomination_binds: bool = True
    cancellers: frozenset[str] = frozenset()
    refill_share: Decimal | None = None
    equal_units: frozenset[frozenset[UnitKey]] = field(default_factory=frozenset)
    reversal_window: timedelta | None = timedelta(days=14)


REFILLS_MAX: Final = 99
CONTROLLED: Final = frozenset({Schedule.II, Schedule.III, Schedule.IV, Schedule.V})

_ASKED_FOR: Final = frozenset({PartialReason.PATIENT_REQUEST, PartialReason.PRESCRIBER_REQUEST})

_US_II: Final = ScheduleRule(
    expiry_months=6,  # a policy: federal law sets no time, states do
    refills_max=0,  # 21 CFR 1306.12(a)
    dea_required=True,
    signing_factors_min=2,  # 21 CFR 1311.115
    partial_reason_required=True,
    partial_clocks=(
        PartialClock(ClockBasis.WRITTEN_DATE, timedelta(days=30), _ASKED_FOR),  # 21 USC 829(f), 21 CFR 1306.13(b)
        PartialClock(ClockBasis.FIRST_PART, timedelta(hours=72), frozenset({PartialReason.STOCK})),  # 1306.13(a)
    ),
)
_US_III_IV: Final = ScheduleRule(
    expiry_months=6,  # 21 CFR 1306.22(a); parts end with it too, 1306.23
    refills_max=5,  # 21 CFR 1306.22(a)
    dea_required=True,
    signing_factors_min=2,
)

US: Final = Profile(
    name="us",
    schedules={
        Schedule.II: _US_II,
        Schedule.III: _US_III_IV,
        Schedule.IV: _US_III_IV,
        Schedule.V: ScheduleRule(12, REFILLS_MAX, dea_required=True, signing_factors_min=2),
        Schedule.NONE: ScheduleRule(12, REFILLS_MAX),
        Schedule.UNKNOWN: _US_II,  # as strict as any schedule it may be
    },
)


def _national_service(name: str, expiry_months: int) -> Profile:
    """A national service without NPI, NCPDP and DEA numbers; what is owed lapses 180 days after the last hand-over."""
    clocks = (PartialClock(ClockBasis.LAST_PART, timedelta(days=180)),)
    refills_max = {Schedule.II: 0, Schedule.UNKNOWN: 0, Schedule.III: 5, Schedule.IV: 5}
    return Profile(
        name=name,
        schedules={
            schedule: ScheduleRule(
                expiry_months,
                refills_max.get(schedule, REFILLS_MAX),
                signing_factors_min=0 if schedule is Schedule.NONE else 2,
                partial_clocks=clocks,
            )
            for schedule in Schedule
        },
        npi_required=False,
        ncpdp_required=False,
    )


ACUTE: Final = _national_service("acute", 6)
REPEAT: Final = _national_service("repeat", 12)
PATIENT_WITHDRAWAL: Final = replace(US, name="patient_withdrawal", cancellers=frozenset({"patient", "representative"}))

PROFILES: Final[Mapping[str, Profile]] = {profile.name: profile for profile in (US, ACUTE, REPEAT, PATIENT_WITHDRAWAL)}
