"""What adapters may truly differ in."""

from enum import Enum
from typing import ClassVar
from unittest import SkipTest


class Feature(Enum):
    """A property that some adapters have by nature and others cannot have."""

    DURABLE = "what was acknowledged is there after everything was closed and opened again"
    ORDERED_OUTBOX = "pending streams come in the order in which they began to wait"
    EXACT_OUTBOX = "a stream is pending exactly as long as it has unpublished events, and the depth counts them exactly"
    TAKEOVER = "what a member of a group held goes to the others soon after it died without leaving"


class Suite:
    """Base of every contract suite."""

    features: ClassVar[frozenset[Feature]] = frozenset()

    def needs(self, feature: Feature) -> None:
        """Skip the test, with the reason, for an adapter that does not declare the feature."""
        if feature not in self.features:
            raise SkipTest(f"this adapter does not promise: {feature.value}")
