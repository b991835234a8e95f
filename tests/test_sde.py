"""Stochastic exponential samplers: their limits, their relatives, their laws, one path, and what is refused."""

from __future__ import annotations

import math
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.num import exp, log
from diffnum.order import prove
from diffnum.read.tableau import canonical, distance
from diffnum.solvers import ALL, sde_multistep, sde_singlestep
from diffnum.solvers import er_sde as er
from diffnum.weak_order import prove_weak
from theory import published_noise as published

PROCESS = dn.VP()
# not equally spaced in anything
LAMS = [-3.1, -2.2, -1.7, -0.4, 0.3, 0.5, 1.6, 2.9]
GRID = dn.grid.custom(PROCESS, lams=LAMS)
TO_DATA = dn.grid.custom(PROCESS, lams=[*LAMS, math.inf])
FROM_NOISE = dn.grid.custom(dn.Flow(), lams=[-math.inf, *LAMS])
FAMILIES = (*sde_multistep.__all__, *sde_singlestep.__all__, "er_sde_1", "er_sde_2", "er_sde_3", "er_sde_3_corrected")
RATED = tuple(n for n in FAMILIES if not n.startswith(("er_", "dpmpp_sde")))
CODED = ("sde_dpmpp_3m_coded", "sde_dpmpp_3s_coded")


def plan(name: str, grid: Any = GRID, **options: Any) -> Any:
    return dn.compile(ALL[name], grid, **options)


def quiet(name: str) -> dict[str, Any]:
    """The option with which a sampler draws nothing."""
    return {"phi": er.Power(0)} if name.startswith("er_") else {"eta": 0} if "dpmpp_sde" in name else {"rate": 0}


# --- without noise ---

LIMITS = [
    ("sde_dpmpp_1", "ddim"),
    ("sde_dpmpp_2m", "dpmpp_2m"),
    ("sde_dpmpp_2m_heun", "exp_ab2"),
    ("sde_dpmpp_3m_corrected", "exp_ab3"),
    ("sde_dpm_1", "dpm_solver_1"),
    ("sde_dpm_2m", "dpm_2m"),
    ("sde_dpm_2m_heun", "exp_ab2_noise"),
    ("sde_dpm_3m_corrected", "exp_ab3_noise"),
    ("sa_p2_exact", "exp_ab2"),
    ("sa_p2_noise", "exp_ab2_noise"),
    ("sa_p3_noise", "exp_ab3_noise"),
    ("sa_p4_noise", "exp_ab4_noise"),
    ("sa_p1c2", "unipc_1_bh1"),
    ("sa_p2c3", "unipc_2_bh1"),
    ("sa_p3c4", "unipc_3_bh1"),
    ("sde_dpmpp_2s", "dpmpp_2s"),
    ("sde_dpmpp_2s_coded", "dpmpp_2s"),
    ("sde_dpmpp_2s_heun", "res_2s"),
    ("sde_dpmpp_3s", "dpmpp_3s"),
    ("sde_dpmpp_3s_taylor", "dpmpp_3s_taylor"),
    ("seeds_1", "dpm_solver_1"),
    ("seeds_2", "dpm_solver_2"),
    ("seeds_3", "dpm_solver_3"),
    ("dpmpp_sde", "dpmpp_2s"),
    ("dpmpp_sde_independent", "dpmpp_2s"),
    ("er_sde_1", "ddim"),
]


@pytest.mark.parametrize("name, limit", LIMITS)
def test_without_noise_it_is_the_deterministic_sampler(name, limit):
    for grid in (GRID, TO_DATA):
        found = plan(name, grid, **quiet(name))
        assert not found.draws
        assert distance(found, plan(limit, grid)) < 1e-12


@pytest.mark.parametrize(
    "name, order",
    [
        ("sde_dpmpp_3m", 2),
        ("sde_dpmpp_3m_corrected", 3),
        ("sde_dpm_3m_corrected", 3),
        ("sde_dpmpp_3s", 3),
        ("seeds_3", 3),
        ("sa_p3", 3),
        ("er_sde_2", 2),
        ("er_sde_3", 2),
        ("er_sde_3_corrected", 3),
    ],
)
def test_third_orders_are_those_of_the_flow(name, order):
    def still(T: Any, grid: Any) -> None:
        ALL[name].build(T, grid, **quiet(name))

    assert prove(still).order == order


