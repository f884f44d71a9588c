"""The rules that a history is held to, and how a breach of one is told."""

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """Each by its sentence. What a rule needs beside the journal is named where it is checked."""

    ACKNOWLEDGED_IS_PRESENT = "what was acknowledged is in the journal at its version"
    REFUSED_IS_NOWHERE = "what was refused is nowhere"
    EFFECT_ONCE = "nothing took effect twice"
    NOTHING_INVENTED = "nothing is in the journal that nobody sent"
    JOURNAL_WITHOUT_GAP = "versions of a stream are 1, 2, 3 without gap"
    EXPECTED_VERSION_HELD = "what was to follow a version follows it"
    SAME_REPLY = "a command has one version, however often it is asked about"
    RETRY_IS_ANSWERED = "a retry of what took effect is not refused"
    CONFLICT_HAS_CAUSE = "a conflict is told only where the stream was elsewhere"
    REAL_TIME_ORDER = "what was called after another's effect was seen comes behind it"
    READ_IS_PREFIX = "a read shows a prefix of the journal"
    READ_NOT_BEHIND = "a read shows what was acknowledged before its call"
    READ_NOT_AHEAD = "a read shows nothing that was sent after its return"
    READS_GO_FORWARD = "a read shows what an earlier read has shown"
    TOPIC_IS_JOURNAL = "a record on the topic is the journal's event"
    TOPIC_IN_ORDER = "first occurrences on the topic are in order, without gap"
    TOPIC_COMPLETE = "the topic has every event of the journal"
    ONE_PARTITION = "a stream stays in its partition"
    VIEW_IS_JOURNAL = "a view stands at an event of the journal"
    VIEW_IS_FOLD = "a view is the fold of the journal"
    VIEW_COMPLETE = "a view has folded every event of the journal"


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """A rule that does not hold, at which stream and version; version 0 where it is about no single one."""

    stream: str
    version: int
    rule: Rule
    told: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.stream} version {self.version}: not so that {self.rule.value}: {self.told}"
