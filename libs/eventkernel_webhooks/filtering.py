"""Which events a subscription is told: by name, and by the row of a view that the event changed."""

from eventkernel.filters import All, Filter, In
from eventkernel.ports.webhook_store import Subscription
from eventkernel.runtime.watch_steps import Step, seen


def where_of(subscription: Subscription) -> Filter:
    """Its conditions as a filter of rows."""
    return All(tuple(In(column, values) for column, values in subscription.conditions))


def concerns(subscription: Subscription, step: Step) -> bool:
    """Whether it is told of this event: its own tenant's, of a name it asked for, with a row that fits or no longer does."""
    event = step.event
    if event.stream.tenant != subscription.tenant:
        return False
    if subscription.event_types and event.type not in subscription.event_types:
        return False
    return not subscription.conditions or bool(seen(where_of(subscription), step))