# --- relatives ---


@pytest.mark.parametrize("grid", [GRID, TO_DATA, FROM_NOISE], ids=["inner", "to data", "from noise"])
def test_of_rate_one_the_first_step_is_ancestral(grid):
    for found in (plan("sde_dpmpp_1", grid), plan("er_sde_1", grid, phi=er.Power(1))):
        assert distance(found, plan("ddpm_ancestral", grid)) < 1e-12


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1.0))
def test_ddim_with_eta_is_the_first_step_of_a_rate_that_depends_on_the_step(eta):
    def rate(s: Any, t: Any) -> float:
        h = t.lam - s.lam
        return -math.log1p(eta**2 * math.expm1(-2 * h)) / (2 * h)

    found = plan("sde_dpmpp_1", rate=rate)
    assert distance(found, plan("ddim_eta", eta=eta)) < 1e-11
    assert distance(found, dn.compile(dn.solvers.ddim_eta, GRID, eta=eta)) < 1e-11


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 2.5))
def test_gddim_on_a_scalar_process_is_the_first_step(strength):
    """Zhang et al. 2023: noise ``sigma_t^2 (1 - (snr_s / snr_t)^(lambda^2))``, and what is left is predicted noise."""

    def gddim(T: Any, grid: Any) -> None:
        for s, t in T.steps(grid):
            e = T.evaluate(T.x, s)
            share = ((s.alpha / s.sigma) / (t.alpha / t.sigma)) ** (2 * strength**2)
            T.x = t.alpha * e.data + (t.sigma * math.sqrt(share)) * e.noise
            T.x = T.x + (t.sigma * math.sqrt(1 - share)) * T.noise(s, t)

    if strength**2 > 1e-3:
        assert distance(dn.compile(gddim, GRID), plan("sde_dpmpp_1", rate=strength**2)) < 1e-10


@pytest.mark.parametrize("rate", [0.25, 1.0, 2.0])
def test_relatives_by_another_name(rate):
    one = {"rate": rate}
    assert distance(plan("seeds_1", **one), plan("sde_dpm_1", **one)) < 1e-13
    assert distance(plan("sa_p2_exact", **one), plan("sde_dpmpp_2m_heun", **one)) < 1e-13
    assert distance(plan("sa_p2_noise", **one), plan("sde_dpm_2m_heun", **one)) < 1e-13
    assert distance(plan("sa_p3_noise", **one), plan("sde_dpm_3m_corrected", **one)) < 1e-13
    assert distance(plan("er_sde_1", phi=er.Power(rate)), plan("sde_dpmpp_1", **one)) < 1e-12


@pytest.mark.parametrize("eta", [0.25, 1.0])
@pytest.mark.parametrize(
    "name, weight",
    [
        ("sde_dpmpp_1", published.sde_first),
        ("sde_dpmpp_2m", published.sde_midpoint),
        ("sde_dpmpp_2m_heun", published.sde_heun),
    ],
)
def test_the_steps_as_k_diffusion_writes_them(name, weight, eta):
    theirs = dn.compile(published.k_dpmpp_2m_sde, GRID, eta=eta, weight=weight)
    assert distance(theirs, plan(name, rate=eta)) < 1e-11


@pytest.mark.parametrize("name, order", [("sde_dpm_1", 1), ("sde_dpm_2m_heun", 2)])
def test_the_steps_on_the_noise_as_published(name, order):
    assert distance(dn.compile(published.sde_dpm_solver, GRID, order=order), plan(name)) < 1e-11


# --- ER-SDE ---


