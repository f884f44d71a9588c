"""Named branches of which a test run wants to know that it went through them.

They do nothing: a call of an empty function. No setting and no variable of the program reaches them; a test puts a function of
its own in the place of ``hit`` (``eventkernel_simulation.coverage``). So modules call it through this module,
``marks.hit("...")``, with the name written out, by which all marks there are can be found in the source.
"""

from collections.abc import Callable


def _pass_by(_name: str) -> None:
    """Nobody counts."""


hit: Callable[[str], None] = _pass_by
"""The process is going through this branch."""
