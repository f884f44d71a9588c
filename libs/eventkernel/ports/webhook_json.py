"""Webhook subscriptions and their cursors as JSON: how every store on a disk keeps them.

Equal cursors are equal texts, so that a store may compare them.
"""

import json
from collections.abc import Mapping

from eventkernel.envelope import from_micros, to_micros
from eventkernel.ports.webhook_store import SealedSecret, Subscription, SubscriptionState


def positions_to_json(positions: Mapping[int, int]) -> str:
    """A cursor, by partition."""
    return json.dumps(sorted(positions.items()))


def positions_from_json(text: str) -> dict[int, int]:
    """Read back what ``positions_to_json`` made."""
    return dict(json.loads(text))


def subscription_to_json(subscription: Subscription) -> str:
    """Everything but tenant, id and version, which are columns of their own."""
    secrets = [
        [secret.sealed.hex(), secret.fingerprint, None if secret.expires_at is None else to_micros(secret.expires_at)]
        for secret in subscription.secrets
    ]
    return json.dumps(
        {
            "url": subscription.url,
            "event_types": subscription.event_types,
            "conditions": subscription.conditions,
            "description": subscription.description,
            "state": subscription.state.value,
            "state_reason": subscription.state_reason,
            "secrets": secrets,
            "created_at": to_micros(subscription.created_at),
            "updated_at": to_micros(subscription.updated_at),
            "schema_version": subscription.schema_version,
        }
    )


def subscription_from_json(tenant: str, subscription_id: str, version: int, body: str) -> Subscription:
    """Read back what ``subscription_to_json`` made."""
    fields = json.loads(body)
    return Subscription(
        tenant=tenant,
        id=subscription_id,
        url=fields["url"],
        event_types=tuple(fields["event_types"]),
        conditions=tuple((column, tuple(values)) for column, values in fields["conditions"]),
        description=fields["description"],
        state=SubscriptionState(fields["state"]),
        state_reason=fields["state_reason"],
        secrets=tuple(
            SealedSecret(bytes.fromhex(sealed), fingerprint, None if at is None else from_micros(at))
            for sealed, fingerprint, at in fields["secrets"]
        ),
        created_at=from_micros(fields["created_at"]),
        updated_at=from_micros(fields["updated_at"]),
        version=version,
        schema_version=fields.get("schema_version", 0),
    )
