"""Ancestral, churned, restarted and Langevin-corrected samplers: identities, exact cases, biases and their sizes."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.noise import Brownian
from diffnum.num import expm1, phi
from diffnum.read.tableau import distance
from diffnum.solvers import ALL
from diffnum.solvers.churn import LARGEST
from diffnum.solvers.langevin import corrector
from diffnum.targets import Mixture1D
from diffnum.weak_order import prove_weak
from diffnum.witness import gaussian, law_errors, norm

VP = dn.VP()


def grid(n: int = 8, low: float = -3.0, high: float = 3.0, process: Any = VP) -> Any:
    return dn.grid.log_snr(process, n, process.at(low), process.at(high))


def bias(name: Any, n: int, high: float = 3.0, **options: Any) -> float:
    levels = grid(n, high=high)
    return norm(np.concatenate(law_errors(dn.compile(name, levels, **options), gaussian())))


def slopes(name: Any, counts: tuple[int, ...] = (64, 128, 256), **options: Any) -> list[float]:
    errors = [math.log2(bias(name, n, **options)) for n in counts]
    return [a - b for a, b in pairwise(errors)]


# --- the variance of DDPM ---


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=3, max_size=6, unique_by=lambda lam: round(lam, 2)))
def test_the_ends_of_the_range_are_the_two_variances(lams):
    levels = dn.grid.custom(VP, lams=sorted(lams))
    for v, name in ((0.0, "ddpm_ancestral"), (1.0, "ddpm_ancestral_large")):
        assert distance(dn.compile("ddpm_ancestral_range", levels, v=v), dn.compile(name, levels)) < 1e-12


@pytest.mark.parametrize("name, variance, exact", [("ddpm_ancestral", 0.0, True), ("ddpm_ancestral_large", 1.0, True)])
def test_each_variance_is_exact_for_the_data_that_it_is_meant_for(name, variance, exact):
    plan = dn.compile(name, grid(3))
    law = dn.Gaussian(np.zeros(1), np.array([max(variance, 1e-30)]))
    other = dn.Gaussian(np.zeros(1), np.array([0.4]))
    assert (norm(law_errors(plan, law)[1]) < 1e-12) is exact
    assert norm(law_errors(plan, other)[1]) > 1e-3


# --- ancestral steps ---


ANCESTRAL = [name for name in ALL if "_ancestral" in name and not name.startswith("ddpm")]


@pytest.mark.parametrize("name, still", [("dpmpp_2s_ancestral", "dpmpp_2s"), ("kdpm2_ancestral", "kdpm2"),
                                         ("euler_ancestral", "ddim"), ("dpmpp_2s_ancestral_rf", "dpmpp_2s"),
                                         ("euler_ancestral_rf", "ddim")])  # fmt: skip
def test_without_noise_an_ancestral_step_is_the_step_that_goes_down(name, still):
    assert distance(dn.compile(name, grid(), eta=0.0), dn.compile(still, grid())) < 1e-11


@pytest.mark.parametrize("name", ANCESTRAL)
def test_other_shares_of_noise_keep_the_order(name):
    order = ALL[name].order
    assert all(s > order - 0.2 for s in slopes(name, eta=0.5))
    with pytest.raises(ValueError, match=r"eta = 1\.5"):
        dn.compile(name, grid(), eta=1.5)


@pytest.mark.parametrize("name", [n for n in ANCESTRAL if n.endswith("rf")])
def test_ancestral_steps_on_flows_are_of_their_order_on_flows(name):
    process, law = dn.Flow(), gaussian()
    errors = [norm(np.concatenate(law_errors(dn.compile(name, grid(n, process=process)), law))) for n in (64, 128, 256)]
    found = [math.log2(a / b) for a, b in pairwise(errors)]
    assert abs(found[-1] - ALL[name].order) < 0.15


def test_a_fixed_share_of_fresh_noise_never_converges():
    assert abs(slopes("ucgm_renoise")[-1]) < 0.1 and bias("ucgm_renoise", 256) > 1e-2
    assert distance(dn.compile("ucgm_renoise", grid(), rho=1.0), dn.compile("renoise", grid())) < 1e-14
    assert distance(dn.compile("ucgm_renoise", grid(), rho=0.0), dn.compile("ddim", grid())) < 1e-14


def test_the_automatic_share_of_one_step():
    process = dn.Flow()
    for times, share in (((0.6, 0.55), 2 * 0.6 * 0.05 / 0.55**2), ((0.9, 0.2), 1.0)):
        step = dn.grid.custom(process, times=times)
        expected = dn.compile("ucgm_renoise", step, rho=share)
        for name in ("ucgm_auto", "ucgm_auto_coded"):
            assert distance(dn.compile(name, step), expected) < 1e-13
    two = dn.grid.custom(process, times=(0.6, 0.55, 0.5))
    assert distance(dn.compile("ucgm_auto", two), dn.compile("ucgm_auto_coded", two)) > 1e-3


# --- churn ---


@pytest.mark.parametrize("kind", ["euler", "edm", "kdpm2"])
def test_published_churn_is_the_refined_one_where_log_snr_is_equally_spaced(kind):
    levels = grid(12)
    published = dn.compile(f"{kind}_churn", levels, churn=3.0)
    assert distance(published, dn.compile(f"{kind}_churn_refined", levels, churn=3.0 / 6)) < 1e-11


@pytest.mark.parametrize("kind, still", [("euler", "ddim"), ("edm", "rho_heun"), ("kdpm2", "kdpm2")])
def test_without_churn_it_is_the_step_that_goes_down(kind, still):
    assert distance(dn.compile(f"{kind}_churn", grid(), churn=0.0), dn.compile(still, grid())) < 1e-11


@pytest.mark.parametrize("kind, order", [("euler", 1), ("edm", 2), ("kdpm2", 2)])
def test_published_churn_converges_as_the_number_of_steps_makes_gamma_small(kind, order):
    assert abs(slopes(f"{kind}_churn", (128, 256, 512), churn=3.0)[-1] - order) < 0.15


@pytest.mark.parametrize(
    "kind, power",
    [
        ("euler_churn", 1),
        pytest.param("euler_churn_coded", 1, marks=pytest.mark.full),
        ("edm_churn", 2),
        pytest.param("kdpm2_churn", 2, marks=pytest.mark.full),
    ],
)
def test_at_a_fixed_gamma_a_bias_of_its_power_stays(kind, power):
    """Where the run stops at much noise; where it stops at little, the bias there is small and comes late."""
    at = {gamma: bias(kind, 2048, 0.0, churn=2048 * gamma) for gamma in (0.2, 0.1)}
    assert bias(kind, 1024, 0.0, churn=1024 * 0.2) / at[0.2] == pytest.approx(1, abs=0.05)
    assert math.log2(at[0.2] / at[0.1]) == pytest.approx(power, abs=0.15)


def test_more_noise_than_its_level_has_leaves_a_bias_however_many_steps():
    assert abs(slopes("edm_churn", churn=3.0, noise=1.007)[-1]) < 0.2
    assert bias("edm_churn", 512, churn=3.0, noise=1.007) > 50 * bias("edm_churn", 512, churn=3.0)


def test_only_levels_between_the_bounds_are_churned():
    levels = grid(10)
    ratios = [level.sigma / level.alpha for level in levels.levels[:-1]]
    plan = dn.compile("edm_churn", levels, tmin=0.3, tmax=2.0)
    assert len(plan.draws) == sum(0.3 <= r <= 2.0 for r in ratios) > 2


def test_churn_draws_in_the_interval_above_the_level():
    plan = dn.compile("edm_churn_refined", grid(4))
    for r in plan.draws:
        line: Any = plan.lines[r - 1]
        assert line.s.lam > line.t.lam


def test_where_the_process_has_no_more_noise_nothing_is_churned():
    levels = dn.grid.log_snr(VP, 10)
    room = [level.lam - math.log1p(LARGEST) > VP.lam(1.0) for level in levels.levels[:-1]]
    for name in ("edm_churn", "euler_churn", "euler_churn_coded"):
        assert len(dn.compile(name, levels).draws) == sum(room) == 9
    with pytest.raises(ValueError, match="churn = -1"):
        dn.compile("edm_churn", grid(), churn=-1.0)


# --- restart ---


def test_restart_without_restarts_is_heun():
    assert distance(dn.compile("restart", grid(), times=0), dn.compile("rho_heun", grid())) < 1e-11
    assert dn.compile("restart", grid(), at=()).nfe == dn.compile("rho_heun", grid()).nfe


@pytest.mark.parametrize("options", [{"times": 3}, {"back": 2}, {"back": 3, "times": 2}])
def test_restart_over_more_levels_or_times_keeps_the_order(options):
    assert abs(slopes("restart", (128, 256, 512), **options)[-1] - 2) < 0.2


def test_restart_over_an_interval_costs_its_steps_again():
    levels = grid(10)
    plan = dn.compile("restart", levels, at=(7,), back=4, times=2)
    assert plan.nfe == 2 * (10 + 2 * 4)
    assert len(plan.draws) == 2
    drawn: list[Any] = [plan.lines[r - 1] for r in plan.draws]
    assert {(line.s, line.t) for line in drawn} == {(levels[7], levels[3])}


def test_restart_as_the_paper_writes_it():
    """Algorithm 1 on VE: ODE to ``t_min``; noise to ``t_max``, ODE back, ``K`` times; ODE on."""

    def algorithm(T: Any, levels: Any) -> None:
        def heun(x: Any, s: Any, t: Any) -> Any:
            d = (x - T.denoise(x, s)) / s.sigma
            x_ = x + (t.sigma - s.sigma) * d
            return x + ((t.sigma - s.sigma) / 2) * (d + (x_ - T.denoise(x_, t)) / t.sigma)

        for i, (s, t) in enumerate(T.steps(levels)):
            x = heun(T.x, s, t)
            if i == 5:
                for _ in range(3):
                    x = x + math.sqrt(levels[3].sigma ** 2 - t.sigma**2) * T.noise(t, levels[3])
                    for k in (3, 4, 5):
                        x = heun(x, levels[k], levels[k + 1])
            T.x = x

    levels = grid(9, process=dn.EDM())
    assert distance(dn.compile("restart", levels, at=(6,), back=3, times=3), dn.compile(algorithm, levels)) < 1e-11


# --- predictors and correctors of score SDEs ---


def test_reverse_diffusion_on_an_exploding_process_is_the_exponential_step_of_its_sde():
    """Without a linear drift the score is frozen in both: ``x + (sigma_s^2 - sigma_t^2) score`` and as much noise."""

    def written(T: Any, levels: Any) -> None:
        for s, t in T.steps(levels):
            grown = s.sigma**2 - t.sigma**2
            T.x = T.x + grown * T.evaluate(T.x, s).score + math.sqrt(grown) * T.noise(s, t)

    levels = grid(9, process=dn.EDM())
    assert distance(dn.compile("reverse_diffusion", levels), dn.compile(written, levels)) < 1e-12


def test_correctors_that_shrink_remove_the_bias_that_fixed_ones_keep():
    at = {snr: bias("reverse_diffusion_pc", 2048, 0.0, snr=snr) for snr in (0.32, 0.16)}
    assert math.log2(at[0.32] / at[0.16]) == pytest.approx(2, abs=0.15)
    assert bias("reverse_diffusion_pc", 1024, 0.0) / at[0.16] == pytest.approx(1, abs=0.05)
    assert slopes("reverse_diffusion_pc_refined", times=2)[-1] == pytest.approx(1, abs=0.1)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.05, 0.8), st.floats(0.1, 5.0))
def test_one_underdamped_step_from_a_fresh_velocity_is_an_overdamped_one(time, damping):
    def overdamped(T: Any, levels: Any) -> None:
        for s, t in T.steps(levels):
            e = T.evaluate(T.x, s)
            T.x = t.alpha * e.data + t.sigma * e.noise
            corrector(T, s, t, time**2 * phi(2, -damping))

    law = gaussian()
    one = dn.moments(dn.compile("underdamped_corrector", grid(), time=time, damping=damping, times=1), law)
    two = dn.moments(dn.compile(overdamped, grid()), law)
    assert np.allclose(one, two, rtol=1e-11, atol=1e-12)


def test_underdamped_steps_leave_the_law_of_their_level_but_for_the_square_of_their_length():
    at = {time: bias("underdamped_corrector", 2048, 0.0, time=time, times=3) for time in (0.4, 0.2)}
    assert math.log2(at[0.4] / at[0.2]) == pytest.approx(2, abs=0.2)


def test_underdamped_steps_whose_square_shrinks_with_the_grid_converge():
    def refined(n: int) -> float:
        time = math.sqrt(-0.5 * expm1(-2 * 6 / n))
        return bias("underdamped_corrector", n, time=time)

    assert math.log2(refined(128) / refined(256)) == pytest.approx(1, abs=0.15)


# --- stochastic Runge-Kutta ---


@lru_cache
def end_of_path(sampler: str, n: int) -> Any:
    """Where 200 samples of a mixture, whose drift is curved, end along their own Brownian paths."""
    law = dn.Product1D((Mixture1D(np.array([0.4, 0.6]), np.array([-1.0, 0.8]), np.array([0.5, 0.6])),))
    x = law.sample(200, 1, VP.at(-1.5))
    return dn.sample(dn.compile(sampler, grid(n, -1.5, 1.5)), law, x, Brownian(3))


@pytest.mark.parametrize(
    "name, order",
    [
        ("platen", 1.0),
        ("sra1", 1.5),
        pytest.param("sra3", 1.5, marks=pytest.mark.full),
        pytest.param("shark", 1.5, marks=pytest.mark.full),
    ],
)
def test_strong_order_along_one_brownian_path(name, order):
    exact = end_of_path("sra3", 256)
    errors = [math.sqrt(float(((end_of_path(name, n) - exact) ** 2).mean())) for n in (8, 16, 32)]
    found = [math.log2(a / b) for a, b in pairwise(errors)]
    assert found[-1] > order - 0.15
    assert name != "platen" or found[-1] < 1.3


@pytest.mark.parametrize("name", ["platen", "sra1", "sra3", "shark"])
def test_constant_data_are_reached_exactly(name):
    law = dn.Gaussian(np.array([0.7]), np.array([1e-30]))
    errors = law_errors(dn.compile(name, grid(3)), law)
    assert norm(np.concatenate(errors)) < 1e-12


def test_sra_of_no_noise_is_its_table():
    for name, nodes in (("platen", 2), ("sra1", 2), ("sra3", 3), ("shark", 2)):
        assert dn.compile(name, grid(4)).nfe == 4 * nodes


def test_edm_sde_without_noise_is_heun():
    assert distance(dn.compile("karras_sde_heun", grid(), rate=0.0), dn.compile("rho_heun", grid())) < 1e-11


@pytest.mark.parametrize("rate", [0.25, 1.0, 2.0])
def test_edm_sde_is_of_weak_order_two_for_other_rates(rate):
    proof = prove_weak(ALL["karras_sde_heun"].with_options(rate=rate), seeds=(1,))
    assert proof.order == 2


@pytest.mark.parametrize("norm_, power", [(1.0, 0), (2.0, 1), (1.0, 2)])
def test_any_diffusion_gives_the_marginals_of_a_flow(norm_, power):
    process, law = dn.Flow(), gaussian()
    for name in ("flow_sde", "flow_sde_heun"):
        errors = [
            norm(np.concatenate(law_errors(dn.compile(name, grid(n, process=process), norm=norm_, power=power), law)))
            for n in (128, 256)
        ]
        assert math.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.2)


def test_flow_sde_without_diffusion_is_euler_or_heun():
    levels = grid(process=dn.Flow())
    assert distance(dn.compile("flow_sde", levels, norm=0.0), dn.compile("euler", levels)) < 1e-12
    assert distance(dn.compile("flow_sde_heun", levels, norm=0.0), dn.compile("heun", levels)) < 1e-12
