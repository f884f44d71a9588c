import grpc
import pytest

from erx_client import Retries
from erx_client.errors import CallFailed, typed
from eventkernel_grpc import RemoteError

RETRIES = Retries(attempts_max=4, pause_initial_seconds=0.1, pause_seconds_max=0.3, jitter=lambda: 1.0)


def failed(code: grpc.StatusCode, *, after: float | None = None) -> CallFailed:
    return typed(RemoteError(code, "", retry_after_seconds=after))


def test_the_pause_is_at_least_what_the_service_asks_for() -> None:
    overloaded = failed(grpc.StatusCode.RESOURCE_EXHAUSTED, after=1.5)
    assert RETRIES.pause(overloaded, attempt=1, seconds_left=30) == pytest.approx(1.6)


def test_pauses_double_up_to_a_bound() -> None:
    gone = failed(grpc.StatusCode.UNAVAILABLE)
    pauses = [RETRIES.pause(gone, attempt=attempt, seconds_left=30) for attempt in (1, 2, 3)]
    assert pauses == pytest.approx([0.1, 0.2, 0.3])


def test_pauses_are_a_random_share_of_their_bound() -> None:
    assert Retries(jitter=lambda: 0.25).backoff(1) == pytest.approx(0.025)
    assert 0 <= Retries().backoff(1) <= 0.1


def test_attempts_come_to_an_end() -> None:
    assert RETRIES.pause(failed(grpc.StatusCode.UNAVAILABLE), attempt=4, seconds_left=30) is None


def test_a_pause_that_would_end_after_the_deadline_is_not_begun() -> None:
    overloaded = failed(grpc.StatusCode.RESOURCE_EXHAUSTED, after=1.5)
    assert RETRIES.pause(overloaded, attempt=1, seconds_left=1.0) is None


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_a_call_that_was_cut_off_is_made_again(code: grpc.StatusCode) -> None:
    assert RETRIES.pause(failed(code), attempt=1, seconds_left=30) is not None


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,  # without a word of when: the message is too large
        grpc.StatusCode.INTERNAL,
    ],
)
def test_what_would_fail_again_is_not_retried(code: grpc.StatusCode) -> None:
    assert RETRIES.pause(failed(code), attempt=1, seconds_left=30) is None
