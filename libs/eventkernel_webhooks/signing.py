"""Ids, signatures and secrets of Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec 1.0)."""

import base64
import binascii
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid5

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from standardwebhooks import Webhook

from eventkernel.errors import InvalidCommand, StoreMismatch
from eventkernel.ports.webhook_store import SealedSecret

PREFIX = "whsec_"
SECRET_BYTES = (24, 64)
_NAMESPACE = UUID("c1d5a3f0-6a2e-5c57-9a63-7f3d1a0b9e42")
_NONCE_BYTES = 12


def webhook_id(subscription_id: str, event_id: UUID) -> str:
    """The message's id: a function of endpoint and event, so that every attempt, and every repeat, has the same."""
    return f"msg_{uuid5(_NAMESPACE, f'{subscription_id}/{event_id}').hex}"


def subscription_id_of(tenant: str, request_id: str) -> str:
    """A subscription's id: a function of tenant and request, so that the same request again makes nothing new."""
    return str(uuid5(_NAMESPACE, f"subscription/{tenant}/{request_id.lower()}"))


def headers(message_id: str, at: datetime, body: bytes, signing: Sequence[str]) -> dict[str, str]:
    """The three headers, signed with every secret (``whsec_…``), the newest first."""
    text = body.decode()
    moment = at.astimezone(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, moment, text) for secret in signing),
    }


def new_secret() -> str:
    """A secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def checked_secret(text: str) -> str:
    """The secret, or ``InvalidCommand``: ``whsec_`` and base64 of 24 to 64 bytes."""
    rule = f"must be {PREFIX} and base64 of {SECRET_BYTES[0]} to {SECRET_BYTES[1]} bytes"
    if not text.startswith(PREFIX):
        raise InvalidCommand("secret", rule)
    try:
        size = len(base64.b64decode(text.removeprefix(PREFIX), validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidCommand("secret", rule) from error
    if not SECRET_BYTES[0] <= size <= SECRET_BYTES[1]:
        raise InvalidCommand("secret", rule)
    return text


class SecretBox:
    """Seals secrets with AES-256-GCM under a key that is not in the store, each bound to its subscription."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("a key of webhook secrets has at least 16 bytes")
        self._cipher = AESGCM(sha256(b"webhook secrets\0" + key).digest())

    def seal(self, subscription_id: str, secret: str, expires_at: datetime | None = None) -> SealedSecret:
        """What the store may hold of a secret."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, secret.encode(), subscription_id.encode())
        return SealedSecret(sealed, sha256(secret.encode()).hexdigest()[:8], expires_at)

    def open(self, subscription_id: str, secret: SealedSecret) -> str:
        """The secret. Raises ``StoreMismatch`` where it was sealed under another key."""
        nonce, sealed = secret.sealed[:_NONCE_BYTES], secret.sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, sealed, subscription_id.encode()).decode()
        except InvalidTag as error:
            raise StoreMismatch("webhooks", expected="secrets sealed under this key", actual="another key") from error
