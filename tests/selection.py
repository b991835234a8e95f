"""Which samplers the default tests run: some of every family, all of the contract; the others run with ``full``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest

from diffnum.solvers import ALL
from diffnum.trace import Solver

CONTRACT = {
    "euler", "heun", "midpoint", "rk4", "ab2", "ddim", "dpm_solver_1", "dpm_solver_2", "dpmpp_1", "dpmpp_2s",
    "dpmpp_2m", "dpmpp_3m", "dpmpp_3m_corrected", "ddpm_ancestral", "euler_maruyama", "unipc_3",
}  # fmt: skip

# infinite diffusion of the reverse SDE at alpha = 0: refused there whatever the model returns
DIFFUSING = {
    "euler_churn_coded", "euler_maruyama", "exponential_integrator", "karras_sde_heun", "stochastic_improved_euler",
}  # fmt: skip
# written in the score alone, with bounded coefficients: a noise or a score suffices them there
SCORED = {"reverse_diffusion", "reverse_diffusion_pc", "reverse_diffusion_pc_refined"}


# a certificate of eight calls a step
LONG = {"reversible_rk4"}


def _of_families() -> set[str]:
    """The first, the last and the first of the highest order of each family, up to order four and no long ones."""
    chosen: set[str] = set()
    by_family = sorted(ALL.values(), key=lambda s: s.family)
    for _, members in groupby(by_family, key=lambda s: s.family):
        low = [s for s in members if s.order <= 4 and s.name not in LONG]
        chosen |= {low[0].name, low[-1].name, max(low, key=lambda s: s.order).name}
    return chosen


# from order five on a certificate takes as long as ten others: one stands for them
HIGH = {"exp_ab5"}
SELECTED = {name for name in CONTRACT | _of_families() | HIGH if name in ALL}


def samplers(keep: Callable[[Solver], bool] = lambda s: True) -> list[Any]:
    """Parameters for a test over all samplers; those not selected are marked ``full``."""
    kept = [s for s in ALL.values() if keep(s)]
    return [pytest.param(s, id=s.name, marks=() if s.name in SELECTED else pytest.mark.full) for s in kept]


def names() -> list[Any]:
    """:func:`samplers` by their names."""
    return [pytest.param(s, id=s, marks=() if s in SELECTED else pytest.mark.full) for s in ALL]


def deterministic() -> list[Any]:
    """:func:`samplers` without noise."""
    return samplers(lambda s: not s.stochastic)
