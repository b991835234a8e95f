"""Levels inside the steps of a grid, which many samplers ask for alike, and parts of plans made by the thousand."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

from .plan import Eval, Level, Lin

__all__ = ["evaluated", "level_inside", "linear", "made"]

Part = TypeVar("Part")


def made(kind: type[Part], fields: dict[str, Any]) -> Part:
    """A frozen object of all of its fields, past the frozen door: in half the time."""
    part = object.__new__(kind)
    object.__setattr__(part, "__dict__", fields)
    return part


def _setters(kind: type) -> tuple[Any, ...]:
    return tuple(vars(kind)[part.name].__set__ for part in fields(kind))


_new = object.__new__
_terms, _lin_name, _lin_step = _setters(Lin)
_x, _level, _quantity, _name, _step = _setters(Eval)


def linear(terms: tuple[tuple[int, Any], ...], name: str, step: int) -> Lin:
    """``Lin(terms, name, step)``, as :func:`made`."""
    line = _new(Lin)
    _terms(line, terms)
    _lin_name(line, name)
    _lin_step(line, step)
    return line


def evaluated(x: int, level: Level, quantity: str, name: str, step: int) -> Eval:
    """``Eval(x, level, quantity, name, step)``, as :func:`made`."""
    line = _new(Eval)
    _x(line, x)
    _level(line, level)
    _quantity(line, quantity)
    _name(line, name)
    _step(line, step)
    return line


def level_inside(process: Any, method: str, at: Any) -> Level:
    """``process.node(at)`` or ``process.at_clock(at)``, which samplers on one grid ask for alike."""
    if type(at) is not float or not _is_value(type(process)):
        return getattr(process, method)(at)
    u = _inside(process, method, at)
    # a level of its own, since increments are kept by identity
    return made(Level, dict(u.__dict__))


@lru_cache(maxsize=64)
def _is_value(kind: type) -> bool:
    """Whether objects of a kind are frozen, so that what they answer does not change."""
    parameters = getattr(kind, "__dataclass_params__", None)
    return parameters is not None and parameters.frozen and kind.__hash__ is not None


@lru_cache(maxsize=2**14)
def _inside(process: Any, method: str, at: float) -> Level:
    return getattr(process, method)(at)
