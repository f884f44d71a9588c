"""Blows: processes killed, frozen and cut off, stores that crash and come back."""

import asyncio
from collections.abc import Callable, Sequence

from eventkernel.ports import TopicPartition
from eventkernel_simulation import plan
from eventkernel_simulation.driver import SimulatedDriver
from eventkernel_simulation.nodes import Ground, Node

RECORDS_LOST_MAX = 3


class Nemesis:
    """Deals the blows of the plan, one after the other, while others heal."""

    def __init__(self, ground: Ground, nodes: Sequence[Node], tail_lost: Callable[[TopicPartition], None]) -> None:
        self._tail_lost = tail_lost
        self._ground = ground
        self._nodes = nodes
        self._random = ground.loop.random

    async def run(self) -> None:
        """All of them."""
        for blow in self._ground.plan.blows:
            await asyncio.sleep(2 * self._ground.plan.blow_seconds * self._random.random())
            lasting = 0.1 * 50 ** self._random.random()
            if self._ground.weather.tracing:
                self._ground.weather.note("nemesis", f"{blow} for {lasting:.2f} s")
            self._deal(blow, lasting)

    def make_good(self) -> None:
        """Whatever is down, frozen or cut off goes on. Stores come back by themselves."""
        for node in self._nodes:
            if not node.process.alive:
                node.start()
            node.driver.cut = False
            if node.process.frozen:
                node.thaw()

    def _deal(self, blow: str, lasting: float) -> None:
        ground, later = self._ground, self._ground.loop.later
        node = self._nodes[int(self._random.random() * len(self._nodes))]
        match blow:
            case "kill" if node.process.alive:
                node.kill()
                later(lasting / 5, _restart, node)
            case "freeze" if node.process.alive and not node.process.frozen:
                node.freeze()
                later(lasting, _thaw, node, node.process)
            case "cut off":
                node.driver.cut = True
                later(lasting, _connect, node.driver)
            case "cassandra crashes":
                ground.cluster.crash(lasting / 2)
            case "cassandra stalls":
                ground.cluster.stall(lasting)
            case "kafka crashes":
                ground.broker.crash(lasting)
            case plan.TAIL_LOST:
                self._tail_lost(ground.broker.lose_tail(RECORDS_LOST_MAX))
            case "kafka forgets offsets":
                ground.broker.forget_commits()
            case "postgres crashes":
                ground.database.crash(lasting / 2)
            case _:
                return


def _restart(node: Node) -> None:
    if not node.process.alive:
        node.start()


def _thaw(node: Node, process: object) -> None:
    if node.process is process and node.process.frozen:
        node.thaw()


def _connect(driver: SimulatedDriver) -> None:
    driver.cut = False
