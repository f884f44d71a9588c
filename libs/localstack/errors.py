"""What can go wrong between "start the servers" and "they answer".

LocalStackError
├── MissingTool        a program this machine lacks, with the package that brings it
├── JarsUnavailable    Maven could not resolve the servers' jars
├── NotRunning         an operation that needs a running server found none
├── NotReady           a server did not answer before its deadline
│   └── ServerExited   … because its process ended
└── StackMismatch      the folder holds a stack of another shape
"""


class LocalStackError(Exception):
    """Base of every error of this package."""


class MissingTool(LocalStackError):
    """A program is not installed; the message names the Debian package that brings it."""

    def __init__(self, *, tool: str, package: str, needed_for: str, detail: str = "") -> None:
        self.tool = tool
        self.package = package
        self.needed_for = needed_for
        self.detail = detail
        found = f" ({detail})" if detail else ""
        super().__init__(
            f"{tool} not found{found}: {needed_for} needs it; on Debian or Ubuntu: apt-get install {package}"
        )


class JarsUnavailable(LocalStackError):
    """Maven ran and failed; the end of its output is in the message."""

    def __init__(self, *, server: str, output: str) -> None:
        self.server = server
        self.output = output
        super().__init__(f"Maven could not fetch the jars of {server}. The end of its output:\n{output}")


class NotRunning(LocalStackError):
    """The server, or the whole stack, is not running."""

    def __init__(self, *, what: str, hint: str) -> None:
        self.what = what
        super().__init__(f"{what} is not running: {hint}")


class NotReady(LocalStackError):
    """A server did not become ready in time; carries what was awaited and the end of its log."""

    def __init__(self, *, server: str, awaited: str, seconds: float, last_answer: str, log: str, log_tail: str) -> None:
        self.server = server
        self.awaited = awaited
        self.seconds = seconds
        self.last_answer = last_answer
        self.log = log
        self.log_tail = log_tail
        super().__init__(
            f"{server}: waited {seconds:.0f} s for {awaited}; last answer: {last_answer or 'none'}."
            f"\nLast lines of {log}:\n{log_tail}"
        )


class ServerExited(NotReady):
    """The server's process ended before the server was ready."""


class StackMismatch(LocalStackError):
    """The folder already holds a stack of another shape than the one asked for."""

    def __init__(self, *, root: str, found: str, asked: str) -> None:
        self.root = root
        self.found = found
        self.asked = asked
        super().__init__(
            f"{root} holds a stack of {found}; asked for {asked}. Take it down first, or use another folder"
        )
