"""Every crash point on Cassandra, Kafka and PostgreSQL: stopped exactly there, nothing is lost, doubled or reordered."""

from collections.abc import Iterator

import pytest

from bootstrap.testing.crashes import EVERYWHERE, STACK, Crash, survives
from bootstrap.testing.damage import delete_from_journal, run_postgres
from bootstrap.testing.house import House
from bootstrap.testing.losses import audited, loses_the_end_of_its_topic, settings_of, write_some
from bootstrap.testing.program import Erx
from eventkernel.ids import StreamId
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
    house = House(erx, data, "stack").start()
    yield house
    found = house.not_linearizable()
    erx.close()
    stack.down()
    assert found == []


@pytest.mark.parametrize("action", ["kill", "stop"])
@pytest.mark.parametrize("crash", [*EVERYWHERE, *STACK], ids=lambda crash: f"{crash.point}-{crash.role}")
async def test_nothing_is_lost_doubled_or_reordered_by_a_process_stopped_at(
    house: House, crash: Crash, action: str
) -> None:
    await survives(house, crash, action)


async def test_a_topic_that_lost_its_end_behind_the_cursors_is_found_by_the_audit_and_healed(house: House) -> None:
    await loses_the_end_of_its_topic(house)


async def test_what_is_deleted_by_hand_from_real_stores_is_named_and_healed_but_for_the_journals(house: House) -> None:
    tenant, keys = await write_some(house)
    settings, stream = settings_of(house), StreamId.from_key(keys[0])
    row = "WHERE tenant = %s AND stream = %s"
    for table in ("prescription_view_v1", "medication_list_v1__checkpoint"):
        assert run_postgres(settings, f"DELETE FROM {table} {row}", tenant, stream.name) == 1
    named = {(one["lack"], one["view"], one["stream"]) for one in audited(house)["findings"] if tenant in one["stream"]}
    assert ("view-differs", "prescription_view", stream.key) in named
    assert ("view-behind", "medication_list", stream.key) in named
    healed = audited(house, "--heal")
    assert [one for one in healed["findings"] if tenant in one["stream"]] == []
    assert {one["lack"] for one in healed["healed"]} >= {"view-differs", "view-behind"}
    await delete_from_journal(settings, stream, 2)
    left = [one for one in audited(house, "--heal")["findings"] if tenant in one["stream"]]
    assert ("journal-gap", stream.key, 2, False) in {
        (one["lack"], one["stream"], one["first"], one["healable"]) for one in left
    }
