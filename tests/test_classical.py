"""Classical methods in every variable: against the same tables on an ODE written out, and against one another."""

from functools import partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
import sympy

import diffnum as dn
from diffnum.adaptive.pairs import PAIRS
from diffnum.order import prove
from diffnum.read.tableau import distance
from diffnum.solvers import ALL, adams, classical, implicit
from diffnum.solvers import generated as g
from diffnum.solvers.classical import RALSTON4, TSITOURAS5
from diffnum.solvers.coords import CLOCK, LOG_SNR, RATIO
from diffnum.solvers.rules import adams as bashforth
from diffnum.solvers.rules import runge_kutta
from diffnum.solvers.surd import root
from diffnum.solvers.tables import Table
from diffnum.witness import Run, alternating, nonlinear, norm, uniform
from theory import book, errors
from theory.published_multistep import lms

VP: Any = dn.VP()
COORDS = {"": CLOCK, "rho_": RATIO, "log_snr_": LOG_SNR}
TABLES = {
    "euler": g.EULER,
    "heun": g.HEUN2,
    "midpoint": g.MIDPOINT,
    "ralston2": g.RALSTON2,
    "kutta3": g.KUTTA3,
    "ralston3": g.RALSTON3,
    "ssp33": g.SSP33,
    "rk4": g.RK4,
    "three_eighths": g.THREE_EIGHTHS,
    "ralston4": RALSTON4,
    "fehlberg5": g.FEHLBERG5,
    "dormand_prince5": g.DORMAND_PRINCE5,
    "tsitouras5": TSITOURAS5,
}


def plan(sampler, process=VP):
    return dn.compile(sampler, alternating(process, 6))


def named(prefix, name):
    """A sampler of the family; Euler's method in ``sigma / alpha`` has an older name."""
    return ALL["ddim" if prefix + name == "rho_euler" else prefix + name]


# --- each in each variable, against the ODE written out ---


def clock_slope(target, x, lam):
    level = VP.at(lam)
    rate = VP.beta_min + level.t * (VP.beta_max - VP.beta_min)
    return -rate / 2 * (x + target.score(x, level)), level.t


def ratio_slope(target, y, lam):
    level = VP.at(lam)
    return target.predict(level.alpha * y, level, "noise"), level.sigma / level.alpha


def log_snr_slope(target, x, lam):
    level = VP.at(lam)
    D, noise = (target.predict(x, level, quantity) for quantity in ("data", "noise"))
    return level.alpha * level.sigma**2 * D - level.sigma * level.alpha**2 * noise, lam


# the slope and the variable at a log-SNR, the log-SNR at the variable, the factor between the state and x
ODES = {
    "": (clock_slope, VP.lam, lambda level: 1.0),
    "rho_": (ratio_slope, lambda rho: -np.log(rho), lambda level: level.alpha),
    "log_snr_": (log_snr_slope, lambda lam: lam, lambda level: 1.0),
}


def by_hand(prefix, table, target, x, levels):
    """A Runge-Kutta table in float64 on the ODE of a variable."""
    slope, inverse, factor = ODES[prefix]
    y = x / factor(levels[0])
    for s, t in pairwise(levels):
        start, end = (slope(target, y, level.lam)[1] for level in (s, t))
        slopes = []
        for c, row in zip(table.nodes, table.matrix, strict=True):
            stage = y + (end - start) * sum((float(a) * k for a, k in zip(row, slopes, strict=True)), 0 * y)
            slopes.append(slope(target, stage, inverse(start + float(c) * (end - start)))[0])
        y = y + (end - start) * sum(float(b) * k for b, k in zip(table.weights, slopes, strict=True))
    return y * factor(levels[-1])


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("prefix", COORDS)
def test_every_method_in_every_variable_is_its_table_on_that_ode(prefix, name):
    levels = alternating(VP, 4).levels
    run = Run.of(nonlinear(), levels[0])
    ours = dn.sample(dn.compile(named(prefix, name), alternating(VP, 4)), run.target, run.x)
    assert norm(ours - by_hand(prefix, TABLES[name], run.target, run.x, levels)) < 1e-11


@pytest.mark.parametrize("points", range(1, 6))
@pytest.mark.parametrize("prefix", COORDS)
def test_adams_bashforth_of_one_to_five_points_has_a_name_in_every_variable(prefix, points):
    name = {"": f"ab{points}", "rho_": f"deis_rhoab_{points}", "log_snr_": f"log_snr_ab{points}"}[prefix]
    name = {1: named(prefix, "euler").name, 5: f"{prefix}ab5"}.get(points, name)
    assert distance(plan(ALL[name]), plan(bashforth(COORDS[prefix], points))) < 1e-13


# --- one method with two names, and two methods with two ---


def test_euler_in_sigma_over_alpha_is_ddim():
    assert distance(plan(ALL["ddim"]), plan(runge_kutta(RATIO, g.EULER))) < 1e-13


@pytest.mark.parametrize("points", [1, 2, 3, 4])
def test_linear_multistep_of_the_reference_code_is_deis_where_alpha_is_one(points):
    ours = ALL["ddim" if points == 1 else f"deis_rhoab_{points}"]
    assert distance(plan(ours, dn.EDM()), plan(partial(lms, order=points), dn.EDM())) < 1e-12


