"""The `erx` command line. Each group of commands has its module; nothing heavy is imported before it is needed."""

from bootstrap.cli.app import main

__all__ = ["main"]
