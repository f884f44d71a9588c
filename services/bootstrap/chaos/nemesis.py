"""What is done to the place, chosen at random from a seed: which trouble, to whom, for how long."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from bootstrap.chaos.place import ROLES, Place
from bootstrap.stores import TOPIC

ADMIN_SECONDS = 30.0
FREEZE_SECONDS = (1.0, 6.0)
LINK_SECONDS = (0.5, 6.0)
SLOW_MILLISECONDS = (50, 600)
PAUSE_SECONDS = (0.5, 3.0)
STORM_KILLS = 5
LEASE_PASSED_SECONDS = 5.0
OUTAGE_SHARE = 0.15


@dataclass(slots=True)
class Nemesis:
    """Does one thing after the other until the time is over; a store is started again before the next thing is done.

    ``said`` gets a line for each. What is chosen follows from the seed alone; what it meets depends on the machine.
    """

    place: Place
    seed: int
    seconds: float
    said: Callable[[str], None]
    done: dict[str, int] = field(default_factory=dict)
    truncated: list[int] = field(default_factory=list)
    _outages: int = 0

    async def run(self) -> None:
        """All of it."""
        chooser = random.Random(self.seed)  # noqa: S311 - it is to be repeated, not to be secret
        troubles = self._troubles()
        names = list(troubles)
        ends_at = time.monotonic() + self.seconds
        first = iter(chooser.sample(names, k=len(names)))  # everything once, then at random
        while time.monotonic() < ends_at:
            name = next(first, None) or chooser.choice(names)
            began = time.monotonic()
            told = await troubles[name](chooser)
            self.done[name] = self.done.get(name, 0) + 1
            self.said(f"{name}: {told} ({time.monotonic() - began:.1f} s)")
            await asyncio.sleep(chooser.uniform(*PAUSE_SECONDS))

    def _troubles(self) -> Mapping[str, Callable[[random.Random], Awaitable[str]]]:
        links = list(self.place.proxies.addresses)
        found: dict[str, Callable[[random.Random], Awaitable[str]]] = {
            "kill a process": self._kill_role,
            "freeze a process": self._freeze_role,
            "freeze a relay past its lease": self._freeze_relay,
            "kill a projector again and again": self._storm,
            "kill a store": self._kill_store,
            "freeze a store": self._freeze_store,
            "bus down for long": self._outage,
            "truncate the topic": self._truncate,
        }
        for what, act in (("cut", self._cut), ("silence", self._silence), ("slow", self._slow)):
            found[f"{what} a link"] = lambda chooser, act=act: act(chooser, chooser.choice(links))  # type: ignore[misc]
        if len(self.place.stack.cassandra_nodes) > 1:
            found["kill a node while another is frozen"] = self._ring
        return found

    async def _kill_role(self, chooser: random.Random) -> str:
        name = chooser.choice(ROLES)
        await self._killed(name, chooser.uniform(0.0, 2.0))
        return name

    async def _killed(self, name: str, away_seconds: float) -> None:
        await asyncio.to_thread(self.place.kill, name)
        await asyncio.sleep(away_seconds)
        self.place.start(name)

    async def _freeze_role(self, chooser: random.Random) -> str:
        return await self._frozen(chooser.choice(ROLES), chooser.uniform(*FREEZE_SECONDS))

    async def _freeze_relay(self, chooser: random.Random) -> str:
        """Both relays believe for a moment that the same shards are theirs."""
        return await self._frozen(chooser.choice([name for name in ROLES if "relay" in name]), LEASE_PASSED_SECONDS)

    async def _frozen(self, name: str, seconds: float) -> str:
        self.place.signal(name, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.place.signal(name, signal.SIGCONT)
        return name

    async def _storm(self, _: random.Random) -> str:
        """The other projector goes through a rebalance each time."""
        for _round in range(STORM_KILLS):
            await self._killed("projector-1", 0.0)
            await asyncio.sleep(1.0)
        return f"projector-1 {STORM_KILLS} times"

    async def _kill_store(self, chooser: random.Random) -> str:
        name = chooser.choice(sorted(self.place.servers))
        server = self.place.servers[name]
        await asyncio.to_thread(server.kill9)
        await asyncio.sleep(chooser.uniform(0.0, 2.0))
        await asyncio.to_thread(server.restart, seconds=ADMIN_SECONDS * 6)
        return name

    async def _freeze_store(self, chooser: random.Random) -> str:
        name = chooser.choice(sorted(self.place.servers))
        server = self.place.servers[name]
        await asyncio.to_thread(server.freeze)
        await asyncio.sleep(chooser.uniform(*FREEZE_SECONDS))
        await asyncio.to_thread(server.thaw)
        return name

    async def _outage(self, chooser: random.Random) -> str:
        """Once a run for a good part of it, so that the outbox grows."""
        self._outages += 1
        if self._outages > 1:
            return await self._kill_store(chooser)
        kafka = self.place.stack.kafka
        await asyncio.to_thread(kafka.kill9)
        await asyncio.sleep(self.seconds * OUTAGE_SHARE)
        await asyncio.to_thread(kafka.restart, seconds=ADMIN_SECONDS * 6)
        return "kafka"

    async def _truncate(self, chooser: random.Random) -> str:
        """Remove the first half of a partition, as a wrong retention would; once a run."""
        if self.truncated:
            return f"was done; killed {await self._kill_role(chooser)} instead"
        partition, before = await asyncio.to_thread(self._remove_half)
        if before == 0:
            return "nothing on it yet"
        self.truncated.append(partition)
        return f"partition {partition} before offset {before}"

    def _remove_half(self) -> tuple[int, int]:
        """Of the fullest partition."""
        servers: dict[str, str | int | float | bool] = {"bootstrap.servers": self.place.stack.kafka.bootstrap_servers}
        admin, reader = AdminClient(servers), Consumer({**servers, "group.id": "nobody"})
        partitions = admin.list_topics(TOPIC, timeout=ADMIN_SECONDS).topics[TOPIC].partitions
        ends = {
            one: reader.get_watermark_offsets(TopicPartition(TOPIC, one), timeout=ADMIN_SECONDS)[1]
            for one in partitions
        }
        reader.close()
        partition = max(ends, key=lambda one: (ends[one], -one))
        before = ends[partition] // 2
        if before:
            place = TopicPartition(TOPIC, partition, before)
            admin.delete_records([place])[place].result(ADMIN_SECONDS)
        return partition, before

    async def _cut(self, chooser: random.Random, link: str) -> str:
        await asyncio.to_thread(self.place.proxies.cut, link)
        return await self._healed(chooser, link)

    async def _silence(self, chooser: random.Random, link: str) -> str:
        await asyncio.to_thread(self.place.proxies.silence, link)
        return await self._healed(chooser, link)

    async def _slow(self, chooser: random.Random, link: str) -> str:
        milliseconds = chooser.randint(*SLOW_MILLISECONDS)
        await asyncio.to_thread(self.place.proxies.slow, link, milliseconds)
        return f"{await self._healed(chooser, link)} by {milliseconds} ms"

    async def _healed(self, chooser: random.Random, link: str) -> str:
        await asyncio.sleep(chooser.uniform(*LINK_SECONDS))
        await asyncio.to_thread(self.place.proxies.heal)
        return link

    async def _ring(self, chooser: random.Random) -> str:
        """One node is killed while another answers nothing: no majority, until the second one wakes."""
        killed, frozen = chooser.sample(self.place.stack.cassandra_nodes, k=2)
        await asyncio.to_thread(frozen.freeze)
        await asyncio.to_thread(killed.kill9)
        await asyncio.sleep(chooser.uniform(*FREEZE_SECONDS))
        await asyncio.to_thread(frozen.thaw)
        await asyncio.to_thread(killed.restart, seconds=ADMIN_SECONDS * 6)
        return f"{killed.name} killed, {frozen.name} frozen"
