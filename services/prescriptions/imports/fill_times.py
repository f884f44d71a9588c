"""When the fills of one row took place: Synthea says how many there were, and from when to when."""

from datetime import UTC, datetime, timedelta

OPEN_ROWS_END = datetime(2023, 12, 30, tzinfo=UTC)
USUAL_INTERVAL = timedelta(days=30)


def fill_times(start: datetime, stop: datetime | None, count: int, *, open_rows_end: datetime) -> tuple[datetime, ...]:
    """``count`` moments in order, evenly apart, the first on ``start``.

    With a ``stop`` after ``start`` the last is before it. Without one, or with one before ``start``, they are 30 days apart, or
    closer so that the last is before ``open_rows_end``. Where there is no room at all they fall on ``start``.
    """
    step = interval(start, stop, count, open_rows_end=open_rows_end)
    return tuple(start + step * place for place in range(count))


def interval(start: datetime, stop: datetime | None, count: int, *, open_rows_end: datetime) -> timedelta:
    """The time from one fill to the next, in whole seconds."""
    if stop is not None and stop >= start:
        return _share(stop - start, count)
    return min(USUAL_INTERVAL, _share(max(open_rows_end - start, timedelta()), count))


def _share(span: timedelta, count: int) -> timedelta:
    seconds = span // timedelta(seconds=1)
    return timedelta(seconds=seconds // count)
