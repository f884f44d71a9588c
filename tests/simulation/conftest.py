"""A share of the schedules that every run goes through; ``ERX_SIMULATION_SCHEDULES`` makes the shares larger."""

import os
from collections.abc import Callable

import pytest

from eventkernel_simulation.runner import Outcome, run_schedules

SCHEDULES_EACH = 900
SHARE_SEEDS = 10_000_000


@pytest.fixture(scope="session")
def run_share() -> Callable[[int], Outcome]:
    """Run the schedules of one share. Shares stand in files of their own, so that workers divide them among themselves."""

    def run(share: int) -> Outcome:
        count = int(os.environ.get("ERX_SIMULATION_SCHEDULES", SCHEDULES_EACH))
        first = share * SHARE_SEEDS
        outcome = run_schedules(range(first, first + count))
        for verdict in outcome.broken:
            again = f"erx simulate --seed {verdict.seed} --schedules 1 --trace"
            pytest.fail(f"seed {verdict.seed}, step {verdict.steps}: {verdict.breach}\n{again}", pytrace=False)
        return outcome

    return run
