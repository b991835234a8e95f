"""One case through all checks: a record."""

from __future__ import annotations

import inspect
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from ..lifting import Finding, Lifted, Near, nearest
from ..plan import Lin, Plan
from ..solvers import ALL
from ..witness import gaussian
from .edges import REFUSALS, edges, lookup
from .findings import REMEDY, Defect, Order, Record, merged
from .orders import cut, end_state, least, measured, short, window
from .quiet import quiet
from .running import examined, lifted, tried
from .subjects import Case

__all__ = ["EDGES", "FEW", "MANY", "audited"]

# number of steps of the examination, and where rounding is looked for again
FEW, MANY = 10, 80
EDGES = (1, 2, 3, 4, 5, 7, 8, FEW, 16, 20, 25, 61, 103, 1000)
# of the largest coefficient: what a few operations in single precision lose
ROUNDINGS = 8
# a sampler of any order halves its error with four times the steps
FALLS = 0.25
CLAIMS = ("solver_order", "order")
# and the number of a name: _2, of several steps _2m, of one _2s
NUMBERED = re.compile(r"_(\d)[ms]?(?=_|$)")
# kinds that say where a state is
PLACES = ("scale", "level", "end")
# parameters with defaults that a pipeline gives all the same
ASKED = ("prev_timestep", "stage_index")
# of a level: as shipped
STILL = 1e-6
# of a row's maximum: as shipped, in single precision
NEAR = 1e-4
# steps with which advice is given, more than any code treats as few; in double precision
ADVISED = 16
EXACT = 1e-9
# arguments that every step, and every function, is given
GIVEN = 3


def audited(case: Case) -> Record:
    """All checks of one case; never raises for what the sampler does."""
    begun = time.process_time()
    base = {
        "key": case.key,
        "name": case.sampler.name,
        "path": case.sampler.path,
        "kind": case.sampler.kind,
        "call": case.call,
        "settings": dict(case.settings),
        "options": dict(case.options),
        "preparation": dict(case.preparation),
        "defaults": _orders(case),
        "off": case.off,
        "remark": _remark(case),
    }
    with quiet():
        status, reason = _standing(case)
        content = _kept(case) if status == "audited" else {}
    record = {"status": status, "reason": reason, **base, **content}
    return Record(**record, seconds=time.process_time() - begun)


def _remark(case: Case) -> str:
    names = " and ".join(f"{name}=False" for name in case.off)
    return f"audited with {names}: clipping is not linear" if names else ""


def _standing(case: Case) -> tuple[str, str]:
    """Whether it can be audited at all."""
    try:
        thing = case.build()
    except Exception as error:
        needs = isinstance(error, TypeError) and "required" in str(error)
        return ("skipped" if needs else "refused"), f"{type(error).__name__}: {error}"
    more = _more(thing if case.sampler.kind == "function" else thing.step)
    if case.sampler.kind == "scheduler":
        more += [name for name in inspect.signature(thing.set_timesteps).parameters if name in ASKED]
    if more:
        return "skipped", f"it needs {', '.join(more)} too: audit a function that gives them, as path.to:callable"
    return "audited", ""


def _more(function: Any) -> list[str]:
    given = list(inspect.signature(function).parameters.values())
    needed = [p.name for p in given if p.default is p.empty and p.kind == p.POSITIONAL_OR_KEYWORD]
    return [*needed[GIVEN:], *(p.name for p in given if p.name in ASKED)]


def _kept(case: Case) -> dict[str, Any]:
    try:
        return _content(case)
    except Exception as error:
        # no audit ends for one sampler
        return {"status": "skipped", "reason": f"{type(error).__name__}: {error}"}


def _content(case: Case) -> dict[str, Any]:
    first = examined(case, FEW)
    # the longest run shows what levels do, not formulas
    trials = [tried(case, n) for n in (EDGES if case.alone else EDGES[:-1])]
    if first.plan is None and all(t.raised in REFUSALS and t.step == 0 and t.calls <= 1 for t in trials):
        return {"status": "refused", "reason": first.findings[0].sentence, "steps": FEW}
    if any(f.kind == "outside" and 2 * f.count > len(first.times) for f in first.findings):
        reason = f"its times, {first.times[0]:g} at first, are not those of its table: audit a function instead"
        return {"status": "skipped", "reason": reason}
    # where it runs on numbers, what stopped it was our model, told a time that is no number
    ran = any(t.steps == FEW and not t.error for t in trials)
    found = [_defect(f, FEW) for f in first.findings if f.kind != "stopped" or not (ran or _refuses(first))]
    found += [*_still(first), *edges(trials)]
    found += lookup(case)
    content: dict[str, Any] = {"steps": FEW, "calls": len(first.times), "claim": _claim(case), "defects": merged(found)}
    return content if first.plan is None else content | _measured(case, first, found)


