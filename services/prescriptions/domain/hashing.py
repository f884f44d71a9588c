"""The hash that a prescriber signs: SHA-256 over a versioned canonical form of the content.

Not over protobuf bytes, which are not canonical. None and empty fields are left out of the form, so that a field added later
leaves the hash of older content as it is. A new form is added beside the old ones, because signatures made under an old one
must keep matching.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from eventkernel.canonical import digest_of, plain
from eventkernel.remembered import ByIdentity
from prescriptions.domain.values import PrescriptionContent

CONTENT_FORM: Final = 1
"""The form used for new signatures."""

REMEMBERED_MAX: Final = 4_096
"""Contents whose hash is remembered."""

_FORMS: Final[Mapping[int, Callable[[PrescriptionContent], Any]]] = {1: plain}


def content_sha256(content: PrescriptionContent, form: int = CONTENT_FORM) -> bytes:
    """The 32 bytes to sign."""
    return _REMEMBERED[form](content)


def is_hash_of(digest: bytes, content: PrescriptionContent) -> bool:
    """Whether the digest is the content's, under any form that signatures were ever made with."""
    return any(digest == content_sha256(content, form) for form in _FORMS)


def _hash(form: int, content: PrescriptionContent) -> bytes:
    return digest_of(["prescription-content", form, _FORMS[form](content)])


# A content is hashed when it is shown, signed and issued, and is the same object each time as long as it is in memory.
_REMEMBERED: Final = {form: ByIdentity(partial(_hash, form), REMEMBERED_MAX) for form in _FORMS}
