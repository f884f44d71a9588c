"""The hash that a prescriber signs: SHA-256 over a versioned canonical form of the content.

Not over protobuf bytes, which are not canonical. None and empty fields are left out of the form, so that a field added later
leaves the hash of older content as it is. A new form is added beside the old ones, because signatures made under an old one
must keep matching.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

from eventkernel.canonical import plain
from prescriptions.domain.values import PrescriptionContent

CONTENT_FORM: Final = 1
"""The form used for new signatures."""

_FORMS: Final[Mapping[int, Callable[[PrescriptionContent], Any]]] = {1: plain}


def content_sha256(content: PrescriptionContent, form: int = CONTENT_FORM) -> bytes:
    """The 32 bytes to sign."""
    framed = ["prescription-content", form, _FORMS[form](content)]
    return sha256(json.dumps(framed, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()).digest()


def is_hash_of(digest: bytes, content: PrescriptionContent) -> bool:
    """Whether the digest is the content's, under any form that signatures were ever made with."""
    return any(digest == content_sha256(content, form) for form in _FORMS)
