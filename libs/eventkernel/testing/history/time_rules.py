"""Rules about times: what was done before another began comes before it."""

from collections.abc import Iterable, Iterator, Sequence

from eventkernel.testing.history.records import Outcome, Read
from eventkernel.testing.history.rules import Rule, Violation
from eventkernel.testing.history.stream_facts import StreamFacts


def check_order(facts: StreamFacts) -> Iterator[Violation]:
    """No version was seen done before the first call of one before it."""
    for version in range(2, len(facts.log) + 1):
        if facts.done[version] < facts.called[version - 1]:
            told = "it was there before one of the versions before it was sent"
            yield Violation(facts.stream, version, Rule.REAL_TIME_ORDER, told)


def check_reads(facts: StreamFacts) -> Iterator[Violation]:
    """Each read by itself, and then among acknowledgements and other reads."""
    for read in facts.reads:
        first = read.version - len(read.event_ids) + 1
        shown = [event.event_id for event in facts.log[max(0, first - 1) : read.version]]
        if read.version > len(facts.log) or first < 1 or (read.event_ids and shown != list(read.event_ids)):
            told = f"{read.client or 'a client'} was shown versions up to {read.version}, ending {read.event_ids[-3:]}"
            yield Violation(facts.stream, read.version, Rule.READ_IS_PREFIX, told)
        elif facts.called[read.version] > read.returned_at:
            told = f"{read.client or 'a client'} was shown it before it was sent"
            yield Violation(facts.stream, read.version, Rule.READ_NOT_AHEAD, told)
        if read.at_least is not None and read.version < read.at_least:
            told = f"{read.client or 'a client'} asked for version {read.at_least} at least"
            yield Violation(facts.stream, read.version, Rule.READ_NOT_BEHIND, told)
    acknowledged = [
        (write.returned_at, write.version)
        for write in facts.writes
        if write.outcome is Outcome.OK and write.returned_at is not None
    ]
    shown_before = [(read.returned_at, read.version) for read in facts.reads]
    owing = sorted((read for read in facts.reads if read.at_least is None), key=_called)
    yield from _behind(facts.stream, owing, acknowledged, Rule.READ_NOT_BEHIND, "was acknowledged")
    yield from _behind(facts.stream, owing, shown_before, Rule.READS_GO_FORWARD, "was shown")


def _behind(
    stream: str, reads: Sequence[Read], known: Iterable[tuple[int, int]], rule: Rule, what: str
) -> Iterator[Violation]:
    """Reads that show less than what was known before they were called."""
    times = sorted(known)
    floor = place = 0
    for read in reads:
        while place < len(times) and times[place][0] < read.called_at:
            floor = max(floor, times[place][1])
            place += 1
        if read.version < floor:
            told = f"{read.client or 'a client'} was shown version {read.version} after {floor} {what}"
            yield Violation(stream, read.version, rule, told)


def _called(read: Read) -> int:
    return read.called_at
