"""Medians from counts: within one per cent of the truth."""

from collections import Counter
from datetime import timedelta
from statistics import median as exact_median

from hypothesis import given
from hypothesis import strategies as st

from prescriptions.views.durations import BOUNDS, bucket_of, median, middle_of

MILLISECOND = timedelta(milliseconds=1)
spans = st.timedeltas(timedelta(0), timedelta(days=36_500))


def test_bounds_grow() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))


@given(spans)
def test_what_stands_for_a_duration_is_within_one_per_cent_of_it(span: timedelta) -> None:
    assert abs(middle_of(bucket_of(span)) - span) <= max(span / 100, MILLISECOND)


@given(st.lists(spans, min_size=1))
def test_the_median_is_within_one_per_cent_of_the_true_one(measured: list[timedelta]) -> None:
    found = median(Counter(bucket_of(span) for span in measured))
    assert found is not None
    true = timedelta(microseconds=exact_median(span // timedelta(microseconds=1) for span in measured))
    assert abs(found - true) <= true / 100 + MILLISECOND


def test_nothing_measured_has_no_median() -> None:
    assert median({}) is None


def test_a_duration_below_zero_counts_as_none_at_all() -> None:
    assert bucket_of(timedelta(seconds=-1)) == 0
