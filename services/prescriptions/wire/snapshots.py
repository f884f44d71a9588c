"""Snapshots of the aggregate's state, as JSON by pydantic from the state's own types."""

from hashlib import sha256

from pydantic import ConfigDict, TypeAdapter, ValidationError

from eventkernel.errors import UpcastFailed
from prescriptions.domain.state import Prescription

# In a tuple, because plain dataclasses take their configuration from what holds them: hashes and signatures are bytes.
_ADAPTER = TypeAdapter(tuple[Prescription], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))


class PrescriptionStateCodec:
    """``StateCodec`` of the prescription. The schema is a hash over the state's fields and types: whoever changes them makes
    older snapshots unreadable by that alone, and their streams are replayed.
    """

    schema: str = "prescription-" + sha256(repr(sorted(_ADAPTER.json_schema().items())).encode()).hexdigest()[:16]

    def encode(self, state: Prescription) -> bytes:
        """The state as JSON."""
        return _ADAPTER.dump_json((state,))

    def decode(self, data: bytes) -> Prescription:
        """The state. Raises ``EventUnreadable``."""
        try:
            return _ADAPTER.validate_json(data)[0]
        except ValidationError as error:
            raise UpcastFailed("snapshot", version=0, cause=str(error)) from error
