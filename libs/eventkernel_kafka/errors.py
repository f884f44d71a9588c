"""From librdkafka's error codes to the kernel's errors, once, at the edge of this package.

``StoreMismatch``: what waiting does not mend. ``StoreUnavailable``: everything else. Publishing has an error of its own,
``PublishFailed``, whatever the code.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from eventkernel.errors import KernelError, StoreMismatch, StoreUnavailable
from eventkernel_kafka.error_codes import MISMATCHES

STORE = "kafka"


def described(error: KafkaError) -> str:
    """The code's name and what librdkafka says about it."""
    return f"{error.name()}: {error.str()}"


def translated(error: KafkaError) -> KernelError:
    """The kernel's error."""
    if error.code() in MISMATCHES:
        return StoreMismatch(STORE, expected="brokers that let this program do its work", actual=described(error))
    return StoreUnavailable(STORE, described(error))


@contextmanager
def translating() -> Iterator[None]:
    """Turn the driver's errors into the kernel's."""
    try:
        yield
    except KafkaException as error:
        raise translated(error.args[0]) from error
    except RuntimeError as error:
        if "closed" not in str(error):  # what confluent-kafka says of a client that was
            raise
        raise StoreUnavailable(STORE, str(error)) from error
