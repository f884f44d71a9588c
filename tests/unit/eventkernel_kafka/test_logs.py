import logging

from eventkernel_kafka.logs import Sparing


def line(kind: str, client: str) -> logging.LogRecord:
    return logging.LogRecord("client", logging.ERROR, "", 0, "%s [%s] %s", (kind, client, "text"), None)


def test_a_kind_of_line_of_a_client_is_told_once_in_a_while() -> None:
    sparing = Sparing()
    told = [sparing.filter(line(*one)) for one in (("FAIL", "a"), ("FAIL", "a"), ("FAIL", "b"), ("GETPID", "a"))]
    assert told == [True, False, True, True]
