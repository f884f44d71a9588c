import gc

from bootstrap import collector


def test_a_server_looks_for_garbage_less_often_and_leaves_what_is_loaded_alone() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with collector.relaxed():
        assert gc.get_threshold() == collector.THRESHOLDS
        assert gc.get_freeze_count() > frozen
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_cycles_of_refused_calls_are_still_found() -> None:
    with collector.relaxed():
        cycles = collector.THRESHOLDS[0] * 3
        for _ in range(cycles):
            cycle: list[object] = []
            cycle.append(cycle)
        assert gc.get_count()[0] < cycles
