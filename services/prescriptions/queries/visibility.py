"""Who may see what, as data: for each role the rows that are its own, and what may be asked of them.

A role's rows are a filter over a view's columns, so that one table rules lists, single answers, watches and webhooks, and the
store leaves out what is not to be seen. What the table does not name is not seen. The shape follows the usual division of
prescriptions: patients and those who act for them see their own; prescribers what they wrote, and what others wrote for
patients of theirs; pharmacies what they hold, are meant for or dispensed, and without the patient what anybody may claim;
payers sums alone; auditors and the system everything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eventkernel.envelope import Actor
from eventkernel.errors import Refusal, RefusalKind
from eventkernel.filters import All, AnyOf, Eq, Filter, In, IsNull
from eventkernel.view import View
from prescriptions.domain.state import Status
from prescriptions.views.pharmacy_queue import ANY_PHARMACY

Columns = tuple[str, ...]


def _by_id(actor: Actor) -> str:
    return actor.id


def _by_organisation(actor: Actor) -> str:
    """For whom somebody acts: the patient of a representative, the prescriber of an agent, the pharmacy of a pharmacist."""
    return actor.organisation


@dataclass(frozen=True, slots=True)
class Sight:
    """What a role sees. ``whose``: the value that makes a row its own; None: every row is.

    ``columns``: by view, in which columns it is looked for, any of them. ``history``: the same for the events of a prescription
    and what it was. ``patients_of``: the column by which one's own patients are known, whose other rows are seen as well.
    ``offered``: sees what anybody may claim, without whom it is for. ``statistics``: sees the sums over all.
    """

    whose: Callable[[Actor], str] | None = None
    columns: Mapping[str, Columns] = field(default_factory=dict)
    history: Columns = ()
    patients_of: str = ""
    offered: bool = False
    statistics: bool = False


EVERYTHING: Final = Sight(statistics=True)

_OF_PATIENT: Final[Mapping[str, Columns]] = {
    "prescription_view": ("patient_id",),
    "medication_list": ("patient_id",),
    "refill_due": ("patient_id",),
    "dispense_fact": ("patient_id",),
    "access_log": ("patient_id",),
}
_OF_PRESCRIBER: Final[Mapping[str, Columns]] = {
    "prescription_view": ("prescriber_id",),
    "prescriber_inbox": ("prescriber_id",),
    "refill_due": ("prescriber_id",),
    "dispense_fact": ("prescriber_id",),
    "medication_list": (),
}
_OF_PHARMACY: Final[Mapping[str, Columns]] = {
    "prescription_view": ("holder_id", "nominated_id", "dispenser_id"),
    "pharmacy_queue": ("pharmacy_id", "dispenser_id"),
    "refill_due": ("pharmacy_id",),
    "dispense_fact": ("pharmacy_id",),
}

SIGHTS: Final[Mapping[str, Sight]] = {
    "patient": Sight(_by_id, _OF_PATIENT, ("patient_id",)),
    "representative": Sight(_by_organisation, _OF_PATIENT, ("patient_id",)),
    "prescriber": Sight(_by_id, _OF_PRESCRIBER, ("prescriber_id",), patients_of="prescriber_id"),
    "agent": Sight(_by_organisation, _OF_PRESCRIBER, ("prescriber_id",), patients_of="prescriber_id"),
    "pharmacy": Sight(_by_organisation, _OF_PHARMACY, ("holder_id",), offered=True),
    "payer": Sight(_by_id, statistics=True),
    "auditor": EVERYTHING,
    "system": EVERYTHING,
    "import": EVERYTHING,
    "correction": EVERYTHING,
}

_OFFERED: Final[Mapping[str, Filter]] = {
    "prescription_view": All(
        (
            In("status", (Status.ISSUED.name, Status.AWAITING_REFILL.name)),
            IsNull("holder_id"),
            IsNull("nominated_id"),
        )
    ),
    "pharmacy_queue": Eq("pharmacy_id", ANY_PHARMACY),
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who may see some of it: the role's sight, and the value that makes a row this one's own."""

    role: str
    sight: Sight
    own: str

    def rows(self, view: View[Any, Any]) -> Filter:
        """Which rows of a view are seen, relationships aside. Raises a refusal where the role has no business with the view."""
        columns = self.sight.columns.get(view.name)
        if columns is None:
            raise _refusal("NOT_FOR_ROLE", f"role {self.role} does not see {view.name}", self.role)
        mine: list[Filter] = [Eq(column, self.own) for column in columns]
        if self.sight.offered and view.name in _OFFERED:
            mine.append(_OFFERED[view.name])
        return AnyOf(tuple(mine))

    @property
    def history(self) -> Filter:
        """Over the columns of ``prescription_view``: of which prescriptions the events are seen."""
        return AnyOf(tuple(Eq(column, self.own) for column in self.sight.history))

    def require_own(self, asked: str) -> None:
        """Refuse a question about somebody else's work."""
        if asked != self.own:
            raise _refusal("NOT_FOR_ROLE", f"role {self.role} sees its own alone", self.role)

    def require_statistics(self) -> None:
        """Refuse sums over everybody to whom they are not for."""
        if not self.sight.statistics:
            raise _refusal("NOT_FOR_ROLE", f"role {self.role} does not see statistics", self.role)


def viewer_of(actor: Actor, *, by_role: bool) -> Viewer | None:
    """Who looks; None: sees everything. Where roles do not matter everybody does.

    Raises a refusal for a call without a role, with one that sees nothing, and without the id that its role goes by.
    """
    if not by_role:
        return None
    if not actor.role:
        raise _refusal("ROLE_REQUIRED", "what is shown depends on the role: name one", actor.role)
    sight = SIGHTS.get(actor.role)
    if sight is None:
        raise _refusal("ROLE_UNKNOWN", f"nobody has said what role {actor.role} may see", actor.role)
    if sight.whose is None:
        return None
    own = sight.whose(actor)
    if not own:
        raise _refusal("ORGANISATION_REQUIRED", f"say for whom role {actor.role} looks: the organisation", actor.role)
    return Viewer(actor.role, sight, own)


def may_subscribe(viewer: Viewer | None, conditions: Mapping[str, Columns]) -> bool:
    """Whether somebody may have a webhook with these conditions: one of them must keep it to the own rows."""
    if viewer is None:
        return True
    return any(conditions.get(column) == (viewer.own,) for column in viewer.sight.columns.get("prescription_view", ()))


def _refusal(reason: str, message: str, role: str) -> Refusal:
    return Refusal(reason, message, kind=RefusalKind.PERMISSION, details={"role": role})
