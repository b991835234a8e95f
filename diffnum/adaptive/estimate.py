"""Empirical model statistics measured on a model (Zheng et al. 2023, section 3.1).

In the notation of :mod:`.statistics` the linear part that leaves least to approximate is, per coordinate,

    l = E[diag dq/dv],   s = cov(f', f) / var(f),   b = E[f'] - s E[f],

estimated by central differences: ``dq/dv`` on random signs (Hutchinson), ``f'`` along the flow. Where ``f`` does not
vary, as on a Gaussian with independent coordinates, ``s`` is 0/0 and a small ridge makes it zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..prediction import convert
from ..read.sample import adapted_model
from .statistics import Statistics

__all__ = ["estimate"]

Field = Callable[[np.ndarray, float], np.ndarray]
Mean = Callable[[np.ndarray], Any]


def estimate(
    model: Any,
    process: Any,
    data: Any,
    lams: Sequence[float],
    prediction: str = "data",
    per: str = "coordinate",
    step: float = 1e-3,
    ridge: float = 1e-6,
    seed: int = 0,
) -> Statistics:
    """``l``, ``s`` and ``b`` of a model, five calls of it for each log-SNR.

    Args:
        data: samples ``x0``, numpy or torch, the batch first; the same noise is added at every level.
        lams: increasing, at least 4; Zheng et al. take 120 to 1200.
        per: "coordinate" as published, or "state" for one ``l`` and ``s`` for all coordinates: then the coefficients
            of a plan are numbers, which every reading and its JSON can hold. ``b`` is per coordinate either way.
        step: of the differences, in log-SNR and in units of ``v``.
        ridge: the spread of ``f``, relative to ``v``, below which ``s`` tends to zero.

    Raises:
        ValueError: unknown ``per``; tables that are not finite.
    """
    if per not in ("coordinate", "state"):
        raise ValueError(f"per = {per!r} is unknown: use 'coordinate' or 'state'")
    if not 0 < step < 1:
        raise ValueError(f"step = {step!r} is no step of a difference: use a small positive number, such as 1e-3")
    from scipy.interpolate import CubicSpline

    rng = np.random.default_rng(seed)
    x0 = np.asarray(data.detach().cpu() if hasattr(data, "detach") else data, dtype=float)
    noise, signs = rng.standard_normal(x0.shape), rng.choice([-1.0, 1.0], x0.shape)
    call = adapted_model(model, prediction)

    def q(v: np.ndarray, lam: float) -> np.ndarray:
        level = process.at(lam)
        x = level.alpha * v
        a, b = convert(level, prediction, "data")
        given = data.new_tensor(x) if hasattr(data, "new_tensor") else x
        seen = call(given, level)
        return v - (a * x + b * np.asarray(seen.detach().cpu() if hasattr(seen, "detach") else seen, dtype=float))

    nodes = np.asarray(lams, dtype=float)
    states = [x0 + math.exp(-lam) * noise for lam in nodes]
    mean = (lambda a: a.mean()) if per == "state" else (lambda a: a.mean(0))
    l = np.stack([_slope(q, v, lam, step, signs, mean) for v, lam in zip(states, nodes, strict=True)])  # noqa: E741
    rate = CubicSpline(nodes, l)(nodes, 1)
    tables = zip(states, nodes, l, rate, strict=True)
    s, b = zip(*(_regression(q, *at, step=step, ridge=ridge, mean=mean) for at in tables), strict=True)
    return Statistics(nodes, l, np.stack(s), np.stack(b))


def _slope(q: Field, v: np.ndarray, lam: float, step: float, signs: np.ndarray, mean: Mean) -> Any:
    """``E[diag dq/dv]``."""
    size = step * math.exp(-lam) if lam < 0 else step
    return mean(signs * (q(v + size * signs, lam) - q(v - size * signs, lam)) / (2 * size))


def _regression(
    q: Field, v: np.ndarray, lam: float, linear: Any, rate: Any, step: float, ridge: float, mean: Mean
) -> tuple[Any, Any]:
    """``(s, b)`` at one level: ``f' = q' - l' v + l q`` on ``f = q - l v``."""
    here = q(v, lam)
    along = (q(v - step * here, lam + step) - q(v + step * here, lam - step)) / (2 * step)
    f, moving = here - linear * v, along - rate * v + linear * here
    spread, other = f - f.mean(0), moving - moving.mean(0)
    s = mean(spread * other) / (mean(spread**2) + ridge**2 * mean(v**2))
    return s, moving.mean(0) - s * f.mean(0)
