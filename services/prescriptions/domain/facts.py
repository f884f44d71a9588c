"""What a decision rests on beside state and command. Everything from outside the aggregate comes in here."""

from dataclasses import dataclass
from datetime import datetime

from eventkernel.envelope import Actor
from eventkernel.evolving import quickly_made
from prescriptions.domain.profiles import Profile


@quickly_made
@dataclass(frozen=True, slots=True)
class Facts:
    """The effective time (UTC), who acts, and the rules of the place.

    ``claim_token_sha256`` is the hash of the token made for this request: needed by ClaimPrescription alone.
    ``signature_verified`` is the outcome of the signature check, None where no check was made.
    """

    now: datetime
    actor: Actor
    profile: Profile
    claim_token_sha256: bytes | None = None
    signature_verified: bool | None = None
