"""The program behind `./erx`: `python -m bootstrap`."""

import sys
from importlib import import_module

DEVTOOLS = {
    "clients": "bootstrap.devtools.clients",
    "gen": "bootstrap.devtools.gen",
    "lint": "bootstrap.devtools.lint",
    "test": "bootstrap.devtools.test",
}


def main() -> int:
    """Run one command; nothing is imported that it does not need."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in DEVTOOLS:
        status: int = import_module(DEVTOOLS[command]).main(arguments)
        return status
    cli = import_module("bootstrap.cli")
    result: int | None = cli.main()
    return result or 0


if __name__ == "__main__":
    sys.exit(main())
