"""Telling every process that a view's states were changed in their place: a stream rebuilt, an event discarded, another table.

A state at a version is true for ever except then, and processes keep such states in memory. So what changes one moves a stamp
in the same transaction, and who reads sees the stamp of its snapshot.
"""

from typing import Any

from eventkernel.envelope import to_micros
from eventkernel.ports import Clock, ViewTransaction
from eventkernel.ports.view_catalogue import CORRECTIONS_KEY, CORRECTIONS_KIND
from eventkernel.view import View


async def note_correction(transaction: ViewTransaction, view: View[Any, Any], clock: Clock) -> None:
    """Move the view's stamp, which only grows."""
    known = (await transaction.notes.all(view, CORRECTIONS_KIND)).get(CORRECTIONS_KEY, b"0")
    stamp = max(int(known) + 1, to_micros(clock.now()))
    await transaction.notes.put(view, CORRECTIONS_KIND, CORRECTIONS_KEY, b"%d" % stamp)
