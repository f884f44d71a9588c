from collections.abc import Callable

import pytest

from eventkernel_simulation.runner import Outcome


@pytest.mark.slow
def test_no_schedule_breaks_a_rule_and_every_branch_is_gone_through(run_share: Callable[[int], Outcome]) -> None:
    assert run_share(2).never_hit == []
