"""When two quantities are in the same unit."""

from prescriptions.domain.profiles import Profile, UnitKey
from prescriptions.domain.values import Quantity


def same_unit(one: Quantity, other: Quantity, profile: Profile) -> bool:
    """Same code in the same system, else same text ignoring case, else a pair that the profile calls equal.

    Two different codes of one system are different whatever their texts say. Two unknown units are the same; a known and an
    unknown one are not.
    """
    if _keys(one) & _keys(other):
        coded_apart = one.unit_code and other.unit_code and one.unit_system == other.unit_system
        if not coded_apart or one.unit_code == other.unit_code:
            return True
    if not _keys(one) and not _keys(other):
        return True
    return any(frozenset({a, b}) in profile.equal_units for a in _keys(one) for b in _keys(other))


def _keys(quantity: Quantity) -> set[UnitKey]:
    keys = set()
    if quantity.unit_code:
        keys.add((quantity.unit_system, quantity.unit_code))
    if quantity.unit_text.strip():
        keys.add(("", quantity.unit_text.strip().casefold()))
    return keys
