"""What runs with many numbers of steps show, and what a table of times does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from .findings import REMEDY, Defect
from .running import Trial
from .subjects import Case

__all__ = ["REFUSALS", "bounded", "edges", "lookup"]

# how a class says that it does not do what was asked
REFUSALS = ("ValueError", "NotImplementedError")


def edges(trials: Sequence[Trial]) -> Iterator[Defect]:
    refused = [t for t in trials if bounded(t)]
    if refused:
        t = refused[0]
        yield Defect(
            "bound",
            f"n = {_listed(refused)}",
            f"it refuses {t.steps} steps: {t.error}",
            "",
            True,
            {"n": float(t.steps)},
        )
    failed = [t for t in trials if t.error and t not in refused]
    if failed:
        t = failed[0]
        yield Defect(
            "stopped",
            f"n = {_listed(failed)}, step {t.step}",
            f"it raises {t.error} in step {t.step} of {t.steps}",
            REMEDY["stopped"],
            numbers={"n": float(t.steps), "step": float(t.step)},
        )
    broken = [t for t in trials if not t.finite]
    if broken:
        t = broken[0]
        yield Defect(
            "infinite",
            f"n = {_listed(broken)}, step {t.step}",
            f"with {t.steps} steps its numbers cease to be finite in step {t.step}",
            REMEDY["infinite"],
            numbers={"n": float(t.steps), "step": float(t.step)},
        )
    outside = [t for t in trials if t.outside]
    if outside:
        t = outside[0]
        yield Defect(
            "outside",
            f"n = {_listed(outside)}",
            f"with {t.steps} steps {t.outside} of {t.calls} calls are told times that the network does not know",
            REMEDY["outside"],
            numbers={"n": float(t.steps), "calls": float(t.calls)},
        )
    yield from _ledger([t for t in trials if not t.error and t.finite])


def bounded(trial: Trial) -> bool:
    """It refused that number of steps before it began, in a sentence that names a number."""
    return trial.early and trial.raised in REFUSALS and any(c.isdigit() for c in trial.error)


def _ledger(trials: Sequence[Trial]) -> Iterator[Defect]:
    """Calls are a n + b for almost all n."""
    enough = [t for t in trials if t.steps > 3]
    laws = Counter((a, t.calls - a * t.steps) for t in enough for a in (1, 2, 3) if abs(t.calls - a * t.steps) <= 12)
    if not laws:
        return
    (a, b), most = laws.most_common(1)[0]
    odd = [t for t in enough if t.calls != a * t.steps + b]
    if not odd or most < 5:
        return
    t = odd[0]
    yield Defect(
        "ledger",
        f"n = {_listed(odd)}",
        f"{t.steps} steps make {t.calls} calls where other numbers n make {_law(a, b)}",
        "make the grid by counting steps, not by walking until an end is passed",
        numbers={"n": float(t.steps), "calls": float(t.calls), "expected": float(a * t.steps + b)},
    )


def _law(a: int, b: int) -> str:
    return (f"{a} n" if a > 1 else "n") + (f" {'+' if b > 0 else '-'} {abs(b)}" if b else "")


def _listed(trials: Sequence[Trial]) -> str:
    return ", ".join(str(t.steps) for t in trials)


def lookup(case: Case) -> Iterator[Defect]:
    """Whole times of a training table, asked for as whole numbers."""
    if case.sampler.kind != "scheduler" or case.settings:
        return
    fresh = case.build()
    find, times = getattr(fresh, "index_for_timestep", None), getattr(fresh, "timesteps", None)
    if find is None or times is None:
        return
    import torch

    lost: list[tuple[int, float]] = []
    near = [float(t) for t in np.asarray(torch.as_tensor(times).cpu(), dtype=float).ravel()]
    whole = [t for t in near if abs(t - round(t)) < 1e-3]
    if 2 * len(whole) < len(near):
        # a table of something else
        return
    for t in whole:
        k = round(t)
        try:
            find(torch.tensor(k))
        except Exception:
            lost.append((k, t))
    if lost:
        k, t = lost[0]
        yield Defect(
            "lookup",
            f"time {k}",
            f"its table of times has {t!r} for {k}: {len(lost)} of {len(near)} whole times are not found in it",
            "look for the nearest entry, or keep the times as integers",
            numbers={"time": float(k), "entry": t, "count": float(len(lost))},
        )
