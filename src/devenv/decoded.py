"""Values of dataclasses from the JSON that `dataclasses.asdict` gives."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decoded(kind: type[T], value: Any, *others: type) -> T:
    """The value of this dataclass; fields that it does not have are ignored. Raises TypeError, ValueError, KeyError.

    Fields are dataclasses, enums, tuples, frozensets, dictionaries with text as keys, and what JSON has itself.
    `others`: classes that a module with such a field imports for type checkers alone.
    """
    made: T = _reader(cast("Hashable", kind), others)(value)
    return made


@functools.cache
def _reader(hint: Any, others: tuple[type, ...]) -> Callable[[Any], Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        hints = get_type_hints(hint, localns={other.__name__: other for other in others})
        readers = {field.name: _reader(hints[field.name], others) for field in fields(hint) if field.init}
        return lambda value: hint(**{name: readers[name](value[name]) for name in readers.keys() & {*value}})  # type: ignore[operator] # a class
    if origin in (Union, types.UnionType):
        (inner,) = (_reader(argument, others) for argument in arguments if argument is not types.NoneType)
        return lambda value: None if value is None else inner(value)
    if origin in (tuple, frozenset):
        item = _reader(arguments[0], others)
        return lambda value: origin(map(item, value))
    if origin is dict:
        item = _reader(arguments[1], others)
        return lambda value: {key: item(part) for key, part in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return lambda value: value
