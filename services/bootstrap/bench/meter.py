"""What a measured piece of work cost: its pace, its latencies, its processor time, its memory. Children print it as JSON."""

import json
import resource
import sys
import time
from array import array
from typing import Any


class Meter:
    """Begins when it is made. ``took`` is given the seconds of single operations."""

    def __init__(self) -> None:
        self.latencies = array("d")
        self._cpu = time.process_time()
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.perf_counter() - self._began

    def took(self, seconds: float) -> None:
        """Keep one latency."""
        self.latencies.append(seconds)

    def facts(self, operations: int) -> dict[str, Any]:
        """What it was until now. The processor time is that of this process with all its threads."""
        elapsed, spent = self.seconds, time.process_time() - self._cpu
        return {
            "operations": operations,
            "seconds": elapsed,
            "per_second": operations / elapsed,
            **percentiles(self.latencies),
            "cpu_us": spent / max(operations, 1) * 1e6,
            "busy": spent / elapsed,
            "peak_mib": peak_mib(),
        }


def percentiles(seconds: "array[float] | list[float]") -> dict[str, float]:
    """The median and the 99th of a hundred, in ms; nothing where there is nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {
        "p50_ms": ordered[len(ordered) // 2] * 1_000,
        "p99_ms": ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)] * 1_000,
    }


def peak_mib() -> float:
    """The most memory this process ever held. Linux tells kibibytes, macOS bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def tell(facts: dict[str, Any]) -> None:
    """One line of JSON, for the parent."""
    sys.stdout.write(json.dumps(facts) + "\n")
