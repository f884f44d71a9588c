"""What a batch of changes adds to the rows of a summed view. Exact, and independent of the order of streams."""

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, TypeAlias, TypeVar

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
    totals: dict[tuple[str, Key], list[Any]] = {}
    for tenant, change in changes:
        place = (tenant, change.key)
        total = totals.get(place)
        if total is None:
            totals[place] = total = [0] * len(names)
        for row, sign in ((change.after, 1), (change.before, -1)):
            if row is not None:
                for at, name in enumerate(names):
                    # Most numbers of most contributions are nothing.
                    if number := row[name]:
                        total[at] = _exact(total[at], number if sign > 0 else -number)
    return {place: tuple(total) for place, total in totals.items() if any(total)}


def added(left: Sums, right: Sums) -> Sums:
    """The sums, number by number."""
    return tuple(_exact(a, b) for a, b in zip(left, right, strict=True))


def _exact(left: Any, right: Any) -> Any:
    if type(left) is int is type(right):
        return left + right
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return EXACT.add(Decimal(left), Decimal(right))
    return left + right
