"""Clients in other languages: what is pinned, what is rebuilt when, and what is said where a tool is missing."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from bootstrap.devtools import clients
from bootstrap.devtools.clients import BUILT, CLIENTS, BuildFailed, Client, Step, attempt, build, fingerprint
from bootstrap.devtools.gen import PROTOS

TEMPLATES = sorted(CLIENTS.glob("*/buf.gen.yaml"))
MAVEN = "{http://maven.apache.org/POM/4.0.0}"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client whose build copies its only source and counts how often it did."""
    monkeypatch.setattr(clients, "CLIENTS", tmp_path)
    monkeypatch.setattr(clients, "ROOT", PROTOS.parent)
    monkeypatch.setattr(clients, "sources", lambda client: iter(()))
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "source").write_text("one")
    script = "cat source > result && echo built >> count"
    return Client("toy", ("sh",), "a shell", (Step(("sh", "-c", script)),), ("cat", "result"), "result")


def times_built(client: Client) -> int:
    return (client.folder / "count").read_text().count("built")


def test_what_is_current_is_not_built_again(toy: Client) -> None:
    assert build(toy) == build(toy) == toy.folder
    assert times_built(toy) == 1


def test_a_lost_result_is_built_again(toy: Client) -> None:
    (build(toy) / "result").unlink()
    build(toy)
    assert times_built(toy) == 2


def test_another_way_to_build_builds_again(toy: Client) -> None:
    build(toy)
    other = Client(toy.language, toy.tools, toy.needs, (*toy.steps, Step(("true",))), toy.run, toy.result)
    build(other)
    assert times_built(toy) == 2


def test_a_failed_step_tells_its_last_words_and_leaves_nothing_current(toy: Client) -> None:
    broken = Client("toy", ("sh",), "a shell", (Step(("sh", "-c", "echo the reason; exit 3")),), ("true",), "source")
    with pytest.raises(BuildFailed, match="ended with 3:\nthe reason"):
        build(broken)
    assert "the reason" in attempt(broken)
    with pytest.raises(BuildFailed):
        build(broken)


def test_a_missing_tool_is_named_with_what_brings_it() -> None:
    missing = Client("cobol", ("sh", "cobol-9000"), "GnuCOBOL", (), ("true",), "x")
    assert missing.missing == "cobol-9000 not found: install GnuCOBOL"
    assert attempt(missing) == missing.missing


@pytest.mark.parametrize("client", BUILT, ids=lambda client: client.language)
def test_contracts_and_own_files_make_the_fingerprint_and_what_is_made_does_not(client: Client) -> None:
    first = fingerprint(client)
    assert first == fingerprint(client)
    parts = {path.relative_to(client.folder).parts[0] for path in clients.sources(client)}
    assert "buf.gen.yaml" in parts
    assert not parts & {"gen", "bin", "dist", "node_modules", "target", "built"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.parent.name)
def test_stubs_are_made_by_local_plugins_alone(template: Path) -> None:
    read: dict[str, Any] = yaml.safe_load(template.read_text())
    assert read["plugins"]
    for plugin in read["plugins"]:
        assert "remote" not in plugin
        tool = plugin.get("protoc_path") or plugin["local"]
        assert tool.startswith(f"clients/{template.parent.name}/")


def test_every_language_that_is_built_has_a_template() -> None:
    assert [template.parent.name for template in TEMPLATES] == sorted(client.language for client in BUILT)


def test_packages_of_npm_are_pinned_and_the_lock_has_hashes_and_no_address() -> None:
    wanted = json.loads((CLIENTS / "typescript" / "package.json").read_text())
    for version in (wanted["dependencies"] | wanted["devDependencies"]).values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    lock = json.loads((CLIENTS / "typescript" / "package-lock.json").read_text())
    for name, package in lock["packages"].items():
        assert not name or package["integrity"].startswith("sha512-")
        assert "resolved" not in package


def test_everything_of_maven_is_pinned() -> None:
    pom = ET.parse(CLIENTS / "java" / "pom.xml")
    managed = {found.findtext(f"{MAVEN}artifactId") for found in pom.iterfind(f".//{MAVEN}dependencyManagement//*")}
    for kind in ("plugin", "artifactItem"):
        for found in pom.iter(MAVEN + kind):
            assert found.findtext(f"{MAVEN}version"), found.findtext(f"{MAVEN}artifactId")
    for found in pom.iterfind(f"./{MAVEN}dependencies/{MAVEN}dependency"):
        name = found.findtext(f"{MAVEN}artifactId") or ""
        assert name in managed or name.startswith("grpc-"), f"{name} comes from no bill of materials"
    assert "SNAPSHOT" not in (CLIENTS / "java" / "pom.xml").read_text()


def test_the_reader_of_the_topic_knows_every_package_of_events() -> None:
    known = (CLIENTS / "go" / "consumer" / "events.go").read_text()
    packages = {path.parent.relative_to(PROTOS).as_posix() for path in PROTOS.glob("erx/*/events/*/*.proto")}
    missing = [f'_ "erx.example/clients/gen/{package}"' for package in sorted(packages) if f"/{package}" not in known]
    assert not missing, f"clients/go/consumer/events.go has to import {', '.join(missing)}"
