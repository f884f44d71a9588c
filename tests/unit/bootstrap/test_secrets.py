import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import SecretStr

from bootstrap.secrets import kept_key


def test_a_given_key_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    assert kept_key(SecretStr("given"), tmp_path, "claim.key") == b"given"
    assert not list(tmp_path.iterdir())


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    key = kept_key(None, folder, "claim.key")
    assert len(key) == 32
    assert kept_key(None, folder, "claim.key") == key
    assert stat.S_IMODE((folder / "claim.key").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["claim.key"]


def test_those_who_come_at_once_share_the_first_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: kept_key(None, tmp_path, "page.key"), range(32)))
    assert len(set(keys)) == 1
