"""`lazy_dataclass.dataclass` and the decorator of the standard library make classes that behave alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any, ClassVar

import pytest

from devenv import lazy_dataclass

KINDS = [{"frozen": frozen, "slots": slots} for frozen in (True, False) for slots in (True, False)]


Decorate = Callable[..., Callable[[type], Any]]
ours: Decorate = lazy_dataclass._lazy_dataclass
standard: Decorate = dataclasses.dataclass


def service(decorate: Decorate, **kinds: bool) -> Any:
    """A class with all kinds of fields, decorated."""

    @decorate(**kinds)
    class Service:
        """A service."""

        name: str
        ports: tuple[int, ...] = ()
        labels: dict[str, str] = field(default_factory=dict)
        hidden: str = field(default="?", repr=False)
        note: str = field(default="", compare=False)
        length: int = field(init=False)
        kind: str = field(default="service", init=False)
        seen: list[str] = field(default_factory=list, init=False, compare=False)
        last: int = field(default=1, kw_only=True)
        limit: ClassVar[int] = 3

        def __post_init__(self) -> None:
            object.__setattr__(self, "length", len(self.name))

    return Service


def outcome(action: Callable[[], object]) -> str:
    """What an action returns, or raises."""
    try:
        return repr(action())
    except (TypeError, FrozenInstanceError) as error:
        return f"{type(error).__name__}" if isinstance(error, FrozenInstanceError) else f"TypeError: {error}"


ACTIONS: dict[str, Callable[[Any], object]] = {
    "positional": lambda cls: cls("web", (80,), {"a": "b"}, "s", "n"),
    "by name": lambda cls: cls(ports=(1,), name="web").__repr__(),
    "missing": lambda cls: cls(),
    "too many": lambda cls: cls("a", (), {}, "", "", 3),
    "unknown": lambda cls: cls("a", wrong=1),
    "not in init": lambda cls: cls("a", length=1),
    "own defaults": lambda cls: cls("a").labels is cls("a").labels,
    "default of init=False": lambda cls: (cls("a").kind, cls("a").seen),
    "not in repr": lambda cls: cls("a", hidden="b").hidden,
    "equal": lambda cls: cls("a") == cls("a"),
    "first field differs": lambda cls: cls("a") == cls("b"),
    "other field differs": lambda cls: cls("a") == cls("a", hidden="x"),
    "not compared": lambda cls: cls("a", note="x") == cls("a"),
    "other type": lambda cls: cls("a") == "a",
    "subclass": lambda cls: cls("a") == type("Sub", (cls,), {})("a"),
    "hash": lambda cls: hash(cls("a", (), ())) == hash(cls("a", (), ())),
    "different hash": lambda cls: hash(cls("a", (), ())) == hash(cls("b", (), ())),
    "unhashable": lambda cls: hash(cls("a")),
    "set": lambda cls: setattr(cls("a"), "name", "b"),
    "delete": lambda cls: delattr(cls("a"), "name"),
    "replace": lambda cls: replace(cls("a", note="x"), ports=(3,)),
    "asdict": lambda cls: asdict(cls("a")),
    "fields": lambda cls: [(f.name, f.type, f.init, f.repr, f.compare) for f in fields(cls)],
    "match": lambda cls: cls.__match_args__,
    "class variable": lambda cls: cls("a").limit,
    "documentation": lambda cls: cls.__doc__,
    "module": lambda cls: (cls.__module__, cls.__qualname__),
    "slots": lambda cls: getattr(cls, "__slots__", None),
}


@pytest.mark.parametrize("kinds", KINDS, ids=str)
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_class_behaves_like_a_standard_one(action: Callable[[Any], object], kinds: dict[str, bool]) -> None:
    """Each action has the outcome that it has with the standard decorator, also the second time."""
    expected = outcome(lambda: action(service(standard, **kinds)))
    cls = service(ours, **kinds)
    assert [outcome(lambda: action(cls)), outcome(lambda: action(cls))] == [expected, expected]


def own_methods(decorate: Decorate, **kinds: bool) -> Any:
    """A class that defines methods which a dataclass has, decorated."""

    @decorate(**kinds)
    class Own:  # noqa: PLW1641 - the decorator decides
        value: int = 1

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

    return Own


@pytest.mark.parametrize("kinds", KINDS, ids=str)
@pytest.mark.parametrize("action", [repr, hash, lambda own: own == 3], ids=["repr", "hash", "eq"])
def test_methods_of_the_class_are_kept(action: Callable[[Any], object], kinds: dict[str, bool]) -> None:
    """Methods that the class defines are not replaced; like a standard one, it is hashable if it is frozen."""
    found = outcome(lambda: action(own_methods(ours, **kinds)()))
    assert found == outcome(lambda: action(own_methods(standard, **kinds)()))


def derived(decorate: Decorate) -> list[str]:
    """What objects of a base class and of a class that adds a field look like, the base class first."""

    @decorate(frozen=True, slots=True)
    class Base:
        name: str

    @decorate(frozen=True, slots=True)
    class Derived(Base):
        size: int = 2

    base: Any = Base
    more: Any = Derived
    actions = (
        lambda: (base("a") == base("a"), base("a")),
        lambda: (more("a", size=3), more("a")),
        lambda: (more("a") == base("a"), more("a") == more("a", 3), more("a") == more("a")),
        lambda: base("a", 3),
    )
    return [outcome(action) for action in actions]


def test_a_derived_class_has_the_fields_of_both() -> None:
    """The methods of the base class, which are compiled first, are not those of the derived class."""
    assert derived(ours) == derived(standard)


def test_nothing_is_compiled_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class compiles no method when it is defined, and each of them once when it is called."""
    texts: list[str] = []
    compiled = lazy_dataclass._compiled

    def counted(cls: type, name: str, text: str) -> Any:
        texts.append(name)
        return compiled(cls, name, text)

    monkeypatch.setattr(lazy_dataclass, "_compiled", counted)
    monkeypatch.setattr(dataclasses, "_create_fn", None, raising=False)  # that of Python 3.11 and 3.12
    cls = service(ours, frozen=True, slots=True)
    assert texts == []
    assert cls("a") == cls("a")
    assert cls("b") != cls("a")
    assert hash(cls("a", labels=()))
    assert sorted(texts) == ["__eq__", "__hash__", "__init__"]
