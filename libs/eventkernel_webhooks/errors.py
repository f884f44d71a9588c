"""What delivering a webhook can end with beside an answer.

::

    KernelError
    ├── AddressRefused   the endpoint's name leads to an address that may not be called
    └── NoAnswer         the endpoint could not be reached, did not answer in time, or did not speak HTTP
"""

from eventkernel.errors import KernelError


class AddressRefused(KernelError):
    """A private, local or reserved address, which only a setting allows. Nothing was sent."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} leads to an address that may not be called")
        self.host = host


class NoAnswer(KernelError):
    """There was no HTTP answer; the endpoint may have got the message all the same."""

    retriable = True

    def __init__(self, cause: str) -> None:
        super().__init__(f"no answer: {cause}")
        self.cause = cause
