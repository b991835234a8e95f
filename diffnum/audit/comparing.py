"""What only a comparison of settings shows: an order that is raised and gains nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from .findings import Defect, Order, Record

__all__ = ["compared"]

# errors this near are equal
GAIN = 1.02


def compared(records: Sequence[Record]) -> list[Record]:
    """The records, with the defects that comparing them shows."""
    return [_with(record, _monotone(record, records)) for record in records]


def _with(record: Record, found: Iterable[Defect]) -> Record:
    kept = tuple(d for d in record.defects if d.kind != "monotone")
    new = tuple(found)[:1]
    return replace(record, defects=tuple(sorted((*kept, *new), key=lambda d: d.note)))


def _monotone(record: Record, records: Sequence[Record]) -> Iterable[Defect]:
    """Lower settings of one order, all else equal, that are as accurate at the largest number of steps."""
    for other in records:
        name = _raised(other, record)
        one, two = other.order, record.order
        if name is None or one is None or two is None or one.witness != two.witness:
            continue
        same = [n for n in two.counts if n in one.counts]
        if not same or not two.errors[-1] > 1e-9:
            continue
        n = same[-1]
        before, after = _at(one, n), _at(two, n)
        if not after * GAIN > before:
            continue
        low, high = _value(other, name), _value(record, name)
        yield Defect(
            "monotone",
            f"n = {n}",
            f"{name} = {high} has an error of {after:.3g} with {n} steps, {name} = {low} one of {before:.3g}",
            "check what the higher order adds",
            numbers={"n": float(n), "error": after, "lower": before},
        )


def _at(order: Order, n: int) -> float:
    return order.errors[order.counts.index(n)]


def _raised(low: Record, high: Record) -> str | None:
    """The order option that alone differs, by one."""
    if low.path != high.path or not (low.orders and high.orders):
        return None
    one, two = _all(low), _all(high)
    names = [k for k in {*one, *two} if one.get(k) != two.get(k)]
    if len(names) != 1 or "order" not in names[0]:
        return None
    name = names[0]
    a, b = _value(low, name), _value(high, name)
    return name if a is not None and b is not None and b == a + 1 else None


def _all(record: Record) -> dict[str, Any]:
    return {**record.settings, **record.options}


def _value(record: Record, name: str) -> Any:
    return _all(record).get(name, record.defaults.get(name))
