"""Failpoints that act: for programs of tests alone, which call ``install`` before anything else runs.

``name=kill`` ends the process at the place of this name as ``kill -9`` does, ``name=stop`` freezes it until somebody sends
SIGCONT; ``@n`` after it means the n-th time that the place is reached. Each acts once. Before it does, the process says so
on standard error: ``failpoint NAME: kill``.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

from eventkernel import failpoints

ACTIONS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
TURNS_MAX: Final = 400
"""Turns of the loop in which what was begun is sent."""
ELSEWHERE_SECONDS: Final = 0.05
"""How long the loop then stands still, while threads and servers go on with it."""


@dataclass(slots=True)
class _Armed:
    action: str
    times_left: int


_armed: dict[str, _Armed] = {}


def install() -> None:
    """Put functions that act in the place of those that do nothing."""
    failpoints.reached = reached
    failpoints.under_way = under_way


def arm(text: str) -> None:
    """Arm what ``name=action[@n]``, several by commas, asks for. Raises ``ValueError`` for what is none of the names."""
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, rest = word.partition("=")
        action, _, times = rest.partition("@")
        if name not in failpoints.NAMES or action not in ACTIONS or not (times or "1").isdigit():
            raise ValueError(f"{word!r} is not name=kill or name=stop, perhaps with @n, for a name of a failpoint")
        _armed[name] = _Armed(action, int(times or 1))


def reached(name: str) -> None:
    """Act, if it is time."""
    armed = _armed.get(name)
    if armed is None:
        return
    armed.times_left -= 1
    if armed.times_left > 0:
        return
    del _armed[name]
    os.write(2, f"failpoint {name}: {armed.action}\n".encode())
    os.kill(os.getpid(), ACTIONS[armed.action])


def under_way(name: str, awaitable: Awaitable[Any]) -> Awaitable[Any]:
    """Act between the sending and the answer: it may be there already, and nobody here has read it."""
    return _act_during(name, awaitable) if name in _armed else awaitable


async def _act_during(name: str, awaitable: Awaitable[Any]) -> Any:
    task = asyncio.ensure_future(awaitable)
    for _ in range(TURNS_MAX):
        if task.done():
            break
        await asyncio.sleep(0)
    time.sleep(ELSEWHERE_SECONDS)  # noqa: ASYNC251 - the loop stands still on purpose
    reached(name)
    return await task
