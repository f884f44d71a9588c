"""The call's metadata: who calls, for which tenant, why, as part of what. Names, rules, reading and writing.

The actor's metadata is what the caller says; it is to be believed only from callers that are authenticated by other means
(mutual TLS, a gateway, loopback).
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

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
REMEMBERED_MAX = 4096
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
    return _tenant(found.get(TENANT, DEFAULT_TENANT))


def provenance_of(found: dict[str, str | bytes], *, actor_required: bool) -> Provenance:
    """Who calls and why. Without an actor, where none is required, the actor is ``NOBODY``."""
    get = found.get
    return Provenance(
        actor=_actor(get(ACTOR_ID, ""), get(ACTOR_ROLE, ""), get(ORGANISATION_ID, ""), actor_required),
        purpose_of_use=_checked(PURPOSE, get(PURPOSE, ""), _PURPOSE, _PURPOSE_RULE),
        correlation_id=_checked(CORRELATION_ID, get(CORRELATION_ID, ""), _ID, _ID_RULE),
        causation_id=_checked(CAUSATION_ID, get(CAUSATION_ID, ""), _ID, _ID_RULE),
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


# The same callers come again and again: what is checked once is remembered, refusals are not.
@lru_cache(maxsize=REMEMBERED_MAX)
def _tenant(tenant: str | bytes) -> str:
    try:
        return validate_tenant(str(tenant))
    except InvalidCommand as error:
        raise MetadataInvalid(TENANT, "must be 1 to 63 characters of a-z, 0-9, _ and -") from error


@lru_cache(maxsize=REMEMBERED_MAX)
def _actor(actor_id: str | bytes, role: str | bytes, organisation: str | bytes, required: bool) -> Actor:
    if not (required or actor_id or role):
        return NOBODY
    for key, value in ((ACTOR_ID, actor_id), (ACTOR_ROLE, role)):
        if not value:
            raise MetadataInvalid(key, "must be given")
    return Actor(
        id=_checked(ACTOR_ID, actor_id, _ID, _ID_RULE),
        role=_checked(ACTOR_ROLE, role, _ROLE, _ROLE_RULE),
        organisation=_checked(ORGANISATION_ID, organisation, _ID, _ID_RULE),
    )


def _checked(key: str, value: str | bytes, form: re.Pattern[str], rule: str) -> str:
    if not value:
        return ""
    if not isinstance(value, str) or not form.match(value):
        raise MetadataInvalid(key, rule)
    return value
