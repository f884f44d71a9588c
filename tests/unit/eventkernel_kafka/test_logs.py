import logging

from eventkernel_kafka.logs import Sparing


def line(kind: str, client: str) -> logging.LogRecord:
    return logging.LogRecord("client", logging.ERROR, "", 0, "%s [%s] %s", (kind, client, "text"), None)


def test_a_kind_of_line_of_a_client_is_told_once_in_a_while() -> None:
    sparing = Sparing()
    told = [sparing.filter(line(*one)) for one in (("FAIL", "a"), ("FAIL", "a"), ("FAIL", "b"), ("GETPID", "a"))]
    assert told == [True, False, True, True]


def test_what_was_chosen_on_purpose_is_not_told() -> None:
    text = "Configuration property enable.gapless.guarantee is experimental: When set to `true`, …"
    record = logging.LogRecord(
        "client", logging.WARNING, "", 0, "%s [%s] %s", ("CONFWARN", "a", f"[thrd:app]: {text}"), None
    )
    assert not Sparing().filter(record)
