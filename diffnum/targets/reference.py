"""A probability-flow map where none is closed: integrated, and integrated again until two runs agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..plan import Level
from .common import Array, is_torch, leave
from .working import has_objects, number

__all__ = ["reference_flow"]

# relative tolerances of successive runs, in units of the tolerance asked for
_LADDER = (3e-2, 3e-3, 3e-4)
_FINEST = 2.3e-14  # scipy accepts no finer one
_LAST_ANGLE = 1e-8


def reference_flow(law: Any, x: Array, s: Level, t: Level, tol: float = 1e-10) -> Array:
    """The probability-flow map of ``law`` from level ``s`` to level ``t``, in either direction.

    Every process runs through the same curve up to the scale of ``x``, so the integration is done in
    the angle ``theta = atan2(sigma, alpha)`` and ``u = x / hypot(alpha, sigma)``,

        du/dtheta = cos(theta) E[eps | u] - sin(theta) E[x0 | u],

    (the velocity form of Salimans & Ho 2022, appendix D), which is regular up to ``theta = pi/2``
    (``alpha = 0``) and, for a law with a density, to ``theta = 0``. The scheme is Dormand and
    Prince's of order 8 (Hairer, Nørsett & Wanner 1993, section II.10) on the whole batch at once.

    The error is verified: runs with ten times finer tolerances follow one another until twice the
    difference of the last two is at most ``tol``, relative to the size of a point, ``|x|`` plus the
    root mean square of the law at ``t``, and the finer one is returned. Runs may agree and be wrong
    on a watershed between modes, where any step is too long and no error estimate sees it: towards
    the data one run therefore starts ``tol`` aside, and must not end further than ``sqrt(tol)`` away.
    A law without a density reaches
    ``sigma = 0`` by ``D`` at a last angle that shrinks from run to run too, and cannot leave it.

    Args:
        law: a target with ``velocity``, ``denoise``, ``rms`` and ``singular``.
        x: ``(..., d)``, numpy or torch; computed in float64 by numpy, so no gradient passes.
        tol: largest error accepted, at least 1e-11.

    Raises:
        ValueError: the error is not verified below ``tol``; a point is within ``tol`` of a
            watershed; ``s`` is clean and the law has no
            density; object arrays; a tolerance below 1e-11.
    """
    if not 1e-11 <= tol < 1:
        raise ValueError(f"tol = {tol!r} is not within reach: give a relative error from 1e-11 to 1")
    if s.clean and law.singular:
        raise ValueError("the flow cannot leave a law without a density: start at a level with sigma > 0")
    points = x.detach().cpu().double().numpy() if is_torch(x) else np.asarray(x)
    if has_objects(points):
        raise ValueError("the reference flow is computed in float64: give float arrays, or integrate at your precision")
    if points.ndim == 0 or points.shape[-1] != law.dim:
        raise ValueError(f"x has shape {points.shape}: give points of dimension {law.dim} along the last axis")
    start = points.astype(np.float64).reshape(-1, law.dim)
    coarse, error = None, math.inf
    # a set: two runs of one tolerance would agree without saying anything
    for rung, rtol in enumerate(sorted({max(part * tol, _FINEST) for part in _LADDER}, reverse=True)):
        fine = _run(law, start, s, t, rtol, _LAST_ANGLE * 10.0**-rung)
        if coarse is None:
            _refuse_watersheds(law, start, fine, s, t, tol, rtol)
        else:
            error = 2 * _apart(law, fine, coarse, t)
            if error <= tol:
                return _returned(fine.reshape(points.shape), x)
        coarse = fine
    raise ValueError(
        f"the flow's verified error is {error:.1e}, above tol = {tol:.1e}: loosen tol, or split the interval"
    )


def _refuse_watersheds(law: Any, x: np.ndarray, end: np.ndarray, s: Level, t: Level, tol: float, rtol: float) -> None:
    if _angle(t) >= _angle(s):
        return  # towards the noise trajectories close up
    sides = np.random.default_rng(0).choice([-1.0, 1.0], size=x.shape)
    moved = _run(law, x + tol * _size(law, x, s)[:, None] * sides, s, t, rtol, _LAST_ANGLE)
    spread = _apart(law, moved, end, t)
    if spread > math.sqrt(tol):
        raise ValueError(
            f"moving x by tol = {tol:.1e} moves the flow's end by {spread:.1e}, a watershed between modes: "
            "tighten tol, or take other points"
        )


def _size(law: Any, x: np.ndarray, at: Level) -> np.ndarray:
    return math.hypot(number(at.alpha) * law.rms, number(at.sigma)) + np.sqrt(np.mean(x**2, axis=-1))


def _apart(law: Any, fine: np.ndarray, coarse: np.ndarray, t: Level) -> float:
    """Largest difference, relative to the size of the point."""
    return float(np.max(np.abs(fine - coarse).max(axis=-1) / _size(law, fine, t), initial=0.0))


def _run(law: Any, x: np.ndarray, s: Level, t: Level, rtol: float, last: float) -> np.ndarray:
    from scipy.integrate import solve_ivp

    first, stop = _angle(s), _angle(t)
    atol = rtol * min(1.0, law.rms or 1.0)
    ends_at_atoms = t.clean and law.singular
    if ends_at_atoms:
        stop = min(last * min(1.0, law.rms or 1.0), first)

    def slope(theta: float, u: np.ndarray) -> np.ndarray:
        return law.velocity(u.reshape(x.shape), _level(theta)).ravel()

    u = x.ravel() / math.hypot(number(s.alpha), number(s.sigma))
    if first != stop and u.size:
        solution = solve_ivp(slope, (first, stop), u, method="DOP853", rtol=rtol, atol=atol, t_eval=[stop])
        if not solution.success:
            raise ValueError(f"the flow stops at angle {solution.t[-1:]}: {solution.message} Start at more noise.")
        u = solution.y[:, -1]
    u = u.reshape(x.shape)
    if ends_at_atoms:
        u = law.denoise(u, _level(stop))
    return u * math.hypot(number(t.alpha), number(t.sigma))


def _angle(level: Level) -> float:
    return math.atan2(number(level.sigma), number(level.alpha))


def _level(theta: float) -> Level:
    alpha = 0.0 if theta == math.pi / 2 else math.cos(theta)
    return Level(theta, alpha, math.sin(theta))


def _returned(y: np.ndarray, x: Array) -> Array:
    if is_torch(x):
        import torch

        return leave(torch.tensor(y, device=x.device if x.device.type != "mps" else "cpu"), x).to(x.device)
    return leave(y, x)
