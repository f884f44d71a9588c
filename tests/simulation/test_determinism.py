"""A seed is a whole history: in this process, in another one, with or without anybody looking."""

import os
import subprocess
import sys

from eventkernel_simulation.world import run_schedule

SEEDS = (3, 7, 11, 19, 42)
PROGRAM = """
from hashlib import sha256
from eventkernel_simulation.world import run_schedule
for seed in {seeds}:
    print(sha256("\\n".join(run_schedule(seed, tracing=True).trace).encode()).hexdigest())
"""


def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(seeds=SEEDS)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "4242")
    ]
    one, other = (process.communicate()[0].split() for process in processes)
    assert one == other
    assert len(set(one)) == len(SEEDS)


def test_a_trace_changes_nothing_of_what_it_tells() -> None:
    for seed in SEEDS:
        silent, told = run_schedule(seed), run_schedule(seed, tracing=True)
        assert (silent.steps, silent.seconds, silent.breach) == (told.steps, told.seconds, told.breach)
        assert silent.trace == ()
        assert told.trace


def test_seeds_differ() -> None:
    assert len({run_schedule(seed).steps for seed in range(1, 21)}) > 10
