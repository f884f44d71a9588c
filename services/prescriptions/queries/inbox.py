"""FetchByPrescriber: what waits for one prescriber, by the moment it is now."""

from datetime import datetime, timedelta
from typing import Final

from erx.prescriptions.v1 import worklists_pb2
from eventkernel.errors import InvalidCommand
from eventkernel.filters import All, AnyOf, Eq, Filter, In, IsNull, Order, Query, Range
from eventkernel_grpc.call import CallContext
from prescriptions.queries.consistency import answering, demand_of
from prescriptions.queries.paging import asked_page
from prescriptions.queries.sources import Sources
from prescriptions.views.prescriber_inbox import PRESCRIBER_INBOX, Task
from prescriptions.views.record import RECORD_CODEC
from prescriptions.wire.worklist_replies import inbox_entry_to

DAYS_MAX: Final = 3_650

_OLDEST_FIRST: Final = Order(("since_at", "prescription_id"))
_TASKS: Final = {
    worklists_pb2.INBOX_TASK_SIGN: Task.SIGN,
    worklists_pb2.INBOX_TASK_ISSUE: Task.ISSUE,
    worklists_pb2.INBOX_TASK_UNANSWERED: Task.UNANSWERED,
}
_NAMES: Final = {task.value: name for name, task in _TASKS.items()}
_MICROSECOND: Final = timedelta(microseconds=1)


async def fetch_by_prescriber(
    sources: Sources, call: CallContext, request: worklists_pb2.FetchByPrescriberRequest
) -> worklists_pb2.FetchByPrescriberResponse:
    """One page, the one that waits longest first."""
    if not 0 <= request.unanswered_days <= DAYS_MAX:
        raise InvalidCommand("unanswered_days", f"must be 0 to {DAYS_MAX}")
    tasks = [_TASKS[task] for task in sorted(set(request.tasks or _TASKS))]
    demand = demand_of(call, request)
    mine = Eq("prescriber_id", request.prescriber_id)
    question = Query(call.tenant, All((mine, In("task", tuple(task.value for task in tasks)))), _OLDEST_FIRST)
    scope = f"{PRESCRIBER_INBOX.table}/{request.unanswered_days}"
    asked = asked_page(sources, question, size=request.page_size, token=request.page_token, scope=scope)
    where = All((mine, _waiting(tasks, request.unanswered_days, sources.clock.now())))
    async with answering(sources, PRESCRIBER_INBOX, call, demand) as (reading, made):
        page = await asked.select(reading, PRESCRIBER_INBOX, where)
    return worklists_pb2.FetchByPrescriberResponse(
        as_of=made,
        next_page_token=page.next_page_token,
        entries=[
            inbox_entry_to(RECORD_CODEC.decode(row["document"]), _NAMES[row["task"]], row["since_at"])
            for row in page.rows
        ],
    )


def _waiting(tasks: list[Task], unanswered_days: int, now: datetime) -> Filter:
    """The tasks asked for. What has run out of time waits for nobody, and what was released just now has not waited yet."""
    ways: list[Filter] = [Eq("task", task.value) for task in tasks if task is not Task.UNANSWERED]
    if Task.UNANSWERED in tasks:
        unanswered: list[Filter] = [
            Eq("task", Task.UNANSWERED.value),
            AnyOf((IsNull("expires_at"), Range("expires_at", at_least=now + _MICROSECOND))),
        ]
        if unanswered_days:
            unanswered.append(Range("since_at", before=now - timedelta(days=unanswered_days)))
        ways.append(All(tuple(unanswered)))
    return AnyOf(tuple(ways))
