"""Amplitudes of states, held at those of a fine run (Pei, Hu & Gu 2025)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ...grid import Grid, through
from ...read.sample import sample
from ...solvers import ddim
from ...trace import compile
from ..grids import Teacher

__all__ = ["amplitudes", "sample_renormalised"]

_LOW, _HIGH = 0.05, 0.95


def amplitudes(teacher: Teacher) -> np.ndarray:
    """The 5 and 95 % quantiles of the coordinates of a state, averaged over the teacher's trajectories; ``(N + 1, 2)``.

    At the level of pure noise of unit size they are those of the standard normal, -1.645 and 1.645, the last entry of
    the authors' tables.
    """
    return np.quantile(teacher.states, (_LOW, _HIGH), axis=-1).mean(axis=-1).T


def sample_renormalised(teacher: Teacher, grid: Grid, model: Any, x: np.ndarray) -> np.ndarray:
    """DDIM along ``grid``, each sample's amplitude renormalised before every call.

    Few steps lose contrast, and a map per sample gives it back: with ``q_5`` and ``q_95`` the quantiles of the
    coordinates of ``x`` and ``A`` those of :func:`amplitudes` at its level (OSS.py of the authors, ``infer_OSS``),

        x <- a x + b,    a = (A_95 - A_5) / (q_95 - q_5),    b = A_5 - a q_5.

    It takes every image for one of mean contrast. Where all directions and all samples lose alike it leaves only the
    error of the last step; where amplitudes are the samples' own it moves what was right: on a mixture fitted to
    digits, VE from 80, the distance to the run's end rises from 0.93 to 1.36 with 5 steps and from 0.57 to 1.22 with 8.
    It is no linear combination of states, so that there is no plan of it.

    Args:
        teacher: the fine run; its grid holds all levels of ``grid``.
        grid: such as :func:`diffnum.design.grids.oss`; it ends at its last level or at the clean one.
        model: a target, or a function of the data.
        x: ``(m, d)`` at the first level.

    Raises:
        ValueError: a level that the teacher does not have; a sample whose coordinates are all the same; an end policy
            that denoises after the last level.
    """
    if grid.end not in ("stop", "zero"):
        raise ValueError(f"end = {grid.end!r} leaves the grid after its last level: use 'stop' or 'zero'")
    known, places = amplitudes(teacher), {level: i for i, level in enumerate(teacher.grid)}
    x = np.asarray(x, dtype=np.float64)
    for s, t in pairwise(grid):
        if s not in places:
            raise ValueError(f"the teacher has no level at log-SNR {s.lam!r}: take grids through its own levels")
        x = sample(compile(ddim, through(grid.process, [s, t])), model, _moved(x, *known[places[s]]))
    return x


def _moved(x: np.ndarray, low: float, high: float) -> np.ndarray:
    below, above = np.quantile(x, (_LOW, _HIGH), axis=-1, keepdims=True)
    if not (above > below).all():
        raise ValueError("a sample has the same number in nearly all coordinates: there is no amplitude to renormalise")
    a = (high - low) / (above - below)
    return a * x + (low - a * below)
