"""Rendered configurations say what the settings decide."""

import itertools
from xml.etree import ElementTree as ET

import pytest
import yaml

from localstack import jars, settings
from localstack.settings import CommitlogSync

NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


def rendered(commitlog_sync: CommitlogSync = "group", **changes: object) -> dict[str, object]:
    arguments: dict[str, object] = {
        "storage": "/s",
        "address": "127.0.0.1",
        "seeds": ["127.0.0.1", "127.0.0.2"],
        "native_port": 1,
        "storage_port": 2,
        "ssl_storage_port": 3,
    }
    text = settings.render_yaml(
        settings.cassandra_settings(commitlog_sync=commitlog_sync, **(arguments | changes))  # type: ignore[arg-type]
    )
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def test_acknowledged_writes_are_durable_by_default() -> None:
    assert rendered()["commitlog_sync"] == "group"
    assert rendered()["commitlog_sync_group_window"] == "5ms"


@pytest.mark.parametrize("mode", settings.COMMITLOG_SYNC)
def test_a_commit_log_mode_brings_its_own_options_and_no_others(mode: CommitlogSync) -> None:
    options = {name: value for name, value in rendered(mode).items() if name.startswith("commitlog_sync")}
    assert options == dict(settings.COMMITLOG_SYNC[mode])


def test_the_yaml_names_ports_folders_and_seeds() -> None:
    node = rendered()
    assert (node["native_transport_port"], node["storage_port"], node["ssl_storage_port"]) == (1, 2, 3)
    assert node["commitlog_directory"] == "/s/commitlog"
    assert "127.0.0.1:2,127.0.0.2:2" in str(node["seed_provider"])
    assert node["paxos_variant"] == "v2"


def test_passwords_are_asked_for_only_on_demand() -> None:
    assert rendered()["authenticator"] == "AllowAllAuthenticator"
    assert rendered(password_authentication=True)["authenticator"] == "PasswordAuthenticator"


@pytest.mark.parametrize("nodes", [1, 3, 9])
def test_the_nodes_of_a_ring_own_equal_shares(nodes: int) -> None:
    owners = sorted((token, node) for node in range(nodes) for token in settings.ring_tokens(node, nodes))
    tokens = [token for token, _ in owners]
    assert len(set(tokens)) == nodes * 4
    assert all(-(2**63) <= token < 2**63 for token in tokens)
    assert len({later - earlier for earlier, later in itertools.pairwise(tokens)}) == 1
    if nodes > 1:
        assert all(one != other for (_, one), (_, other) in itertools.pairwise(owners))


def test_properties_are_one_per_line() -> None:
    assert settings.render_properties({"a.b": "1", "c": "x,y"}) == "a.b=1\nc=x,y\n"


@pytest.mark.parametrize(
    ("service", "artifact"), [("cassandra", "cassandra-all"), ("kafka", f"kafka_{settings.KAFKA_SCALA_VERSION}")]
)
def test_a_pom_pins_the_version_of_the_settings(service: jars.JavaService, artifact: str) -> None:
    pom = ET.fromstring(jars.pom(service))
    versions = {
        dependency.findtext("m:artifactId", "", NAMESPACE): dependency.findtext("m:version", "", NAMESPACE)
        for dependency in pom.iterfind("m:dependencies/m:dependency", NAMESPACE)
    }
    assert versions[artifact] == jars.version(service)