@settings(max_examples=15, deadline=None)
@given(st.floats(0.05, 2.0), st.sampled_from(["er_sde_2", "er_sde_3", "er_sde_3_corrected"]))
def test_quadrature_gives_the_closed_weights_of_powers(rate, name):
    found = plan(name, phi=lambda ratio: exp((1 + rate) * log(ratio)))
    assert distance(found, plan(name, phi=er.Power(rate))) < 1e-12


@pytest.mark.parametrize("name", ["er_sde_1", "er_sde_2", "er_sde_3"])
def test_phi_is_known_up_to_a_factor(name):
    scaled = plan(name, phi=lambda ratio: 7.0 * er.phi_exponential(ratio))
    assert distance(scaled, plan(name)) < 1e-12


def er_sde_as_coded(T: Any, grid: Any, points: int = 100) -> None:
    """Two data, and a left Riemann sum for the integral, as in the code of Cui et al."""
    old = None
    for s, t in T.steps(grid):
        D, high, low = T.denoise(T.x, s), s.sigma / s.alpha, t.sigma / t.alpha
        r = er.phi_exponential(low) / er.phi_exponential(high)
        x = (t.alpha / s.alpha * r) * T.x + (t.alpha * (1 - r)) * D
        if old is not None:
            nodes = [low + i / points * (high - low) for i in range(points)]
            whole = sum((high - low) / points / er.phi_exponential(u) for u in nodes)
            x = x + (t.alpha * (low - high + whole * er.phi_exponential(low)) / (high - old[1])) * (D - old[0])
        T.x = x + (t.alpha * math.sqrt(low**2 - high**2 * r**2)) * T.noise(s, t)
        old = D, high


def test_the_riemann_sum_of_the_code_tends_to_the_weights():
    exact = plan("er_sde_2")
    far = [distance(dn.compile(er_sde_as_coded, GRID, points=n), exact) for n in (100, 200, 400)]
    assert far[0] > 1e-4
    assert np.allclose(np.log2(np.divide(far[:-1], far[1:])), 1, atol=0.05)


# --- laws ---


def output(name: str, **options: Any) -> tuple[float, float, np.ndarray]:
    """Of the output over ``alpha_t``: coefficient of ``x_T / alpha_T``, sum over the data, draws."""
    table = canonical(plan(name, **options))
    row, m = table.matrix[-1], table.evaluations
    return float(row[0]), float(row[1 : 1 + m].sum()), row[1 + m :]


ON_DATA = tuple(n for n in RATED if "noise" not in n and not n.startswith(("seeds", "sde_dpm_")))


@settings(max_examples=10, deadline=None)
@given(st.floats(0.0, 3.0))
@pytest.mark.parametrize("name", ON_DATA)
def test_constant_data_are_reached_with_the_exact_law(name, rate):
    kept, data, draws = output(name, rate=rate)
    start, stop = GRID[0], GRID[-1]
    assert data == pytest.approx(1 - kept, rel=1e-11, abs=1e-11)
    spread = (kept * start.sigma / start.alpha) ** 2 + float(draws @ draws)
    assert spread == pytest.approx((stop.sigma / stop.alpha) ** 2, rel=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.1, 1.0), st.sampled_from(["dpmpp_sde", "dpmpp_sde_independent"]))
def test_constant_data_are_reached_with_any_eta_and_node(eta, r, name):
    kept, data, draws = output(name, eta=eta, r=r)
    start, stop = GRID[0], GRID[-1]
    assert data == pytest.approx(1 - kept, abs=1e-11)
    spread = (kept * start.sigma / start.alpha) ** 2 + float(draws @ draws)
    assert spread == pytest.approx((stop.sigma / stop.alpha) ** 2, rel=1e-10)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_step_to_the_data_gives_data(name):
    found = canonical(plan(name, TO_DATA)).matrix[-1]
    assert np.abs(found).sum() == pytest.approx(np.abs(found).max()) == pytest.approx(1.0)


@pytest.mark.parametrize("name", FAMILIES)
def test_from_pure_noise_the_state_is_forgotten(name):
    found = plan(name, FROM_NOISE)
    after = found.lines[found.states[1] - 1]
    assert 0 not in [r for r, c in after.terms if c != 0]


