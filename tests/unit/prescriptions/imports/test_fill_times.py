from datetime import UTC, datetime, timedelta

import pytest

from prescriptions.imports.fill_times import OPEN_ROWS_END, fill_times

START = datetime(2020, 1, 1, 8, tzinfo=UTC)


def times(stop: datetime | None, count: int, start: datetime = START) -> tuple[datetime, ...]:
    return fill_times(start, stop, count, open_rows_end=OPEN_ROWS_END)


def test_fills_are_evenly_apart_from_start_to_before_stop() -> None:
    stop = START + timedelta(days=100)
    found = times(stop, 4)
    assert found == tuple(START + timedelta(days=25 * place) for place in range(4))
    assert found[-1] < stop


def test_a_single_fill_is_on_start() -> None:
    assert times(START + timedelta(days=371), 1) == (START,)


def test_a_row_that_stops_when_it_starts_has_its_fill_then() -> None:
    assert times(START, 1) == (START,)


def test_without_stop_fills_are_thirty_days_apart() -> None:
    assert times(None, 3) == (START, START + timedelta(days=30), START + timedelta(days=60))


def test_with_stop_before_start_fills_are_thirty_days_apart() -> None:
    assert times(START - timedelta(days=6), 2) == (START, START + timedelta(days=30))


def test_without_stop_fills_come_closer_where_thirty_days_would_pass_the_end() -> None:
    start = datetime(2023, 12, 9, 2, 48, 4, tzinfo=UTC)
    found = times(None, 3, start)
    assert found[0] == start
    assert found[-1] < datetime(2023, 12, 30, tzinfo=UTC)
    assert found[2] - found[1] == found[1] - found[0] > timedelta(days=6)


@pytest.mark.parametrize("count", [1, 3])
def test_a_row_that_starts_after_the_end_is_filled_on_start(count: int) -> None:
    start = datetime(2023, 12, 30, 20, 32, 14, tzinfo=UTC)
    assert times(None, count, start) == (start,) * count
