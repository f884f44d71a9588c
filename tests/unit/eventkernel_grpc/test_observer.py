import logging

import pytest

from eventkernel_grpc.observer import CallRecord, LogObserver, Observers, facts


def record(code: str, **more: object) -> CallRecord:
    return CallRecord("/a/B", code, "", 0.001, **more)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("finished", "level"),
    [
        (record("OK"), logging.DEBUG),
        (record("FAILED_PRECONDITION"), logging.INFO),
        (record("UNAVAILABLE", incident="i", error=ValueError("host")), logging.WARNING),
        (record("INTERNAL", incident="i", error=ValueError("host")), logging.ERROR),
        (record("DATA_LOSS", incident="i"), logging.ERROR),
    ],
)
def test_line_s_level_says_who_has_to_look(finished: CallRecord, level: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        LogObserver().finished(finished)
    assert [line.levelno for line in caplog.records] == [level]


def test_incident_is_logged_with_its_id_and_the_traceback(caplog: pytest.LogCaptureFixture) -> None:
    LogObserver().finished(record("INTERNAL", incident="i-1", error=ValueError("host"), trace_id="t-1"))
    line = caplog.records[0]
    assert line.exc_info is not None
    assert line.__dict__["incident"] == "i-1"
    assert line.__dict__["trace_id"] == "t-1"


def test_empty_facts_are_left_out() -> None:
    assert facts(record("OK")) == {"rpc_method": "/a/B", "rpc_code": "OK", "rpc_seconds": 0.001}


def test_every_observer_is_told() -> None:
    told: list[str] = []

    class Teller:
        def started(self, method: str) -> None:
            told.append(method)

        def finished(self, record: CallRecord) -> None:
            told.append(record.code)

    both = Observers(Teller(), Teller())
    both.started("/a/B")
    both.finished(record("OK"))
    assert told == ["/a/B", "/a/B", "OK", "OK"]
