"""Membership of consumer groups in the bus file: who is there, who holds which lane, since which generation.

Every change of the members raises the group's generation in the same transaction that shares the lanes out anew; a member
sees another generation and reads its lanes again. The file is the coordinator: there is no process to lose.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

UPSERT_MEMBER = (
    "INSERT INTO members (name, member, topics, session_micros, beat_micros) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (name, member) DO UPDATE SET beat_micros = excluded.beat_micros"
)
SELECT_MEMBERS = "SELECT member, topics, session_micros, beat_micros FROM members WHERE name = ? ORDER BY member"
DELETE_MEMBER = "DELETE FROM members WHERE name = ? AND member = ?"
RAISE_GENERATION = (
    "INSERT INTO groups (name, generation) VALUES (?, 1)"
    " ON CONFLICT (name) DO UPDATE SET generation = generation + 1 RETURNING generation"
)
SELECT_GENERATION = "SELECT generation FROM groups WHERE name = ?"
SELECT_HOLDINGS = "SELECT lane, member, since FROM holdings WHERE name = ?"
DELETE_HOLDING = "DELETE FROM holdings WHERE name = ? AND lane = ?"
UPSERT_HOLDING = (
    "INSERT INTO holdings (name, lane, member, since) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (name, lane) DO UPDATE SET member = excluded.member, since = excluded.since"
)
SELECT_TOPIC_LANES = "SELECT lane FROM lanes WHERE topic = ? ORDER BY partition"
SELECT_HELD = (
    "SELECT lanes.topic, lanes.partition, holdings.lane, holdings.since, coalesce(committed.next_offset, 0) FROM holdings"
    " JOIN lanes ON lanes.lane = holdings.lane"
    " LEFT JOIN committed ON committed.name = holdings.name AND committed.lane = holdings.lane"
    " WHERE holdings.name = ? AND holdings.member = ? ORDER BY lanes.topic, lanes.partition"
)
COMMIT_OFFSET = (
    "INSERT INTO committed (name, lane, next_offset)"
    " SELECT name, lane, ? FROM holdings WHERE name = ? AND lane = ? AND member = ?"
    " ON CONFLICT (name, lane) DO UPDATE SET next_offset = excluded.next_offset"
)


@dataclass(frozen=True, slots=True)
class Member:
    """One member: its group, its name in it, what it reads, and how long it may be silent."""

    group: str
    name: str
    topics: tuple[str, ...]
    session_micros: int


def beat(connection: sqlite3.Connection, member: Member, now: int, is_there: Callable[[str], bool]) -> bool:
    """Say that the member lives, drop those that do not, share out again if anybody came or went; whether so."""
    known = connection.execute(SELECT_MEMBERS, (member.group,)).fetchall()
    lost = [
        name
        for name, _, session, beat_at in known
        if name != member.name and (not beat_at <= now <= beat_at + session or not is_there(name))
    ]
    connection.executemany(DELETE_MEMBER, [(member.group, name) for name in lost])
    row = (member.group, member.name, json.dumps(member.topics), member.session_micros, now)
    connection.execute(UPSERT_MEMBER, row)
    changed = bool(lost) or all(name != member.name for name, *_ in known)
    if changed:
        _share_out(connection, member.group)
    return changed


def leave(connection: sqlite3.Connection, member: Member) -> None:
    """Remove the member and give its lanes to the others."""
    if connection.execute(DELETE_MEMBER, (member.group, member.name)).rowcount:
        _share_out(connection, member.group)


def generation_of(connection: sqlite3.Connection, group: str) -> int:
    """The group's generation, 0 before anybody joined."""
    row = connection.execute(SELECT_GENERATION, (group,)).fetchone()
    return row[0] if row else 0


def shares(lanes: Sequence[int], members: Sequence[str], held: Mapping[int, str]) -> dict[int, str]:
    """Who gets which lane: as even as can be, and a lane stays where it is unless its holder has too many or is gone."""
    if not members:
        return {}
    keeps: dict[str, list[int]] = {member: [] for member in members}
    for lane in lanes:
        if held.get(lane) in keeps:
            keeps[held[lane]].append(lane)
    base, extra = divmod(len(lanes), len(members))
    by_load = sorted(members, key=lambda member: (-len(keeps[member]), member))
    quotas = {member: base + (place < extra) for place, member in enumerate(by_load)}
    result = {lane: member for member in members for lane in keeps[member][: quotas[member]]}
    room = [member for member in members for _ in range(quotas[member] - min(len(keeps[member]), quotas[member]))]
    free = [lane for lane in lanes if lane not in result]
    return result | dict(zip(free, room, strict=True))


def _share_out(connection: sqlite3.Connection, group: str) -> None:
    (generation,) = connection.execute(RAISE_GENERATION, (group,)).fetchone()
    readers: dict[str, list[str]] = {}
    for member, topics, *_ in connection.execute(SELECT_MEMBERS, (group,)).fetchall():
        for topic in json.loads(topics):
            readers.setdefault(topic, []).append(member)
    held = {lane: member for lane, member, _ in connection.execute(SELECT_HOLDINGS, (group,)).fetchall()}
    wanted: dict[int, str] = {}
    for topic in sorted(readers):
        lanes = [lane for (lane,) in connection.execute(SELECT_TOPIC_LANES, (topic,)).fetchall()]
        wanted |= shares(lanes, readers[topic], held)
    connection.executemany(DELETE_HOLDING, [(group, lane) for lane in held if lane not in wanted])
    moved = [(group, lane, member, generation) for lane, member in wanted.items() if held.get(lane) != member]
    connection.executemany(UPSERT_HOLDING, moved)
