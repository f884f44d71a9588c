"""What nobody sees when it happens: a topic that lost its end, a row, an event. The audit alone finds it, and heals it."""

import asyncio
import json
import signal
from typing import Any
from uuid import uuid4

from bootstrap.audit import auditor
from bootstrap.local_stack import with_local_stack
from bootstrap.settings import Settings, load
from bootstrap.testing.crashes import CLIENTS
from bootstrap.testing.damage import truncate
from bootstrap.testing.house import SECONDS, House, Sight
from bootstrap.testing.lives import lives_on
from bootstrap.testing.program import Ended, eventually
from eventkernel.runtime.auditing import Finding, Lack
from eventkernel.testing.history import Recorder, Truncation, check


def settings_of(house: House) -> Settings:
    """The settings of the house's stores."""
    return with_local_stack(load(data_dir=house.data, store=house.store))


async def loses_the_end_of_its_topic(house: House) -> None:
    """The relay dies right behind a moved cursor, no projector has seen the events, and the topic loses them all."""
    house.mend()
    recorder, tenant = Recorder(), f"t-{uuid4().hex[:12]}"
    point = "topic-tail-lost"
    async with (
        house.stores(tenant) as stores,
        lives_on(house.addresses["command"], house.addresses["query"], recorder, tenant) as lives,
    ):
        house.running["projector"].process.send_signal(signal.SIGSTOP)
        await lives.run(CLIENTS, prescriptions=1)
        await eventually("cursors behind every event", lambda: _all_published(stores), seconds=SECONDS)
        house.arm("relay", f"{point}=kill")
        clients = asyncio.create_task(lives.run(CLIENTS, prescriptions=1))

        async def struck() -> bool:
            return house.struck("relay", point, "kill")

        await eventually(f"kill at {point}", struck, seconds=SECONDS)
        await lives.quiet()
        found = check(await stores.look(recorder.history()), drained=False)
        assert found == [], "; ".join(map(str, found[:5]))
        await truncate(settings_of(house))
        house.go_on("projector")
        house.restart("relay")
        lives.gate.set()
        await asyncio.wait_for(clients, SECONDS)
        findings = await _findings(stores)
        assert Lack.TOPIC_LOST in {one.lack for one in findings}
        assert all(one.since is not None for one in findings if one.lack is Lack.TOPIC_LOST)
        assert not any(one.lack in {Lack.JOURNAL_GAP, Lack.JOURNAL_STREAM} for one in findings)
        await eventually("cursors behind every event again", lambda: _all_published(stores), seconds=SECONDS)
        left = [one for one in audited(house, "--heal")["findings"] if tenant in one["stream"]]
        assert left == [], left
        history = recorder.history()
        history.truncations += [Truncation(number) for number in range(settings_of(house).topic_partitions)]
        await stores.drained(history)


async def write_some(house: House) -> tuple[str, list[str]]:
    """A tenant with some prescriptions that are in every store; gives the keys of their streams."""
    house.mend()
    recorder, tenant = Recorder(), f"t-{uuid4().hex[:12]}"
    async with (
        house.stores(tenant) as stores,
        lives_on(house.addresses["command"], house.addresses["query"], recorder, tenant) as lives,
    ):
        await lives.run(2, prescriptions=1)
        await stores.drained(recorder.history())
        await eventually("cursors behind every event", lambda: _all_published(stores), seconds=SECONDS)
    return tenant, sorted({write.stream for write in recorder.history().writes})


def audited(house: House, *words: str) -> Any:
    """What ``erx audit --json`` finds; its exit code says whether anything is left."""
    ended: Ended = house.erx.start(
        "audit", "--json", *words, "--store", house.store, "--data", house.data, "--log-level", "error"
    ).ended(SECONDS)
    assert ended.output, ended.errors
    facts = json.loads(ended.output)
    assert ended.code == (1 if facts["findings"] else 0), ended.errors
    return facts


async def _all_published(stores: Sight) -> bool:
    return all([head.published == head.head async for head in stores.stores.directory.streams(tenant=stores.tenant)])


async def _findings(stores: Sight) -> list[Finding]:
    report = await auditor(stores.stores).look()
    return [finding for finding in report.findings if stores.tenant in finding.stream]
