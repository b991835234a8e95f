"""The first-order step of every sampler under its published names, each as its paper writes it.

The exponential step solves the linear part of the probability-flow ODE exactly: with ``h`` its log-SNR increment,

    x_t = (sigma_t / sigma_s) x_s + sigma_t * int e^lam D dlam        (data)
    x_t = (alpha_t / alpha_s) x_s - alpha_t * int e^-lam eps dlam     (noise)

and ``D`` or ``eps`` constant over the step. That these are one method is proved in :mod:`theory.equalities`.
"""

from __future__ import annotations

from typing import Any

from ..trace import Trace, solver
from .coords import data_transfer, noise_transfer, transfer

__all__ = ["ddim", "dpm_solver_1", "dpmpp_1"]

EXPONENTIAL = "exponential one-step"


@solver(order=1, cold=1, cite="song2021ddim", eq="12", family=EXPONENTIAL)
def ddim(T: Trace, grid: Any) -> None:
    """DDIM with ``eta = 0``: ``alpha_t D + sigma_t eps``, both predicted at ``s``."""
    for s, t in T.steps(grid):
        e = T.evaluate(T.x, s)
        T.x = t.alpha * e.data + t.sigma * e.noise


@solver(order=1, cold=1, cite="lu2022dpm", eq="3.7", family=EXPONENTIAL)
def dpm_solver_1(T: Trace, grid: Any) -> None:
    """DPM-Solver-1: ``(alpha_t / alpha_s) x - sigma_t (e^h - 1) eps``; at ``alpha_s = 0`` its limit, DDIM's step."""
    for s, t in T.steps(grid):
        e = T.evaluate(T.x, s, "e")
        T.x = transfer(T.x, s, t, e.data) if s.pure_noise else noise_transfer(T.x, s, t, e.noise)


@solver(order=1, cold=1, cite="lu2022dpmpp", eq="9", family=EXPONENTIAL)
def dpmpp_1(T: Trace, grid: Any) -> None:
    """DPM-Solver++ of order one: ``(sigma_t / sigma_s) x - alpha_t (e^-h - 1) D``."""
    for s, t in T.steps(grid):
        T.x = data_transfer(T, T.x, s, t, T.denoise(T.x, s))
