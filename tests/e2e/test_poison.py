"""One event that cannot be read among streams that flow; ``python -m bootstrap.testing.poison_show`` has 100,000 of them."""

from pathlib import Path

from bootstrap.testing.poison_show import show
from prescriptions.views import VIEWS


async def test_one_stream_waits_the_others_flow_and_the_repaired_reader_drains_the_lane_in_order(
    tmp_path: Path,
) -> None:
    saw = await show(tmp_path, 300)
    assert (saw.wrong, saw.behind, saw.others_parked) == ([], 0, 0)
    assert saw.lanes == {view.name: [3, 4, 5] for view in VIEWS}
    assert saw.dry_differences > 0
    assert saw.drained == {view.name: 5 for view in VIEWS}
