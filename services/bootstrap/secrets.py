"""Keys that a server needs and nobody should have to invent: given by setting, else made once and kept in the data folder."""

import contextlib
import os
import secrets
from pathlib import Path

from pydantic import SecretStr


def kept_key(given: SecretStr | None, folder: Path, name: str) -> bytes:
    """The key given by setting, else the one in ``folder/name``, made by whoever comes first (mode 600, 32 random bytes)."""
    if given is not None:
        return given.get_secret_value().encode()
    path = folder / name
    with contextlib.suppress(FileNotFoundError):
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{name}.{secrets.token_hex(8)}"
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    try:
        # A link fails where the name is taken, so that of two processes starting at once both use the first one's key.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return bytes.fromhex(path.read_text(encoding="ascii").strip())
