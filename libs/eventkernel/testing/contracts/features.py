"""What adapters may truly differ in."""

from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar, TypeVar


class Feature(Enum):
    """A property that some adapters have by nature and others cannot have."""

    DURABLE = "what was acknowledged is there after everything was closed and opened again"
    ORDERED_OUTBOX = "pending streams come in the order in which they began to wait"
    EXACT_OUTBOX = "a stream is pending exactly as long as it has unpublished events, and the depth counts them exactly"
    TAKEOVER = "what a member of a group held goes to the others soon after it died without leaving"


class Suite:
    """Base of every contract suite. An adapter's tests name the features that the adapter declares."""

    features: ClassVar[frozenset[Feature]] = frozenset()


Test = TypeVar("Test", bound=Callable[..., Any])


def needs(feature: Feature) -> Callable[[Test], Test]:
    """Mark a test of a suite as one for adapters that declare the feature; for others there is nothing to hold."""

    def marked(test: Test) -> Test:
        test.needs = feature  # type: ignore[attr-defined] # read by ``applies``
        return test

    return marked


def applies(test: Callable[..., Any], suite: type[Suite]) -> bool:
    """Whether the test is one for this suite's adapter."""
    wanted: Feature | None = getattr(test, "needs", None)
    return wanted is None or wanted in suite.features
