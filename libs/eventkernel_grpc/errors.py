"""What the gRPC edge itself raises, beside the kernel's tree.

::

    KernelError
    ├── RequestInvalid       the request breaks rules of its proto, or cannot be read at all; every violation is listed
    ├── RequestTooLarge      the request has more bytes than the server reads
    ├── MetadataInvalid      the call's metadata lacks a key or holds a value that breaks its rule
    ├── DeadlinePassed       the call took longer than the caller, or the server's default, allows
    │   └── OutcomeNotKnown  the same of a call that may have changed something
    ├── MethodUnknown        the server has no such method
    ├── ServerDraining       the server is stopping; another one, or the same one later, answers
    ├── BindFailed           the address is taken or is not this machine's; the program must not serve
    └── RemoteError          a call to another service failed: its code, reason and metadata
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc

from eventkernel.errors import KernelError


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: the field's path (``content.medication[2].code``), the rule's id and what it asks for."""

    field: str
    rule: str
    message: str


class RequestInvalid(KernelError):
    """The request breaks rules that its proto states. Nothing was changed."""

    def __init__(self, violations: Sequence[Violation], *, reason: str = "INVALID_REQUEST") -> None:
        first = f": {violations[0].field}: {violations[0].message}" if violations else ""
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"the request is not valid{first}{more}")
        self.violations = tuple(violations)
        self.reason = reason


class RequestTooLarge(KernelError):
    """The request has more bytes than the server reads. It was not read, and nothing was changed."""

    def __init__(self, *, size: int, at_most: int) -> None:
        super().__init__(f"the request has {size} bytes, at most {at_most} are read")
        self.size = size
        self.at_most = at_most


class MetadataInvalid(KernelError):
    """A metadata key is missing, doubled or holds a value that breaks its rule. The value itself is not repeated."""

    def __init__(self, key: str, rule: str) -> None:
        super().__init__(f"metadata {key}: {rule}")
        self.key = key
        self.rule = rule


class DeadlinePassed(KernelError):
    """The time for the call is over."""

    retriable = True

    def __init__(self, method: str, *, seconds: float) -> None:
        super().__init__(f"{method} did not finish within {seconds:g} s")
        self.method = method
        self.seconds = seconds


class OutcomeNotKnown(DeadlinePassed):
    """The time for a command is over before it is known what became of it; a retry with the same request_id settles it.

    ``time_left``: whether the caller named no deadline, so that the same call may still be tried again.
    """

    def __init__(self, method: str, *, seconds: float, request_id: str, time_left: bool = False) -> None:
        super().__init__(method, seconds=seconds)
        self.request_id = request_id
        self.time_left = time_left


class MethodUnknown(KernelError):
    """Nothing is served under this path, or the service has not implemented it."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} is not served here")
        self.method = method


class ServerDraining(KernelError):
    """The server ends its open streams because it stops. Resume elsewhere from the last token."""

    retriable = True

    def __init__(self) -> None:
        super().__init__("the server is stopping; resume at another one")


class BindFailed(KernelError):
    """The server could not listen."""

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(f"cannot listen on {address}: {cause}")
        self.address = address
        self.cause = cause


class RemoteError(KernelError):
    """What another service answered instead of a reply.

    ``reason``, ``domain`` and ``metadata`` come from its ErrorInfo and are empty where it sent none; ``violations`` from its
    BadRequest; ``retry_after_seconds`` from its RetryInfo.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}{f' {reason}' if reason else ''}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.domain = domain
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds

    @property
    def may_retry(self) -> bool:
        """Whether the same call may succeed later without a change: the service said after how long, or was not there."""
        return self.retry_after_seconds is not None or self.code is grpc.StatusCode.UNAVAILABLE