@pytest.mark.parametrize("prefix", COORDS)
def test_the_third_order_member_of_bogacki_and_shampine_is_ralstons(prefix):
    pair = g.BOGACKI_SHAMPINE3_EMBEDDED
    member = Table(pair.nodes[:3], pair.matrix[:3], pair.matrix[3])
    assert distance(plan(named(prefix, "ralston3")), plan(runge_kutta(COORDS[prefix], member))) < 1e-13


@pytest.mark.parametrize("pair", [name for name in PAIRS if not name.startswith(("trig", "dpm"))])
def test_pairs_step_with_the_samplers_of_the_library(pair):
    solver = PAIRS[pair].solver
    assert distance(plan(ALL[solver.name]), plan(solver)) < 1e-13


@pytest.mark.parametrize("process", [dn.EDM(), dn.VE()], ids=repr)
def test_where_the_clock_is_sigma_two_variables_are_one(process):
    pairs = [(name, name.removeprefix("rho_")) for name in ALL if name.startswith("rho_")]
    found = {
        one: distance(*(plan(ALL[name], process) for name in (one, other))) for one, other in pairs if other in ALL
    }
    assert len(found) > 15 and max(found.values()) < 1e-12, found


def test_no_method_has_two_names_but_linear_multistep():
    names = [*adams.__all__, *classical.__all__, *implicit.__all__]
    plans = {name: plan(ALL[name]) for name in names}
    same = {
        (a, b)
        for a, b in combinations(names, 2)
        if plans[a].nfe == plans[b].nfe and distance(plans[a], plans[b]) < 1e-10
    }
    assert same == {("deis_rhoab_4", "lms_4")}


# --- Adams-Moulton ---


@pytest.mark.parametrize("name, behind", [("abm2_pece", 1), ("abm3_pece", 2), ("abm4_pece", 3)])
@pytest.mark.parametrize("prefix", ["", "rho_"])
def test_a_corrector_that_is_iterated_solves_adams_moultons_equation(prefix, name, behind):
    levels = dn.grid.custom(dn.EDM(), sigmas=[2.0, 1.7, 1.5, 1.2, 1.1, 0.8])
    run = Run.of(nonlinear(), levels[0])
    states = dn.sample(dn.compile(ALL[prefix + name], levels, sweeps=60), run.target, run.x, keep="states")
    sigmas = [level.sigma for level in levels]
    slopes = [(x - run.target.denoise(x, level)) / level.sigma for x, level in zip(states, levels, strict=True)]
    # the last step but one: the last is not corrected, the first have a shorter past
    i = 3
    step = sigmas[i + 1] - sigmas[i]
    past = [(sigmas[i - k] - sigmas[i]) / step for k in range(1, behind)]
    weights = getattr(g, f"adams_moulton_{behind + 1}")(*past)
    points = (slopes[i + 1], *(slopes[i - k] for k in range(behind)))
    moved = sum(w * slope for w, slope in zip(weights, points, strict=True))
    assert norm(states[i] + step * moved - states[i + 1]) < 1e-13


@pytest.mark.parametrize("sweeps", [2, 3])
def test_more_sweeps_keep_the_order_and_cost_an_evaluation_each(sweeps):
    for name in ("abm2_pece", "rho_abm3_pec", "log_snr_abm2_pece"):
        sampler = ALL[name]
        proof = prove(sampler.with_options(sweeps=sweeps))
        assert proof.order == sampler.order
        once, more = (dn.compile(sampler, uniform(VP, 5), sweeps=k).nfe for k in (1, sweeps))
        assert more == once + (sweeps - 1) * 4


def test_a_corrector_that_is_never_applied_is_refused():
    with pytest.raises(ValueError, match=r"^sweeps = 0 is no number of sweeps: use 1, 2, \.\.\.$"):
        dn.compile(ALL["abm2_pece"], uniform(VP, 3), sweeps=0)


# --- irrational tables ---


@pytest.mark.parametrize("table", [RALSTON4, TSITOURAS5], ids=["ralston4", "tsitouras5"])
def test_rows_of_irrational_tables_sum_to_their_nodes_exactly(table):
    assert all(sum(row) == c for row, c in zip(table.matrix, table.nodes, strict=True))
    assert sum(table.weights) == 1


@pytest.mark.parametrize("n", [-2, -1, 0, 1, 3])
def test_powers_of_surds_are_products(n):
    x = 2 + 3 * root(5)
    assert sympy.expand(sympy.sympify(x) - 2 - 3 * sympy.sqrt(5)) == 0
    product = 1
    for _ in range(abs(n)):
        product = product * x
    assert x**n * product == (product * product if n > 0 else 1)


@pytest.mark.parametrize("name", ["ralston4", "log_snr_ralston4", pytest.param("tsitouras5", marks=pytest.mark.full)])
def test_leading_errors_of_irrational_methods_are_closed_forms(name):
    c, exact = errors.C, errors.gaussian_error(ALL[name])
    shown = book._legible(exact.coefficient)
    assert exact.power == ALL[name].order + 1
    assert float((shown / exact.coefficient).subs(c, sympy.Rational(3, 7))) == pytest.approx(1, abs=1e-7)
    assert len(sympy.latex(shown)) < 250
