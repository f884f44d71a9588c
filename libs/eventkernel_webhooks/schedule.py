"""When to try again: the schedule as data, and what an answer means for it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import Random
from typing import Final, TypeAlias

from eventkernel.ports.webhook_store import Delivered, Park, Settlement, TryAgain
from eventkernel_webhooks.sender import Answer

RETRY_AFTER_SECONDS_MAX: Final = 86_400.0
GONE: Final = 410
TOO_MANY: Final = 429
UNAVAILABLE: Final = 503

_HOUR: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Pauses before the second, third … attempt; after the last one fails the delivery is parked.

    As Standard Webhooks suggest (spec, "Retry schedule"). ``jitter`` lengthens a pause by up to this part of it, so that what
    failed together does not come back together; no pause becomes shorter.
    """

    pauses_seconds: tuple[float, ...] = (
        5.0, 300.0, 1_800.0, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
    )  # fmt: skip
    jitter: float = 0.1

    def pause(self, failed_attempts: int, random: Random) -> float | None:
        """Seconds until the next attempt after so many have failed, from 1; None where there is none."""
        if failed_attempts > len(self.pauses_seconds):
            return None
        return self.pauses_seconds[failed_attempts - 1] * (1.0 + self.jitter * random.random())


@dataclass(frozen=True, slots=True)
class Gone:
    """The endpoint wants no more of these: the subscription is disabled, and its deliveries wait."""


Verdict: TypeAlias = Settlement | Gone


def judged(
    answer: Answer | None, failed_attempts: int, now: datetime, schedule: RetrySchedule, random: Random
) -> Verdict:
    """What an answer (None: there was none) means for a delivery that failed so many times before."""
    if answer is not None and 200 <= answer.status < 300:
        return Delivered()
    if answer is not None and answer.status == GONE:
        return Gone()
    pause = schedule.pause(failed_attempts + 1, random)
    if pause is None:
        return Park()
    asked = (
        retry_after_seconds(answer.retry_after, now) if answer and answer.status in (TOO_MANY, UNAVAILABLE) else None
    )
    if asked is None:
        return TryAgain(now + timedelta(seconds=pause))
    return TryAgain(now + timedelta(seconds=max(pause, asked)), pause_until=now + timedelta(seconds=asked))


def said(answer: Answer | None, failure: str) -> str:
    """What went wrong, for people; empty where nothing did."""
    if answer is None:
        return failure
    return "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"


def retry_after_seconds(header: str, now: datetime) -> float | None:
    """What ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date) asks for, at most a day; None where it cannot be read."""
    text = header.strip()
    if text.isdecimal() and text.isascii() and len(text) <= 10:
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # numbers that no date can hold are the endpoint's to choose, too
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
