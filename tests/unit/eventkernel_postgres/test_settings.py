from pathlib import Path

import pytest

from eventkernel_postgres.settings import PostgresSettings, Tls


def test_the_connection_string_is_kept_and_ours_added() -> None:
    settings = PostgresSettings(
        "host=db dbname=erx options='-c work_mem=9MB' application_name=mine",
        schema="erx_views",
        connect_seconds=0.5,
        call_seconds=2.5,
        idle_transaction_seconds=1.5,
    )
    parameters = settings.parameters()
    assert (parameters["host"], parameters["dbname"], parameters["application_name"]) == ("db", "erx", "mine")
    assert parameters["options"] == (
        "-c work_mem=9MB -c search_path=erx_views -c timezone=UTC -c client_min_messages=warning"
        " -c idle_in_transaction_session_timeout=1500"
    )
    assert (parameters["connect_timeout"], parameters["tcp_user_timeout"]) == ("2", "2500")


def test_tls_checks_authority_and_host_unless_told_otherwise() -> None:
    parameters = PostgresSettings("host=db", tls=Tls(authority=Path("ca.pem"), key=Path("k.pem"))).parameters()
    assert (parameters["sslmode"], parameters["sslrootcert"], parameters["sslkey"]) == (
        "verify-full",
        "ca.pem",
        "k.pem",
    )
    assert "sslcert" not in parameters
    assert "sslmode" not in PostgresSettings("host=db").parameters()


@pytest.mark.parametrize(
    ("wrong", "named"), [({"schema": "Views"}, "Views"), ({"writers_max": 0}, "writers_max"), ({"readers_max": 0}, "r")]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        PostgresSettings("host=db", **wrong)  # type: ignore[arg-type]


def test_a_tls_mode_that_libpq_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="verify"):
        Tls("verify")
