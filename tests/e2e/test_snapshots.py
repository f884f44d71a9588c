"""`erx snapshots` on the real stores, beside a server that runs. On the embedded store: `tests/integration/bootstrap`."""

import json
from pathlib import Path
from typing import Any

from bootstrap.testing.calls import caller
from bootstrap.testing.grounds import Ground
from bootstrap.testing.program import Erx, awaited


async def test_snapshots_are_seen_dropped_and_made_anew_while_servers_run(
    erx: Erx, place: dict[str, str], data_dir: Path, tenant: str
) -> None:
    def snapshots(*words: str) -> str:
        ended = erx.run("snapshots", *words, "--data", str(data_dir), environment=place)
        assert ended.code == 0, ended.errors
        return ended.output

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(snapshots("list", "--tenant", tenant, "--json"))["snapshots"]
        return found

    served = Ground("stack", erx, data_dir, place).serve("command", "--snapshot-every-events", "2")
    async with caller(served.address("command"), served.address("command"), tenant=tenant) as c:
        issued = await c.issued()
        stream = f"{tenant}/prescription-{issued.prescription.prescription_id}"
        (taken,) = awaited("snapshot, written behind the reply", listed)
        assert (taken["stream"], taken["version"], taken["usable"]) == (stream, 2, True)
        snapshots("drop", stream)
        assert snapshots("rebuild", "--all", "--tenant", tenant, "--min-events", "3").startswith(
            "made 1 snapshots anew"
        )
        (made,) = listed()
        assert (made["stream"], made["version"], made["schema"]) == (stream, 3, taken["schema"])
    served.terminate()
    assert served.ended().code == 0
