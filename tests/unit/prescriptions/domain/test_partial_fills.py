"""The clocks of fills that were begun, per schedule (21 USC 829(f), 21 CFR 1306.13, 1306.22, 1306.23)."""

from datetime import UTC, datetime, timedelta

import pytest

from prescriptions.domain.profiles import REPEAT
from prescriptions.domain.state import Status
from prescriptions.domain.values import PartialReason, Schedule
from prescriptions.testing import stories as s

THIRTIETH_DAY_OVER = datetime(2026, 4, 2, tzinfo=UTC)
ON_REQUEST = [PartialReason.PATIENT_REQUEST, PartialReason.PRESCRIBER_REQUEST]


def test_a_part_of_schedule_ii_says_why() -> None:
    story = s.claimed(schedule=Schedule.II)
    command = story.partially(10, 1, partial_reason=None)
    assert story.when(command, s.AT_CORNER).refused("PARTIAL_REASON_REQUIRED").field == "partial_reason"


@pytest.mark.parametrize("schedule", [Schedule.NONE, Schedule.III, Schedule.IV, Schedule.V])
def test_a_part_of_another_schedule_need_not(schedule: Schedule) -> None:
    story = s.claimed(schedule=schedule).part(10, 1, partial_reason=None)
    assert story.state.status is Status.PARTIALLY_DISPENSED


def test_schedule_ii_short_of_stock_is_finished_within_72_hours_of_the_first_part() -> None:
    story = s.claimed(schedule=Schedule.II).part(10, 1).later(hours=72)
    story.when(story.wholly(20, 2), s.AT_CORNER).refused("PARTIAL_FILL_TOO_LATE")
    story.when(story.partially(5, 2), s.AT_CORNER).refused("PARTIAL_FILL_TOO_LATE")
    story.later(microseconds=-1)
    assert story.dispense(20, 2).state.status is Status.COMPLETED


def test_a_second_part_does_not_wind_the_72_hours_up_again() -> None:
    story = s.claimed(schedule=Schedule.II).part(10, 1).later(hours=71).part(5, 2).later(hours=1)
    story.when(story.wholly(15, 3), s.AT_CORNER).refused("PARTIAL_FILL_TOO_LATE")


@pytest.mark.parametrize("reason", ON_REQUEST)
def test_schedule_ii_parted_on_request_is_finished_within_30_days_of_being_written(reason: PartialReason) -> None:
    story = s.claimed(schedule=Schedule.II).later(days=20).part(10, 1, partial_reason=reason)
    story.now = THIRTIETH_DAY_OVER
    story.when(story.wholly(20, 2), s.AT_CORNER).refused("PARTIAL_FILL_TOO_LATE")
    story.now = THIRTIETH_DAY_OVER - timedelta(microseconds=1)
    assert story.dispense(20, 2).state.status is Status.COMPLETED


@pytest.mark.parametrize("reason", ON_REQUEST)
def test_a_part_whose_rest_could_not_follow_in_time_is_refused(reason: PartialReason) -> None:
    story = s.claimed(schedule=Schedule.II)
    story.now = THIRTIETH_DAY_OVER
    story.when(story.partially(10, 1, partial_reason=reason), s.AT_CORNER).refused("PARTIAL_FILL_TOO_LATE")
    assert story.dispense(10, 1, short_close=True, short_close_reason=s.WHY).state.status is Status.COMPLETED


def test_thirty_days_run_from_the_day_of_signing_not_of_issue() -> None:
    story = s.draft(schedule=Schedule.II).sign().later(days=25).issue().claim()
    story.part(10, 1, partial_reason=PartialReason.PATIENT_REQUEST).later(days=6)
    story.when(story.wholly(20, 2), s.AT_CORNER).refused("PARTIAL_FILL_TOO_LATE")


@pytest.mark.parametrize("schedule", [Schedule.III, Schedule.IV])
def test_schedule_iii_and_iv_are_finished_within_six_months(schedule: Schedule) -> None:
    story = s.claimed(schedule=schedule).later(days=100).part(10, 1).later(days=80)
    assert story.when(story.wholly(20, 2), s.AT_CORNER).after.state.status is Status.AWAITING_REFILL
    story.later(days=10)
    story.when(story.wholly(20, 2), s.AT_CORNER).refused("PRESCRIPTION_EXPIRED")


def test_a_national_service_ends_what_is_owed_180_days_after_the_last_part() -> None:
    story = s.claimed(REPEAT).part(10, 1).later(days=100).part(10, 2).later(days=180)
    story.when(story.wholly(10, 3), s.AT_CORNER).refused("PARTIAL_FILL_TOO_LATE")
    story.later(seconds=-1)
    assert story.dispense(10, 3).state.status is Status.AWAITING_REFILL


def test_reversing_the_part_stops_its_clock() -> None:
    story = s.claimed(schedule=Schedule.II).part(10, 1).later(days=2).reverse(1).later(days=5)
    assert story.dispense(30, 2).state.status is Status.COMPLETED
