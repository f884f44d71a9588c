"""Golden files are written once: whoever edits or removes one is told, with or without a repository's history."""

import subprocess
from pathlib import Path

import pytest

from bootstrap.checkout import ROOT
from bootstrap.schemas import golden

FILES = golden.files_of(ROOT)


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def released(checkout: Path) -> Path:
    """The copy as a repository whose last commit is a release."""
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "release")
    return checkout


def test_every_file_of_this_checkout_is_as_it_was_sealed_and_released() -> None:
    assert list(golden.unsealed_or_edited(ROOT)) == []
    assert list(golden.edited_since_release(ROOT)) == []


def test_every_file_that_was_removed_is_named(checkout: Path) -> None:
    for name in FILES:
        (checkout / golden.FOLDER / name).unlink()
    assert list(golden.unsealed_or_edited(checkout)) == [
        f"tests/golden/{name}: removed; golden files stay for ever" for name in FILES
    ]


def test_every_file_that_was_edited_is_named(checkout: Path) -> None:
    for name in FILES:
        path = checkout / golden.FOLDER / name
        path.write_bytes(path.read_bytes() + b" ")
    assert list(golden.unsealed_or_edited(checkout)) == [
        f"tests/golden/{name}: edited; golden files are written once, another case is another file" for name in FILES
    ]


@pytest.mark.parametrize("name", FILES[:: len(FILES) // 5])
def test_one_that_was_removed_or_edited_is_named_alone(name: str, checkout: Path) -> None:
    path = checkout / golden.FOLDER / name
    before = path.read_bytes()
    path.unlink()
    assert list(golden.unsealed_or_edited(checkout)) == [f"tests/golden/{name}: removed; golden files stay for ever"]
    path.write_bytes(before[:-1])
    (problem,) = golden.unsealed_or_edited(checkout)
    assert problem.startswith(f"tests/golden/{name}: edited;")
    path.write_bytes(before)
    assert list(golden.unsealed_or_edited(checkout)) == []


def test_a_new_file_is_asked_for_and_sealed(checkout: Path) -> None:
    (checkout / golden.FOLDER / "new.binpb").write_bytes(b"\x0a\x00")
    (problem,) = golden.unsealed_or_edited(checkout)
    assert "tests/golden/new.binpb: its hash is not written down" in problem
    assert golden.seal(checkout) == ["new.binpb"]
    assert list(golden.unsealed_or_edited(checkout)) == []
    assert golden.seal(checkout) == []


def test_sealing_changes_nothing_that_is_sealed(checkout: Path) -> None:
    sums = (checkout / golden.SUMS).read_text()
    (checkout / golden.FOLDER / FILES[0]).write_bytes(b"something else")
    with pytest.raises(golden.SealRefused, match="edited"):
        golden.seal(checkout)
    assert (checkout / golden.SUMS).read_text() == sums


def test_what_is_not_filled_in_is_not_sealed(checkout: Path) -> None:
    (checkout / golden.FOLDER / "new.json").write_text(f'"{golden.MARK}: what it says"')
    with pytest.raises(golden.SealRefused, match=r"new\.json: not filled in yet"):
        golden.seal(checkout)


def test_the_list_is_what_sha256sum_reads(checkout: Path) -> None:
    command = ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"]
    subprocess.run(command, cwd=checkout / golden.FOLDER, check=True, capture_output=True)


def test_an_edit_of_what_was_released_is_found_also_where_the_list_was_edited_with_it(released: Path) -> None:
    assert list(golden.edited_since_release(released)) == []
    for name in FILES[:2]:
        (released / golden.FOLDER / name).write_bytes(b"something else")
    (released / golden.FOLDER / FILES[2]).unlink()
    (released / golden.SUMS).unlink()
    golden.seal(released)
    git(released, "add", ".")
    git(released, "commit", "--quiet", "-m", "edit what was released")
    assert list(golden.unsealed_or_edited(released)) == []
    problems = list(golden.edited_since_release(released))
    assert [problem.partition(":")[0] for problem in problems] == [f"tests/golden/{name}" for name in FILES[:3]]
    assert "edited after it was released" in problems[0]
    assert "removed, though it was released" in problems[2]


def test_an_events_file_that_was_sealed_is_never_sealed_with_other_bytes(checkout: Path) -> None:
    event = next(name for name in FILES if "/events/" in name and name.endswith(".binpb"))
    record = next(name for name in FILES if "/states/" in name)
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "sealed")
    assert list(golden.resealed(checkout)) == []
    for name in (event, record):
        (checkout / golden.FOLDER / name).write_bytes(b"something else")
    (checkout / golden.SUMS).unlink()
    golden.seal(checkout)
    git(checkout, "commit", "--quiet", "--all", "-m", "edited and sealed again")
    (problem,) = golden.resealed(checkout)
    assert problem.startswith(f"tests/golden/{event}: sealed once")
    git(checkout, "revert", "--no-edit", "HEAD")
    assert list(golden.resealed(checkout)) == []


def test_what_was_not_released_yet_is_no_matter_of_the_release(released: Path) -> None:
    (released / golden.FOLDER / "draft.binpb").write_bytes(b"\x0a\x00")
    git(released, "add", ".")
    git(released, "commit", "--quiet", "-m", "a draft")
    (released / golden.FOLDER / "draft.binpb").write_bytes(b"\x0a\x01a")
    assert list(golden.edited_since_release(released)) == []


def test_without_history_the_list_alone_counts(checkout: Path) -> None:
    (checkout / golden.FOLDER / FILES[0]).write_bytes(b"something else")
    assert list(golden.edited_since_release(checkout)) == []
    assert list(golden.unsealed_or_edited(checkout))
