"""The shape of each context's state as it was when its snapshots' version was declared, and bytes that this version wrote.

Both are golden files: ``states/v1.json`` has every field and type, ``states/v1.snapshot`` a state as it was stored.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from bootstrap.schemas.contexts import EventContext
from bootstrap.schemas.golden import FOLDER, SEAL
from eventkernel.errors import EventUnreadable
from eventkernel.state_shape import changes, fingerprint, shape_of

PARTS_SHOWN_MAX: Final = 5


def problems(context: EventContext, root: Path, states: Mapping[str, Any]) -> Iterator[str]:
    """What a reader of snapshots would misread. ``states`` are states to try, by what they come from."""
    codec = context.codecs.states
    place = f"{context.name}: snapshots of version {context.state_version}"
    record = root / FOLDER / _record(context)
    if not record.is_file():
        yield f"{place} have no record of their fields; when the state is final, run `{SEAL}`"
    else:
        found = changes(json.loads(record.read_text(encoding="utf-8"))["fields"], shape_of(context.state))
        for change in found:
            yield f"{place} would be misread: {change}. Raise the version beside the codec, then run `{SEAL}`"
        if not found:
            yield from _golden(context, root, place)
    if fingerprint(shape_of(context.state)) not in codec.schema or f"/{context.state_version}/" not in codec.schema:
        yield f"{place} are called {codec.schema!r}, which does not say their version and the shape of the state"
    for source, state in states.items():
        try:
            again = codec.decode(codec.encode(state))
        except EventUnreadable as error:
            yield f"{place}: the state after {source} does not come back: {error}"
            continue
        for part in list(different(type(state).__name__, state, again))[:PARTS_SHOWN_MAX]:
            yield f"{place} misread {part}; seen in the state after {source}"


def record(context: EventContext, root: Path, states: Mapping[str, Any]) -> list[str]:
    """Write both files of this version where they are missing; give their paths below the golden folder."""
    written = []
    shape = {"version": context.state_version, "fields": shape_of(context.state)}
    *_, state = states.values()
    for name, data in (
        (_record(context), json.dumps(shape, indent=2).encode() + b"\n"),
        (_snapshot(context), context.codecs.states.encode(state)),
    ):
        path = root / FOLDER / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            written.append(name)
    return written


def different(place: str, before: Any, after: Any) -> Iterator[str]:
    """Every place where two values differ, or differ in type, with both."""
    if type(before) is not type(after):
        yield f"{place}: {before!r} came back as {after!r}"
    elif is_dataclass(before) and not isinstance(before, type):
        for field in fields(before):
            yield from different(
                f"{type(before).__name__}.{field.name}", getattr(before, field.name), getattr(after, field.name)
            )
    elif isinstance(before, tuple) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from different(place, one, other)
    elif before != after or str(before) != str(after):
        # Decimals that are equal but written differently would be, when they are told.
        yield f"{place}: {before!r} came back as {after!r}"


def _golden(context: EventContext, root: Path, place: str) -> Iterator[str]:
    path = root / FOLDER / _snapshot(context)
    if not path.is_file():
        yield f"{FOLDER}/{_snapshot(context)} is missing: bytes of a snapshot of this version"
        return
    data, codec = path.read_bytes(), context.codecs.states
    try:
        if codec.encode(codec.decode(data)) != data:
            yield f"{place} would be misread: {path.name} does not come back as it was written"
    except EventUnreadable as error:
        yield f"{place} can no longer be read: {path.name}: {error}"


def _record(context: EventContext) -> str:
    return f"{context.name}/states/v{context.state_version}.json"


def _snapshot(context: EventContext) -> str:
    return f"{context.name}/states/v{context.state_version}.snapshot"
