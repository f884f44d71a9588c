"""Watchers, events and cuts, all at once and real; ``python -m bootstrap.testing.watch_show`` is the same at full size."""

from pathlib import Path

import pytest

from bootstrap.testing.watch_show import Size, show


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_every_watcher_sees_every_matching_change_once_and_in_order_whatever_is_cut(
    tmp_path: Path, seed: int
) -> None:
    saw = await show(tmp_path, Size(watchers=50, events=1_500, cuts=12, seed=seed))
    assert saw.wrong == ()
    assert saw.events == 1_500
    assert saw.connections > 2 * saw.watchers, "too few connections were cut to show anything"
