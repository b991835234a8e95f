"""The authors' own codes on a VP process, coefficient by coefficient: DPM-Solver, UniPC, DEIS, PNDM.

Skipped where the folder of peers is absent, see peers_authors; what they have wrong is named after its number in the
table of known defects.
"""

from functools import partial

import pytest
import torch
from peers import TOLERANCE, Recorder, difference, distance, grid_of, ours
from peers_authors import author, by_time, deis, needed, quiet
from peers_rules import PAIRS, adams, corrected, inner_levels, lowered, plms, prk

from diffnum.solvers.coords import DATA
from diffnum.solvers.multistep import DPM_3M

needed()

LATEST, EARLIEST = 1.0, 0.02


def times_of(solver, skip, n):
    return [float(t) for t in solver.get_time_steps(skip, LATEST, EARLIEST, n, "cpu")]


# --- Lu et al. 2022 ---


def dpm(algorithm, n, skip="logSNR", nodes=None, **options):
    """Their sampler and its grid; ``nodes`` of one step are left out of the grid."""
    code = author("dpm-solver", "dpm_solver_pytorch.py")
    with quiet():
        schedule = code.NoiseScheduleVP("linear", continuous_beta_0=0.1, continuous_beta_1=20.0, dtype=torch.float64)
        walk = times_of(code.DPM_Solver(None, schedule, algorithm), skip, n)

    def sample(model, x):
        solver = code.DPM_Solver(model, schedule, algorithm_type=algorithm)
        return solver.sample(x, steps=n, t_start=LATEST, t_end=EARLIEST, skip_type=skip, **options)

    return by_time(sample, walk[:: nodes or 1])


MULTISTEP = [
    ("dpmsolver++", "dpmsolver", 1, "dpmpp_1"),
    ("dpmsolver++", "dpmsolver", 2, "dpmpp_2m"),
    ("dpmsolver++", "taylor", 2, "exp_ab2"),
    ("dpmsolver++", "dpmsolver", 3, "dpmpp_3m"),
    ("dpmsolver", "dpmsolver", 1, "dpm_solver_1"),
    ("dpmsolver", "dpmsolver", 2, "dpm_2m"),
    ("dpmsolver", "taylor", 2, "exp_ab2_noise"),
    ("dpmsolver", "dpmsolver", 3, "dpm_3m"),
]


@pytest.mark.parametrize("skip", ["logSNR", "time_uniform", "time_quadratic"])
@pytest.mark.parametrize("algorithm, kind, order, name", MULTISTEP)
def test_multistep_dpm_solver(algorithm, kind, order, name, skip):
    theirs, grid = dpm(algorithm, 9, skip, order=order, method="multistep", solver_type=kind, lower_order_final=False)
    assert distance(theirs, ours(name, grid)) < TOLERANCE


@pytest.mark.parametrize("algorithm, name", [("dpmsolver++", "dpmpp_3m"), ("dpmsolver", "dpm_3m")])
def test_b01_the_factor_is_missing_at_its_source(algorithm, name):
    theirs, grid = dpm(algorithm, 8, order=3, method="multistep", lower_order_final=False)
    apart = difference(theirs, ours(f"{name}_corrected", grid))
    assert (apart.row, apart.column) == (3, 1)


@pytest.mark.parametrize("order", [2, 3])
def test_multistep_dpm_solver_lowers_its_order_at_the_end_of_fewer_than_ten_steps(order):
    for n in (8, 10):
        theirs, grid = dpm("dpmsolver++", n, order=order, method="multistep", lower_order_final=True)
        assert distance(theirs, ours(adams(DATA, lowered(n, order, low=n < 10), DPM_3M), grid)) < TOLERANCE


SINGLESTEP = [
    ("dpmsolver++", "dpmsolver", 2, "dpmpp_2s"),
    ("dpmsolver++", "taylor", 2, "res_2s"),
    ("dpmsolver++", "dpmsolver", 3, "dpmpp_3s"),
    ("dpmsolver++", "taylor", 3, "dpmpp_3s_taylor"),
    ("dpmsolver", "dpmsolver", 2, "dpm_solver_2"),
    ("dpmsolver", "taylor", 2, "dpm_solver_2_taylor"),
    ("dpmsolver", "dpmsolver", 3, "dpm_solver_3"),
    ("dpmsolver", "taylor", 3, "dpm_solver_3_taylor"),
]


@pytest.mark.parametrize("algorithm, kind, order, name", SINGLESTEP)
def test_singlestep_dpm_solver_on_equal_steps_of_log_snr(algorithm, kind, order, name):
    theirs, grid = dpm(algorithm, 3 * order, nodes=order, order=order, method="singlestep_fixed", solver_type=kind)
    # its inner levels come back through t with the rounding of a square root
    assert distance(theirs, ours(name, grid)) < TOLERANCE


# --- Zhao et al. 2023 ---


def unipc(variant, n, skip="logSNR", data=True, **options):
    code = author("UniPC", "uni_pc.py")
    kind = "data_prediction" if data else "noise_prediction"
    with quiet():
        schedule = code.NoiseScheduleVP("linear", continuous_beta_0=0.1, continuous_beta_1=20.0, dtype=torch.float64)
        walk = times_of(code.UniPC(None, schedule), skip, n)

    def sample(model, x):
        solver = code.UniPC(model, schedule, algorithm_type=kind, variant=variant)
        # their einsum wants images
        return solver.sample(x[:, :, None, None], steps=n, t_start=LATEST, t_end=EARLIEST, skip_type=skip, **options)

    return by_time(sample, walk)


