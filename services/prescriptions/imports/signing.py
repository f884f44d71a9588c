"""The signature step of an import. The files hold no signatures, so it says what it is instead of posing as one."""

from hashlib import sha256

from prescriptions.domain.commands import SignPrescription
from prescriptions.domain.values import Schedule, SigningFactor

ALGORITHM = "IMPORT-SHA256"


def import_signature(content_sha256: bytes, schedule: Schedule, source: str) -> SignPrescription:
    """Sign as an import: a hash in place of a signature, certificate ``import:<source>``; two factors where two are asked for.

    The factors stand for the ones that were shown when the original was signed, which a record of controlled substances
    presumes (21 CFR 1311.140).
    """
    controlled = schedule is not Schedule.NONE
    return SignPrescription(
        content_sha256=content_sha256,
        signature=sha256(b"import|" + source.encode() + b"|" + content_sha256).digest(),
        algorithm=ALGORITHM,
        certificate_id=f"import:{source}",
        factors=(SigningFactor.KNOWLEDGE, SigningFactor.HARD_TOKEN) if controlled else (),
    )
