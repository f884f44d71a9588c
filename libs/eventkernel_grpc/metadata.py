"""The call's metadata: who calls, for which tenant, why, as part of what. Names, rules, reading and writing.

The actor's metadata is what the caller says; it is to be believed only from callers that are authenticated by other means
(mutual TLS, a gateway, loopback).
"""

import re
from collections.abc import Iterable, Sequence

from eventkernel.envelope import Actor, Provenance
from eventkernel.errors import InvalidCommand
from eventkernel.ids import DEFAULT_TENANT, validate_tenant
from eventkernel_grpc.errors import MetadataInvalid

TENANT = "erx-tenant"
ACTOR_ID = "erx-actor-id"
ACTOR_ROLE = "erx-actor-role"
ORGANISATION_ID = "erx-organisation-id"
PURPOSE = "erx-purpose"
CORRELATION_ID = "erx-correlation-id"
CAUSATION_ID = "erx-causation-id"
TRACEPARENT = "traceparent"
CONSISTENCY = "erx-consistency-bin"

KEYS = frozenset(
    {TENANT, ACTOR_ID, ACTOR_ROLE, ORGANISATION_ID, PURPOSE, CORRELATION_ID, CAUSATION_ID, TRACEPARENT, CONSISTENCY}
)
NOBODY = Actor(id="", role="")

_ID = re.compile(r"[\x21-\x7e]{1,128}\Z")
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
_PURPOSE = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?\Z")

_ID_RULE = "must be 1 to 128 visible ASCII characters"
_ROLE_RULE = "must be lower_snake, 1 to 32 characters"
_PURPOSE_RULE = "must be UPPER_SNAKE, 1 to 64 characters"


def read(pairs: Sequence[tuple[str, str | bytes]]) -> dict[str, str | bytes]:
    """Metadata by key. A key of ours that comes twice is refused: two readers could believe different ones."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen and key in KEYS:
                raise MetadataInvalid(key, "must be given once")
            seen.add(key)
    return found


def tenant_of(found: dict[str, str | bytes]) -> str:
    """The tenant, or the default one where none is named."""
    tenant = found.get(TENANT)
    if tenant is None:
        return DEFAULT_TENANT
    try:
        return validate_tenant(str(tenant))
    except InvalidCommand as error:
        raise MetadataInvalid(TENANT, "must be 1 to 63 characters of a-z, 0-9, _ and -") from error


def provenance_of(found: dict[str, str | bytes], *, actor_required: bool) -> Provenance:
    """Who calls and why. Without an actor, where none is required, the actor is ``NOBODY``."""
    if actor_required or ACTOR_ID in found or ACTOR_ROLE in found:
        actor = Actor(
            id=_value(found, ACTOR_ID, _ID, _ID_RULE, required=True),
            role=_value(found, ACTOR_ROLE, _ROLE, _ROLE_RULE, required=True),
            organisation=_value(found, ORGANISATION_ID, _ID, _ID_RULE),
        )
    else:
        actor = NOBODY
    return Provenance(
        actor=actor,
        purpose_of_use=_value(found, PURPOSE, _PURPOSE, _PURPOSE_RULE),
        correlation_id=_value(found, CORRELATION_ID, _ID, _ID_RULE),
        causation_id=_value(found, CAUSATION_ID, _ID, _ID_RULE),
        traceparent=traceparent_of(found),
    )


def traceparent_of(found: dict[str, str | bytes]) -> str:
    """The W3C trace context; one that breaks the standard's rules is ignored, as the standard asks (section 3.2.2.5)."""
    value = found.get(TRACEPARENT)
    if not isinstance(value, str):
        return ""
    match = _TRACEPARENT.match(value)
    if match is None or (value.startswith("00") and match.group(2) is not None):
        return ""
    return value


def consistency_of(found: dict[str, str | bytes]) -> bytes:
    """The consistency token's bytes as sent; empty where there is none."""
    value = found.get(CONSISTENCY, b"")
    return value if isinstance(value, bytes) else b""


def trace_id(traceparent: str) -> str:
    """The trace's id, 32 hex digits; empty where the call is not traced."""
    return traceparent[3:35]


def call_metadata(
    *, tenant: str = "", provenance: Provenance | None = None, actor: Actor | None = None, token: bytes = b""
) -> tuple[tuple[str, str | bytes], ...]:
    """The metadata a client sends; what is empty is left out. ``actor`` alone is short for a provenance of nothing else."""
    p = provenance or Provenance(actor=actor or NOBODY)
    values: Iterable[tuple[str, str | bytes]] = (
        (TENANT, tenant),
        (ACTOR_ID, p.actor.id),
        (ACTOR_ROLE, p.actor.role),
        (ORGANISATION_ID, p.actor.organisation),
        (PURPOSE, p.purpose_of_use),
        (CORRELATION_ID, p.correlation_id),
        (CAUSATION_ID, p.causation_id),
        (TRACEPARENT, p.traceparent),
        (CONSISTENCY, token),
    )
    return tuple((key, value) for key, value in values if value)


def _value(found: dict[str, str | bytes], key: str, form: re.Pattern[str], rule: str, *, required: bool = False) -> str:
    value = found.get(key, "")
    if not value:
        if required:
            raise MetadataInvalid(key, "must be given")
        return ""
    if not isinstance(value, str) or not form.match(value):
        raise MetadataInvalid(key, rule)
    return value
