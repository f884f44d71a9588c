"""Every crash point on SQLite: the process is killed or frozen exactly there, and nothing is lost, doubled or reordered."""

from collections.abc import Iterator

import pytest

from bootstrap.testing.crashes import EMBEDDED, EVERYWHERE, Crash, survives
from bootstrap.testing.house import House
from bootstrap.testing.losses import loses_the_end_of_its_topic
from bootstrap.testing.program import Erx


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("crashes")
    erx = Erx(folder)
    house = House(erx, folder / "data", "embedded").start()
    yield house
    found = house.not_linearizable()
    erx.close()
    assert found == []


@pytest.mark.parametrize("action", ["kill", "stop"])
@pytest.mark.parametrize("crash", [*EVERYWHERE, *EMBEDDED], ids=lambda crash: f"{crash.point}-{crash.role}")
async def test_nothing_is_lost_doubled_or_reordered_by_a_process_stopped_at(
    house: House, crash: Crash, action: str
) -> None:
    await survives(house, crash, action)


async def test_a_topic_that_lost_its_end_behind_the_cursors_is_found_by_the_audit_and_healed(house: House) -> None:
    await loses_the_end_of_its_topic(house)
