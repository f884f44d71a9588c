"""What a session has seen, carried from each reply to the next question."""

import threading

from eventkernel.envelope import StreamPosition
from eventkernel.ids import DEFAULT_TENANT
from eventkernel_grpc.tokens import BYTES_MAX, POSITIONS_MAX, decode_token, encode_token


class Seen:
    """The newest position of each stream that replies told of: what the next answer must not be behind.

    The service takes a limited number of them. Beyond it, what was seen longest ago is forgotten first: a session reads its
    own last writes, not all that it ever wrote. May be shared by threads.
    """

    def __init__(self, tenant: str = "") -> None:
        self._tenant = tenant or DEFAULT_TENANT
        self._versions: dict[tuple[str, str], int] = {}
        self._token = b""
        self._guard = threading.Lock()

    @property
    def token(self) -> bytes:
        """All of it, to be sent along, or handed to another process. Empty: nothing yet."""
        return self._token

    def add(self, token: bytes) -> None:
        """Take in a token. Raises ``InvalidCommand`` for one that no service gave out, or gave to another tenant."""
        if not token:
            return
        with self._guard:
            for position in decode_token(token, tenant=self._tenant):
                stream = (position.context, position.stream)
                known = self._versions.pop(stream, 0)
                self._versions[stream] = max(known, position.version)
            self._token = self._fitting()

    def _fitting(self) -> bytes:
        while True:
            if len(self._versions) <= POSITIONS_MAX:
                token = encode_token(
                    (StreamPosition(context, stream, version) for (context, stream), version in self._versions.items()),
                    tenant=self._tenant,
                )
                if len(token) <= BYTES_MAX:
                    return token
            del self._versions[next(iter(self._versions))]
