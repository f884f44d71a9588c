"""Many schedules, one after the other or side by side, and what came of them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context

from eventkernel_simulation.coverage import all_marks, counting
from eventkernel_simulation.mutations import MUTATIONS
from eventkernel_simulation.world import Verdict, run_schedule

CHUNK_SCHEDULES = 50
"""Schedules that are handed to another process at a time."""
DEFENCE = "defence: "
"""So begins the name of a mark that only a store which has lost something can reach."""


@dataclass(slots=True)
class Outcome:
    """What so many schedules came to. ``broken`` are those with a breach."""

    schedules: int = 0
    steps: int = 0
    seconds: float = 0.0
    hits: Counter[str] = field(default_factory=Counter)
    broken: list[Verdict] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Count another's schedules too."""
        self.schedules += other.schedules
        self.steps += other.steps
        self.seconds += other.seconds
        self.hits.update(other.hits)
        self.broken += other.broken

    @property
    def never_hit(self) -> list[str]:
        """Marks that no schedule went through, but for those that none should."""
        return sorted(name for name in all_marks() - self.hits.keys() if not name.startswith(DEFENCE))


def run_schedules(seeds: Iterable[int], mutation: str = "") -> Outcome:
    """Run the schedules of these seeds up to the first breach."""
    outcome = Outcome()
    with counting() as hits:
        for seed in seeds:
            verdict = run_schedule(seed, MUTATIONS[mutation] if mutation else None)
            outcome.schedules += 1
            outcome.steps += verdict.steps
            outcome.seconds += verdict.seconds
            if verdict.breach:
                outcome.broken.append(verdict)
                break
    outcome.hits.update(hits)
    return outcome


def run_side_by_side(seeds: Iterator[int], mutation: str, jobs: int) -> Iterator[Outcome]:
    """Run them in so many processes; what came of each handful, in the order of the seeds."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        under_way = [pool.submit(run_schedules, some, mutation) for some in islice(_chunks(seeds), 2 * jobs)]
        following = _chunks(seeds)
        while under_way:
            outcome = under_way.pop(0).result()
            more = None if outcome.broken else next(following, None)
            if more is not None:
                under_way.append(pool.submit(run_schedules, more, mutation))
            yield outcome
            if outcome.broken:
                for waiting in under_way:
                    waiting.cancel()
                return


def _chunks(seeds: Iterator[int]) -> Iterator[list[int]]:
    while some := list(islice(seeds, CHUNK_SCHEDULES)):
        yield some
