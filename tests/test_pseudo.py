"""Pseudo-numerical samplers: against the authors' arithmetic, classical methods on equal steps, slips of iPNDM-v."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.order import prove
from diffnum.plan import PREDICTIONS
from diffnum.read.tableau import distance
from diffnum.solvers import ddim, deis_rhoab_2, deis_rhoab_3, deis_rhoab_4, ipndm_4
from diffnum.solvers import generated as g
from diffnum.solvers.coords import CLOCK, RATIO
from diffnum.solvers.pseudo import f_pndm, fon, fon_coded, ipndm_v_3, ipndm_v_4, plms, pseudo, s_pndm
from diffnum.solvers.rules import adams
from diffnum.witness import Run, alternating, nonlinear, norm, path_errors, smooth, uniform
from theory import collocation, variable_pndm
from theory.generator import load, mutants, source, verify
from theory.statement import check

PNDM = (f_pndm, s_pndm, plms, fon, fon_coded)
names = {"ids": lambda s: s.name}
TABLE = dn.DDPM()


# --- against the authors' arithmetic, on a table of 1000 levels ---


def transfer(x, t, t_next, e):
    """PNDM's ``transfer`` (their eq. 9), letter by letter."""
    a, b = (math.exp(2 * math.log(TABLE.level(tau).alpha)) for tau in (t, t_next))
    first = x / (math.sqrt(a) * (math.sqrt(a) + math.sqrt(b)))
    second = e / (math.sqrt(a) * (math.sqrt((1 - b) * a) + math.sqrt((1 - a) * b)))
    return x + (b - a) * (first - second)


def model(x, t):
    """Some noise prediction that is not linear."""
    return torch.sin(x) * 0.3 + x / (1 + t / 500)


def theirs(times, x, fourth):
    """``gen_order_4`` and ``gen_order_2`` of the reference code."""
    past = []
    for t, t_next in pairwise(times):
        middle = (t + t_next) / 2
        e1 = model(x, t)
        past.append(e1)
        if fourth and len(past) > 3:
            e = (55 * past[-1] - 59 * past[-2] + 37 * past[-3] - 9 * past[-4]) / 24
        elif fourth:
            e2 = model(transfer(x, t, middle, e1), middle)
            e3 = model(transfer(x, t, middle, e2), middle)
            e4 = model(transfer(x, t, t_next, e3), t_next)
            e = (e1 + 2 * e2 + 2 * e3 + e4) / 6
        elif len(past) > 1:
            e = (3 * past[-1] - past[-2]) / 2
        else:
            e = (e1 + model(transfer(x, t, t_next, e1), t_next)) / 2
        x = transfer(x, t, t_next, e)
    return x


