from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from eventkernel.errors import InvalidCommand, StoreMismatch
from eventkernel_webhooks.signing import SecretBox, checked_secret, headers, new_secret, subscription_id_of, webhook_id

BODY = '{"type":"Opened","name":"Ærø"}'.encode()


def test_an_id_is_a_function_of_endpoint_and_event() -> None:
    event, other = UUID(int=1), UUID(int=2)
    assert webhook_id("a", event) == webhook_id("a", event)
    assert len({webhook_id("a", event), webhook_id("b", event), webhook_id("a", other)}) == 3
    assert webhook_id("a", event) == "msg_" + webhook_id("a", event)[4:]
    assert "." not in webhook_id("a", event), "a full stop separates what is signed"


def test_ids_of_subscriptions_do_not_meet_across_tenants() -> None:
    request = str(uuid4())
    assert subscription_id_of("one", request) == subscription_id_of("one", request.upper())
    assert subscription_id_of("one", request) != subscription_id_of("two", request)


def test_every_secret_signs_and_the_standard_package_verifies_each() -> None:
    old, new = new_secret(), new_secret()
    made = headers("msg_1", datetime.now(UTC), BODY, [new, old])
    for secret in (old, new):
        assert Webhook(secret).verify(BODY, made) == {"type": "Opened", "name": "Ærø"}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, made)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(BODY + b" ", made)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "whsec_" + "A" * 100, "whsec_not base64 at all, no!", "A" * 44]
)
def test_secrets_that_the_standard_does_not_allow_are_refused(secret: str) -> None:
    with pytest.raises(InvalidCommand) as refused:
        checked_secret(secret)
    assert secret.removeprefix("whsec_") not in str(refused.value) or len(secret) < 10


def test_made_secrets_are_allowed_and_never_the_same() -> None:
    made = {checked_secret(new_secret()) for _ in range(20)}
    assert len(made) == 20


def test_what_is_sealed_opens_for_its_subscription_under_its_key_alone() -> None:
    secret, box = new_secret(), SecretBox(b"a key of sixteen")
    sealed = box.seal("one", secret)
    assert box.open("one", sealed) == secret
    assert secret.encode() not in sealed.sealed
    assert secret not in repr(sealed)
    for other, subscription in ((box, "two"), (SecretBox(b"another sixteen!"), "one")):
        with pytest.raises(StoreMismatch):
            other.open(subscription, sealed)
    with pytest.raises(ValueError, match="at least 16"):
        SecretBox(b"short")
