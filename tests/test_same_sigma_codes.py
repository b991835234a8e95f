"""Codes that step in sigma, coefficient by coefficient: k-diffusion, diff-sampler and the sampler of EDM.

Skipped where the folder of peers is absent, see peers_authors; what they have wrong is named after its number in the
table of known defects.
"""

import sys
from fractions import Fraction as F

import numpy as np
import pytest
import torch
from peers import EDM, TOLERANCE, difference, distance, ours
from peers_authors import author, by_sigma, needed, sampler_of_edm
from peers_rules import PAIRS, adams, corrected, one_step

from diffnum import grid as grids
from diffnum.solvers import generated as g
from diffnum.solvers.coords import DATA, NOISE
from diffnum.solvers.multistep import DPM_3M
from diffnum.solvers.rules import formulas

needed()

# not equally spaced in anything
SIGMAS = [float(s) for s in (0.05 ** (1 / 7) + np.linspace(1, 0, 8) * (20 ** (1 / 7) - 0.05 ** (1 / 7))) ** 7]


# --- Crowson ---


def sampling():
    absent = ("torchdiffeq", "torchsde", "k_diffusion")
    code = author("k-diffusion", "k_diffusion", "sampling.py", absent=absent, name="k_diffusion.sampling")
    code.utils.append_dims = lambda v, dims: v[(...,) + (None,) * (dims - v.ndim)]
    return code


def crowson(name, sigmas=(*SIGMAS, 0.0), **options):
    sample = getattr(sampling(), name)
    if "eta" in options:
        options["noise_sampler"] = lambda *interval: torch.zeros(1)
    walk = torch.tensor(sigmas, dtype=torch.float64)
    return by_sigma(lambda model, x: sample(model, x, walk, disable=True, **options), sigmas)


STILL = {"eta": 0.0}
CROWSON = [
    ("sample_euler", {}, "euler ddim"),
    ("sample_euler_ancestral", STILL, "euler"),
    ("sample_heun", {}, "heun rho_heun"),
    ("sample_dpm_2", {}, "kdpm2 dpm_solver_2"),
    ("sample_dpm_2_ancestral", STILL, "kdpm2"),
    ("sample_lms", {}, "lms_4 deis_rhoab_4 ab4"),
    ("sample_lms", {"order": 3}, "deis_rhoab_3 ab3"),
    ("sample_lms", {"order": 2}, "deis_rhoab_2 ab2"),
    ("sample_dpmpp_2s_ancestral", STILL, "dpmpp_2s"),
    ("sample_dpmpp_sde", STILL, "dpmpp_2s"),
    ("sample_dpmpp_2m", {}, "dpmpp_2m"),
    ("sample_dpmpp_2m_sde", STILL, "dpmpp_2m"),
    ("sample_dpmpp_2m_sde", {**STILL, "solver_type": "heun"}, "exp_ab2"),
]


@pytest.mark.parametrize("name, options, names", CROWSON)
def test_k_diffusion(name, options, names):
    theirs, grid = crowson(name, **options)
    for ours_ in names.split():
        assert distance(theirs, ours(ours_, grid)) < TOLERANCE, ours_


@pytest.mark.parametrize("r", [F(1, 3), F(3, 4), 1])
def test_k_diffusions_dpmpp_sde_without_noise_at_any_node(r):
    theirs, grid = crowson("sample_dpmpp_sde", SIGMAS, **STILL, r=float(r))
    assert distance(theirs, ours("dpmpp_2s", grid, r=r)) < TOLERANCE


def test_b02_three_points_of_k_diffusion_lack_a_factor_two():
    theirs, grid = crowson("sample_dpmpp_3m_sde", **STILL)
    built = adams(DATA, [1, 2, *[3] * 6], formulas(g.exponential_adams_1, g.exponential_adams_2, g.dpm_3m))
    assert distance(theirs, ours(built, grid)) < TOLERANCE
    apart = difference(theirs, ours("exp_ab3", grid))
    assert (apart.row, apart.column) == (3, 1)


@pytest.mark.parametrize("nfe", [6, 7, 8, 9])
def test_k_diffusions_dpm_fast_is_dpm_solver_3_and_a_rest(nfe):
    m = nfe // 3 + 1
    walk = [float(s) for s in np.exp(np.linspace(np.log(20.0), np.log(0.05), m + 1))]
    fast = sampling().sample_dpm_fast
    theirs, grid = by_sigma(lambda model, x: fast(model, x, 0.05, 20.0, nfe, disable=True), walk)
    of = {1: (g.exponential_euler,), 2: (g.dpm_2s, F(1, 2)), 3: (g.dpm_3s, F(1, 3), F(2, 3))}
    orders = [*[3] * (m - 2), 2, 1] if nfe % 3 == 0 else [*[3] * (m - 1), nfe % 3]
    assert distance(theirs, ours(one_step(NOISE, *(of[p] for p in orders)), grid)) < TOLERANCE
    assert theirs.nfe == nfe


# --- Zhou et al. ---


