"""Containers and plain processes run the same servers with the same settings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap import roles as bootstrap_roles
from localstack import settings

ROOT = Path(__file__).parents[3]
SERVERS = ("cassandra", "kafka", "postgres")
ROLES = ("command", "relay", "projector", "query")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize(
    ("service", "image"),
    [
        ("cassandra", f"cassandra:{settings.CASSANDRA_VERSION}"),
        ("kafka", f"apache/kafka:{settings.KAFKA_VERSION}"),
        ("postgres", f"postgres:{settings.POSTGRES_VERSION}"),
    ],
)
def test_images_are_pinned_to_the_versions_of_the_settings(compose: dict[str, Any], service: str, image: str) -> None:
    assert compose["services"][service]["image"] == image


def test_cassandra_is_configured_as_the_plain_process_is(compose: dict[str, Any]) -> None:
    expected = settings.cassandra_settings(
        storage="/var/lib/cassandra",
        address="cassandra",
        seeds=["cassandra"],
        native_port=9042,
        storage_port=7000,
        ssl_storage_port=7001,
    )
    assert yaml.safe_load(compose["configs"]["cassandra-yaml"]["content"]) == expected
    service = compose["services"]["cassandra"]
    (mounted,) = service["configs"]
    assert mounted["source"] == "cassandra-yaml"
    assert f"-Dcassandra.config=file://{mounted['target']}" in service["environment"]["JVM_EXTRA_OPTS"].split()
    assert service["environment"]["MAX_HEAP_SIZE"] == f"{settings.CASSANDRA_HEAP_MB}M"


def test_cassandra_does_not_acknowledge_before_it_syncs(compose: dict[str, Any]) -> None:
    content = yaml.safe_load(compose["configs"]["cassandra-yaml"]["content"])
    assert content["commitlog_sync"] == "group"


def test_kafka_is_configured_as_the_plain_process_is(compose: dict[str, Any]) -> None:
    environment = compose["services"]["kafka"]["environment"]
    expected = {f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in settings.KAFKA_SETTINGS.items()}
    assert environment.items() >= expected.items()
    assert environment["KAFKA_HEAP_OPTS"] == f"-Xmx{settings.KAFKA_HEAP_MB}m"


def test_postgres_is_configured_as_the_plain_process_is(compose: dict[str, Any]) -> None:
    service = compose["services"]["postgres"]
    flags = [word for name, value in settings.POSTGRES_SETTINGS.items() for word in ("-c", f"{name}={value}")]
    assert service["command"] == ["postgres", *flags]
    environment = service["environment"]
    assert environment["POSTGRES_INITDB_ARGS"].split() == list(settings.POSTGRES_INITDB_ARGS)
    assert environment["POSTGRES_USER"] == settings.POSTGRES_USER
    assert environment["POSTGRES_DB"] == settings.POSTGRES_DATABASE


def test_every_role_runs_in_one_of_four_services_from_one_image(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*SERVERS, *ROLES}
    for role in ROLES:
        service = compose["services"][role]
        assert service["command"][:2] == ["serve", role]
        assert service["image"] == compose["services"]["command"]["image"]
        assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert set(service["depends_on"]) == set(SERVERS)
    served = [name for role in ROLES for name in compose["services"][role]["command"][1:]]
    assert sorted(served) == sorted(bootstrap_roles.ROLES), "every role once"


def test_every_service_has_a_health_check_and_servers_keep_their_data(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"]


def test_nothing_is_published_beyond_this_machine(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_health_checks_are_programs_that_python_accepts(compose: dict[str, Any]) -> None:
    for role in ROLES:
        _, interpreter, flag, program = compose["services"][role]["healthcheck"]["test"]
        assert (interpreter, flag) == ("python", "-c")
        compile(program, role, "exec")


def test_the_image_is_built_on_a_named_python_and_system() -> None:
    (base,) = re.findall(r"^FROM (\S+)$", (ROOT / "services/Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+(\.\d+)?-slim-[a-z]+", base)


def test_the_image_takes_what_it_copies_from_the_checkout() -> None:
    text = (ROOT / "services/Dockerfile").read_text()
    sources = [word for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for word in line.split()]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    allowed = (ROOT / "services/Dockerfile.dockerignore").read_text().splitlines()
    assert [source for source in sources if f"!{source}" not in allowed] == []
