"""Settings, and what the program says when it cannot start."""

import json
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bootstrap.testing.calls import caller
from bootstrap.testing.data import settled
from bootstrap.testing.program import FREE_PORTS, Ended, Erx, servers_on


def settings(ended: Ended) -> Any:
    assert ended.code == 0, ended.errors
    return json.loads(ended.output)


def one_line(ended: Ended) -> str:
    (line,) = ended.errors.strip().splitlines()
    return line


def test_a_flag_weighs_more_than_the_environment_and_that_more_than_the_file(erx: Erx, tmp_path: Path) -> None:
    file = tmp_path / "erx.toml"
    file.write_text('calls_max = 1\nlane_commands_max = 1\nlog_level = "error"\n')
    environment = {"ERX_CALLS_MAX": "2", "ERX_LANE_COMMANDS_MAX": "2", "ERX_CONFIG": str(file)}
    shown = settings(erx.run("config", "--json", "--calls-max", "3", environment=environment))
    assert (shown["calls_max"], shown["lane_commands_max"], shown["log_level"]) == (3, 2, "error")
    assert shown["drain_seconds"] == 20.0
    named = settings(erx.run("config", "--json", "--config", file))
    assert named["calls_max"] == 1


def test_secrets_are_masked_wherever_they_come_from(erx: Erx, tmp_path: Path) -> None:
    file = tmp_path / "erx.toml"
    file.write_text('page_key = "the secret of pages, of 32 bytes"\n')
    environment = {"ERX_CLAIM_KEY": "the secret of claims, of 32 byte"}
    for words in (("--json",), ()):
        ended = erx.run("config", "--config", file, *words, environment=environment)
        assert ended.code == 0
        assert "the secret" not in ended.output + ended.errors
        assert ended.output.count("********") >= 2


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ("colour = 1", "colour", "there is no such setting"),
        ("calls_max = 0", "calls_max", "greater than or equal to 1"),
        ('store = "paper"', "store", "'embedded'"),
        ('drain_seconds = "soon"', "drain_seconds", "valid number"),
        ("calls_max = ", "erx.toml", "Invalid value"),
        ('metrics_address = "9100"', "metrics_address", "HOST:PORT"),
    ],
)
def test_a_bad_setting_is_named_with_its_rule(erx: Erx, tmp_path: Path, text: str, field: str, rule: str) -> None:
    file = tmp_path / "erx.toml"
    file.write_text(text + "\n")
    for command in ("config", "serve"):
        ended = erx.run(command, "--config", file)
        assert ended.code == 2
        assert field in one_line(ended)
        assert rule in one_line(ended)


def test_bad_variables_flags_profiles_and_roles_end_with_code_2(erx: Erx, tmp_path: Path) -> None:
    bad = erx.run("config", environment={"ERX_CALLS_MAX": "many"})
    assert bad.code == 2
    assert "calls_max" in one_line(bad)
    assert erx.run("serve", "--calls-max", "many").code == 2
    assert erx.run("serve", "--colour", "1").code == 2
    roles = erx.run("serve", "commands")
    assert roles.code == 2
    assert "commands" in one_line(roles)
    assert "command, relay, projector, query" in one_line(roles)
    missing = erx.run("config", "--config", tmp_path / "missing.toml")
    assert missing.code == 2
    assert "missing.toml" in one_line(missing)


def test_an_unknown_profile_is_refused_before_anything_is_served(erx: Erx, tmp_path: Path) -> None:
    ended = erx.run("serve", "--data", tmp_path / "data", "--profile", "mars", *FREE_PORTS)
    assert ended.code in (1, 2)
    assert "profile: 'mars' is none of us" in ended.errors
    assert "ready" not in ended.output


def test_a_certificate_that_is_not_there_is_named(erx: Erx, tmp_path: Path) -> None:
    words = ("--tls-certificate", tmp_path / "none.pem", "--tls-key", tmp_path / "none.key")
    ended = erx.run("serve", "query", "--data", tmp_path / "data", *words, *FREE_PORTS)
    assert ended.code == 1
    assert "none.key" in ended.errors.splitlines()[-1]
    assert "Traceback" not in ended.errors


