"""The context of the steps from version 2: the fills of a prescription so far, which later versions say in each event."""

from collections.abc import Mapping
from decimal import Context as Arithmetic
from decimal import Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from functools import reduce
from typing import Any, Final, NamedTuple

from erx.prescriptions.events.v2 import values_pb2 as v2
from eventkernel.upcasting import Context, Shape


class Part(NamedTuple):
    """A hand-out that stands: its dispense, its fill, the amount as text, and the unit (its number and its words)."""

    dispense_id: str
    fill: int
    amount: str
    unit: int
    unit_original: str


class Fills(NamedTuple):
    """``done`` counts the closed fills, so it is the number of the one that is open or next. ``parts`` are those that stand.

    ``refills_allowed`` and ``prescribed`` (amount, unit, its words) are None before the prescription is written.
    """

    done: int = 0
    parts: tuple[Part, ...] = ()
    refills_allowed: int | None = None
    prescribed: tuple[str, int, str] | None = None

    @property
    def refills_remaining(self) -> int | None:
        """How many fills may follow the one that is open or next; None where the numbers in the stream tell nothing."""
        if self.refills_allowed is None or self.refills_allowed < self.done:
            return None
        return self.refills_allowed - self.done

    def amount_with(self, quantity: v2.Quantity) -> Decimal | None:
        """What the open fill comes to with this; None where that cannot be told: other units, or no numbers."""
        of_fill = [part for part in self.parts if part.fill == self.done]
        if any((part.unit, part.unit_original) != (quantity.unit, quantity.unit_original) for part in of_fill):
            return None
        return _sum([*(part.amount for part in of_fill), quantity.value.value])

    def is_short(self, quantity: v2.Quantity) -> bool:
        """Whether the fill, closed with this, comes to less than was prescribed. Not where that cannot be told."""
        if self.prescribed is None or self.prescribed[1:] != (quantity.unit, quantity.unit_original):
            return False
        amount, prescribed = self.amount_with(quantity), _sum([self.prescribed[0]])
        return amount is not None and prescribed is not None and amount < prescribed


def fold(fills: Fills, shape: Shape) -> Fills:
    """The fills after an event in its second shape."""
    folds = _FOLDS.get(shape.type)
    return fills if folds is None else folds(fills, shape.payload)


def load(value: Any) -> Fills:
    """From plain tuples."""
    done, parts, refills_allowed, prescribed = value
    return Fills(done, tuple(Part(*part) for part in parts), refills_allowed, prescribed)


def _written(fills: Fills, m: Any) -> Fills:
    quantity = m.content.quantity
    prescribed = (quantity.value.value, quantity.unit, quantity.unit_original)
    return fills._replace(refills_allowed=m.content.refills_allowed, prescribed=prescribed)


def _part(fills: Fills, m: Any) -> Fills:
    quantity = m.quantity
    part = Part(m.dispense_id, fills.done, quantity.value.value, quantity.unit, quantity.unit_original)
    return fills._replace(parts=(*fills.parts, part))


def _closed(fills: Fills, m: Any) -> Fills:
    return _part(fills, m)._replace(done=fills.done + 1)


def _reversed(fills: Fills, m: Any) -> Fills:
    gone = next((part for part in fills.parts if part.dispense_id == m.dispense_id), None)
    if gone is None:
        return fills
    return fills._replace(done=gone.fill, parts=tuple(part for part in fills.parts if part is not gone))


_EXACT: Final = Arithmetic(prec=1_000, traps=[InvalidOperation, Inexact, Overflow])
"""Python's own arithmetic rounds to 28 digits, which would be an amount that nobody wrote."""


def _sum(amounts: list[str]) -> Decimal | None:
    try:
        numbers = [Decimal(amount) for amount in amounts]
        if not all(number.is_finite() for number in numbers):
            return None
        return reduce(_EXACT.add, numbers, Decimal(0))
    except DecimalException:
        return None


_FOLDS: Final[Mapping[str, Any]] = {
    "PrescriptionCreated": _written,
    "PrescriptionAmended": _written,
    "MedicationPartiallyDispensed": _part,
    "MedicationDispensed": _closed,
    "DispenseReversed": _reversed,
}

FILLS: Final[Context[Fills]] = Context("fills", 2, Fills(), fold, load)