@pytest.mark.parametrize("sampler, fourth", [(f_pndm, True), (s_pndm, False)], ids=["f_pndm", "s_pndm"])
@pytest.mark.parametrize("n", [2, 5, 10])
def test_the_reference_code_gives_the_same_numbers(sampler, fourth, n):
    # even steps of the table, so that their truncated half steps are whole
    times = [900.0 - 2 * (440 // n) * i for i in range(n + 1)]
    plan = dn.compile(sampler, dn.grid.custom(TABLE, times=times), "noise")
    x = torch.linspace(-2, 2, 7, dtype=torch.float64)
    ours = dn.sample(plan, lambda x, level: model(x, level.t), x)
    torch.testing.assert_close(ours, theirs(times, x, fourth), rtol=1e-11, atol=1e-11)


# --- classical methods where steps are equal ---


def in_sigma(n, start=2.0, stop=0.5):
    return dn.grid.custom(dn.EDM(), sigmas=np.linspace(start, stop, n + 1).tolist())


def in_time(n):
    process = dn.VP()
    return dn.grid.uniform(process, n, start=process.at(-1.0), stop=process.at(0.5))


def of_order(points):
    """Adams-Bashforth on variable steps, begun with pseudo Runge-Kutta steps."""
    return {2: deis_rhoab_2, 4: deis_rhoab_4}[points]


@pytest.mark.parametrize("sampler, points", [(f_pndm, 4), (s_pndm, 2), (plms, 4), (fon, 4)], ids=lambda v: str(v))
def test_on_equal_steps_of_sigma_it_is_adams_bashforth(sampler, points):
    ours = dn.compile(sampler, in_sigma(12))
    run = Run.of(nonlinear(), ours.start)
    adams_bashforth = dn.compile(of_order(points), in_sigma(12))
    pinned = {i: run.exact(ours.levels[i]) for i in range(1, 4)}
    x, y = (dn.sample(plan, run.target, run.x, pinned=pinned) for plan in (ours, adams_bashforth))
    assert norm(x - y) < 1e-13


def test_f_pndm_begins_with_the_classical_method_where_the_clock_is_sigma():
    levels = dn.grid.karras(dn.EDM(), 3)
    assert distance(dn.compile(f_pndm, levels), dn.compile("rho_rk4", levels)) < 1e-12
    assert distance(dn.compile(fon, levels), dn.compile("rk4", levels)) < 1e-12
    assert distance(dn.compile(f_pndm, levels), dn.compile(fon, levels)) < 1e-12


@pytest.mark.parametrize("sampler", [s_pndm, plms], **names)
def test_others_begin_with_heun(sampler):
    levels = dn.grid.log_snr(dn.VP(), 1)
    assert distance(dn.compile(sampler, levels), dn.compile("rho_heun", levels)) < 1e-12


def test_without_a_start_it_is_ipndm():
    levels = alternating(dn.VP(), 8)
    bare = pseudo(RATIO, 4, g.RK4, 0)
    assert distance(dn.compile(bare, levels), dn.compile(ipndm_4, levels)) < 1e-13
    assert distance(dn.compile(pseudo(RATIO, 1, g.RK4, 0), levels), dn.compile(ddim, levels)) < 1e-13


@pytest.mark.parametrize(
    "sampler, grid, order", [(f_pndm, in_sigma, 4), (plms, in_sigma, 4), (s_pndm, in_sigma, 2), (fon, in_time, 4)],
    ids=lambda v: getattr(v, "name", None),
)  # fmt: skip
def test_published_orders_hold_on_equal_steps_from_exact_states(sampler, grid, order):
    plans = [dn.compile(sampler, grid(n)) for n in (64, 128, 256)]
    run = Run.of(nonlinear(), plans[0].start)
    errors = [norm(path_errors(plan, run, True)) for plan in plans]
    slopes = -np.diff(np.log2(errors))
    assert slopes[-1] == pytest.approx(order, abs=0.15), slopes


def test_fon_as_coded_starts_with_steps_of_first_order():
    process = dn.VP()
    errors = {}
    for sampler in (fon, fon_coded):
        found = []
        for n in (32, 64, 128):
            levels = dn.grid.custom(process, lams=[0.0, 2.0 / n])
            plan = dn.compile(sampler, levels)
            run = Run.of(nonlinear(), plan.start)
            found.append(norm(path_errors(plan, run, False)))
        errors[sampler.name] = -np.diff(np.log2(found))[-1]
    assert errors["fon"] == pytest.approx(5, abs=0.2)
    assert errors["fon_coded"] == pytest.approx(2, abs=0.1)


# --- the cost, orders, ends ---


@pytest.mark.parametrize("end", ["stop", "zero", "denoise"])
@pytest.mark.parametrize("sampler", PNDM, **names)
def test_evaluations(sampler, end):
    first = {"s_pndm": (1, 1), "plms": (1, 1)}.get(sampler.name, (3, 3))
    for n in range(1, 13):
        plan = dn.compile(sampler, dn.grid.log_snr(dn.VP(), n, end=end))
        # none of the dear steps goes to the clean level
        started = min(n - (end == "zero"), first[0])
        assert plan.nfe == n + started * first[1] + (end == "denoise")


@pytest.mark.parametrize("sampler", [*PNDM, ipndm_v_3, ipndm_v_4], **names)
def test_claimed_orders_are_proved(sampler):
    proof = prove(sampler)
    assert (proof.order, proof.cold, proof.smooth, proof.stable) == (sampler.order, sampler.cold, sampler.smooth, True)


@pytest.mark.parametrize(
    "sampler", [plms, *(pytest.param(s, marks=pytest.mark.full) for s in PNDM if s is not plms)], **names
)
def test_certificates_hold(sampler):
    certificate = dn.certify(sampler)
    assert certificate.verdict == "holds", certificate.reasons


@pytest.mark.parametrize("sampler", [pytest.param(ipndm_v_3, marks=pytest.mark.full), ipndm_v_4], **names)
def test_the_certificates_of_ipndm_v_hold(sampler):
    certificate = dn.certify(sampler)
    assert certificate.verdict == "holds", certificate.reasons
    assert certificate.killed == certificate.mutants > 0


@pytest.mark.full
def test_a_method_that_is_consistent_on_smooth_grids_only_is_certified_as_that():
    certificate = dn.certify(ipndm_v_4)
    slopes = {s.grid: s for s in certificate.slopes if (s.witness, s.start, s.must) == ("non-linear", "warm", "equal")}
    assert {grid: round(s.value) for grid, s in slopes.items()} == {"alternating": 0, "smooth": 2}
    for boast in ({"order": 1}, {"order": 0, "smooth": 3}, {"order": 0, "smooth": None}):
        assert dn.certify(replace(ipndm_v_4, **boast)).verdict == "fails"


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", [*PNDM, ipndm_v_3, ipndm_v_4], **names)
def test_pure_noise_and_clean_ends_are_finite_or_refused_in_one_sentence(sampler, prediction):
    levels = dn.grid.uniform(dn.Cosine(), 5, end="zero")
    if prediction in ("noise", "score"):
        with pytest.raises(ValueError, match=r"is not defined at alpha = 0 .* another prediction or sampler$"):
            dn.compile(sampler, levels, prediction)
        return
    plan = dn.compile(sampler, levels, prediction)
    assert np.isfinite(dn.tableau(plan)).all()


# --- iPNDM-v ---


@given(steps=st.lists(st.fractions(Fraction(1, 9), 9), min_size=2, max_size=3))
@settings(max_examples=40, deadline=None)
def test_generated_weights_are_the_code_letter_by_letter(steps):
    past = [-sum(steps[: i + 1]) for i in range(len(steps))]
    formula = {2: g.ipndm_v_3, 3: g.ipndm_v_4}[len(past)]
    assert list(formula(*past)) == variable_pndm.as_coded(past)


@pytest.mark.parametrize("chapter", [variable_pndm, collocation], ids=lambda c: c.__name__)
def test_pieces_satisfy_their_equations_and_no_number_may_change(chapter):
    pieces = [make() for make in chapter.PIECES]
    module = load(source(pieces))
    check(make() for make in chapter.CHAPTER)
    for piece in pieces:
        assert verify(piece, module)
        changed = list(mutants(piece))
        assert changed
        for place, text in changed:
            assert not verify(piece, load(source([piece]).replace(piece.text, text))), place


def test_three_points_are_adams_bashforth_on_equal_steps_and_four_are_not():
    grid = in_sigma(8)
    assert distance(dn.compile(ipndm_v_3, grid), dn.compile(deis_rhoab_3, grid)) < 1e-12
    assert distance(dn.compile(ipndm_v_4, grid), dn.compile(deis_rhoab_4, grid)) > 1e-2
    rough = alternating(dn.VP(), 8)
    assert distance(dn.compile(ipndm_v_3, rough), dn.compile(deis_rhoab_3, rough)) > 1e-2


def slope(sampler, grid):
    process = dn.VP()
    run = Run.of(nonlinear(), process.at(-3.0))
    errors = [norm(path_errors(dn.compile(sampler, grid(process, n)), run, True)) for n in (128, 256, 512)]
    return -np.polyfit(np.log2([128, 256, 512]), np.log2(errors), 1)[0]


def test_four_points_do_not_converge_on_alternating_steps_and_three_lose_an_order():
    # equal steps of log-SNR have one ratio of steps in sigma / alpha: there the four weights sum to one
    assert slope(ipndm_v_4, alternating) == pytest.approx(0, abs=0.1)
    assert slope(ipndm_v_4, uniform) == pytest.approx(3, abs=0.15)
    assert slope(ipndm_v_4, smooth) == pytest.approx(2, abs=0.15)
    assert slope(ipndm_v_3, alternating) == pytest.approx(2, abs=0.15)
    assert slope(adams(CLOCK, 4), alternating) == pytest.approx(4, abs=0.3)