def test_commands_show_a_certificate_to_servers_that_ask_for_one(
    erx: Erx, tmp_path: Path, certify: Callable[[Path, str], None]
) -> None:
    certify(tmp_path, "IP:127.0.0.1")
    leaf, key, ca = (tmp_path / name for name in ("leaf.pem", "leaf.key", "ca.pem"))
    served = erx.serve(
        tmp_path / "data", "--tls-certificate", leaf, "--tls-key", key, "--tls-client-ca", ca, "--no-record-reads"
    )
    known: tuple[str | Path, ...] = ("stats", "--json", *servers_on(served), "--tls-ca", ca)
    shown: tuple[str | Path, ...] = ("--tls-caller-certificate", leaf, "--tls-caller-key", key)
    ended = erx.run(*known, *shown)
    assert ended.code == 0, ended.errors
    assert json.loads(ended.output)["as_of"]
    for lacking in (known, known[:-2]):
        ended = erx.run(*lacking)
        assert ended.code == 1
        assert "UNAVAILABLE" in one_line(ended)
    ended = erx.run(*known, *shown[:2])
    assert "tls_caller_certificate and tls_caller_key: both or neither" in one_line(ended)
    for command in (("stats",), ("import", "fhir", tmp_path)):
        ended = erx.run(*command, *servers_on(served), "--tls-ca", tmp_path / "none.pem")
        assert ended.code == 1
        assert "none.pem: is not there" in one_line(ended)


def test_a_port_of_metrics_that_is_taken_is_named(erx: Erx, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = erx.run("serve", "query", "--data", tmp_path / "data", "--metrics-address", address, *FREE_PORTS)
    assert ended.code == 1
    assert f"metrics_address: {address}: " in one_line(ended)


def test_a_port_that_is_taken_is_named(erx: Erx, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = erx.run(
            "serve", "--data", tmp_path / "data", "--command-address", address, "--query-address", "127.0.0.1:0"
        )
    assert ended.code == 1
    assert address in ended.errors
    assert "Traceback" not in ended.errors
    assert "ready" not in ended.output


@pytest.mark.parametrize("name", ["journal.db", "bus.db", "views.db"])
def test_a_folder_written_by_a_newer_program_is_refused(erx: Erx, tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    assert erx.serve(data).stopped().code == 0
    with closing(sqlite3.connect(data / name)) as database, database:
        database.execute("PRAGMA user_version = 999")
    ended = erx.run("serve", "--data", data, *FREE_PORTS)
    assert ended.code == 1
    assert "newer program" in ended.errors
    assert "Traceback" not in ended.errors


def test_a_folder_that_is_a_file_and_a_journal_that_is_none_are_refused(erx: Erx, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("not a folder")
    for command in ("serve", "audit", "demo"):
        ended = erx.run(command, "--data", file)
        assert ended.code == 1
        assert "Traceback" not in ended.errors, ended.errors
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "journal.db").write_bytes(b"something else entirely" * 1_000)
    ended = erx.run("serve", "--data", folder, *FREE_PORTS)
    assert ended.code == 1
    assert "journal.db" in ended.errors
    assert "Traceback" not in ended.errors


async def test_two_servers_share_a_data_folder(erx: Erx, tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second = erx.serve(data), erx.serve(data)
    one = caller(first.address("command"), second.address("query"))
    other = caller(second.address("command"), first.address("query"))
    async with one as left, other as right:
        for writer, reader in ((left, right), (right, left)):
            draft = await writer.write()
            prescription_id = draft.prescription.prescription_id
            fields = {"prescription_id": prescription_id, "content_sha256": draft.prescription.content_sha256}
            signed = await reader.do(
                "SignPrescription", **fields, signature=b"s", algorithm="ES256", certificate_id="c", factors=[1, 2]
            )
            issued = await writer.do("IssuePrescription", prescription_id=prescription_id, expected_version=2)
            assert (signed.version, issued.version) == (2, 3)
            shown = await writer.ask("FetchPrescription", token=issued.token, prescription_id=prescription_id)
            assert shown.prescription.version == 3
    audited = await settled(data)
    assert (audited.streams, audited.events) == (2, 6)
    assert first.stopped().code == second.stopped().code == 0
