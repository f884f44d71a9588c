import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from eventkernel_grpc.error_table import row_of
from eventkernel_grpc.errors import RequestInvalid, Violation
from eventkernel_grpc.status import DETAILS_BYTES_MAX, DETAILS_KEY, WireError, read_status, retry_info


def test_thousand_violations_stay_within_what_trailers_may_hold_and_say_how_many_there_were() -> None:
    error = RequestInvalid([Violation(f"rows[{i}].name", "string.min_len", "must be longer") for i in range(1000)])
    shown = row_of(RequestInvalid).show(error)
    assert len(shown.trailers("d")) <= DETAILS_BYTES_MAX
    listed = status_pb2.Status.FromString(shown.trailers("d")).details[1]
    request = error_details_pb2.BadRequest()
    assert listed.Unpack(request)
    assert shown.metadata == {"violations": "1000", "listed": str(len(request.field_violations))}
    assert len(request.field_violations) >= 10


@pytest.mark.parametrize("size", [10, 1_000, 100_000])
def test_status_is_bounded_whatever_message_and_metadata_hold(size: int) -> None:
    error = WireError(
        grpc.StatusCode.ABORTED, "R_R", "é" * size, {f"key{i}": "v" * size for i in range(20)}, [retry_info(1)]
    )
    assert len(error.trailers("d")) <= 6 * 1024
    assert len(error.short_message) <= 512


def test_status_that_cannot_be_read_is_none() -> None:
    assert read_status([(DETAILS_KEY, b"\xff\xff")]) is None
    assert read_status([("other", "x")]) is None
    assert read_status(None) is None
