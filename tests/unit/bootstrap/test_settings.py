from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bootstrap.settings import SettingsError, as_environment, load, masked, mistyped


def test_a_flag_weighs_more_than_the_environment_and_that_more_than_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "erx.toml"
    file.write_text('profile = "acute"\ncalls_max = 7\nshard_count = 3\n')
    monkeypatch.setenv("ERX_PROFILE", "repeat")
    monkeypatch.setenv("ERX_CALLS_MAX", "8")
    settings = load(file, calls_max=9)
    assert (settings.calls_max, settings.profile, settings.shard_count) == (9, "repeat", 3)


def test_an_unknown_key_of_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "erx.toml"
    file.write_text("colour = 1\n")
    with pytest.raises(SettingsError, match="colour: there is no such setting"):
        load(file)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ERX_RELAY_POL_SECONDS", "ERX_RELAY_POLL_SECONDS"),
        ("ERX_COMAND_ADDRESS", "ERX_COMMAND_ADDRESS"),
        ("ERX_CASSANDRA_CONTACT_POINT", "ERX_CASSANDRA_CONTACT_POINTS"),
        ("ERX_AUDIT_SECOND", "ERX_AUDIT_SECONDS"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_told_with_the_one_that_may_be_meant(name: str, meant: str) -> None:
    assert mistyped({name: "1", meant: "2"}) == {name: meant}


def test_variables_that_others_make_or_that_name_other_things_are_let_be() -> None:
    others = ("ERX_COMMAND_SERVICE_HOST", "ERX_COMMAND_PORT_50051_TCP_ADDR", "ERX_QUERY_SERVICE_PORT", "PATH", "erx")
    own = ("ERX_CONFIG", "ERX_VENV", "ERX_JARS_DIR", "ERX_FAILPOINTS", "ERX_FREEZE_SECONDS", "ERX_TEST_SERVERS")
    assert mistyped(dict.fromkeys((*others, *own), "1")) == {}


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "erx.toml"
    for content in (b"= nothing", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match=r"erx\.toml"):
            load(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"erx\.toml: No such file or directory"):
        load(tmp_path / "erx.toml")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("calls_max", 0),
        ("store", "paper"),
        ("cassandra_keyspace", "Bad-Name"),
        ("log_level", "loud"),
        ("shard_count", "x"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_rule(field: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"{field}: "):
        load(**{field: value})


def test_secrets_are_masked() -> None:
    shown = masked(load(claim_key="Wombat1", cassandra_password="Wombat2", postgres_dsn="postgresql://u:Wombat3@h/d"))
    assert "Wombat" not in str(shown)


def test_settings_reach_another_process_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(claim_key="top", reuse_port=True, data_dir=Path("/somewhere"), relay_poll_seconds=0.2)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    again = load()
    assert again == settings
    assert again.claim_key == SecretStr("top")
