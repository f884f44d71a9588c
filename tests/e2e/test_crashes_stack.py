"""Every crash point on Cassandra, Kafka and PostgreSQL: stopped exactly there, nothing is lost, doubled or reordered."""

from collections.abc import Iterator

import pytest

from bootstrap.testing.crashes import EVERYWHERE, STACK, Crash, survives
from bootstrap.testing.house import House
from bootstrap.testing.program import Erx
from localstack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("crashes")
    folder.chmod(0o755)  # PostgreSQL may run as another user
    data = folder / "data"
    data.mkdir()
    stack = Stack(data / "stack")
    stack.up()
    erx = Erx(folder)
    yield House(erx, data, "stack").start()
    erx.close()
    stack.down()


@pytest.mark.parametrize("action", ["kill", "stop"])
@pytest.mark.parametrize("crash", [*EVERYWHERE, *STACK], ids=lambda crash: f"{crash.point}-{crash.role}")
async def test_nothing_is_lost_doubled_or_reordered_by_a_process_stopped_at(
    house: House, crash: Crash, action: str
) -> None:
    await survives(house, crash, action)
