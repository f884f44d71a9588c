"""Where the command line prints: as wide as the terminal, or wide enough where a file or a program reads."""

import os

from rich.console import Console
from rich.table import Table

PIPE_COLUMNS = 200


def console() -> Console:
    """Standard output."""
    return Console(width=None if os.isatty(1) or "COLUMNS" in os.environ else PIPE_COLUMNS)


def listing(*headers: str, title: str | None = None) -> Table:
    """A table whose cells go on in the next line where they are too long, and lose nothing."""
    table = Table(box=None, title=title, title_justify="left")
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
