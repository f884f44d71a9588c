"""Run the tests: `./erx test [--fast] [arguments of pytest ...]`.

Without arguments: every test, on all processors, in random order; tests that need real Cassandra, Kafka and Postgres
start them once and share them. `--fast` leaves out those and whatever else takes seconds. A path, a test id or one of
pytest's own switches (`-k`, `-x`, `--pdb`, `-p no:randomly`) goes through to pytest; paths start at the top of the
checkout.
"""

import os
import re
import sys
from collections.abc import Sequence

import pytest

from bootstrap.checkout import ROOT

WORKERS_MAX = 8
FAST = "not stack and not slow"
# Asked to look closely at something: one process, its output as it comes.
ONE_PROCESS = re.compile(r"-n\d*|--numprocesses(=.*)?|-s|--capture(=.*)?|--pdb|--trace|--collect-only|--co")


def main(argv: Sequence[str] | None = None) -> int:
    """Run pytest from the top of the checkout and return its status; a run without tests is a failure."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--help" in arguments or "-h" in arguments:
        print(__doc__)
        return 0
    os.chdir(ROOT)
    return int(pytest.main(pytest_arguments(arguments, processors())))


def pytest_arguments(arguments: Sequence[str], workers: int) -> list[str]:
    """Translate our switches into pytest's, and spread a whole run over the processors."""
    passed = [argument for argument in arguments if argument != "--fast"]
    fast = ["-m", FAST] if "--fast" in arguments else []
    # A file stays on one worker, so that what its tests share is made once. Files go out in the order of the run, which begins
    # with the folders whose tests take longest: else one of them would be under way when all others are done.
    wide = workers > 1 and not is_narrow(passed)
    spread = [f"--numprocesses={workers}", "--dist=loadfile", "--no-loadscope-reorder"] if wide else []
    return [*spread, *fast, *passed]


def is_narrow(arguments: Sequence[str]) -> bool:
    """Whether the arguments pick so little, or look so closely, that starting workers would only cost time."""
    files = any("::" in argument or argument.endswith(".py") for argument in arguments)
    return files or any(ONE_PROCESS.fullmatch(argument) for argument in arguments)


def processors() -> int:
    """Return how many workers suit: the processors this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, WORKERS_MAX)


if __name__ == "__main__":
    sys.exit(main())
