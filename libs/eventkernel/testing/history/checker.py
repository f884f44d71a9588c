"""Whether what clients were told and what the stores hold can be true together.

A stream is a log whose order the journal tells, so nothing has to be searched for: a history is possible exactly where each
pair of neighbours in that order is possible in time, and everything else is a comparison of ids and versions. Time and memory
are linear in the history, but for sorting by time what is not recorded in order.
"""

from collections import Counter
from collections.abc import Iterator

from eventkernel.testing.history.records import BUSY, CONFLICT, History, Outcome, Write
from eventkernel.testing.history.rules import Rule, Violation
from eventkernel.testing.history.store_rules import check_topic, check_views
from eventkernel.testing.history.stream_facts import StreamFacts, by_stream
from eventkernel.testing.history.time_rules import check_order, check_reads


def check(history: History, *, drained: bool = True) -> list[Violation]:
    """Every breach of every rule, by stream and version.

    ``drained``: relay and projectors have had time to do all their work, so that topic and views must be complete.
    """
    truncated = {truncation.partition for truncation in history.truncations}
    found: list[Violation] = []
    for facts in by_stream(history):
        found += _check_journal(facts)
        found += _check_commands(facts)
        found += check_order(facts)
        found += check_reads(facts)
        found += check_topic(facts, truncated, drained=drained)
        found += check_views(facts, drained=drained)
    return sorted(found)


def _check_journal(facts: StreamFacts) -> Iterator[Violation]:
    versions = sorted(event.version for event in facts.journal)
    if versions != list(range(1, len(versions) + 1)):
        bad = next(place for place, version in enumerate(versions, 1) if version != place)
        told = f"the journal has {len(versions)} events, and {versions[bad - 1]} in the place of {bad}"
        yield Violation(facts.stream, bad, Rule.JOURNAL_WITHOUT_GAP, told)
    sent = {write.event_id for write in facts.writes}
    events: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    for event in sorted(facts.journal, key=lambda event: event.version):
        events[event.event_id] += 1
        commands[event.command_id] += 1
        if events[event.event_id] == 2 or commands[event.command_id] == 2:
            told = f"event {event.event_id} of command {event.command_id} is there for the second time"
            yield Violation(facts.stream, event.version, Rule.EFFECT_ONCE, told)
        if event.event_id not in sent:
            yield Violation(facts.stream, event.version, Rule.NOTHING_INVENTED, f"event {event.event_id}")


def _check_commands(facts: StreamFacts) -> Iterator[Violation]:
    nowhere = {record.event_id for record in facts.topic} | {view.event_id for view in facts.views}
    nowhere |= {event.event_id for event in facts.journal}
    for command, attempts in facts.commands.items():
        acknowledged = [write for write in attempts if write.outcome is Outcome.OK]
        if len(versions := {write.version for write in acknowledged}) > 1:
            told = f"command {command} was told versions {sorted(versions)}"
            yield Violation(facts.stream, min(versions), Rule.SAME_REPLY, told)
        for write in acknowledged:
            if not facts.has(write.version, write.event_id):
                told = f"event {write.event_id} of command {command}"
                yield Violation(facts.stream, write.version, Rule.ACKNOWLEDGED_IS_PRESENT, told)
        version = facts.version_of.get(attempts[0].event_id, 0)
        # A retry may have named a later version than the attempt that took effect.
        followed = {write.expected for write in attempts if write.outcome is not Outcome.REFUSED}
        if version and followed and not followed & {None, version - 1}:
            told = f"command {command} was to follow version {sorted(filter(None, followed)) or 0}"
            yield Violation(facts.stream, version, Rule.EXPECTED_VERSION_HELD, told)
        for write in attempts:
            if write.outcome is Outcome.REFUSED:
                yield from _check_refusal(facts, write)
        if all(write.outcome is Outcome.REFUSED for write in attempts) and attempts[0].event_id in nowhere:
            told = f"event {attempts[0].event_id} of command {command}"
            yield Violation(facts.stream, version, Rule.REFUSED_IS_NOWHERE, told)


def _check_refusal(facts: StreamFacts, write: Write) -> Iterator[Violation]:
    assert write.returned_at is not None
    version = facts.version_of.get(write.event_id)
    if version and facts.done[version] < write.called_at and write.reason != BUSY:
        told = f"command {write.command_id}: {write.reason}"
        yield Violation(facts.stream, version, Rule.RETRY_IS_ANSWERED, told)
    expected = write.expected
    if write.reason != CONFLICT or expected is None or expected >= len(facts.done):
        return
    there_before = expected == 0 or facts.done[expected] < write.called_at
    left_in_time = expected < len(facts.log) and facts.called[expected + 1] <= write.returned_at
    if there_before and not left_in_time:
        told = f"command {write.command_id} expected version {expected}, where the stream was all the time"
        yield Violation(facts.stream, expected, Rule.CONFLICT_HAS_CAUSE, told)
