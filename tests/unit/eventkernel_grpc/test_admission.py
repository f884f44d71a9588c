"""The share of calls let in: full while calls are taken up in time, less the longer they wait, full again afterwards."""

from itertools import cycle

from eventkernel.errors import Overloaded
from eventkernel_grpc.admission import LATE_IN_A_ROW, SHARE_MIN, TICK_SECONDS, Admission


def refusal(tested: Admission) -> Overloaded | None:
    try:
        tested.admit()
    except Overloaded as error:
        return error
    return None


def admission() -> Admission:
    """Its chances are 0.00, 0.01 … 0.99, again and again."""
    chances = cycle(number / 100 for number in range(100))
    return Admission(0.5, chance=lambda: next(chances))


def let_in(tested: Admission, calls: int = 100) -> int:
    return sum(refusal(tested) is None for _ in range(calls))


def test_every_call_is_let_in_while_probes_come_back_in_time() -> None:
    tested = admission()
    for _ in range(10):
        tested.observe(0.5)
    assert let_in(tested) == 100


def test_a_stall_that_one_probe_saw_refuses_nobody() -> None:
    tested = admission()
    for _ in range(LATE_IN_A_ROW - 1):
        tested.observe(9.0)
    tested.observe(0.01)
    tested.observe(9.0)
    assert let_in(tested) == 100


def test_late_probes_in_a_row_let_in_less_and_less_but_never_nobody() -> None:
    tested = admission()
    shares = []
    for _ in range(100):
        tested.observe(0.6)
        shares.append(tested.share)
    assert shares[LATE_IN_A_ROW - 2] == 1.0
    assert sorted(shares, reverse=True) == shares
    assert shares[-1] == SHARE_MIN
    assert let_in(tested, 1_000) == 1_000 * SHARE_MIN


def test_the_share_that_is_let_in_is_the_share() -> None:
    tested = admission()
    for _ in range(LATE_IN_A_ROW):
        tested.observe(0.6)
    assert let_in(tested, 1_000) == 1_000 * tested.share == 500


def test_the_share_is_not_made_smaller_again_before_that_can_show() -> None:
    tested = admission()
    ticks = round(tested.queue_seconds_max / TICK_SECONDS)
    for _ in range(LATE_IN_A_ROW + ticks - 1):
        tested.observe(0.6)
    assert tested.share == 0.5
    tested.observe(0.6)
    assert tested.share == 0.25


def test_when_probes_are_in_time_again_everybody_is_let_in_again() -> None:
    tested = admission()
    for _ in range(100):
        tested.observe(0.6)
    for _ in range(20):
        tested.observe(0.1)
    assert let_in(tested) == 100


def test_a_refusal_names_the_limit_and_asks_for_the_longer_a_pause_the_fewer_are_let_in() -> None:
    tested = Admission(0.5, chance=lambda: 0.999)
    refusals = []
    for _ in range(100):
        tested.observe(0.6)
        refusals.append(refusal(tested))
    told = [error for error in refusals if error is not None]
    assert {(error.limit, error.at) for error in told} == {("queue_seconds", 0.5)}
    waits = [error.retry_after_seconds for error in told]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1.0, 5.0)
