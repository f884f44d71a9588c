"""One schedule's world and weather, drawn from its seed: few things at a time, each time others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

RATES: Mapping[str, tuple[float, float]] = {
    "cql.refused": (0.01, 0.1),
    "cql.lost": (0.01, 0.08),
    "cql.reply_lost": (0.01, 0.12),
    "cql.late": (0.01, 0.12),
    "cql.accepted": (0.01, 0.08),
    "cql.unsettled": (0.01, 0.12),
    "produce.lost": (0.02, 0.2),
    "produce.cut": (0.02, 0.2),
    "produce.late": (0.02, 0.2),
    "produce.unacknowledged": (0.02, 0.2),
    "poll.failed": (0.01, 0.1),
    "commit.lost": (0.02, 0.2),
    "commit.unanswered": (0.02, 0.2),
    "tail.failed": (0.02, 0.2),
    "pg.failed": (0.01, 0.05),
    "pg.commit_lost": (0.02, 0.15),
    "pg.commit_unanswered": (0.02, 0.2),
    "pg.commit_late": (0.02, 0.15),
    "rpc.request_lost": (0.01, 0.1),
    "rpc.reply_lost": (0.01, 0.15),
}
"""Faults, and between which rates each is drawn where it is on at all."""

STORMS = ("cql.refused", "cql.lost", "cql.reply_lost", "cql.late")
"""Faults of which a few schedules see so many that nothing gets through at once."""

BLOWS = (
    "kill",
    "kill",
    "kill",
    "freeze",
    "freeze",
    "cut off",
    "cassandra crashes",
    "cassandra stalls",
    "kafka crashes",
    "kafka crashes",
    "kafka forgets offsets",
    "postgres crashes",
)


TAIL_LOST = "kafka loses its tail"
"""The bus loses what it has acknowledged: only where an auditor runs can everything be right in the end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How big the world is, how its parts are set, and what goes wrong."""

    nodes: tuple[tuple[str, ...], ...]
    streams: int
    clients: int
    commands_each: int
    burst: int
    hurry: float
    forgetful: float
    think_seconds: float
    bucket_events: int
    shard_count: int
    partitions: int
    rest_seconds: float
    grace_seconds: float
    scan_seconds: float
    gather_seconds: float
    cursor_seconds: float
    events_max: int
    cursors_behind_max: int
    batch_commands_max: int
    snapshot_every: int
    cached: int
    skew_seconds: float
    slow: float
    rates: Mapping[str, float]
    blows: tuple[str, ...]
    blow_seconds: float

    @property
    def audited(self) -> bool:
        """Whether an auditor heals what nobody else can see."""
        return any("auditor" in parts for parts in self.nodes)


APART: tuple[tuple[str, ...], ...] = (
    ("command",),
    ("command",),
    ("relay",),
    ("relay",),
    ("projector",),
    ("projector",),
)
TOGETHER: tuple[tuple[str, ...], ...] = (("command", "relay", "projector"),) * 2
MIXED: tuple[tuple[str, ...], ...] = (("command", "relay"), ("command", "relay"), ("projector",), ("projector",))


def plan_of(seed: int) -> Plan:
    """The plan of a seed, the same for ever as long as this module stays as it is."""
    draw = Random(f"plan {seed}")  # noqa: S311 - a seeded history, not a secret

    def one(*options: float) -> float:
        return draw.choice(options)

    count: Callable[..., int] = draw.randint
    share = draw.choice((0.0, 0.15, 0.4, 0.7))
    rates = {name: draw.uniform(*bounds) for name, bounds in RATES.items() if draw.random() < share}
    storm = draw.random()
    if storm < 0.06:
        rates |= {"cql.unanswered": 0.85}
    elif storm < 0.1:
        rates |= dict.fromkeys(draw.sample(STORMS, 2), 0.25)
    elif storm < 0.15:
        rates |= {"produce.lost": 0.3, "produce.unacknowledged": 0.3}
    blows = tuple(draw.sample(BLOWS, count(0, 4)))
    deep = draw.random() < 0.4
    plan = Plan(
        nodes=draw.choice((APART, TOGETHER, MIXED)),
        streams=1 if deep else count(1, 3),
        clients=count(1, 2) if deep else count(1, 3),
        commands_each=count(6, 12) if deep else count(2, 6),
        burst=draw.choice((1, 2, 4)) if deep else draw.choice((1, 1, 4)),
        hurry=one(0.0, 0.1, 0.4),
        forgetful=one(0.0, 0.0, 0.3),
        think_seconds=one(0.0, 0.05, 0.5, 1.5),
        bucket_events=count(2, 6) if deep else 1_000,
        shard_count=count(1, 3),
        partitions=count(1, 3),
        rest_seconds=one(0.0, 0.3, 1.5),
        grace_seconds=one(0.0, 0.02, 0.5),
        scan_seconds=one(0.0, 1.0, 3.0) if deep else one(0.0, 0.3),
        gather_seconds=one(0.0, 0.0, 0.1),
        cursor_seconds=one(0.0, 0.2, 0.5) if deep else one(0.0, 0.0, 0.2),
        events_max=draw.choice((1, 2, 100)) if deep else draw.choice((1, 5, 100)),
        cursors_behind_max=draw.choice((2, 5_000)),
        batch_commands_max=count(1, 2) if deep else count(1, 4),
        snapshot_every=draw.choice((0, 2, 3)),
        cached=draw.choice((0, 1, 10)),
        skew_seconds=one(0.0, 0.1, 3.0),
        slow=one(0.0, 0.03, 0.15),
        rates=rates,
        blows=blows,
        blow_seconds=one(0.3, 1.0, 2.5),
    )
    if draw.random() < 0.2:
        plan = _at_the_edge(plan, draw)
    if draw.random() < 0.2:
        blows = (*plan.blows, *[TAIL_LOST] * count(1, 2))
        plan = replace(plan, nodes=(*plan.nodes, ("auditor",)), blows=tuple(draw.sample(blows, len(blows))))
    return plan


def _at_the_edge(plan: Plan, draw: Random) -> Plan:
    """Intervals as short as the trips: who is late, who rests and who writes is decided at the same moment."""
    return replace(
        plan,
        nodes=draw.choice((TOGETHER, MIXED)),
        commands_each=plan.commands_each + 4,
        slow=0.3,
        think_seconds=0.2,
        rest_seconds=draw.choice((0.02, 0.1)),
        grace_seconds=draw.choice((0.0, 0.02)),
        cursor_seconds=draw.choice((0.0, 0.3)),
    )
