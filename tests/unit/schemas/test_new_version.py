"""The skeletons of another version compile, pass the linter and read old bytes; and nothing passes while a mark is left."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.checkout import ROOT, TOOLS
from bootstrap.devtools import gen, protos
from bootstrap.schemas import check, golden
from bootstrap.schemas.contexts import EventContext, contexts
from bootstrap.schemas.described import Field, describe
from bootstrap.schemas.images import written
from bootstrap.schemas.new_version import NewVersionRefused, Written, skeletons, write

CONTEXTS = contexts()
by_context = pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.name)
SECONDS_MAX = 120


@pytest.fixture
def sources(checkout: Path) -> Path:
    """The copy with what skeletons are made from."""
    shutil.copytree(ROOT / "protos", checkout / "protos", dirs_exist_ok=True)
    shutil.copy(ROOT / "buf.yaml", checkout)
    for context in CONTEXTS:
        package = context.wire.relative_to(ROOT) / "upcasters"
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    return checkout


def moved(context: EventContext, root: Path) -> EventContext:
    return replace(context, wire=root / context.wire.relative_to(ROOT))


def made(context: EventContext, types: Sequence[str], root: Path) -> dict[str, list[Written]]:
    """The skeletons of these events, written one after the other."""
    files = {}
    for event_type in types:
        files[event_type] = skeletons(moved(context, root), event_type, root)
        write(files[event_type], root)
    return files


def moved_types(fields: Sequence[Field], context: EventContext, version: int) -> tuple[Field, ...]:
    """Fields of an event of the next version: what they hold of the events' own package comes along."""
    own, next_own = (f"{context.package}.v{number}." for number in (version, version + 1))
    return tuple(replace(field, type=field.type.replace(own, next_own)) for field in fields)


def left(root: Path) -> list[str]:
    """Everything that is marked as open."""
    return list(check._unfinished(root))


@by_context
def test_every_event_gets_a_contract_a_step_a_golden_file_and_a_test(context: EventContext, sources: Path) -> None:
    event_type, newest = next(iter(context.upcasters.newest.items()))
    paths = [file.path for file in made(context, [event_type], sources)[event_type]]
    new = newest + 1
    assert paths[0].startswith(f"protos/{context.package.replace('.', '/')}/v{new}/")
    assert paths[1].endswith(f"/upcasters/v{newest}_to_v{new}.py")
    assert paths[2] == f"{context.golden}/v{new}/{event_type}.txt"
    assert paths[3].startswith(f"tests/unit/{context.name}/")
    marked = {problem.split(":")[0] for problem in left(sources)}
    assert marked == set(paths)


@by_context
def test_contracts_of_every_event_compile_and_pass_the_linter(context: EventContext, sources: Path) -> None:
    made(context, list(context.upcasters.newest), sources)
    assert protos.lint(sources) == (0, "")
    image = describe(written(sources / "protos", sources / "protos" / "third_party"))
    for event_type, newest in context.upcasters.newest.items():
        old = image.messages[f"{context.package}.v{newest}.{event_type}"]
        new = image.messages[f"{context.package}.v{newest + 1}.{event_type}"]
        assert new.fields == moved_types(old.fields, context, newest)
        assert new.comment.startswith(old.comment)


@by_context
def test_the_wrapper_of_histories_has_room_for_the_next_version_of_every_event(
    context: EventContext, sources: Path
) -> None:
    """It stays in its package, so the new one must not refer back: Go cannot compile packages that go in a circle."""
    files = made(context, list(context.upcasters.newest), sources)
    wrapper = context.wrapper.DESCRIPTOR
    path = sources / "protos" / wrapper.file.name
    text = path.read_text(encoding="utf-8")
    known = re.findall(r'^import "(.+)";$', text, re.MULTILINE)
    contracts = {group[0].path.removeprefix("protos/") for group in files.values()}
    imports = "\n".join(f'import "{name}";' for name in sorted({*known, *contracts}))
    text = text.replace("\n".join(f'import "{name}";' for name in known), imports)
    rooms = "".join(
        f"    // The next version.\n    {context.package}.v{newest + 1}.{name} next_{number} = {number};\n"
        for number, (name, newest) in enumerate(context.upcasters.newest.items(), 1000)
    )
    path.write_text(text.removesuffix("  }\n}\n") + rooms + "  }\n}\n", encoding="utf-8")
    assert protos.lint(sources) == (0, "")


