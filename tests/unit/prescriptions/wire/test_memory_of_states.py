"""What a prescription takes in memory beside its events' bytes: the bound on a command server's cache rests on it."""

import tracemalloc
from collections.abc import Sequence

from eventkernel.codec import EncodedEvent
from eventkernel.runtime.aggregate import OBJECT_BYTES_PER_ENCODED
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.state import Prescription
from prescriptions.testing.stories import awaiting_refill, completed, draft, issued
from prescriptions.wire.events import PrescriptionEventCodec

CODEC = PrescriptionEventCodec()
COPIES = 100


def folded(events: Sequence[EncodedEvent]) -> Prescription:
    state = PRESCRIPTION.initial
    for one in events:
        state = PRESCRIPTION.evolve(state, CODEC.decode(one.type, one.schema_version, one.data))
    return state


def test_a_state_takes_no_more_memory_than_the_cache_of_aggregates_reckons() -> None:
    for story in (draft(), issued(), awaiting_refill(), completed()):
        encoded = [CODEC.encode(event) for event in story.events]
        folded(encoded)
        tracemalloc.start()
        kept = [folded(encoded) for _ in range(COPIES)]
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(kept) == COPIES
        assert taken / COPIES <= OBJECT_BYTES_PER_ENCODED * sum(len(one.data) for one in encoded) * 1.1