# --- one path ---


def steps(name: str, n: int, source: Any, predict: Any) -> np.ndarray:
    grid = dn.grid.log_snr(PROCESS, n, PROCESS.at(-2.0), PROCESS.at(2.0))
    x = np.linspace(-2.0, 2.0, 5)[:, None] * np.ones(3)
    kind = "noise" if predict == "noise" else "data"
    constant = np.full((1, 3), 0.7)
    return dn.sample(
        dn.compile(ALL[name], grid, kind), lambda x, level: np.broadcast_to(constant, x.shape), x, noise=source
    )


@pytest.mark.parametrize("name", ["sde_dpmpp_1", "sde_dpmpp_2m", "sde_dpmpp_2s", "sde_dpmpp_3s", "sa_p3c4"])
def test_constant_data_are_reached_along_one_path_whatever_the_grid(name):
    ends = [steps(name, n, dn.noise.Brownian(3), "data") for n in (4, 8, 20)]
    assert np.abs(ends[0] - ends[2]).max() < 1e-10 and np.abs(ends[1] - ends[2]).max() < 1e-10


@pytest.mark.parametrize("name", ["sde_dpm_1", "sde_dpm_2m", "seeds_2", "seeds_3", "sa_p2c3_noise"])
def test_constant_noise_is_reached_along_one_path_whatever_the_grid(name):
    ends = [steps(name, n, dn.noise.Brownian(3, rate=-1.0), "noise") for n in (4, 8, 20)]
    assert np.abs(ends[0] - ends[2]).max() < 1e-10 and np.abs(ends[1] - ends[2]).max() < 1e-10


# --- weak orders at other options ---


@pytest.mark.full
@pytest.mark.parametrize(
    "name, options",
    [
        ("sde_dpmpp_2s", {"r": F(1, 3), "rate": F(3, 4)}),
        ("seeds_2", {"r": F(2, 3)}),
        ("sa_p2", {"rate": lambda s, t: s.sigma * t.sigma}),
        ("sde_dpmpp_3m", {"rate": F(1, 3)}),
        ("dpmpp_sde", {"eta": F(1, 2), "r": F(1, 3)}),
        ("er_sde_3_corrected", {"phi": er.Power(F(1, 2))}),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_weak_order_two_at_any_option(name, options):
    proof = prove_weak(ALL[name].with_options(**options), seeds=(1,))
    assert (proof.order, proof.cold) == (2, 2)


@pytest.mark.parametrize("name", ["sde_dpmpp_2s_coded", "dpmpp_sde_independent"])
def test_noise_drawn_apart_misses_what_node_and_end_share(name):
    assert "f_yy(z, D_y(z)) at h^2" in prove_weak(ALL[name], seeds=(1,)).violated


def test_b06_converges_to_a_variance_that_is_not_the_laws():
    law = dn.Gaussian(np.array([0.5, -1.0]), np.array([0.1, 2.5]))
    errors = []
    for n in (16, 64, 256):
        found = dn.compile("sde_dpmpp_3s_coded", dn.grid.log_snr(PROCESS, n, PROCESS.at(-3.0), PROCESS.at(3.0)))
        variance = dn.moments(found, law)[1]
        errors.append(np.abs(variance - found.stop.alpha**2 * np.array([0.1, 2.5]) - found.stop.sigma**2).max())
    # what more steps change vanishes, and the error stays
    assert abs(errors[2] - errors[1]) < abs(errors[1] - errors[0]) / 2
    assert min(errors) > 10 * law.variances.max()


# --- what is refused ---


def test_a_negative_rate_is_no_variance():
    for build in (lambda: plan("sde_dpmpp_2m", rate=-0.5), lambda: er.Power(-0.5)):
        with pytest.raises(ValueError, match=r"rate = -0\.5 is no variance"):
            build()


def test_an_unknown_option_is_named():
    with pytest.raises(TypeError, match=r"c2 = 0\.5 is not an option of this sampler; its options: rate, r"):
        plan("sde_dpmpp_2s", c2=0.5)
