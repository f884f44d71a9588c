from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest

from eventkernel.ports.webhook_store import Delivered, Park, TryAgain
from eventkernel_webhooks.schedule import Gone, RetrySchedule, judged, retry_after_seconds
from eventkernel_webhooks.sender import Answer

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
EVEN = RetrySchedule(jitter=0.0)


def verdict(answer: Answer | None, failed: int = 0, schedule: RetrySchedule = EVEN) -> object:
    return judged(answer, failed, NOW, schedule, Random(1))


def test_the_schedule_is_the_one_that_the_standard_suggests() -> None:
    hours = [pause / 3_600 for pause in EVEN.pauses_seconds]
    assert hours == [5 / 3_600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert [EVEN.pause(n, Random(1)) for n in (1, 9, 10)] == [5.0, 86_400.0, None]


def test_jitter_lengthens_a_pause_within_its_part_and_never_shortens_it() -> None:
    pauses = [RetrySchedule(jitter=0.1).pause(2, Random(seed)) or 0.0 for seed in range(200)]
    assert 300.0 <= min(pauses) < 305.0
    assert 325.0 < max(pauses) <= 330.0


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    assert verdict(Answer(status)) == Delivered()


@pytest.mark.parametrize("answer", [None, *map(Answer, (100, 301, 307, 400, 401, 404, 422, 500, 502, 504))])
def test_anything_else_is_tried_again_and_in_the_end_parked(answer: Answer | None) -> None:
    assert verdict(answer) == TryAgain(NOW + timedelta(seconds=5))
    assert verdict(answer, 8) == TryAgain(NOW + timedelta(hours=24))
    assert verdict(answer, 9) == Park()


def test_410_is_gone_at_any_attempt() -> None:
    assert verdict(Answer(410)) == verdict(Answer(410), 9) == Gone()


def test_retry_after_pauses_the_endpoint_and_never_shortens_the_schedule() -> None:
    until = NOW + timedelta(seconds=60)
    assert verdict(Answer(429, "60")) == TryAgain(until, pause_until=until)
    late = TryAgain(NOW + timedelta(minutes=5), pause_until=until)
    assert verdict(Answer(503, "60"), 1) == late
    assert verdict(Answer(500, "60")) == TryAgain(NOW + timedelta(seconds=5))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("99999999", 86_400.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Mon, 02 Mar 2026 08:00:00 +99999999999999999999", None),
        ("Mon, 99999999999999999999 Mar 2026 08:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_a_day(header: str, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds
