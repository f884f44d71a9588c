"""The checker finds nothing in a sound history, and in a broken one the rule, the stream and the version."""

from dataclasses import replace

import pytest

from eventkernel.testing.history import (
    BUSY,
    CONFLICT,
    History,
    JournalEvent,
    Outcome,
    Rule,
    TopicRecord,
    Truncation,
    ViewState,
    check,
)
from eventkernel.testing.history.samples import STREAM, broken, read, sound, write

BROKEN = list(broken())


def journal(*names: str) -> list[JournalEvent]:
    return [JournalEvent(STREAM, version, f"e-{name}", f"c-{name}") for version, name in enumerate(names, 1)]


def test_nothing_is_wrong_with_a_sound_history() -> None:
    assert check(sound()) == []


def test_every_rule_has_a_history_that_breaks_it() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(Rule)


@pytest.mark.parametrize(("rule", "version", "history"), BROKEN, ids=[f"{rule.name}-{at}" for rule, at, _ in BROKEN])
def test_a_broken_history_is_told_by_rule_stream_and_version(rule: Rule, version: int, history: History) -> None:
    found = {(violation.rule, violation.version) for violation in check(history)}
    assert (rule, version) in found
    assert all(violation.stream in {STREAM, "default/counter-2", ""} for violation in check(history))
    assert str(check(history)[0]).startswith(check(history)[0].stream)


def test_before_all_is_drained_topic_and_views_may_be_behind() -> None:
    history = sound()
    del history.topic[3:]
    history.views[0] = ViewState("view", STREAM, 2, "e-two", "[1]", "[1]")
    history.topic.append(TopicRecord(0, 50, "default/counter-2", 1, "e-lone"))
    assert check(history, drained=False) == []
    assert {violation.rule for violation in check(history)} == {Rule.TOPIC_COMPLETE, Rule.VIEW_COMPLETE}


def test_a_truncated_partition_owes_completeness_but_no_order() -> None:
    history = sound()
    history.topic[0] = replace(history.topic[0], offset=95)
    assert [violation.rule for violation in check(history)] == [Rule.TOPIC_IN_ORDER]
    history.truncations.append(Truncation(0))
    assert check(history) == []
    del history.topic[0]
    assert [violation.rule for violation in check(history)] == [Rule.TOPIC_COMPLETE]


def test_an_unknown_outcome_may_have_taken_effect_long_after_its_call() -> None:
    history = History(
        writes=[write("late", 100, outcome=Outcome.UNKNOWN), write("one", 200, 1)],
        reads=[read(250, ("one",)), read(900, ("one", "late"))],
        journal=journal("one", "late"),
    )
    assert check(history, drained=False) == []


def test_an_unknown_outcome_does_not_take_effect_before_its_call() -> None:
    history = History(
        writes=[write("late", 300, outcome=Outcome.UNKNOWN), write("one", 100, 2)], journal=journal("late", "one")
    )
    assert [violation.rule for violation in check(history, drained=False)] == [Rule.REAL_TIME_ORDER]


def test_a_conflict_is_true_where_the_stream_may_have_left_or_not_reached_the_version_during_the_call() -> None:
    def refused(at: int, took: int) -> History:
        late = write("late", at, outcome=Outcome.REFUSED, expected=1, reason=CONFLICT, took=took)
        return History([write("one", 100, 1), write("two", 200, 2), late], journal=journal("one", "two"))

    for at, took in ((90, 10), (105, 80), (150, 55), (250, 10), (205, 1)):
        assert check(refused(at, took), drained=False) == [], at
    found = check(refused(120, 70), drained=False)
    assert [(violation.rule, violation.version) for violation in found] == [(Rule.CONFLICT_HAS_CAUSE, 1)]


def test_a_server_without_room_may_refuse_a_retry() -> None:
    busy = write("one", 200, outcome=Outcome.REFUSED, reason=BUSY, attempt=2)
    history = History([write("one", 100, 1), busy, write("one", 300, 1, attempt=3)], journal=journal("one"))
    assert check(history, drained=False) == []


def test_a_refusal_before_the_attempt_that_took_effect_is_no_contradiction() -> None:
    early = write("one", 100, outcome=Outcome.REFUSED, reason="LIMIT")
    history = History([early, write("one", 200, 1, attempt=2)], journal=journal("one"))
    assert check(history, drained=False) == []


def test_a_long_history_is_checked_in_one_pass() -> None:
    count = 20_000
    names = [str(number) for number in range(count)]
    history = History(
        writes=[write(name, 100 * number, number + 1) for number, name in enumerate(names)],
        reads=[replace(read(100 * number + 20, ()), version=number + 1) for number in range(count)],
        journal=journal(*names),
    )
    assert check(history, drained=False) == []
