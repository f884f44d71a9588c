"""When a prescription, or the rest of a fill that was begun, can no longer be handed out. Days are days in UTC."""

from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from prescriptions.domain.profiles import ClockBasis, PartialClock, Profile
from prescriptions.domain.state import Dispense, Prescription
from prescriptions.domain.values import PartialReason, Schedule


def add_months(moment: datetime, months: int) -> datetime:
    """The same day and time some months on; where that month is too short, its last day (31 October + 6 = 30 April)."""
    years, month_index = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + years, month_index + 1
    return moment.replace(year=year, month=month, day=min(moment.day, monthrange(year, month)[1]))


def expires_at(schedule: Schedule, issued_at: datetime, profile: Profile) -> datetime:
    """The first moment at which a prescription issued then is no longer good."""
    return add_months(issued_at, profile.schedules[schedule].expiry_months)


def due_at(state: Prescription, profile: Profile) -> datetime | None:
    """When the prescription runs out: its expiry, or sooner the clock of a fill that was begun. None if neither is set."""
    ends = (state.expires_at, partial_deadline(state, profile, parts_of(state.parts)))
    return min((end for end in ends if end is not None), default=None)


def parts_of(dispenses: Sequence[Dispense]) -> list[tuple[PartialReason | None, datetime]]:
    """Why and when parts were handed out, as ``partial_deadline`` wants it. A part without a time starts no clock."""
    return [(part.partial_reason, part.handed_over_at) for part in dispenses if part.handed_over_at is not None]


def partial_deadline(
    state: Prescription, profile: Profile, parts: Sequence[tuple[PartialReason | None, datetime]]
) -> datetime | None:
    """The first moment at which the rest may no longer be handed out after these parts; None when no clock runs."""
    if state.content is None:
        return None
    ends = (_end(clock, state, parts) for clock in profile.schedules[state.content.schedule].partial_clocks)
    return min((end for end in ends if end is not None), default=None)


def _end(
    clock: PartialClock, state: Prescription, parts: Sequence[tuple[PartialReason | None, datetime]]
) -> datetime | None:
    times = [at for reason, at in parts if not clock.reasons or reason in clock.reasons]
    if not times:
        return None
    match clock.basis:
        case ClockBasis.FIRST_PART:
            return times[0] + clock.limit
        case ClockBasis.LAST_PART:
            return times[-1] + clock.limit
        case ClockBasis.WRITTEN_DATE:
            written = state.written_date or (state.issued_at.date() if state.issued_at else None)
            # "Not later than 30 days after the date": the last day counts in full.
            return datetime.combine(written, time(), UTC) + clock.limit + timedelta(days=1) if written else None
