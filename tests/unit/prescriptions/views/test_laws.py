"""What holds for every view, whatever happened: order of streams, pieces, repeats, stored bytes, removal."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.envelope import Actor, RecordedEvent
from eventkernel.view import View
from prescriptions.domain import commands as c
from prescriptions.domain.events import DispenseReversed, MedicationDispensed, MedicationPartiallyDispensed
from prescriptions.domain.values import Schedule
from prescriptions.testing.recorded import TimedStory, recorded, stream_of
from prescriptions.testing.stories import AT_CORNER, CORNER, HARBOUR, PATIENT, PRESCRIBER, SYSTEM, WHY, Story, content
from prescriptions.views import VIEWS

DISPENSED = (MedicationDispensed, MedicationPartiallyDispensed)


class Tries(TimedStory):
    """A story in which what the prescription refuses does not happen."""

    def do(self, command: c.Command, actor: Actor, **changes: Any) -> TimedStory:
        return self if self.when(command, actor, **changes).decided is None else super().do(command, actor, **changes)

    def claim(self, *args: Any, **kwargs: Any) -> Story:
        token, known = self.token, len(self.events)
        super().claim(*args, **kwargs)
        self.token = self.token if len(self.events) > known else token
        return self


VERBS: dict[str, Any] = {
    "claim": lambda s, n: s.claim(),
    "return": lambda s, n: s.give_back(),
    "part": lambda s, n: s.part(1 + n % 29, n),
    "rest": lambda s, n: s.dispense(s.state.remaining_this_fill, n),
    "short": lambda s, n: s.dispense(1, n, short_close=True, short_close_reason=WHY),
    "reverse": lambda s, n: s.reverse(s.state.dispenses[-1].dispense_id.int) if s.state.dispenses else None,
    "nominate": lambda s, n: s.do(c.NominatePharmacy(CORNER if n % 2 else HARBOUR), PATIENT),
    "suspend": lambda s, n: s.do(c.SuspendPrescription(WHY), PRESCRIBER),
    "resume": lambda s, n: s.do(c.ResumePrescription(), PRESCRIBER),
    "cancel": lambda s, n: s.do(c.CancelPrescription(WHY), PRESCRIBER),
    "unfilled": lambda s, n: s.do(c.RecordNotDispensed(s.token, WHY), AT_CORNER),
    "void": lambda s, n: s.do(c.MarkEnteredInError(WHY), PRESCRIBER),
    "expire": lambda s, n: s.later(days=800).do(c.ExpirePrescription(), SYSTEM),
}


@st.composite
def stories(draw: st.DrawFn) -> TimedStory:
    schedule = draw(st.sampled_from([Schedule.NONE, Schedule.NONE, Schedule.IV]))
    medication = () if draw(st.booleans()) else content().medication
    written = content(schedule=schedule, medication=medication, refills_allowed=draw(st.integers(0, 3)))
    story = Tries(written)
    story.create()
    if draw(st.integers(0, 9)):
        story.sign().issue()
    verbs = draw(st.lists(st.sampled_from([*VERBS, *["claim", "rest", "part"] * 4]), max_size=14))
    for number, verb in enumerate(verbs, 1):
        VERBS[verb](story.later(hours=draw(st.integers(0, 200))), number)
    return story


def streams_of(told: Sequence[TimedStory]) -> list[list[RecordedEvent]]:
    return [recorded(story, stream_of(number)) for number, story in enumerate(told)]


def in_turn(streams: Sequence[Sequence[RecordedEvent]]) -> list[RecordedEvent]:
    return [event for stream in streams for event in stream]


def shuffled(streams: Sequence[Sequence[RecordedEvent]], seed: int) -> list[RecordedEvent]:
    """All events in some order in which each stream keeps its own."""
    order = [number for number, stream in enumerate(streams) for _ in stream]
    random.Random(seed).shuffle(order)
    waiting = [iter(stream) for stream in streams]
    return [next(waiting[number]) for number in order]


every_view = pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)


@every_view
@given(told=st.lists(stories(), min_size=1, max_size=5), seed=st.integers())
def test_the_order_of_streams_makes_no_difference(
    empty: Any, view: View[Any, Any], told: list[TimedStory], seed: int
) -> None:
    streams = streams_of(told)
    assert empty(view).apply(in_turn(streams)).rows == empty(view).apply(shuffled(streams, seed)).rows


@every_view
@given(told=st.lists(stories(), min_size=1, max_size=3), step=st.integers(2, 20))
def test_folding_in_larger_pieces_makes_no_difference(
    empty: Any, view: View[Any, Any], told: list[TimedStory], step: int
) -> None:
    events = in_turn(streams_of(told))
    assert empty(view).apply(events).rows == empty(view).apply(events, step=step).rows


@every_view
@given(told=st.lists(stories(), min_size=1, max_size=3))
def test_states_read_back_from_their_bytes_go_on_as_if_they_had_been_kept(
    empty: Any, view: View[Any, Any], told: list[TimedStory]
) -> None:
    events = in_turn(streams_of(told))
    kept, stored = empty(view).apply(events), empty(view).apply(events, keep=False)
    assert kept.rows == stored.rows
    for stream, state in kept.states.items():
        assert view.codec.encode(state) == view.codec.encode(stored.states[stream])


@every_view
@given(story=stories())
def test_another_program_folds_to_the_same_bytes(empty: Any, view: View[Any, Any], story: TimedStory) -> None:
    first, second = (empty(view).apply(recorded(story, stream_of(1))) for _ in range(2))
    assert [view.codec.encode(s) for s in first.states.values()] == [
        view.codec.encode(s) for s in second.states.values()
    ]


@every_view
@given(told=st.lists(stories(), min_size=1, max_size=4), gone=st.integers(0, 3))
def test_what_a_stream_contributes_can_be_taken_out_again(
    empty: Any, view: View[Any, Any], told: list[TimedStory], gone: int
) -> None:
    streams = streams_of(told)
    table = empty(view).apply(in_turn(streams))
    table.remove(streams[gone % len(streams)][0].stream)
    del streams[gone % len(streams)]
    assert table.rows == empty(view).apply(in_turn(streams)).rows


@every_view
@given(story=stories())
def test_rows_have_the_declared_columns_and_no_undeclared_nulls(
    empty: Any, view: View[Any, Any], story: TimedStory
) -> None:
    for row in empty(view).apply(recorded(story, stream_of(1))).rows.values():
        assert set(row) == {column.name for column in view.columns}
        assert not [column.name for column in view.columns if row[column.name] is None and not column.nullable]


@pytest.mark.parametrize("view", [view for view in VIEWS if "prescription_id" in view.key], ids=lambda view: view.name)
@given(story=stories())
def test_a_prescription_has_at_most_one_row_for_itself_or_one_for_each_dispense(
    empty: Any, view: View[Any, Any], story: TimedStory
) -> None:
    table = empty(view).apply(recorded(story, stream_of(1)))
    if "dispense_id" in view.key:
        made = [event.dispense_id for event in story.events if isinstance(event, DISPENSED)]
        assert {row["dispense_id"] for row in table.rows.values()} == set(map(str, made))
        undone = [event.dispense_id for event in story.events if isinstance(event, DispenseReversed)]
        assert {row["dispense_id"] for row in table.rows.values() if row["reversed"]} == set(map(str, undone))
    else:
        assert len(table.rows) <= 1
