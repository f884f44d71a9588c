"""The trail of readings: what queries told of whom, written behind the answers in batches.

A query server that can write its trail no longer stops answering (``Overloaded``) rather than go on unseen. A process that is
killed loses the readings of its last moment (``flush_seconds``); one that is stopped writes them.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from google.protobuf.message import Message

from eventkernel.envelope import Provenance
from eventkernel.errors import KernelError, Overloaded
from eventkernel.filters import Row
from eventkernel.ids import StreamId
from eventkernel.ports import Checkpoint, Clock, StreamChange, ViewStore
from eventkernel.runtime.waiting import BACKOFF_SECONDS_MAX, FIRST_BACKOFF_SECONDS, first_of
from eventkernel.view import Change
from eventkernel_grpc.call import CallContext
from prescriptions.queries.subjects import PATIENT_UNKNOWN, told_of
from prescriptions.streams import stream_of
from prescriptions.views.access_log import ACCESS_LOG, CATEGORY
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW

_log = logging.getLogger(__name__)

PRESCRIPTIONS_MAX = 20
"""Prescriptions that one entry names; it always says how many there were."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Named limits: readings that wait to be written, how long they may, and how many go into one transaction."""

    waiting_max: int = 20_000
    flush_seconds: float = 0.25
    batch_max: int = 500


@dataclass(frozen=True, slots=True)
class _Reading:
    """One patient in one answer."""

    tenant: str
    at: datetime
    action: str
    provenance: Provenance
    patient_id: str
    prescription_ids: tuple[str, ...]


class ReadLedger:
    """One for a process that serves queries. ``note`` never waits; ``run`` writes."""

    def __init__(self, views: ViewStore, clock: Clock, *, settings: LedgerSettings = LedgerSettings()) -> None:
        self._views = views
        self._clock = clock
        self._settings = settings
        self._name = f"{CATEGORY}-{uuid4()}"
        self._waiting: deque[_Reading] = deque()
        self._versions: dict[str, int] = {}
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many readings are not written yet."""
        return len(self._waiting)

    def note(self, call: CallContext, request: Message, answer: Message) -> None:
        """Somebody is about to be told this. Raises ``Overloaded`` where what was told before is not written yet."""
        self.note_of(call, told_of(request, answer))

    def note_of(self, call: CallContext, found: Mapping[str, Sequence[str]]) -> None:
        """Somebody is about to be told of these patients, of each these prescriptions. Raises as ``note``."""
        if not found:
            return
        if len(self._waiting) + len(found) > self._settings.waiting_max:
            raise Overloaded("readings to be written down", at=self._settings.waiting_max, retry_after_seconds=1.0)
        now, action = self._clock.now(), call.method.rpartition("/")[2]
        for patient_id, prescription_ids in found.items():
            told = _Reading(call.tenant, now, action, call.provenance, patient_id, tuple(prescription_ids))
            self._waiting.append(told)
        if len(self._waiting) >= self._settings.batch_max:
            self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Write until told to stop, and then what is left; a store that is away is waited for while this runs."""
        backoff = 0.0
        while not stop.is_set():
            pause = self._clock.sleep(max(backoff, self._settings.flush_seconds))
            await first_of(stop.wait(), *(() if backoff else (self._wake.wait(),)), pause)
            self._wake.clear()
            try:
                await self.flush()
                backoff = 0.0
            except KernelError as error:
                if not error.retriable:
                    raise
                _log.warning("%d readings wait to be written down: %s", len(self._waiting), error)
                backoff = min(BACKOFF_SECONDS_MAX, backoff * 2 or FIRST_BACKOFF_SECONDS)
        while self._waiting:
            await self.flush()

    async def flush(self) -> None:
        """Write all that waits now. What cannot be written waits on.

        What comes meanwhile is for the next time: under load it would be written a few at a time, without an end.
        """
        left = len(self._waiting)
        while left > 0:
            tenant = self._waiting[0].tenant
            some = itertools.islice(self._waiting, min(left, self._settings.batch_max))
            batch = [one for one in some if one.tenant == tenant]
            await self._written(tenant, batch)
            done = set(map(id, batch))
            self._waiting = deque(one for one in self._waiting if id(one) not in done)
            left -= len(batch)

    async def _written(self, tenant: str, batch: list[_Reading]) -> None:
        stream, version = StreamId(tenant, self._name), self._versions.get(tenant, 0)
        patients = await self._patients(tenant, batch)
        async with self._views.transaction() as transaction:
            known = (await transaction.load(ACCESS_LOG, [stream]))[stream]
            if known.version == version:
                rows = [
                    _row(self._name, version, place, one, patients.get(one.prescription_ids[:1], one.patient_id))
                    for place, one in enumerate(batch)
                ]
                changes = tuple(Change((row["entry_id"],), None, row) for row in rows if row["patient_id"])
                after = Checkpoint(version + 1, _BATCH, b"")
                await transaction.save(ACCESS_LOG, [StreamChange(stream, version, after, changes)])
            # Else the batch was written by an attempt whose end was not heard of.
        self._versions[tenant] = version + 1

    async def _patients(self, tenant: str, batch: list[_Reading]) -> Mapping[tuple[str, ...], str]:
        """Whose the prescriptions are of which answers from the log did not say that."""
        wanted = {one.prescription_ids[:1] for one in batch if one.patient_id == PATIENT_UNKNOWN}
        found: dict[tuple[str, ...], str] = {}
        if wanted:
            async with self._views.reading() as reading:
                for key in wanted:
                    row = await reading.get(PRESCRIPTION_VIEW, tenant, (stream_of(tenant, key[0]).id,))
                    if row is not None:
                        found[key] = row.values["patient_id"]
        return found


_BATCH = UUID(int=0)
"""The id of an event that there is none of: a checkpoint beyond nothing needs one."""


def _row(name: str, version: int, place: int, one: _Reading, patient_id: str) -> Row:
    provenance = one.provenance
    return {
        "entry_id": f"{name}/{version:012}/{place:04}",
        "patient_id": patient_id,
        "at": one.at,
        "actor_id": provenance.actor.id,
        "actor_role": provenance.actor.role,
        "organisation": provenance.actor.organisation,
        "purpose_of_use": provenance.purpose_of_use,
        "action": one.action,
        "prescription_ids": " ".join(one.prescription_ids[:PRESCRIPTIONS_MAX]),
        "prescription_count": len(one.prescription_ids),
        "correlation_id": provenance.correlation_id,
    }
