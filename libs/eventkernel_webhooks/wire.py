"""Subscriptions, deliveries and attempts as messages. What a secret hides is in none of them."""

from erx.eventlog.v1 import webhook_service_pb2 as w
from eventkernel.ports.webhook_store import Attempt, Delivery, Subscription, SubscriptionState
from eventkernel_grpc.wire_types import to_timestamp
from eventkernel_webhooks.signing import webhook_id

_STATE_TO = {
    SubscriptionState.ACTIVE: w.WEBHOOK_STATE_ACTIVE,
    SubscriptionState.PAUSED: w.WEBHOOK_STATE_PAUSED,
    SubscriptionState.DISABLED: w.WEBHOOK_STATE_DISABLED,
}


def subscription_to(subscription: Subscription, *, waiting: int, parked: int) -> w.WebhookSubscription:
    """With fingerprints in the place of secrets."""
    return w.WebhookSubscription(
        subscription_id=subscription.id,
        url=subscription.url,
        event_types=subscription.event_types,
        conditions=[w.WebhookCondition(column=column, values=values) for column, values in subscription.conditions],
        description=subscription.description,
        state=_STATE_TO[subscription.state],
        state_reason=subscription.state_reason,
        secrets=[
            w.WebhookSecret(
                fingerprint=secret.fingerprint,
                expire_time=None if secret.expires_at is None else to_timestamp(secret.expires_at),
            )
            for secret in subscription.secrets
        ],
        create_time=to_timestamp(subscription.created_at),
        update_time=to_timestamp(subscription.updated_at),
        version=subscription.version,
        waiting_count=waiting,
        parked_count=parked,
        schema_version=subscription.schema_version,
    )


def delivery_to(delivery: Delivery) -> w.WebhookDelivery:
    """One that waits or is parked."""
    return w.WebhookDelivery(
        webhook_id=webhook_id(delivery.subscription_id, delivery.event_id),
        stream=delivery.stream,
        version=delivery.version,
        event_type=delivery.event_type,
        failed_attempts=delivery.failed_attempts,
        next_attempt_time=None if delivery.due_at is None else to_timestamp(delivery.due_at),
        parked=delivery.parked,
        last_error=delivery.last_error,
    )


def attempt_to(subscription_id: str, attempt: Attempt) -> w.WebhookAttempt:
    """One attempt."""
    return w.WebhookAttempt(
        webhook_id=webhook_id(subscription_id, attempt.event_id),
        stream=attempt.stream,
        version=attempt.version,
        event_type=attempt.event_type,
        attempt_time=to_timestamp(attempt.at),
        number=attempt.number,
        http_status=attempt.http_status,
        error=attempt.error,
    )
