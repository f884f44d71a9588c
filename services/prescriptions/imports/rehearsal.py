"""Plays planned commands through the pure decider, without a server: what would be refused, and what the end would be."""

from dataclasses import replace
from hashlib import sha256
from typing import Final

from prescriptions.domain.commands import Command, DispenseMedication, DispensePartially, RecordNotDispensed
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.facts import Facts
from prescriptions.domain.profiles import Profile
from prescriptions.domain.state import Prescription
from prescriptions.imports.plan import PlannedPrescription, PlannedStep

_TOKEN: Final = "rehearsal"  # noqa: S105 - opens nothing: it stands for a token that only a server makes
_TOKEN_SHA256: Final = sha256(_TOKEN.encode()).digest()


def rehearse(plan: PlannedPrescription, profile: Profile) -> Prescription:
    """The state after all commands, or the first ``Refusal``."""
    state = PRESCRIPTION.initial
    for step in plan.steps:
        state = rehearse_step(state, step, profile)
    return state


def rehearse_step(state: Prescription, step: PlannedStep, profile: Profile) -> Prescription:
    """The state after one more command, or its ``Refusal``."""
    facts = Facts(step.effective_time, step.actor, profile, claim_token_sha256=_TOKEN_SHA256)
    return PRESCRIPTION.evolve(state, PRESCRIPTION.decide(state, with_claim_token(step.command, _TOKEN), facts))


def with_claim_token(command: Command, claim_token: str) -> Command:
    """The command with the token, where it is one that carries it."""
    match command:
        case DispenseMedication() | DispensePartially() | RecordNotDispensed():
            return replace(command, claim_token=claim_token)
        case _:
            return command