def _measured(case: Case, first: Lifted, found: list[Defect]) -> dict[str, Any]:
    """What only a plan shows: its rounding, its neighbour, its order."""
    second, claim = examined(case, MANY), _claim(case)
    more = () if _refuses(second) else ("precision", "infinite", "stopped", "noise")
    found += [_defect(f, MANY) for f in second.findings if f.kind in more]
    if any(d.kind in (*PLACES, "noise") and not d.note for d in found):
        found = [*_rounded(case, first, found)]
    misplaced = any(d.kind in PLACES and not d.note for d in found)
    pair = _neighbour(first, misplaced) if misplaced or not case.levelwise else None
    known = pair is not None and not pair[0].rows
    # what is a known method at the levels that it tells is measured there
    told = known and pair is not None and pair[1]
    if pair is not None and known:
        found = [d if d.kind == "level" and not told else _excused(d, pair[0].name) for d in found]
    # and so is what asks its model at other levels than those of its states
    told = told or any(d.kind == "level" and not d.note for d in found)
    plans = _plans(case)
    orders = measured(lambda n: None if (both := plans(n)) is None else both[0 if told else 1], claim)
    draws = bool(first.plan and first.plan.draws)
    fallen = [*_short(orders, claim, draws)]
    if claim is None and any(d.kind == "diverges" for d in fallen):
        pair = pair or _neighbour(first, misplaced)
        if pair is not None and not pair[0].rows and not ALL[pair[0].name].order:
            # it claims nothing, and is a method that does not converge
            fallen = [_excused(d, pair[0].name) for d in fallen]
    found += fallen
    low = claim is not None and any(d.kind in ("order", "diverges") and not d.note for d in fallen)
    return {
        "advice": _advice(plans, least(claim, draws)) if low and claim is not None else "",
        "loss": {str(FEW): first.loss, str(MANY): second.loss},
        "stochastic": draws,
        "orders": orders,
        "floor": {} if told else _floors(case, plans),
        "defects": merged(found),
        **({} if pair is None else _described(pair[0])),
    }


def _still(first: Lifted) -> Iterator[Defect]:
    """A step of no length, for a sampler that makes one call a step."""
    if first.plan is None or not len(first.times) == FEW == first.plan.steps:
        return
    levels = first.plan.levels
    for i, (s, t) in enumerate(pairwise(levels)):
        if abs(s.sigma * t.alpha - t.sigma * s.alpha) <= STILL * s.sigma * t.alpha:
            where = f"sigma / alpha = {s.sigma / s.alpha:.6g}"
            sentence = f"step {i} goes from {where} to the same level: an evaluation for nothing"
            yield Defect(
                "idle", f"n = {FEW}, step {i}", sentence, REMEDY["idle"], numbers={"n": float(FEW), "step": float(i)}
            )
            return


def _rounded(case: Case, first: Lifted, found: list[Defect]) -> Iterator[Defect]:
    """What double precision cures is rounding; a note where coefficients are so large that no code in single precision
    would do much better."""
    left = {f.kind for f in examined(case, FEW, "double").findings}
    assert first.plan is not None
    largest = max((abs(c) for line in first.plan.lines if isinstance(line, Lin) for _, c in line.terms), default=1.0)
    cured = [d for d in found if d.kind in (*PLACES, "noise") and not d.note and d.kind not in left]
    sizes = [d.numbers["size"] for d in cured if d.kind == "scale"] or [d.numbers["size"] for d in cured]
    note = all(size <= ROUNDINGS * 2.0**-24 * largest for size in sizes)
    for defect in found:
        if defect not in cured:
            yield defect
            continue
        sentence = f"in single precision alone {defect.sentence.split(': a coefficient')[0]}"
        sentence += f": coefficients up to {largest:.3g} cancel" if note else ""
        yield replace(defect, kind="precision", sentence=sentence, remedy=REMEDY["precision"], note=note)


def _refuses(first: Lifted) -> bool:
    said = first.findings[0].sentence if first.findings else ""
    return first.plan is None and any(f"raises {name}:" in said for name in REFUSALS) and "before its first" in said


def _defect(finding: Finding, n: int) -> Defect:
    at = f"n = {n}" + ("" if finding.step is None else f", step {finding.step}")
    at += f", {finding.column}" if finding.column else ""
    numbers = {"n": float(n), "size": finding.size, "count": float(finding.count)}
    return Defect(finding.kind, at, finding.sentence, REMEDY.get(finding.kind, ""), finding.note, numbers)


def _orders(case: Case) -> dict[str, int]:
    """Defaults of the options that name an order."""
    thing = case.sampler.thing
    if case.sampler.kind == "function":
        given = dict(inspect.signature(thing).parameters)
    else:
        steps = inspect.signature(thing.step).parameters
        given = {**steps, **inspect.signature(inspect.unwrap(thing.__init__)).parameters}
    return {
        name: p.default
        for name, p in given.items()
        if "order" in name and isinstance(p.default, int) and not isinstance(p.default, bool)
    }


