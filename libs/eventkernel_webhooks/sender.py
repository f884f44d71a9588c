"""One POST: to a checked address, within a time, without redirects, cookies, proxies or anything of the environment."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpcore

from eventkernel_webhooks.addresses import CheckedBackend, Resolve, resolve
from eventkernel_webhooks.errors import NoAnswer

RESPONSE_BYTES_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and what the endpoint says about when to come again, as it stands in the header."""

    status: int
    retry_after: str = ""


class Sender:
    """Keeps connections open between messages. Use it with ``async with``.

    ``timeout_seconds`` is for everything from the look-up to the end of the answer, however slowly it trickles.
    """

    def __init__(
        self,
        *,
        private_allowed: bool = False,
        timeout_seconds: float = 20.0,
        connections_max: int = 100,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            max_connections=connections_max,
            keepalive_expiry=10.0,
            network_backend=CheckedBackend(private_allowed=private_allowed, resolve=resolve),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer, whatever its status. Raises ``NoAnswer``, ``AddressRefused``."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                async with self._pool.stream("POST", url, headers=list(headers.items()), content=body) as response:
                    # What it says is nobody's business; a little is read so that the connection can be used again.
                    size = 0
                    async for part in response.aiter_stream():
                        size += len(part)
                        if size > RESPONSE_BYTES_MAX:
                            break
                    given = {name.lower(): value for name, value in response.headers}
                    return Answer(response.status, given.get(b"retry-after", b"").decode("ascii", "replace"))
        except TimeoutError as error:
            raise NoAnswer(f"nothing within {self._timeout_seconds:g} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise NoAnswer(f"{type(error).__name__} {error}".strip()[:200]) from error
        except (httpcore.UnsupportedProtocol, UnicodeError) as error:
            raise NoAnswer(f"{type(error).__name__}") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
