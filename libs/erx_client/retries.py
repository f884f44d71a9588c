"""When a failed call is made again, and after how long. Pure: the callers wait.

Two layers retry. The channel's service config (`ChannelSettings`) repeats UNAVAILABLE within a second or so, inside gRPC. What
is left, this one decides: it waits as long as the service asks for (RetryInfo), for as long as the call's time lasts.
Both send the very same request, so a command has the same `request_id` and takes effect once.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from erx_client.errors import CallFailed


@dataclass(frozen=True, slots=True)
class Retries:
    """Attempts are counted with the first; ``jitter`` is asked for a share of the pause, 0 to 1."""

    attempts_max: int = 8
    pause_initial_seconds: float = 0.1
    pause_seconds_max: float = 5.0
    jitter: Callable[[], float] = random.random

    def pause(self, error: CallFailed, *, attempt: int, seconds_left: float) -> float | None:
        """How long to wait after this attempt; None where another would not help or would come too late."""
        if attempt >= self.attempts_max or not worth_retrying(error):
            return None
        pause = self.backoff(attempt)
        if error.retry_after_seconds is not None:
            pause += error.retry_after_seconds
        return pause if pause < seconds_left else None

    def backoff(self, attempt: int) -> float:
        """A random share of a bound that doubles: many clients that failed together do not come back together."""
        bound = min(self.pause_seconds_max, self.pause_initial_seconds * 2.0 ** (attempt - 1))
        return bound * self.jitter()


def worth_retrying(error: CallFailed) -> bool:
    """Whether the same call may succeed later: the service says so, or it was cut off."""
    return error.may_retry or error.code is grpc.StatusCode.CANCELLED