@pytest.mark.parametrize("skip", ["logSNR", "time_uniform"])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])
def test_unipc_bh2_on_the_data(order, skip):
    theirs, grid = unipc("bh2", 10, skip, order=order, lower_order_final=False)
    assert distance(theirs, ours(f"unipc_{order}", grid)) < TOLERANCE


@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_bh1_and_on_the_noise(order):
    theirs, grid = unipc("bh1", 10, order=order, lower_order_final=False)
    assert distance(theirs, ours(f"unipc_{order}_bh1", grid)) < TOLERANCE
    theirs, grid = unipc("bh2", 10, data=False, order=order, lower_order_final=False)
    assert distance(theirs, ours(f"unipc_{order}_noise", grid)) < TOLERANCE


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [2, 3])
def test_unipc_lowers_its_order_at_the_end(order, variant):
    theirs, grid = unipc(variant, 8, order=order, lower_order_final=True)
    # with order - 1 steps of start-up that are not lowered
    orders = [min(i + 1, order) if i + 1 < order else min(order, 8 - i) for i in range(8)]
    assert distance(theirs, ours(corrected(DATA, orders, *PAIRS[variant]), grid)) < TOLERANCE


def test_unipc_1_with_varying_coefficients():
    theirs, grid = unipc("vary_coeff", 10, order=1, lower_order_final=False)
    assert distance(theirs, ours("unipc_1_vary", grid)) < TOLERANCE


@pytest.mark.parametrize("order", [2, 3])
def test_b08_unipc_with_varying_coefficients_is_our_coded_one_of_order_one(order):
    theirs, grid = unipc("vary_coeff", 10, order=order, lower_order_final=False)
    assert distance(theirs, ours(f"unipc_{order}_vary_coded", grid)) < TOLERANCE
    apart = difference(theirs, ours(f"unipc_{order}_vary", grid))
    # the start and its prediction are right, and so is the first correction
    assert apart.row > 2


# --- Zhang & Chen 2023 ---


def deis_plan(n, phase="rho", power=7, **options):
    code = deis()
    with quiet():
        sde = code.VPSDE(*code.get_linear_alpha_fns(0.1, 20.0), EARLIEST, LATEST)
        from importlib import import_module

        walk = [float(t) for t in import_module("th_deis.sde").get_rev_ts(sde, n, power, phase)]
    return by_time(lambda model, x: code.get_sampler(sde, model, phase, power, n, **options)(x), walk)


RHO_RK = {
    "1euler": "ddim",
    "2heun": "rho_heun",
    "3kutta": "rho_kutta3",
    "3heun": "rho_heun3",
    "3vdh": "rho_vdh3",
    "3ssprk": "rho_ssp33",
    "4rk": "rho_rk4",
}


@pytest.mark.parametrize("method", RHO_RK)
def test_rho_rk_of_deis(method):
    theirs, grid = deis_plan(5, method="rho_rk", rk_method=method)
    assert distance(theirs, ours(RHO_RK[method], grid)) < TOLERANCE


@pytest.mark.parametrize("points, name", [(2, "deis_rhoab_2"), (3, "deis_rhoab_3"), (4, "deis_rhoab_4")])
def test_rho_ab_of_deis_but_for_its_quadrature(points, name):
    """A left Riemann sum of ten thousand nodes."""
    theirs, grid = deis_plan(7, method="rho_ab", ab_order=points - 1)
    assert TOLERANCE < distance(theirs, ours(name, grid)) < 1e-3


def test_ipndm_of_deis():
    theirs, grid = deis_plan(8, "t", 1, method="ipndm")
    assert distance(theirs, ours("ipndm_4", grid)) < TOLERANCE


# --- Liu et al. 2022 ---


def pndm(method, n):
    """Their runner's loop: ``alphas_cump`` holds 1 and then the table, and is read at ``t + 1``."""
    code = author("PNDM", "runner", "method.py")
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    table = torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)])
    seq = list(range(0, 1000, 1000 // n))
    ratio = ((1 - table) / table).sqrt()
    model, past = Recorder(64), []
    with quiet():
        x = model.start().reshape(1, 1, 1, -1)

        def noise(img, t):
            level = grid_of([2 * ratio[t.long() + 1], ratio[t.long() + 1]])[1]
            return model(img, level, "noise", t)

        for i, j in zip(reversed(seq), reversed([-1, *seq[:-1]]), strict=True):
            t, t_next = (torch.full((1,), float(k)) for k in (i, j))
            x = code.choose_method(method)(x, t, t_next, noise, table, past)
        grid = grid_of([*(float(ratio[i + 1]) for i in reversed(seq)), 0.0])
        return model.plan(x, grid[0], grid[-1]), grid


def test_their_ddim():
    theirs, grid = pndm("DDIM", 10)
    assert distance(theirs, ours("ddim", grid)) < TOLERANCE


def test_s_pndm_is_two_points_with_constant_weights_after_heun():
    theirs, grid = pndm("S-PNDM", 10)
    assert distance(theirs, ours(partial(plms, points=2), grid)) < TOLERANCE


def test_f_pndm_is_four_points_after_three_steps_of_the_classical_method():
    theirs, grid = pndm("F-PNDM", 10)
    assert distance(theirs, ours(prk(inner_levels(theirs)), grid)) < TOLERANCE
