"""What a batch of changes adds to the rows of a summed view. Exact, and independent of the order of streams."""

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, TypeAlias, TypeVar

from eventkernel.filters import Row
from eventkernel.view import Change, Key, View

S = TypeVar("S")
E = TypeVar("E")
Sums: TypeAlias = tuple[Any, ...]

EXACT = Context(prec=10_000, traps=[Inexact, InvalidOperation])
"""Adds decimals without ever rounding; a sum that would need more digits raises ``decimal.Inexact``."""


def sum_columns(view: View[S, E]) -> tuple[str, ...]:
    """The columns of a summed view that hold sums."""
    return tuple(column.name for column in view.columns if column.name not in view.key)


def deltas(view: View[S, E], changes: Iterable[tuple[str, Change]]) -> dict[tuple[str, Key], Sums]:
    """By (tenant, key): what all the changes together add to each sum column; keys whose sums do not move are left out."""
    names = sum_columns(view)
    zero: Sums = (0,) * len(names)
    totals: dict[tuple[str, Key], Sums] = {}
    for tenant, change in changes:
        place = (tenant, change.key)
        total = added(totals.get(place, zero), _numbers(names, change.after))
        totals[place] = added(total, tuple(-number for number in _numbers(names, change.before)))
    return {place: total for place, total in totals.items() if any(total)}


def added(left: Sums, right: Sums) -> Sums:
    """The sums, number by number."""
    return tuple(_exact(a, b) for a, b in zip(left, right, strict=True))


def _numbers(names: tuple[str, ...], row: Row | None) -> Sums:
    return (0,) * len(names) if row is None else tuple(row[name] for name in names)


def _exact(left: Any, right: Any) -> Any:
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return EXACT.add(Decimal(left), Decimal(right))
    return left + right
