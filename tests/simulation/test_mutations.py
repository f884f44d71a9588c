"""Each known mistake, put back, is found within a few schedules, at a seed and a step that give it again."""

import pytest

from eventkernel_simulation.mutations import MUTATIONS
from eventkernel_simulation.runner import run_schedules
from eventkernel_simulation.world import run_schedule

SCHEDULES_MAX = 600


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_known_mistake_is_found_and_comes_again_at_the_same_step(name: str) -> None:
    outcome = run_schedules(range(1, 1 + SCHEDULES_MAX), name)
    assert outcome.broken, f"{SCHEDULES_MAX} schedules did not notice that {MUTATIONS[name].says}"
    [found] = outcome.broken
    again = run_schedule(found.seed, MUTATIONS[name], tracing=True)
    assert (again.breach, again.steps) == (found.breach, found.steps)
    assert run_schedule(found.seed).breach == "", "without the mistake the same schedule keeps every rule"