def zhou(name, **options):
    code = author("diff-sampler", "diff-solvers-main", "solvers.py")
    walk = torch.tensor(SIGMAS, dtype=torch.float64)
    for module in (code, sys.modules["solver_utils"]):
        # thresholding is not linear: it belongs to the model
        vars(module)["dynamic_thresholding_fn"] = lambda x: x

    def sample(model, x):
        return getattr(code, name)(model, x, num_steps=len(SIGMAS), t_steps=walk, **options)

    return by_sigma(sample, SIGMAS, (1, 1, 1, -1), 1 / SIGMAS[0])


def quadrature(points):
    code = author("diff-sampler", "diff-solvers-main", "solvers.py")
    # their order counts from zero
    return code.get_deis_coeff_list(torch.tensor(SIGMAS, dtype=torch.float64), points - 1, deis_mode="rhoab")


ZHOU = [
    ("euler_sampler", {}, "euler ddim"),
    ("heun_sampler", {}, "heun rho_heun"),
    ("dpm_2_sampler", {"r": 0.5}, "kdpm2 dpm_solver_2"),
    *(("ipndm_sampler", {"max_order": p}, f"ipndm_{p}") for p in (2, 3, 4)),
    ("ipndm_v_sampler", {"max_order": 2}, "ab2 deis_rhoab_2"),
    ("dpm_pp_sampler", {"max_order": 2, "lower_order_final": False}, "dpmpp_2m"),
    ("dpm_pp_sampler", {"max_order": 3, "lower_order_final": False}, "dpmpp_3m"),
    ("dpm_pp_sampler", {"max_order": 2, "predict_x0": False, "lower_order_final": False}, "dpm_2m"),
    ("dpm_pp_sampler", {"max_order": 3, "predict_x0": False, "lower_order_final": False}, "dpm_3m"),
]


@pytest.mark.parametrize("name, options, names", ZHOU)
def test_diff_sampler(name, options, names):
    theirs, grid = zhou(name, **options)
    for ours_ in names.split():
        assert distance(theirs, ours(ours_, grid)) < TOLERANCE, ours_


@pytest.mark.parametrize("points", [2, 3, 4])
def test_diff_samplers_rhoab(points):
    theirs, grid = zhou("deis_sampler", max_order=points, coeff_list=quadrature(points))
    assert distance(theirs, ours(f"deis_rhoab_{points}", grid)) < TOLERANCE


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_diff_samplers_unipc(order, data, variant):
    theirs, grid = zhou("unipc_sampler", max_order=order, predict_x0=data, variant=variant, lower_order_final=False)
    orders = [min(i + 1, order) for i in range(7)]
    assert distance(theirs, ours(corrected(DATA if data else NOISE, orders, *PAIRS[variant]), grid)) < TOLERANCE


@pytest.mark.parametrize("order, name", [(3, "ab3"), (4, "ab4")])
def test_variable_step_ipndm_of_three_points_misplaces_a_bracket(order, name):
    """``(1 - a b) / 2`` for ``(1 - a) b / 2``: the weights sum to one but are not exact for quadratic slopes."""
    theirs, grid = zhou("ipndm_v_sampler", max_order=order)
    apart = difference(theirs, ours(name, grid))
    assert (apart.row, apart.column) == (3, 1)
    code = author("diff-sampler", "diff-solvers-main", "solvers.py")

    def advance(power):
        """The third step and the integral, for ``dx / dsigma = sigma^power``."""

        def model(x, sigma, **options):
            return x - sigma * sigma**power

        x = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
        ends = [
            code.ipndm_v_sampler(model, x, t_steps=torch.tensor(SIGMAS[:n], dtype=torch.float64), max_order=order)
            for n in (3, 4)
        ]
        exact = (SIGMAS[3] ** (power + 1) - SIGMAS[2] ** (power + 1)) / (power + 1)
        return float((ends[1] - ends[0]).squeeze()), exact

    for power in (0, 1):
        got, exact = advance(power)
        assert got == pytest.approx(exact, rel=1e-12)
    got, exact = advance(2)
    assert abs(got - exact) > 0.05 * abs(exact)


def test_third_order_of_diff_sampler_lacks_the_factor_too():
    theirs, grid = zhou("dpm_pp_sampler", max_order=3, lower_order_final=False)
    apart = difference(theirs, ours("dpmpp_3m_corrected", grid))
    assert (apart.row, apart.column) == (3, 1)


def test_diff_sampler_lowers_its_order_to_the_steps_that_remain():
    theirs, grid = zhou("dpm_pp_sampler", max_order=3, lower_order_final=True)
    orders = [1, 2, 3, 3, 3, 2, 1]
    assert distance(theirs, ours(adams(DATA, orders, DPM_3M), grid)) < TOLERANCE


# --- Karras et al. 2022 ---


def test_the_sampler_of_edm_is_heun_on_our_grid_of_edm():
    sample = sampler_of_edm()

    class Net:
        sigma_min, sigma_max = 0.0, float("inf")
        round_sigma = staticmethod(torch.as_tensor)

        def __init__(self, model):
            self.model = model

        def __call__(self, x, sigma, labels):
            return self.model(x, sigma)

    n = 9
    levels = grids.edm(EDM, n)
    theirs, grid = by_sigma(
        lambda m, x: sample(Net(m), x, num_steps=n), [level.sigma for level in levels], start=1 / 80
    )
    assert len(grid) == n + 1
    assert distance(theirs, ours("heun", levels)) < TOLERANCE
