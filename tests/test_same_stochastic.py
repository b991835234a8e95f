"""Stochastic schedulers of diffusers are samplers of ours, draws included; and where they are not.

Numbers are those of the table of known defects in published samplers.
"""

import numpy as np
import pytest
from peers import TOLERANCE, difference, distance, grid_of, ours

from diffnum.read.tableau import canonical
from diffnum.solvers import ALL
from diffnum.solvers.sde_multistep import implicit
from diffnum.solvers.sde_rules import ADAMS, ADAMS_MOULTON, NOISE_SDE, stochastic_predictor_corrector

pytest.importorskip("diffusers")
from peers_stochastic import run
from test_same_diffusers import EDM_DPM, MULTISTEP, PLAIN, SA, SINGLESTEP, geometric

DATA = {**PLAIN, "algorithm_type": "sde-dpmsolver++"}
NOISE = {**PLAIN, "algorithm_type": "sde-dpmsolver"}
NAMED = [
    (MULTISTEP, {**DATA, "solver_order": 1}, "sde_dpmpp_1 ddpm_ancestral"),
    (MULTISTEP, {**DATA, "solver_order": 2}, "sde_dpmpp_2m"),
    (MULTISTEP, {**DATA, "solver_order": 2, "solver_type": "heun"}, "sde_dpmpp_2m_heun sa_p2_exact"),
    (MULTISTEP, {**NOISE, "solver_order": 1}, "sde_dpm_1 seeds_1"),
    (MULTISTEP, {**NOISE, "solver_order": 2}, "sde_dpm_2m"),
    (MULTISTEP, {**NOISE, "solver_order": 2, "solver_type": "heun"}, "sde_dpm_2m_heun sa_p2_noise"),
    (SINGLESTEP, {**DATA, "solver_order": 1}, "sde_dpmpp_1"),
    (
        EDM_DPM,
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "final_sigmas_type": "sigma_min"},
        "sde_dpmpp_2m",
    ),
]


@pytest.mark.parametrize("scheduler, settings, names", NAMED)
def test_a_scheduler_is_the_sampler_of_that_name(scheduler, settings, names):
    r = run(scheduler, 8, **{"lower_order_final": False, **settings})
    assert len(r.plan.draws) == len(r.grid) - 1
    for name in names.split():
        assert distance(r.plan, ours(name, r.grid)) < TOLERANCE, name


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.4])
@pytest.mark.parametrize("kind", ["data", "noise"])
@pytest.mark.parametrize(
    "predictor, corrector, name",
    [(1, 1, "p1c1"), (1, 2, "p1c2"), (2, 2, "p2c2"), (2, 3, "p2c3"), (3, 3, "p3c3"), (3, 4, "p3c4"), (4, 4, "p4c4")],
)
def test_sa_solver(predictor, corrector, name, kind, tau):
    if kind == "data":
        settings, sampler = {}, f"sa_{name}"
    else:
        settings = {"algorithm_type": "noise_prediction"}
        sampler = ALL.get(f"sa_{name}_noise") or on_the_noise(predictor, corrector)
    orders = {"predictor_order": predictor, "corrector_order": corrector}
    r = run(SA, 9, tau_func=lambda t: tau, lower_order_final=False, **orders, **settings)
    found = ours(sampler, r.grid, rate=tau**2)
    assert same(r.plan, found) < TOLERANCE


def on_the_noise(predictor, corrector):
    return stochastic_predictor_corrector(NOISE_SDE, ADAMS[:predictor], ADAMS_MOULTON[: corrector - 1] or (implicit,))


def same(theirs, found):
    """:func:`distance`, without columns of draws that nothing uses: theirs draws where there is no noise."""
    a, b = (used(canonical(plan)) for plan in (theirs, found))
    scale = np.maximum(np.abs(a).max(axis=1), np.abs(b).max(axis=1))
    return float((np.abs(a - b).max(axis=1) / scale).max())


def used(table):
    first = 1 + table.evaluations
    return table.matrix if np.any(table.matrix[:, first:]) else table.matrix[:, :first]


def test_sa_solver_with_a_rate_that_varies():
    """Its ``tau`` is that of the start of a step, 1 in the middle and 0 at both ends as in the paper."""

    def tau(t):
        return 1.0 if 200 <= t <= 800 else 0.2

    r = run(SA, 9, tau_func=tau, lower_order_final=False, predictor_order=3, corrector_order=4)
    seen = {level.lam: tau(t) for level, t in zip(r.grid, r.scheduler.timesteps, strict=False)}
    assert set(seen.values()) == {1.0, 0.2}
    found = ours("sa_p3c4", r.grid, rate=lambda s, t: seen[s.lam] ** 2)
    assert distance(r.plan, found) < TOLERANCE


# --- known defects ---


def test_b03_the_sign_of_one_half_in_the_third_order():
    r = run(MULTISTEP, 8, solver_order=3, **DATA)
    assert distance(r.plan, ours("sde_dpmpp_3m_coded", r.grid)) < TOLERANCE
    apart = difference(r.plan, ours("sde_dpmpp_3m_corrected", r.grid))
    # the start-up differs in kind already: two points of type midpoint
    assert (apart.row, apart.column) == (2, 1)
    assert ALL["sde_dpmpp_3m_coded"].order == 0


def test_b04_the_third_order_on_the_noise_is_an_error():
    with pytest.raises(UnboundLocalError):
        run(MULTISTEP, 8, solver_order=3, **NOISE)


CODED = [("midpoint", 2, "sde_dpmpp_2s"), ("heun", 3, "sde_dpmpp_3s")]


@pytest.mark.parametrize("kind, order, name", CODED)
def test_b05_b06_singlestep_draws_the_noise_of_node_and_end_apart(kind, order, name):
    settings = {**DATA, "solver_type": kind, "solver_order": order}
    r = run(SINGLESTEP, 6, then=geometric, **settings)
    coarse = grid_of([level.sigma / level.alpha for level in r.grid][::order])
    assert distance(r.plan, ours(f"{name}_coded", coarse)) < TOLERANCE
    apart = difference(r.plan, ours(name if order == 2 else f"{name}_taylor", coarse))
    # row 0 is the start, row 1 the node; the second node of three, or the end, forgets what the first has drawn
    assert apart.row == 2
    assert (ALL[f"{name}_coded"].order, ALL[name].order) == (3 - order, 2)