def _claim(case: Case) -> int | None:
    """The order that the object itself says, or its name."""
    said = {**_orders(case), **case.chosen}
    named = NUMBERED.search(case.sampler.name)
    return next((int(said[name]) for name in CLAIMS if name in said), int(named[1]) if named else None)


# --- accuracy ---


def _advice(plans: Callable[[int], tuple[Plan, Plan] | None], wanted: int) -> str:
    """What it is coefficient by coefficient, and the first coefficient in which the nearest sampler of the order that
    it names differs."""
    pair = plans(ADVISED)
    if pair is None:
        return ""
    said = []
    for near in nearest(pair[1], EXACT, 1):
        if not near.rows:
            note = ALL[near.name].note
            said.append(f"With {ADVISED} steps it is {near.name}, coefficient by coefficient{note and ': '}{note}.")
    for near in nearest(pair[1], EXACT, 1, [name for name, known in ALL.items() if known.order >= wanted]):
        described = _described(near)["difference"]
        if described:
            order = ALL[near.name].order
            said.append(f"The nearest sampler known of order {order}, {near.name}, differs first in {described}.")
    return " ".join(said)


def _excused(defect: Defect, name: str) -> Defect:
    """A known method need not be exact on one point, nor converge."""
    if defect.kind not in (*PLACES, "diverges") or defect.note:
        return defect
    return replace(defect, note=True, sentence=f"as {name} has it: {defect.sentence}")


def _plans(case: Case) -> Callable[[int], tuple[Plan, Plan] | None]:
    @cache
    def plans(n: int) -> tuple[Plan, Plan] | None:
        return lifted(case, n)

    return plans


def _short(orders: Sequence[Order], claim: int | None, draws: bool) -> Iterator[Defect]:
    """Orders below what the object says, errors that do not fall."""
    for order in orders[:1]:
        runs = ", ".join(f"{e:.2g} (n = {n})" for n, e in zip(order.counts[-3:], order.errors[-3:], strict=True))
        n, error = order.counts[-1], order.errors[-1]
        numbers = {"n": float(n), "order": order.value, "error": error}
        ratio = order.errors[-1] / order.errors[-3] if order.errors[-3] else math.nan
        if not math.isfinite(error) or (ratio > 1 - FALLS and error > 1e-3):
            sentence = f"its error on the {order.place} does not fall: {runs}"
            # samplers for networks that were distilled draw all of their noise anew, and say no order
            note = claim is None and draws and ratio < 1 + FALLS
            yield Defect(
                "diverges", f"n = {n}", sentence, "check the coefficients of the difference terms", note, numbers
            )
        if claim is None or not order.slopes[1:]:
            continue
        wanted = least(claim, draws)
        said = f"order {claim}" + (f", of which one normal a step leaves {wanted} in law," if wanted < claim else "")
        if short(order, claim, draws):
            yield Defect(
                "order",
                f"n = {n}",
                f"it names {said} and it shows {order.value:.2f} on the {order.place}: {runs}",
                "compare its difference terms with the Taylor expansion of the exact step",
                False,
                {**numbers, "claim": float(claim)},
            )


def _floors(case: Case, plans: Callable[[int], tuple[Plan, Plan] | None]) -> dict[str, float]:
    """What single precision, and times that are told as they are, add to the error on a Gaussian's exact flow."""
    found: dict[str, float] = {}
    target = gaussian()
    for n in (FEW, MANY):
        exact = plans(n)
        span = None if exact is None or exact[0].draws else window(exact[1])
        shipped = None if span is None else lifted(case, n, double=False)
        if exact is None or span is None or shipped is None or len(shipped[1].levels) != len(exact[1].levels):
            continue
        best, single, told = (end_state(plan, target, *span) for plan in (exact[1], shipped[1], exact[0]))
        found[f"float32, n = {n}"] = float(np.abs(single - best).max())
        found[f"times, n = {n}"] = float(np.abs(told - best).max())
    return found


def _neighbour(first: Lifted, misplaced: bool) -> tuple[Near, bool] | None:
    """The nearest sampler known, and whether it is so at the levels that the model is told."""
    told, plans = first.plan, [first.assumed]
    if misplaced and told is not None:
        # an output that is on no level says nothing of the steps before
        plans += [told, *([cut(told, told.steps - 1)] if told.steps > 1 else [])]
    found = [(near, i > 0) for i, plan in enumerate(plans) if plan is not None for near in nearest(plan, NEAR, 1)]
    # of two that are known, what the model is told decides
    return min(found, key=lambda pair: (pair[0].rows, 0 if pair[0].rows else -pair[1], pair[0].distance), default=None)


def _described(near: Near) -> dict[str, Any]:
    said = ""
    if near.difference is not None:
        d = near.difference
        what = f"the coefficient of {d.column}" if d.column != "level" else "the sigma / alpha evaluated at"
        said = f"step {d.step}: {what} is {d.theirs:.6g}, that of {near.name} {d.ours:.6g} (predictions as {d.reading})"
    return {"near": near.name, "distance": near.distance, "difference": said}
