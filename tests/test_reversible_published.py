"""Reversible samplers against the formulas of their papers and codes, written on arrays and run on any prediction."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

import diffnum as dn

VP = dn.VP()


def eps(x, level):
    """Any noise prediction."""
    return np.sin(1.3 * x + level.lam) - 0.2 * x


def ddim(x, e, s, t):
    return t.alpha / s.alpha * (x - s.sigma * e) + t.sigma * e


def edict_as_coded(grid, x, p, turns):
    """Two copies; in odd steps the second is stepped first; then the mixing."""
    pair = [x, x]
    for i, (s, t) in enumerate(pairwise(grid)):
        for k in (0, 1):
            own = (k + i % 2) % 2 if turns else k
            pair[own] = ddim(pair[own], eps(pair[1 - own], s), s, t)
        pair[0] = p * pair[0] + (1 - p) * pair[1]
        pair[1] = (1 - p) * pair[0] + p * pair[1]
    return pair


def bdia_as_printed(grid, x, gamma):
    """``z - (1 - g)(z - z_i) - g (DDIM back - z_i) + (DDIM ahead - z_i)``."""
    past, now = x, ddim(x, eps(x, grid[0]), grid[0], grid[1])
    for r, s, t in zip(grid, grid[1:], grid[2:], strict=False):
        e = eps(now, s)
        ahead, back = ddim(now, e, s, t) - now, ddim(now, e, s, r) - now
        past, now = now, past - (1 - gamma) * (past - now) - gamma * back + ahead
    return now, past


def belm_as_printed(grid, x):
    tau = [u.sigma / u.alpha for u in grid]
    past, now = x, ddim(x, eps(x, grid[0]), grid[0], grid[1])
    for i in range(1, len(grid) - 1):
        r, s, t = grid[i - 1 : i + 2]
        old, new, both = tau[i] - tau[i - 1], tau[i + 1] - tau[i], tau[i + 1] - tau[i - 1]
        ahead = new * both * t.alpha / old * eps(now, s) + (new / old) ** 2 * (t.alpha / r.alpha) * past
        past, now = now, ahead + (old - new) * both / old**2 * (t.alpha / s.alpha) * now
    return now, past


def rex_midpoint_as_coded(grid, x, zeta):
    """In ``x / sigma`` against ``alpha / sigma``, on a variance-preserving process."""

    def D(x, kappa):
        u = VP.at(math.log(kappa))
        return (x - u.sigma * eps(x, u)) / u.alpha

    def psi(kappa, x, h):
        sigma, middle = (kappa**2 + 1) ** -0.5, ((kappa + h / 2) ** 2 + 1) ** -0.5
        return h * D(middle * (x / sigma + h / 2 * D(x, kappa)), kappa + h / 2)

    y = z = x
    for s, t in pairwise(grid):
        now, then = s.alpha / s.sigma, t.alpha / t.sigma
        ratio = t.sigma / s.sigma
        y = ratio * (zeta * y + (1 - zeta) * z) + t.sigma * psi(now, z, then - now)
        z = ratio * z - t.sigma * psi(then, y, now - then)
    return y, z


PUBLISHED = {
    "edict": (partial(edict_as_coded, p=0.93, turns=True), {}),
    "edict_plain": (partial(edict_as_coded, p=0.93, turns=False), {}),
    "bdia": (partial(bdia_as_printed, gamma=0.7), {"gamma": 0.7}),
    "belm": (belm_as_printed, {}),
    "reversible_midpoint": (partial(rex_midpoint_as_coded, zeta=0.9), {"zeta": 0.9}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_run_is_the_published_one(name):
    formula, options = PUBLISHED[name]
    plan = dn.compile(name, dn.grid.log_snr(VP, 7, start=VP.at(-3.0), stop=VP.at(3.0)), "noise", **options)
    x = np.random.default_rng(0).standard_normal((4, 2))
    for ours, theirs in zip(dn.sample(plan, eps, x, outputs="all"), formula(plan.levels, x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)
