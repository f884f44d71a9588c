"""Rules about the topic and the views, each beside the journal."""

from collections.abc import Collection, Iterator

from eventkernel.testing.history.rules import Rule, Violation
from eventkernel.testing.history.stream_facts import StreamFacts


def check_topic(facts: StreamFacts, truncated: Collection[int], *, drained: bool) -> Iterator[Violation]:
    """Records in the order of their partition. Repeats are allowed, whatever they repeat must be the journal's event."""
    highest = 0
    seen = set()
    partition = facts.topic[0].partition if facts.topic else 0
    for record in facts.topic:
        place = f"record {record.partition}/{record.offset}"
        if record.partition != partition:
            told = f"{place}, and others lie in partition {partition}"
            yield Violation(facts.stream, record.version, Rule.ONE_PARTITION, told)
        if not facts.has(record.version, record.event_id):
            told = f"{place} holds event {record.event_id}"
            yield Violation(facts.stream, record.version, Rule.TOPIC_IS_JOURNAL, told)
        elif record.version > highest + 1 and record.partition not in truncated:
            told = f"{place} comes after version {highest}"
            yield Violation(facts.stream, record.version, Rule.TOPIC_IN_ORDER, told)
        highest = max(highest, record.version)
        seen.add(record.version)
    if drained and len(missing := set(range(1, len(facts.log) + 1)) - seen):
        told = f"{len(missing)} of {len(facts.log)} versions are missing"
        yield Violation(facts.stream, min(missing), Rule.TOPIC_COMPLETE, told)


def check_views(facts: StreamFacts, *, drained: bool) -> Iterator[Violation]:
    """What each view holds of the stream."""
    for state in facts.views:
        if state.rows != state.folded:
            told = f"{state.view} has {_short(state.rows)}, the fold gives {_short(state.folded)}"
            yield Violation(facts.stream, state.version, Rule.VIEW_IS_FOLD, told)
        if state.version and not facts.has(state.version, state.event_id):
            told = f"{state.view} has folded event {state.event_id}"
            yield Violation(facts.stream, state.version, Rule.VIEW_IS_JOURNAL, told)
        elif drained and state.stream and state.version < len(facts.log):
            told = f"{state.view} has folded up to here, the head is {len(facts.log)}"
            yield Violation(facts.stream, state.version, Rule.VIEW_COMPLETE, told)


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]} ..."
