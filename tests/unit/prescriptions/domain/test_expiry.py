"""Months clamp to the month's end; each schedule has its time."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prescriptions.domain.expiry import add_months, due_at, expires_at
from prescriptions.domain.profiles import ACUTE, REPEAT, US, Profile
from prescriptions.domain.values import PartialReason, Schedule
from prescriptions.testing import stories


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        (date(2011, 8, 29), 6, date(2012, 2, 29)),
        (date(2011, 10, 31), 6, date(2012, 4, 30)),
        (date(2010, 8, 29), 6, date(2011, 2, 28)),
        (date(2012, 2, 29), 12, date(2013, 2, 28)),
        (date(2026, 12, 15), 1, date(2027, 1, 15)),
        (date(2026, 6, 30), 6, date(2026, 12, 30)),
        (date(2026, 1, 31), 0, date(2026, 1, 31)),
    ],
)
def test_months_clamp_to_the_end_of_the_month(start: date, months: int, end: date) -> None:
    moment = datetime(start.year, start.month, start.day, 13, 30, tzinfo=UTC)
    assert add_months(moment, months) == datetime(end.year, end.month, end.day, 13, 30, tzinfo=UTC)


@given(st.timedeltas(timedelta(0), timedelta(days=80_000)), st.integers(0, 240))
def test_a_month_later_is_in_the_right_month_and_no_day_later(since_1970: timedelta, months: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + since_1970
    end = add_months(moment, months)
    assert (end.year * 12 + end.month) - (moment.year * 12 + moment.month) == months
    assert end.day <= moment.day
    assert end.time() == moment.time()


@pytest.mark.parametrize(
    ("profile", "schedule", "months"),
    [
        (US, Schedule.II, 6),
        (US, Schedule.III, 6),
        (US, Schedule.IV, 6),
        (US, Schedule.V, 12),
        (US, Schedule.NONE, 12),
        (ACUTE, Schedule.NONE, 6),
        (REPEAT, Schedule.NONE, 12),
    ],
)
def test_the_profile_says_how_long_a_schedule_is_good(profile: Profile, schedule: Schedule, months: int) -> None:
    assert expires_at(schedule, stories.START, profile) == add_months(stories.START, months)


def test_nothing_is_due_before_it_is_issued() -> None:
    assert due_at(stories.untold().state, US) is None
    assert due_at(stories.signed().state, US) is None


def test_an_untouched_prescription_is_due_when_it_expires() -> None:
    state = stories.claimed().state
    assert due_at(state, US) == state.expires_at


def test_schedule_ii_short_of_stock_is_due_72_hours_after_the_first_part() -> None:
    story = stories.claimed(schedule=Schedule.II).later(days=1)
    story.part(10, 1, partial_reason=PartialReason.STOCK).later(hours=5).part(5, 2, partial_reason=PartialReason.STOCK)
    assert due_at(story.state, US) == stories.START + timedelta(days=1, hours=72)


@pytest.mark.parametrize("reason", [PartialReason.PATIENT_REQUEST, PartialReason.PRESCRIBER_REQUEST])
def test_schedule_ii_parted_on_request_is_due_when_the_thirtieth_day_is_over(reason: PartialReason) -> None:
    story = stories.claimed(schedule=Schedule.II).later(days=3).part(10, 1, partial_reason=reason)
    assert story.state.written_date == date(2026, 3, 2)
    assert due_at(story.state, US) == datetime(2026, 4, 2, tzinfo=UTC)


def test_two_clocks_of_one_fill_run_side_by_side_and_the_sooner_counts() -> None:
    story = stories.claimed(schedule=Schedule.II).part(10, 1, partial_reason=PartialReason.PATIENT_REQUEST)
    story.later(days=1).part(5, 2, partial_reason=PartialReason.STOCK)
    assert due_at(story.state, US) == stories.START + timedelta(days=1, hours=72)


def test_no_clock_but_the_expiry_runs_for_parts_of_other_schedules() -> None:
    state = stories.begun(schedule=Schedule.III, refills_allowed=5).state
    assert due_at(state, US) == state.expires_at


def test_a_national_service_forgets_what_is_owed_180_days_after_the_last_part() -> None:
    story = stories.begun(REPEAT).later(days=10).part(5, 2)
    assert due_at(story.state, REPEAT) == stories.START + timedelta(days=190)


def test_the_clock_stops_when_the_fill_is_done() -> None:
    story = stories.begun(REPEAT).dispense(20, 2)
    assert due_at(story.state, REPEAT) == story.state.expires_at
