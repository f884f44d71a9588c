"""What a session says went wrong, translated from a driver's errors once, at the edge.

::

    NotExecuted (StoreUnavailable)   nothing was changed, for certain; any failed read is one
    InDoubt                          a write may have been applied, or may be applied later
    ServerRefused (StoreMismatch)    the server answers and will not: syntax, rights, password, keyspace
    JournalAbsent (StoreMismatch)    there is no such keyspace, but journals in others: the name may be a mistyped one

``InDoubt`` is no kernel error on purpose: whoever writes has to say what doubt means there.
"""

from eventkernel.errors import StoreMismatch, StoreUnavailable

STORE = "cassandra"


class NotExecuted(StoreUnavailable):
    """Rejected before it was executed, or a read without an answer."""

    def __init__(self, cause: str) -> None:
        super().__init__(STORE, cause)


class InDoubt(Exception):
    """A write without a clear answer. A quarter to a third of the conditional writes that time out have been applied."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class ServerRefused(StoreMismatch):
    """The server understood and refused; trying again changes nothing."""

    def __init__(self, statement: str, cause: str) -> None:
        super().__init__(STORE, expected=f"{statement} to be allowed", actual=cause)


class JournalAbsent(StoreMismatch):
    """The keyspace is not there and is not made, because other keyspaces of the cluster have journals."""

    def __init__(self, keyspace: str, *, journals: str) -> None:
        actual = f"no such keyspace, but journals in {journals}"
        super().__init__(STORE, expected=f"a journal in keyspace {keyspace}", actual=actual)
