from datetime import UTC, datetime, timedelta

import pytest

from prescriptions.domain.profiles import US
from prescriptions.domain.values import Schedule
from prescriptions.imports.chain import Link, chain, limits_of

START = datetime(2020, 1, 1, tzinfo=UTC)


def monthly(count: int) -> tuple[datetime, ...]:
    return tuple(START + timedelta(days=30 * place) for place in range(count))


def sizes(links: tuple[Link, ...]) -> list[int]:
    return [len(link.fills) for link in links]


def test_no_fill_of_an_uncontrolled_prescription_is_twelve_months_after_its_issue() -> None:
    links = chain(monthly(30), limits_of(Schedule.NONE, US), keep_open=False)
    assert sizes(links) == [13, 13, 4]
    assert all(link.fills[-1] < link.fills[0].replace(year=link.fills[0].year + 1) for link in links)


def test_a_fill_on_the_day_of_expiry_begins_the_next_prescription() -> None:
    fills = (START, START.replace(year=2021))
    assert sizes(chain(fills, limits_of(Schedule.NONE, US), keep_open=False)) == [1, 1]
    just_before = (START, START.replace(year=2021) - timedelta(seconds=1))
    assert sizes(chain(just_before, limits_of(Schedule.NONE, US), keep_open=False)) == [2]


def test_a_prescription_has_at_most_ninety_nine_refills() -> None:
    daily = tuple(START + timedelta(days=day) for day in range(150))
    assert sizes(chain(daily, limits_of(Schedule.NONE, US), keep_open=False)) == [100, 50]


def test_schedule_two_has_one_fill_each() -> None:
    links = chain(monthly(3), limits_of(Schedule.II, US), keep_open=False)
    assert sizes(links) == [1, 1, 1]
    assert [link.refills_allowed for link in links] == [0, 0, 0]


@pytest.mark.parametrize("schedule", [Schedule.III, Schedule.IV])
def test_schedules_three_and_four_have_five_refills_at_most(schedule: Schedule) -> None:
    weekly = tuple(START + timedelta(days=7 * place) for place in range(8))
    links = chain(weekly, limits_of(schedule, US), keep_open=False)
    assert sizes(links) == [6, 2]
    assert [link.refills_allowed for link in links] == [5, 1]


@pytest.mark.parametrize("schedule", [Schedule.III, Schedule.IV])
def test_schedules_three_and_four_end_after_six_months(schedule: Schedule) -> None:
    every_two_months = tuple(START + timedelta(days=61 * place) for place in range(4))
    assert sizes(chain(every_two_months, limits_of(schedule, US), keep_open=False)) == [3, 1]


def test_an_open_row_keeps_one_refill_on_its_last_prescription() -> None:
    links = chain(monthly(15), limits_of(Schedule.NONE, US), keep_open=True)
    assert [link.refills_allowed for link in links] == [12, 2]
    assert [link.open_refills for link in links] == [0, 1]


def test_where_the_last_prescription_is_full_its_last_fill_moves_to_one_more() -> None:
    weekly = tuple(START + timedelta(days=7 * place) for place in range(6))
    links = chain(weekly, limits_of(Schedule.IV, US), keep_open=True)
    assert sizes(links) == [5, 1]
    assert [link.refills_allowed for link in links] == [4, 1]


def test_schedule_two_cannot_keep_a_refill_open() -> None:
    links = chain(monthly(2), limits_of(Schedule.II, US), keep_open=True)
    assert [link.refills_allowed for link in links] == [0, 0]
