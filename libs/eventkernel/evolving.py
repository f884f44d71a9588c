"""``dataclasses.replace`` and ``__init__`` of frozen slotted dataclasses at a fraction of their price.

A frozen dataclass sets each of its fields by a call of ``object.__setattr__``, and ``replace`` collects all of them in a
dictionary before that. The code generated here fills an object of a twin class, which has the same slots and is not frozen,
and then says what class it is. Nobody sees a difference: what is made is frozen, and defaults, ``__post_init__``, ``==``,
``hash``, copies and pickles are the dataclass's own.
"""

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from typing import TYPE_CHECKING, Any, Final, TypeVar

__all__ = ["quickly_made", "replaced"]

S = TypeVar("S")
C = TypeVar("C", bound=type[Any])

CHANGES_MAX: Final = 4_096
"""Sets of changed fields whose code is kept; a program has some dozens."""

_CHANGES: Final[dict[tuple[Any, ...], Callable[..., Any]]] = {}
_SET_CLASS: Final = vars(object)["__class__"].__set__

if TYPE_CHECKING:
    from dataclasses import replace as replaced  # whose arguments type checkers know
else:

    def replaced(state: S, /, **changes: Any) -> S:
        """A new object with these fields changed, as ``dataclasses.replace`` makes it.

        The code is generated once for each class and set of names. ``dataclasses.replace`` itself is called for what is not a
        frozen slotted dataclass whose fields are all arguments of its ``__init__``.
        """
        change = _CHANGES.get((state.__class__, *changes))
        return (change or _change(state.__class__, tuple(changes)))(state, *changes.values())


def quickly_made(cls: C) -> C:
    """Give a frozen slotted dataclass an ``__init__`` that does the same in less time. To stand above ``@dataclass``.

    Subclasses go on with the one they would have had. Raises ``TypeError`` for another kind of class, for fields that are no
    arguments, and for factories of defaults.
    """
    twin, fields = _twin(cls), dataclasses.fields(cls)
    if twin is None or any(field.default_factory is not dataclasses.MISSING for field in fields):
        raise TypeError(f"{cls.__qualname__} is not a frozen slotted dataclass with plain arguments alone")
    usual = cls.__init__
    scope = {"set_class": _SET_CLASS, "Twin": twin, "Class": cls, "usual": usual}
    arguments, passed = ["self"], ["self"]
    for field in sorted(fields, key=lambda field: field.kw_only is True):
        if field.kw_only and "*" not in arguments:
            arguments.append("*")
        default = "" if field.default is dataclasses.MISSING else f"=default_{field.name}"
        arguments.append(field.name + default)
        passed.append(f"{field.name}={field.name}" if field.kw_only else field.name)
        scope[f"default_{field.name}"] = field.default
    lines = [
        f"def __init__({', '.join(arguments)}):",
        f"    if self.__class__ is not Class: return usual({', '.join(passed)})",
        "    set_class(self, Twin)",
        *(f"    self.{field.name} = {field.name}" for field in fields),
        "    self.__class__ = Class",
    ]
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    made = _compiled(lines, scope)
    for name in ("__annotations__", "__module__", "__qualname__", "__doc__"):
        setattr(made, name, getattr(usual, name))
    cls.__init__ = made
    return cls


def _change(cls: type[Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """The code that changes these fields."""
    twin = _twin(cls)
    if twin is None or not set(twin.__slots__).issuperset(names):
        # It does what can be done, or says what cannot.
        return lambda state, *values: dataclasses.replace(state, **dict(zip(names, values, strict=True)))
    lines = [f"def change({', '.join(('old', *(f'new_{name}' for name in names)))}):", "    made = new(Twin)"]
    lines += [f"    made.{name} = {f'new_{name}' if name in names else f'old.{name}'}" for name in twin.__slots__]
    lines.append("    made.__class__ = Class")
    if hasattr(cls, "__post_init__"):
        lines.append("    made.__post_init__()")
    lines.append("    return made")
    if len(_CHANGES) >= CHANGES_MAX:
        _CHANGES.clear()
    change: Callable[..., Any] = _compiled(lines, {"new": object.__new__, "Twin": twin, "Class": cls})
    _CHANGES[cls, *names] = change
    return change


def _new_twin(cls: Any) -> Any:
    """A class whose objects may become objects of this one; None where there can be none."""
    params, own = vars(cls).get("__dataclass_params__"), vars(cls).get("__slots__", ())
    if params is None or not (params.frozen and params.init) or cls.__new__ is not object.__new__:
        return None
    names = [field.name for field in dataclasses.fields(cls)]
    # Inherited slots, variables of the initialisation and fields that are no arguments show as a difference of these three.
    if not set(names) == set(own) == set(signature(cls).parameters):
        return None
    body: dict[str, Any] = {"__slots__": tuple(names)}
    if "__orig_bases__" in vars(cls):
        body["__orig_bases__"] = cls.__orig_bases__
    return type(f"_Filling{cls.__name__}", cls.__bases__, body)


_twin: Final[Callable[[Any], Any]] = lru_cache(CHANGES_MAX)(_new_twin)


def _compiled(lines: list[str], scope: dict[str, Any]) -> Any:
    """The one function that these lines define; names come from dataclasses, so they are identifiers."""
    defined: dict[str, Any] = {}
    exec("\n".join(lines), scope, defined)  # noqa: S102 - as dataclasses does it, with names that it has checked
    return defined.popitem()[1]
