"""The prescription as a decider: what the command handler, the views' tests and the simulations use."""

from typing import Final

from eventkernel.decider import Decider
from eventkernel.errors import Refusal
from prescriptions.domain.commands import Command
from prescriptions.domain.events import Event
from prescriptions.domain.evolve import evolve
from prescriptions.domain.facts import Facts
from prescriptions.domain.state import Prescription
from prescriptions.domain.table import TABLE


def decide(state: Prescription, command: Command, facts: Facts) -> Event:
    """Give the one event, or raise a ``Refusal`` that says the status, the command and what is allowed now."""
    try:
        return TABLE.decide(state, command, facts)
    except Refusal as refusal:
        refusal.state = state.status.name
        refusal.command = type(command).__name__
        refusal.allowed = TABLE.allowed(state.status)
        raise


PRESCRIPTION: Final[Decider[Command, Event, Prescription, Facts]] = Decider(Prescription(), decide, evolve)
