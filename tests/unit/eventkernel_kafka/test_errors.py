import pytest
from confluent_kafka import KafkaError, KafkaException

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel_kafka.error_codes import LOST, MISMATCHES, PASSING
from eventkernel_kafka.errors import translated, translating


@pytest.mark.parametrize("code", sorted(MISMATCHES))
def test_what_waiting_does_not_mend_is_a_mismatch(code: int) -> None:
    error = KafkaError(code, "why")
    assert isinstance(translated(error), StoreMismatch)
    assert "why" in str(translated(error))


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    ],
)
def test_everything_else_is_unavailable_and_may_be_tried_again(code: int) -> None:
    found = translated(KafkaError(code, "why"))
    assert isinstance(found, StoreUnavailable)
    assert found.retriable


def test_the_drivers_error_is_the_cause() -> None:
    error = KafkaException(KafkaError(KafkaError._TRANSPORT, "why"))
    with pytest.raises(StoreUnavailable, match="_TRANSPORT: why") as caught, translating():
        raise error
    assert caught.value.__cause__ is error


def test_a_client_that_was_closed_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="Consumer closed"), translating():
        raise RuntimeError("Consumer closed")


def test_no_code_means_two_things() -> None:
    assert not MISMATCHES & LOST
    assert not MISMATCHES & PASSING
    assert not LOST & PASSING
