"""Extrapolated samplers: against published algorithms and code, identities, orders, cost, ends."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import diffnum as dn
from diffnum.order import prove
from diffnum.plan import PREDICTIONS
from diffnum.read.tableau import distance
from diffnum.solvers import ddim, generated, heun, kdpm2, midpoint, unipc_3
from diffnum.solvers.extrapolated import amed, compensated, dc_solver, flowturbo, rf_solver, ucgm, ucgm_2
from diffnum.witness import Run, alternating, nonlinear, norm, path_errors, uniform
from theory import extrapolation
from theory.generator import load, mutants, source, verify
from theory.statement import check

ALL = (ucgm, ucgm_2, flowturbo, dc_solver, amed, rf_solver)
names = {"ids": lambda s: s.name}


def in_ratio(n, start=2.0, stop=0.5):
    return dn.grid.custom(dn.EDM(), sigmas=np.linspace(start, stop, n + 1).tolist())


def in_clock(process, n):
    return dn.grid.uniform(process, n, start=process.at(-1.0), stop=process.at(0.5))


def start(plan):
    return Run.of(nonlinear(), plan.start)


# --- UCGM-S ---


def uni_sample(run, levels, kappa):
    """The loop of the reference code with ``x_hat`` and ``z_hat``, ``alpha_in = sigma``, ``gamma_in = alpha``."""
    x_hats, z_hats, x = [], [], run.x
    for i, (now, after) in enumerate(pairwise(levels)):
        x_hat = run.target.denoise(x, now)
        z_hat = (x - now.alpha * x_hat) / now.sigma
        z_hats.append(z_hat)
        x_hats.append(x_hat)
        if i > 1:
            z_hat = z_hat + kappa * (z_hat - z_hats[-2])
            x_hat = x_hat + kappa * (x_hat - x_hats[-2])
            z_hats.pop(0)
            x_hats.pop(0)
        x = after.alpha * x_hat + after.sigma * z_hat
    return x


@pytest.mark.parametrize("kappa", [0.0, 0.28, 0.5])
@pytest.mark.parametrize("process", [dn.Flow(), dn.VP()], ids=lambda p: p.name)
def test_ucgm_is_the_loop_of_the_reference_code(process, kappa):
    plan = dn.compile(ucgm, alternating(process, 8), kappa=kappa)
    run = start(plan)
    assert norm(dn.sample(plan, run.target, run.x) - uni_sample(run, plan.levels, kappa)) < 1e-12


def test_without_extrapolation_ucgm_is_ddim():
    levels = uniform(dn.VP(), 6)
    assert distance(dn.compile(ucgm, levels, kappa=0.0), dn.compile(ddim, levels)) < 1e-13


def test_one_third_on_equal_steps_of_sigma_over_alpha_is_of_order_two():
    slopes = {}
    for kappa in (1 / 3, 0.5):
        plans = [dn.compile(ucgm, in_ratio(n), kappa=kappa) for n in (64, 128, 256)]
        run = start(plans[0])
        errors = [norm(path_errors(plan, run, False)) for plan in plans]
        slopes[kappa] = -np.diff(np.log2(errors))[-1]
    assert slopes[1 / 3] == pytest.approx(2, abs=0.15)
    assert slopes[0.5] == pytest.approx(1, abs=0.15)
    # from the third step on, the two are one; they start differently
    two = dn.compile(ucgm_2, in_ratio(8))
    run = start(two)
    pinned = {i: run.exact(two.levels[i]) for i in (1, 2)}
    third = dn.sample(dn.compile(ucgm, in_ratio(8), kappa=1 / 3), run.target, run.x, pinned=pinned)
    assert norm(dn.sample(two, run.target, run.x, pinned=pinned) - third) < 1e-12


def test_half_the_ratio_of_steps_is_not_the_share_of_order_two():
    def half(T, grid):
        past = None
        for s, t in T.steps(grid):
            e = T.evaluate(T.x, s)
            step, now = T.dt(s, t), (e.data, e.noise)
            T.x = t.alpha * now[0] + t.sigma * now[1]
            if past is not None:
                share = step / past[2] / 2
                T.x = T.x + (share * t.alpha) * (now[0] - past[0]) + (share * t.sigma) * (now[1] - past[1])
            past = (*now, step)

    assert prove(half).order == 1 and prove(ucgm_2).order == 2


def test_the_share_satisfies_its_equations_and_no_number_may_change():
    pieces = [make() for make in extrapolation.PIECES]
    module = load(source(pieces))
    check(make() for make in extrapolation.CHAPTER)
    for piece in pieces:
        assert verify(piece, module)
        for place, text in mutants(piece):
            assert not verify(piece, load(source([piece]).replace(piece.text, text))), place
    assert generated.extrapolation_2(Fraction(-1)) == (Fraction(1, 3),)


# --- FlowTurbo ---


def integrator(run, levels, letters):
    """``one_step_heun`` and ``one_step_pseudo_corrector`` of the reference code on Flow; its time is ``1 - sigma``."""

    def velocity(x, level):
        D = run.target.denoise(x, level)
        return D - (x - level.alpha * D) / level.sigma

    x, cache = run.x, None
    for letter, s, t in zip(letters, levels[:-1], levels[1:], strict=True):
        step = s.sigma - t.sigma
        d = velocity(x, s) if letter == "H" or cache is None else cache
        ahead = velocity(x + step * d, t)
        x = x + step / 2 * (d + ahead)
        cache = ahead if letter == "P" else cache
    return x


@pytest.mark.parametrize("letters", ["HPPPPP", "PPPPPP", "HHPPPP", "HHHHHH"])
def test_flowturbo_is_the_integrator_of_the_reference_code(letters):
    plan = dn.compile(flowturbo, in_clock(dn.Flow(), 6), heun=letters.count("H"))
    run = start(plan)
    assert norm(dn.sample(plan, run.target, run.x) - integrator(run, plan.levels, letters)) < 1e-13
    assert plan.nfe == 6 + letters.count("H") + (letters[-1] == "P")


def test_steps_of_heun_only_are_heun():
    levels = alternating(dn.VP(), 6)
    assert distance(dn.compile(flowturbo, levels, heun=6), dn.compile(heun, levels)) < 1e-13


# --- DC-Solver ---


@pytest.mark.parametrize("grid", [uniform, alternating])
def test_a_ratio_of_one_is_unipc(grid):
    levels = grid(dn.VP(), 8)
    for ratio in (1, 1.0, Fraction(1), [1.0] * 8):
        assert distance(dn.compile(dc_solver, levels, ratio=ratio), dn.compile(unipc_3, levels)) < 1e-14


def test_compensation_replaces_the_newest_prediction_by_lagrange_in_time():
    """Their ``dynamic_compensation`` before the fourth step, the first at which three predictions are at hand."""
    process, ratio = dn.VP(), 0.8
    levels = in_clock(process, 4)
    plan, plain = (dn.compile(sampler, levels, **o) for sampler, o in ((dc_solver, {"ratio": ratio}), (unipc_3, {})))
    coefficients = dict(next(line for line in plan.lines if getattr(line, "name", "") == "N").terms)
    t = [level.t for level in levels]
    at = t[2] * ratio + t[1] * (1 - ratio)
    nodes = (t[2], t[1], t[0])
    expected = [math.prod((at - b) / (a - b) for j, b in enumerate(nodes) if j != i) for i, a in enumerate(nodes)]
    np.testing.assert_allclose(sorted(coefficients.values()), sorted(expected), rtol=1e-12)
    assert plan.nfe == plain.nfe == 4


def test_ratios_of_steps_that_have_too_short_a_past_change_nothing_and_others_do():
    levels = uniform(dn.VP(), 5)
    base = dn.compile(dc_solver, levels, ratio=[1.0] * 5)
    for i in range(5):
        other = dn.compile(dc_solver, levels, ratio=[0.9 if j == i else 1.0 for j in range(5)])
        assert (distance(base, other) < 1e-14) == (i < 2)


def test_ratios_of_another_number_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"^3 ratios do not fit 5 steps: give one number, or one per step$"):
        dn.compile(dc_solver, uniform(dn.VP(), 5), ratio=[1.0, 0.9, 0.8])


def test_a_ratio_that_tends_to_one_keeps_two_orders_more_than_a_fixed_one():
    process = dn.VP()
    slopes = {}
    for kind, power in (("fixed", 0), ("tends to one", 2)):
        counts = (64, 128, 256)
        plans = [dn.compile(dc_solver, uniform(process, n), ratio=1 - 0.2 * (16 / n) ** power) for n in counts]
        run = start(plans[0])
        errors = [norm(path_errors(plan, run, True)) for plan in plans]
        slopes[kind] = -np.diff(np.log2(errors))[-1]
    assert slopes["fixed"] == pytest.approx(1, abs=0.15)
    assert slopes["tends to one"] == pytest.approx(3, abs=0.3)


# --- AMED and RF-Solver ---


def amed_sampler(run, sigmas, r, scale_dir, scale_time):
    """The reference loop on EDM."""
    x = run.x
    process = dn.EDM()
    for now, after in pairwise(sigmas):
        d = (x - run.target.denoise(x, process.at(-math.log(now)))) / now
        mid = after**r * now ** (1 - r)
        inner = x + (mid - now) * d
        d_mid = (inner - run.target.denoise(inner, process.at(-math.log(scale_time * mid)))) / mid
        x = x + scale_dir * (after - now) * d_mid
    return x


@pytest.mark.parametrize("r, scale_dir, scale_time", [(0.5, 1.0, 1.0), (0.4, 1.02, 0.97), (0.63, 0.99, 1.05)])
def test_amed_is_the_loop_of_the_reference_code(r, scale_dir, scale_time):
    sigmas = [8.0, 3.0, 1.0, 0.4, 0.1]
    levels = dn.grid.custom(dn.EDM(), sigmas=sigmas)
    plan = dn.compile(amed, levels, r=r, scale_dir=scale_dir, scale_time=scale_time)
    run = start(plan)
    x = dn.sample(plan, run.target, run.x)
    assert norm(x - amed_sampler(run, sigmas, r, scale_dir, scale_time)) < 1e-12


def test_identities():
    for levels in (alternating(dn.VP(), 6), alternating(dn.Flow(), 6)):
        assert distance(dn.compile(amed, levels), dn.compile(kdpm2, levels)) < 1e-12
        assert distance(dn.compile(rf_solver, levels), dn.compile(midpoint, levels)) == 0


@pytest.mark.parametrize("options, order", [({"r": Fraction(1, 3)}, 1), ({"scale_dir": Fraction(9, 10)}, 0)])
def test_amed_away_from_its_defaults_loses_orders(options, order):
    assert prove(amed.with_options(**options)).order == order


# --- orders, cost and ends ---


@pytest.mark.parametrize("sampler", ALL, **names)
def test_claimed_orders_are_proved(sampler):
    proof = prove(sampler)
    assert (proof.order, proof.cold, proof.stable) == (sampler.order, sampler.cold, True)


@pytest.mark.parametrize("sampler", [ucgm_2, *(pytest.param(s, marks=pytest.mark.full) for s in ALL)], **names)
def test_certificates_hold(sampler):
    certificate = dn.certify(sampler)
    assert certificate.verdict == "holds", certificate.reasons


PER_STEP = {"amed": 2, "rf_solver": 2}


@pytest.mark.parametrize("sampler", ALL, **names)
def test_evaluations(sampler):
    per_step = PER_STEP.get(sampler.name, 1)
    # on its step to the clean level
    last = {"amed": 1}.get(sampler.name, per_step)
    for n in range(1, 13):
        cost, clean = n * per_step, (n - 1) * per_step + last
        if sampler is flowturbo:
            # a step of Heun; the first slope that is kept; the last step to the clean level needs none
            cost, clean = n + 1 + (n > 1), n + (n > 1)
        assert dn.compile(sampler, dn.grid.uniform(dn.VP(), n)).nfe == cost
        assert dn.compile(sampler, dn.grid.uniform(dn.VP(), n, end="zero")).nfe == clean


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", ALL, **names)
def test_pure_noise_and_clean_ends_are_finite_or_refused_in_one_sentence(sampler, prediction):
    levels = dn.grid.uniform(dn.Flow(), 5, end="zero")
    if prediction in ("noise", "score"):
        with pytest.raises(ValueError, match=r"is not defined at alpha = 0 .* another prediction or sampler$"):
            dn.compile(sampler, levels, prediction)
        return
    assert np.isfinite(dn.tableau(dn.compile(sampler, levels, prediction))).all()


def test_a_number_of_heun_steps_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^heun = -1 is no number of steps: use 0, 1, \.\.\.$"):
        dn.compile(flowturbo, uniform(dn.VP(), 3), heun=-1)


def test_predictions_of_dc_solver_do_not_grow():
    few, many = (dn.cost(dn.compile(dc_solver, uniform(dn.VP(), n))) for n in (10, 60))
    assert few.live == many.live <= 10
    assert distance(dn.compile(compensated(3), uniform(dn.VP(), 6)), dn.compile(dc_solver, uniform(dn.VP(), 6))) == 0
