"""Whatever is taken away from the history of events makes the check say so, by its name.

Every step, shape and field of the real contexts is taken away in turn, from copies.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bootstrap.checkout import ROOT
from bootstrap.schemas import check, golden, states
from bootstrap.schemas.contexts import EventContext, contexts
from bootstrap.schemas.described import Described, Field, describe
from bootstrap.schemas.images import built_in
from eventkernel.codec import Codecs, EncodedEvent
from eventkernel.downcasting import Downcasters, DownStep
from eventkernel.errors import UpcastFailed
from eventkernel.upcasting import Step, Upcasters

CONTEXTS = contexts()
STEPS = [(context, step) for context in CONTEXTS for step in context.steps.values()]
SHAPES = [(context, *shape) for context in CONTEXTS for shape in sorted(context.messages)]
by_context = pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.name)
by_step = pytest.mark.parametrize(("context", "step"), STEPS, ids=[f"{s.type}-{s.version}" for _, s in STEPS])
by_shape = pytest.mark.parametrize(("context", "event_type", "version"), SHAPES, ids=[f"{t}-{v}" for _, t, v in SHAPES])


@pytest.fixture(scope="module")
def now() -> Described:
    return describe(built_in(), prefix="erx.")


def found(context: EventContext, now: Described, root: Path = ROOT) -> list[str]:
    return list(check.check_context(context, root, now))


def with_steps(context: EventContext, steps: list[Step]) -> EventContext:
    return replace(context, upcasters=Upcasters(context.upcasters.newest, steps))


def test_this_checkout_is_in_order() -> None:
    assert check.check(CONTEXTS, ROOT) == []


@by_step
def test_a_step_that_was_removed_is_named(context: EventContext, step: Step, now: Described) -> None:
    rest = [other for other in context.steps.values() if other is not step]
    problems = found(with_steps(context, rest), now)
    assert any(f"{step.type} has no step from version {step.version}" in problem for problem in problems), problems


@by_context
def test_an_event_of_today_that_no_history_could_tell_is_named(context: EventContext, now: Described) -> None:
    _, any_other = next(iter(context.messages.items()))
    wrapper = any_other.DESCRIPTOR.full_name
    problems = found(replace(context, wrapper=any_other), now)
    for event_type, version in context.upcasters.newest.items():
        said = f"{event_type} version {version} has no place in {wrapper}: histories and watches cannot tell it"
        assert said in problems


@by_shape
def test_a_shape_that_nothing_reads_any_more_is_named_with_its_bytes(
    context: EventContext, event_type: str, version: int, now: Described
) -> None:
    rest = {shape: message for shape, message in context.messages.items() if shape != (event_type, version)}
    problems = found(replace(context, messages=rest), now)
    name = context.messages[event_type, version].DESCRIPTOR.full_name
    assert any(problem.startswith(f"{name} (") and "registered nowhere" in problem for problem in problems)
    assert any(problem.endswith(f"no message reads {event_type} version {version}") for problem in problems)


@by_context
def test_every_shape_without_golden_bytes_is_named(context: EventContext, now: Described, tmp_path: Path) -> None:
    problems = found(context, now, tmp_path)
    for event_type, version in context.messages:
        path = f"{context.golden}/v{version}/{event_type}.binpb"
        assert f"{event_type} version {version} has no golden bytes: {path}" in problems


@by_context
def test_golden_bytes_without_their_state_are_named(context: EventContext, now: Described, checkout: Path) -> None:
    missing = sorted((checkout / context.golden).rglob("*.state.json"))
    for path in missing:
        path.unlink()
    problems = found(context, now, checkout)
    for path in missing:
        assert any(problem.startswith(f"{path.relative_to(checkout)} is missing") for problem in problems), path


@by_context
def test_a_step_that_no_stored_shape_leads_to_is_named(context: EventContext, now: Described) -> None:
    event_type, newest = next(iter(context.upcasters.newest.items()))
    steps = list(context.steps.values())
    unused = Step("NeverStored", newest - 1, lambda payload: payload, gives=(event_type,), type_of=lambda _: event_type)
    problems = found(with_steps(context, [*steps, unused]), now)
    way = f"the step to {event_type} from NeverStored version {newest - 1}"
    assert problems == [f"{way} is never reached: no stored shape leads to it"]


@by_context
def test_a_way_of_a_split_that_no_bytes_take_is_named(context: EventContext, now: Described) -> None:
    for step in context.steps.values():
        if len(step.gives) < 2:
            continue
        first = step.gives[0]
        one_way = replace(step, type_of=partial(_always, first))
        rest = [other for other in context.steps.values() if other is not step]
        problems = found(with_steps(context, [*rest, one_way]), now)
        for target in step.gives[1:]:
            way = f"the step to {target} from {step.type} version {step.version} is never reached"
            assert any(problem.startswith(way) for problem in problems)


def _always(event_type: str, _payload: Any) -> str:
    return event_type


@by_context
def test_a_newer_message_that_the_codec_does_not_write_is_named(context: EventContext, now: Described) -> None:
    event_type, newest = next(iter(context.upcasters.newest.items()))
    messages = {**context.messages, (event_type, newest + 1): context.messages[event_type, newest]}
    problems = found(replace(context, messages=messages), now)
    assert f"{event_type} version {newest + 1} has a message, but the codec's newest is {newest}" in problems
    assert any(problem.startswith(f"{event_type} version {newest + 1} is read as ") for problem in problems)


@by_context
def test_an_event_that_is_still_written_in_an_older_shape_is_named(context: EventContext, now: Described) -> None:
    class Behind:
        def __getattr__(self, name: str) -> Any:
            return getattr(context.codecs.events, name)

        def encode(self, event: Any) -> EncodedEvent:
            encoded = context.codecs.events.encode(event)
            return replace(encoded, schema_version=encoded.schema_version - 1)

    codecs: Codecs[Any, Any] = Codecs(Behind(), context.codecs.states)
    problems = found(replace(context, codecs=codecs), now)
    for event_type, newest in context.upcasters.newest.items():
        assert f"{event_type} is written in version {newest - 1}, and its newest is {newest}" in problems


@by_context
def test_a_step_down_that_fails_or_leads_nowhere_is_named(context: EventContext, now: Described) -> None:
    event_type, newest = next(iter(context.upcasters.newest.items()))

    def fails(_payload: Any) -> Any:
        raise KeyError("unit")

    steps = (DownStep(event_type, newest, fails), DownStep("NeverStored", 2, fails))
    down = Downcasters(context.upcasters, steps, differences=lambda *_: ())
    problems = found(replace(context, downcasters=down), now)
    assert "the step down from NeverStored version 2: no message is NeverStored version 1" in problems
    place = f"{context.golden}/v{newest}/{event_type}.binpb"
    assert f"{place} is not told in version {newest - 1}: KeyError('unit')" in problems


@by_context
def test_bytes_that_cannot_be_read_are_named(context: EventContext, now: Described, checkout: Path) -> None:
    path = next((checkout / context.golden).glob("v*/*.binpb"))
    path.write_bytes(b"\xff\xff")
    place = path.relative_to(checkout).as_posix()
    assert any(problem.startswith(f"{place} cannot be read:") for problem in found(context, now, checkout))


@by_context
def test_bytes_that_break_the_codec_are_named(context: EventContext, now: Described) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(context.codecs.events, name)

        def decode(self, event_type: str, schema_version: int, data: bytes) -> Any:
            raise AttributeError("lot")

    codecs: Codecs[Any, Any] = Codecs(Broken(), context.codecs.states)
    problems = found(replace(context, codecs=codecs), now)
    for path in check.golden_bytes(context, ROOT):
        place = path.relative_to(ROOT).as_posix()
        assert f"{place}: reading it breaks the codec: AttributeError('lot')" in problems


@by_context
def test_a_field_that_the_contract_no_longer_has_is_found_in_golden_bytes(
    context: EventContext, now: Described, checkout: Path
) -> None:
    path = next((checkout / context.golden).glob("v*/*.binpb"))
    path.write_bytes(path.read_bytes() + b"\xfa\x3f\x01x")  # field 1023, a text
    event_type, version = path.name.split(".")[0], int(path.parent.name[1:])
    holder = context.messages[event_type, version].DESCRIPTOR.full_name
    place = path.relative_to(checkout).as_posix()
    assert f"{place} holds field 1023 of {holder}, which the contract no longer has" in found(context, now, checkout)


def test_removing_any_field_of_any_event_is_named_as_soon_as_it_was_released(now: Described, tmp_path: Path) -> None:
    (tmp_path / "protos").mkdir()
    (tmp_path / golden.RELEASED).write_bytes(built_in().SerializeToString())
    tried = 0
    for name, message in now.messages.items():
        if not any(name.startswith(f"{context.package}.v") for context in CONTEXTS):
            continue
        for field in message.fields:
            cut = replace(message, fields=tuple(other for other in message.fields if other is not field))
            after = replace(now, messages={**now.messages, name: cut})
            (problem,) = check._lost_since_release(tmp_path, after)
            assert problem.startswith(f"{name}.{field.name}: field {field.number} removed since the release:")
            tried += 1
    assert tried > 100


@by_context
def test_a_field_that_no_golden_file_has_is_named(context: EventContext, now: Described) -> None:
    files = check.golden_bytes(context, ROOT)
    assert list(check._fields_without_bytes(context, files, now)) == []
    for message in (context.messages[shape] for shape in context.messages):
        shape = now.messages[message.DESCRIPTOR.full_name]
        more = replace(shape, fields=(*shape.fields, Field("more", 999, "string", "", "")))
        grown = replace(now, messages={**now.messages, shape.full_name: more})
        problems = list(check._fields_without_bytes(context, files, grown))
        assert problems == [f"{shape.full_name}.more: no golden file has this field"]


def test_a_missing_release_is_told(tmp_path: Path, now: Described) -> None:
    (problem,) = check._lost_since_release(tmp_path, now)
    assert "released.binpb" in problem


# Snapshots.


def state_problems(context: EventContext, root: Path, tried: Mapping[str, Any] | None = None) -> list[str]:
    return list(states.problems(context, root, tried or {}))


@by_context
def test_a_field_of_the_state_that_changed_under_its_version_is_named(context: EventContext, checkout: Path) -> None:
    path = checkout / golden.FOLDER / context.name / "states" / f"v{context.state_version}.json"
    recorded = json.loads(path.read_text())
    place, was = next(iter(recorded["fields"].items()))
    recorded["fields"][place] = "something else"
    recorded["fields"]["Gone.field"] = "int"
    path.write_text(json.dumps(recorded))
    problems = state_problems(context, checkout)
    assert any(f"{place} was something else and is {was}. Raise the version" in problem for problem in problems)
    assert any("Gone.field is gone" in problem for problem in problems)
    assert all("would be misread" in problem for problem in problems)


@by_context
def test_a_state_of_another_shape_must_not_keep_its_version_nor_its_schema(
    context: EventContext, checkout: Path
) -> None:
    other = make_dataclass(context.state.__name__, [("status", int)])
    problems = state_problems(replace(context, state=other), checkout)
    assert any(".status was " in problem and "would be misread" in problem for problem in problems)
    assert any("does not say their version and the shape of the state" in problem for problem in problems)


@by_context
def test_a_version_without_a_record_asks_for_one(context: EventContext, checkout: Path) -> None:
    newer = replace(context, state_version=context.state_version + 1)
    assert any("have no record of their fields" in problem for problem in state_problems(newer, checkout))
    written = states.record(newer, checkout, {"a state": context.decider.initial})
    assert written == [f"{context.name}/states/v{newer.state_version}.{kind}" for kind in ("json", "snapshot")]
    assert states.record(newer, checkout, {"a state": context.decider.initial}) == []


@by_context
def test_a_stored_snapshot_that_no_longer_comes_back_is_named(context: EventContext, checkout: Path) -> None:
    path = checkout / golden.FOLDER / context.name / "states" / f"v{context.state_version}.snapshot"
    path.write_bytes(b"[]")
    assert any(f"can no longer be read: {path.name}" in problem for problem in state_problems(context, checkout))
    path.unlink()
    assert any(f"{path.name} is missing" in problem for problem in state_problems(context, checkout))


@dataclass(frozen=True)
class Part:
    count: int = 0
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Whole:
    part: Part = Part()
    name: str = ""


def test_a_field_that_snapshots_lose_is_named_with_the_state_it_was_seen_in(checkout: Path) -> None:
    class Forgetful:
        schema = CONTEXTS[0].codecs.states.schema

        def encode(self, state: Whole) -> bytes:
            return state.name.encode()

        def decode(self, data: bytes) -> Whole:
            if data == b"unreadable":
                raise UpcastFailed("snapshot", version=1, cause="unreadable")
            return Whole(name=data.decode())

    context = replace(CONTEXTS[0], codecs=Codecs(CONTEXTS[0].codecs.events, Forgetful()))
    tried = {"one": Whole(name="kept"), "two": Whole(Part(7, ("a", "b"))), "three": Whole(name="unreadable")}
    problems = [problem for problem in state_problems(context, checkout, tried) if "after" in problem]
    assert [problem.partition(": ")[2].partition(" misread ")[2] or problem for problem in problems][:2] == [
        "Part.count: 7 came back as 0; seen in the state after two",
        "Part.marks: ('a', 'b') came back as (); seen in the state after two",
    ]
    assert "the state after three does not come back" in problems[2]


@by_context
def test_states_to_try_come_from_every_golden_event(context: EventContext) -> None:
    files = check.golden_bytes(context, ROOT)
    assert len(check.states_of(context, files)) == len(files)


# Skeletons.


def test_what_a_skeleton_leaves_open_is_named_with_its_line(checkout: Path) -> None:
    path = checkout / "services" / "orders" / "wire" / "v3_to_v4.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"def step():\n    # {golden.MARK}: what the new field is in older events\n    ...\n")
    assert list(check._unfinished(checkout)) == [
        "services/orders/wire/v3_to_v4.py:2: what the new field is in older events"
    ]
