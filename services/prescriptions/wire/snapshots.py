"""Snapshots of the aggregate's state, as JSON by pydantic from the state's own types."""

from typing import Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from eventkernel.errors import UpcastFailed
from eventkernel.state_shape import fingerprint, shape_of
from prescriptions.domain.state import Prescription

VERSION: Final = 1
"""What the fields mean. Raise it whenever the state's shape or a field's meaning changes (docs/versioning.md)."""

# In a tuple, because plain dataclasses take their configuration from what holds them: hashes and signatures are bytes.
_ADAPTER = TypeAdapter(tuple[Prescription], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))


class PrescriptionStateCodec:
    """``StateCodec`` of the prescription. The schema names the declared version and, as a hash, every field and type: whoever
    changes them makes older snapshots unreadable by that alone, and their streams are replayed.
    """

    version = VERSION
    schema: str = f"prescription/{VERSION}/{fingerprint(shape_of(Prescription))}"

    def encode(self, state: Prescription) -> bytes:
        """The state as JSON."""
        return _ADAPTER.dump_json((state,))

    def decode(self, data: bytes) -> Prescription:
        """The state. Raises ``EventUnreadable``."""
        try:
            return _ADAPTER.validate_json(data)[0]
        except ValidationError as error:
            raise UpcastFailed("snapshot", version=VERSION, cause=str(error)) from error