@by_context
def test_steps_of_every_event_are_formatted_and_read_what_was_written_before(
    context: EventContext, sources: Path
) -> None:
    files = made(context, list(context.upcasters.newest), sources)
    modules = sorted({group[1].path for group in files.values()})
    tests = sorted(group[3].path for group in files.values())
    generated = gen.generate(sources / "protos", sources / "protos" / "third_party")
    gen.write(generated, sources / "libs")
    (sources / "libs" / "eventkernel").symlink_to(ROOT / "libs" / "eventkernel")  # so that ruff knows whose it is
    for path in (*modules, *tests):
        ast.parse((sources / path).read_text())
    for check_of in (["check"], ["format", "--check"]):
        ruff = [str(TOOLS / "ruff"), *check_of, "--config", str(ROOT / "pyproject.toml"), "--quiet", *modules, *tests]
        done = subprocess.run(ruff, cwd=sources, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
        assert done.returncode == 0, done.stdout
    made_now = set(context.upcasters.newest.items())
    program = f"""
import importlib.util, pathlib
for path in {modules!r}:
    spec = importlib.util.spec_from_file_location("made", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for step in (step for step in module.STEPS if (step.type, step.version) in {made_now!r}):
        kind = step.upcast.__annotations__["m"]
        files = sorted(pathlib.Path("{context.golden}").glob(f"v{{step.version}}/{{step.type}}*.binpb"))
        assert files, step
        for file in files:
            said = kind.FromString(file.read_bytes())
            read = step.upcast(said)
            assert type(read).DESCRIPTOR.full_name == f"{context.package}.v{{step.version + 1}}.{{step.type}}"
            assert read.SerializeToString(deterministic=True) == said.SerializeToString(deterministic=True)
        print(step.type)
"""
    roots = os.pathsep.join([str(sources / "libs"), str(ROOT / "libs"), str(ROOT / "services")])
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=sources,
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(context.upcasters.newest)


@by_context
def test_the_check_names_everything_that_a_person_must_fill_in(context: EventContext, sources: Path) -> None:
    event_type, newest = next(iter(context.upcasters.newest.items()))
    paths = {file.path for file in made(context, [event_type], sources)[event_type]}
    now = describe(written(sources / "protos", sources / "protos" / "third_party"), prefix="erx.")
    problems = [*check.check_context(context, sources, now), *left(sources), *golden.unsealed_or_edited(sources)]
    name = f"{context.package}.v{newest + 1}.{event_type}"
    assert any(problem.startswith(f"{name} (") and problem.endswith("nothing reads it") for problem in problems)
    assert any(f"v{newest + 1}/{event_type}.txt" in problem for problem in problems)
    assert {problem.split(":")[0] for problem in left(sources)} == paths
    with pytest.raises(golden.SealRefused, match="not filled in yet"):
        golden.seal(sources)


@by_context
def test_the_test_that_is_made_fails_until_it_is_written(context: EventContext, sources: Path) -> None:
    event_type = next(iter(context.upcasters.newest))
    tree = ast.parse(made(context, [event_type], sources)[event_type][3].text)
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert any(call.startswith(f"pytest.fail('{golden.MARK}:") for call in calls)


@by_context
def test_bytes_written_as_text_become_bytes_when_they_are_sealed(context: EventContext, sources: Path) -> None:
    event_type, newest = next(iter(context.upcasters.newest.items()))
    made(context, [event_type], sources)
    path = sources / context.golden / f"v{newest + 1}" / f"{event_type}.txt"
    path.write_text('1: {"a text"}  # the first field\n')
    path.with_suffix(".state.json").write_text('{"after": [], "state": {}}\n')
    (sources / "tests" / "unit").rename(sources / "elsewhere")
    assert {f"{context.name}/events/v{newest + 1}/{event_type}.{kind}" for kind in ("txt", "binpb")} <= set(
        golden.seal(sources)
    )
    assert path.with_suffix(".binpb").read_bytes() == b"\x0a\x06a text"


@by_context
def test_a_version_that_is_there_is_not_written_again(context: EventContext, sources: Path) -> None:
    event_type = next(iter(context.upcasters.newest))
    made(context, [event_type], sources)
    with pytest.raises(NewVersionRefused, match="is there already"):
        made(context, [event_type], sources)


@by_context
def test_an_event_that_is_none_of_today_is_refused_with_those_that_are(context: EventContext, sources: Path) -> None:
    with pytest.raises(NewVersionRefused, match=f"there are .*{min(context.upcasters.newest)}"):
        made(context, ["NoSuchEvent"], sources)
