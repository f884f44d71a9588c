"""What a process tells of itself from outside: its metrics, and its memory."""

import asyncio
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

SCRAPE_SECONDS = 30.0


async def metrics_of(address: str) -> Mapping[str, float]:
    """The samples without labels, by name."""
    text = await asyncio.to_thread(_read, f"http://{address}/metrics")
    found = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {sample.name: sample.value for sample in found if not sample.labels}


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=SCRAPE_SECONDS) as answer:  # noqa: S310 - a process of this very program
        text: str = answer.read().decode()
    return text


async def memory_of(pid: int) -> int:
    """Resident bytes."""
    asking = await asyncio.create_subprocess_exec("ps", "-o", "rss=", "-p", str(pid), stdout=asyncio.subprocess.PIPE)
    told, _ = await asking.communicate()
    return int(told) * 1024
