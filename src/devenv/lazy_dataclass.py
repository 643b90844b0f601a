"""The decorator `dataclass` of the standard library, but methods are compiled when they are first called.

The standard one compiles up to six functions for each class, which takes a millisecond of processor time, and 0.25 s
for the classes that `devenv up` imports. Most of them are never called. Type checkers see the standard decorator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from devenv.lazy_imports import LazyImports

with LazyImports("inspect"):  # 6 ms, for signatures as docstrings, which no class here gets
    import dataclasses
    from dataclasses import MISSING, Field, FrozenInstanceError

__all__ = ["dataclass"]

Fields = tuple[Field[Any], ...]
# Names in the text of a method that no field has.
SET, DEFAULT, FACTORY, ABSENT = "__set", "__default_", "__factory_", "__absent"


def _lazy_dataclass(cls: type | None = None, /, *, frozen: bool = False, slots: bool = False) -> Any:
    """A dataclass with the parameters `frozen` and `slots`; all others have their defaults.

    Unlike a standard one, a frozen object with slots cannot be pickled, nor copied by `copy`.
    `InitVar` is not supported.
    """
    if cls is None:
        return functools.partial(_lazy_dataclass, frozen=frozen, slots=slots)
    own = dict(vars(cls))
    cls.__doc__ = cls.__doc__ or ""  # without one, the standard library writes the signature there
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
    write_init = _frozen_init if frozen else _init
    for name, write in (("__init__", write_init), ("__repr__", _repr), ("__eq__", _eq)):
        if name not in own:
            setattr(made, name, _compiled_later(made, name, write))
    if own.get("__hash__") is None:  # also if the class has a method `__eq__`
        made.__hash__ = _compiled_later(made, "__hash__", _hash) if frozen else None
    if frozen:
        made.__setattr__ = made.__delattr__ = _refuse
    return made


def _refuse(_self: object, name: str, _value: object = None) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to or delete field {name!r}")


def _compiled_later(cls: type, name: str, write: Callable[[type, Fields], str]) -> Callable[..., Any]:
    """A method that compiles the written text, puts the result into its own place and calls it."""

    def method(*args: Any, **kwargs: Any) -> Any:
        compiled = _compiled(cls, name, write(cls, dataclasses.fields(cls)))
        setattr(cls, name, compiled)
        return compiled(*args, **kwargs)

    return method


def _compiled(cls: type, name: str, text: str) -> Any:
    names: dict[str, Any] = {SET: object.__setattr__, ABSENT: MISSING}
    for field in dataclasses.fields(cls):
        names[DEFAULT + field.name] = field.default
        names[FACTORY + field.name] = field.default_factory
    exec(text, names)  # noqa: S102 - of names of fields only
    method = names[name]
    method.__qualname__ = f"{cls.__qualname__}.{name}"  # in the text of a TypeError
    return method


def _init(cls: type, fields: Fields) -> str:
    return _init_text(cls, fields, "self.{0} = {1}")


def _frozen_init(cls: type, fields: Fields) -> str:
    return _init_text(cls, fields, f"{SET}(self, '{{0}}', {{1}})")


def _init_text(cls: type, fields: Fields, assignment: str) -> str:
    positional = [_parameter(field) for field in fields if field.init and not field.kw_only]
    by_name = [_parameter(field) for field in fields if field.init and field.kw_only]
    parameters = ["self", *positional, *(["*", *by_name] if by_name else [])]
    body = [assignment.format(field.name, value) for field in fields if (value := _value(field))]
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    lines = "\n ".join(body or ["pass"])
    return f"def __init__({', '.join(parameters)}):\n {lines}\n"


def _parameter(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return f"{field.name}={DEFAULT}{field.name}"
    return field.name if field.default_factory is MISSING else f"{field.name}={ABSENT}"


def _value(field: Field[Any]) -> str:
    """What `__init__` gives to the field; empty if `__post_init__` or nobody does."""
    if field.default_factory is not MISSING:
        made = f"{FACTORY}{field.name}()"
        return f"{made} if {field.name} is {ABSENT} else {field.name}" if field.init else made
    if field.init:
        return field.name
    return "" if field.default is MISSING else f"{DEFAULT}{field.name}"


def _repr(_cls: type, fields: Fields) -> str:
    parts = ", ".join(f"{field.name}={{self.{field.name}!r}}" for field in fields if field.repr)
    return f"def __repr__(self):\n return f'{{type(self).__qualname__}}({parts})'\n"


def _eq(_cls: type, fields: Fields) -> str:
    equal = f"{_compared('self', fields)} == {_compared('other', fields)}"
    return f"def __eq__(self, other):\n return {equal} if self.__class__ is other.__class__ else NotImplemented\n"


def _hash(_cls: type, fields: Fields) -> str:
    return f"def __hash__(self):\n return hash({_compared('self', fields)})\n"


def _compared(name: str, fields: Fields) -> str:
    return f"({''.join(f'{name}.{field.name}, ' for field in fields if field.compare)})"


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _lazy_dataclass
