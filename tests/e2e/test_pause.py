"""The projector stopped under load and started again; ``python -m bootstrap.testing.pause_show`` is the same for a minute."""

from pathlib import Path

import pytest

from bootstrap.testing.pause_show import Size, show

pytestmark = pytest.mark.slow


async def test_every_overlay_is_right_while_the_projector_stands_still_and_all_drains_after_it(tmp_path: Path) -> None:
    saw = await show(tmp_path, tmp_path / "data", Size(seconds=2.0, events_max=100_000, writers=4, askers=4))
    assert (saw.wrong, saw.differences) == ([], ())
    assert saw.waited == 0
    assert saw.overlaid > 0
    assert saw.journal_reads == 0
    assert saw.left == 0


async def test_beyond_the_bound_questions_wait_and_say_so_and_no_more_is_kept(tmp_path: Path) -> None:
    size = Size(seconds=1.0, events_max=20, writers=4, askers=2, patience_seconds=0.5, filled=True)
    saw = await show(tmp_path, tmp_path / "data", size)
    assert (saw.wrong, saw.differences) == ([], ())
    assert saw.events_before_drain > 20
    assert saw.degraded > 0
    assert saw.pending_max <= 20
    assert saw.left == 0
