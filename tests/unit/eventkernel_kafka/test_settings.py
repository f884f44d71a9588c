from pathlib import Path

import pytest

from eventkernel_kafka.settings import KafkaSettings, Sasl, Tls
from eventkernel_kafka.topics import Topic


def test_without_tls_and_sasl_it_is_plain_text() -> None:
    assert KafkaSettings("kafka:9092").common()["security.protocol"] == "PLAINTEXT"


def test_tls_and_a_password_are_said_together() -> None:
    tls = Tls(Path("ca.pem"), Path("c.pem"), Path("k.pem"), "key secret")
    found = KafkaSettings("kafka:9092", tls, Sasl("SCRAM-SHA-512", "erx", "user secret")).common()
    assert found["security.protocol"] == "SASL_SSL"
    assert (found["ssl.ca.location"], found["ssl.certificate.location"]) == ("ca.pem", "c.pem")
    assert (found["ssl.key.location"], found["ssl.key.password"]) == ("k.pem", "key secret")
    assert (found["sasl.mechanism"], found["sasl.username"]) == ("SCRAM-SHA-512", "erx")
    assert found["sasl.password"] == "user secret"


def test_secrets_do_not_show_in_the_settings() -> None:
    settings = KafkaSettings("kafka:9092", Tls(key_password="key secret"), Sasl("PLAIN", "erx", "user secret"))
    assert "secret" not in repr(settings)


def test_a_mechanism_that_needs_more_than_a_password_is_refused() -> None:
    with pytest.raises(ValueError, match="GSSAPI"):
        Sasl("GSSAPI", "erx", "secret")


def test_a_topic_keeps_records_for_good_or_for_its_time_and_is_never_compacted() -> None:
    forever, day = Topic("t", 1), Topic("t", 1, retention_seconds=86_400)
    assert forever.configuration(1)["retention.ms"] == "-1"
    assert day.configuration(1)["retention.ms"] == "86400000"
    assert forever.configuration(1)["cleanup.policy"] == "delete"
    assert (forever.replication_factor, forever.configuration(7)["min.insync.replicas"]) == (3, "2")
    assert forever.configuration(7)["max.message.bytes"] == "7"
