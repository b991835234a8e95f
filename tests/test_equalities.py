"""One method under many names, and names that are not one: proved, counted in numbers, and not proved when broken."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random

import numpy as np
import pytest
import sympy
from matplotlib.figure import Figure
from sympy.core.function import AppliedUndef

import diffnum as dn
from diffnum.figures import equalities as figures
from diffnum.num import exp, expm1, phi, sqrt
from diffnum.order import prove
from diffnum.read.tableau import distance
from diffnum.trace import compile
from diffnum.witness import nonlinear
from theory import false_equalities, mean_reverting, more_equalities
from theory import published as one
from theory import published_multistep as many
from theory import published_noise as noisy
from theory.coordinates import ANY, SIGMA, in_clock, in_log_snr, in_ratio
from theory.false_equalities import GAPS
from theory.more_equalities import equal
from theory.names import ONE_EVALUATION
from theory.statement import exact
from theory.symbols import difference

PROCESSES = {"VP": dn.VP(), "EDM": dn.EDM(), "Flow": dn.Flow()}


def unequal(process, steps):
    """Levels whose steps grow by half each time, in log-SNR."""
    sizes = 1.5 ** np.arange(steps)
    lams = -1.2 + 2.4 * np.concatenate([[0.0], np.cumsum(sizes) / sizes.sum()])
    return dn.grid.custom(process, lams=lams.tolist())


# --- what is proved

EQUAL = (*more_equalities.CHAPTER, *mean_reverting.CHAPTER)


@pytest.mark.full  # by default test_theory derives them, with the page that holds them
@pytest.mark.parametrize("derive", EQUAL, ids=lambda f: f.__name__)
def test_samplers_said_to_be_one_method_have_one_normal_form(derive):
    statement = derive()
    assert statement.holds, statement.residual
    assert statement.name and statement.claim and statement.where
    assert not statement.counterexample


@pytest.mark.full  # by default test_theory derives them, with the page that holds them
@pytest.mark.parametrize("derive", false_equalities.CHAPTER, ids=[gap.name for gap in GAPS])
def test_samplers_wrongly_said_to_be_one_method_differ_by_the_closed_form(derive):
    statement = derive()
    assert statement.holds, statement.residual
    assert statement.claim and statement.where
    assert " at $" in statement.counterexample


# --- the same in numbers


@pytest.mark.parametrize("gap", [g for g in GAPS if "SDE" not in g.name], ids=lambda gap: gap.name)
def test_closed_form_is_what_two_runs_differ_by(gap):
    target, levels = nonlinear(), unequal(gap.home(), gap.steps)
    predicted, measured = gap.compare(levels, target, target.sample(8, 3, levels[0]))
    assert np.abs(measured).max() > 1e-5
    np.testing.assert_allclose(predicted, measured, rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("gap", [g for g in GAPS if g.steps > 1], ids=lambda gap: gap.name)
def test_gaps_open_in_the_last_step_and_not_before(gap):
    plans = [compile(sampler, unequal(gap.home(), gap.steps)) for sampler in (gap.one, gap.other)]
    rows = [dn.tableau(plan) for plan in plans]
    assert np.abs(rows[0][:-1] - rows[1][:-1]).max() < 1e-12 < 1e-6 < np.abs(rows[0][-1] - rows[1][-1]).max()


@pytest.mark.parametrize(
    "process, names",
    [
        ("VP", ["dpmpp_2m", one.unip, partial(many.d_ode, read="data")]),
        ("VP", [one.res_2m, one.dpmpp_heun, partial(one.unip, two=one.solved, B=one.b_1)]),
        ("VP", ["dpmpp_3m_corrected", partial(one.unip, order=3)]),
        ("VP", [one.deis_log_rho, one.dpm_solver_heun]),
        ("VP", ["dpmpp_2s", partial(one.exponential_data, c=0.5, b=one.weak(0.5))]),
        ("VP", ["ddim", one.pndm_transfer, partial(many.bdia, gamma=0), one.data_in_snr]),
        ("EDM", ["ab2", many.rho_ab, many.lms, partial(many.ipndm_v, order=2)]),
        ("EDM", ["dpm_solver_2", one.dpm_2]),
        ("EDM", ["lms_4", partial(many.lms, order=4)]),
        ("VP", ["deis_rhoab_4", partial(many.rho_ab, order=4)]),
        ("VP", ["ipndm_4", partial(many.pndm, order=4)]),
        ("VP", ["exp_ab3", partial(one.unip, order=3, two=one.solved)]),
        ("EDM", ["heun", one.ratio_heun, one.ucgm_heun]),
        ("EDM", [many.bdia, many.leapfrog]),
        ("Flow", ["ab2", many.lms, partial(many.d_ode, read="slope")]),
        ("Flow", ["midpoint", one.rf_solver]),
        ("Flow", ["ddim", "euler", one.minimax]),
    ],
)
def test_names_of_one_method_have_one_tableau(process, names):
    levels = unequal(PROCESSES[process], 5)
    first, *others = (dn.compile(name, levels) if isinstance(name, str) else compile(name, levels) for name in names)
    assert max(distance(first, other) for other in others) < 1e-12


# --- what the differences do to the order


@pytest.mark.parametrize(
    "sampler, order",
    [
        (partial(many.ucgm, kappa=many.half), 1),  # folklore has two
        (partial(many.ucgm, kappa=lambda r: r**2 / (2 * r + 1)), 2),
        (partial(many.pndm, order=2), 1),  # of order two on steps that change smoothly
        (many.rho_ab, 2),
        (partial(one.unip, B=one.b_1), 2),
        (one.res_2m, 2),
        (one.etd_2, 1),
        (partial(one.dpmpp_heun, order=3), 2),  # and so MRS-3
        (partial(one.unip, order=3), 3),
    ],
)
def test_order_on_any_steps(sampler, order):
    assert prove(sampler, highest=3).order == order


@pytest.mark.parametrize(
    "sampler, smooth, alternating",
    [
        (many.ipndm_v, 3, 2),  # its error of a step is of the difference of the steps
        (partial(many.lms, order=3), 3, 3),
        (partial(many.ipndm, order=3), 2, 1),
    ],
    ids=["iPNDM-v", "LMS", "iPNDM"],
)
def test_order_where_steps_change_smoothly_and_where_they_alternate(sampler, smooth, alternating):
    assert abs(slope(sampler, lambda n: np.geomspace(3, 0.3, n + 1)) - smooth) < 0.1
    assert abs(slope(sampler, by_turns) - alternating) < 0.1


def by_turns(n):
    """``n`` steps in sigma from 3 to 0.3, every second one twice as long."""
    sizes = np.tile([1.0, 2.0], n // 2)
    return 3 - 2.7 * np.concatenate([[0.0], np.cumsum(sizes) / sizes.sum()])


def slope(sampler, sigmas):
    """Of the last doubling, from exact starting values."""
    target, errors = nonlinear(), []
    for n in (256, 512):
        levels = dn.grid.custom(dn.EDM(), sigmas=sigmas(n).tolist())
        x = target.sample(8, 3, levels[0])
        exact = {i: target.flow(x, levels[0], levels[i]) for i in range(3)}
        run = dn.sample(compile(sampler, levels), target, x, pinned=exact)
        errors.append(np.abs(run - target.flow(x, levels[0], levels[-1])).max())
    return np.log2(errors[0] / errors[1])


# --- what is broken is not proved


def late_taylor(T, grid):
    for s, t in T.steps(grid):
        dc, v = T.dt(s, t), T.slope(T.x, s)
        v_m = T.slope(T.x + dc / 2 * v, T.clock_between(s, t, 0.5))
        T.x = T.x + dc * v + dc**2 / 2 * ((v_m - v) / dc)


def forward_ratio(T, grid):
    past = None
    for s, t in T.steps(grid):
        h, D = T.h(s, t), T.denoise(T.x, s)
        ahead = phi(1, -h) * D
        if past is not None:
            b = phi(2, -h) / (past[1] / h)
            ahead = (phi(1, -h) - b) * D + b * past[0]
        T.x = t.alpha * (exp(-h) / s.alpha * T.x + h * ahead)
        past = D, h


def dropped_half(T, grid, eta=1, weight=noisy.sde_midpoint):
    past = None
    for s, t in T.steps(grid):
        h, D = T.h(s, t), T.denoise(T.x, s)
        T.x = (t.sigma / s.sigma) * exp(-eta * h) * T.x - t.alpha * expm1(-h - eta * h) * D
        if past is not None:
            T.x = T.x + (t.alpha * weight(h + eta * h) / (past[1] / h)) * (D - past[0])
        if eta != 0:
            T.x = T.x + t.sigma * sqrt(-expm1(-eta * h)) * T.noise(s, t)
        past = D, h


def lopsided(T, grid):
    for s, t in T.steps(grid):
        dk, e = one.ratio(t) - one.ratio(s), T.evaluate(T.x, s).noise
        e_t = T.evaluate(t.alpha / s.alpha * T.x + t.alpha * dk * e, t).noise
        T.x = t.alpha / s.alpha * T.x + (t.alpha * dk / 4) * (e + 3 * e_t)


def always_two(T, grid, gamma, original=many.gradient_estimation):
    original(T, grid, 2)


def one_node(T, grid):
    """DPM2 at the end of the step instead of its middle."""
    for s, t in T.steps(grid):
        d, m = one.to_d(T, T.x, s), T.between(s, t, 1)
        T.x = T.x + (t.sigma - s.sigma) * one.to_d(T, T.x + (m.sigma - s.sigma) * d, m)


def other_half(T, grid):
    """F-PNDM whose third evaluation is made from the first noise again."""
    past = []
    for i, (s, t) in enumerate(T.steps(grid)):
        e1 = T.evaluate(T.x, s).noise
        past = [e1, *past][:4]
        weights, over = many.ADAMS[4]
        if i <= 2:
            m = T.clock_between(s, t, 0.5)
            e2 = T.evaluate(one.step_with_noise(T.x, s, m, e1), m).noise
            e3 = T.evaluate(one.step_with_noise(T.x, s, m, e1), m).noise
            e4 = T.evaluate(one.step_with_noise(T.x, s, t, e3), t).noise
        used = past if i > 2 else (e1, e2, e3, e4)
        weights, over = (weights, over) if i > 2 else ((1, 2, 2, 1), 6)
        q = t.alpha / s.alpha
        T.x = q * T.x + (t.sigma - q * s.sigma) / over * many.mix(weights, used)


def wrong_mean(T, grid, order=1):
    mu = noisy.vector(T, grid)
    for s, t in T.steps(grid):
        r = t.sigma / s.sigma
        T.x = r * T.x - t.alpha * expm1(-T.h(s, t)) * T.denoise(T.x, s) + (1 - r) * mu


BROKEN = [
    (one, "rf_solver", late_taylor, more_equalities.rf_solver),
    (one, "etd_2", forward_ratio, more_equalities.names_of_res_2m),
    (one, "unip", partial(one.unip, two=lambda right: 0.25), more_equalities.names_of_2m),
    (one, "dpm_2", one_node, more_equalities.dpm_2),
    (one, "ratio_heun", lopsided, more_equalities.trapezoids),
    (one, "stiff", one.weak, more_equalities.stiff_two_stage),
    (one, "weak", one.stiff, more_equalities.exponential_midpoint),
    (one, "deis_log_rho", one.dpm_solver_2m, more_equalities.deis_in_log_rho),
    (many, "d_ode", partial(many.d_ode, lam=lambda r: r), more_equalities.variable_adams),
    (many, "f_pndm", other_half, more_equalities.pndm_is_adams),
    (many, "leapfrog", partial(many.bdia, gamma=0.5), more_equalities.leapfrog),
    (many, "gradient_estimation", always_two, more_equalities.constant_adams),
    (noisy, "k_dpmpp_2m_sde", dropped_half, more_equalities.two_step_sde),
    (noisy, "er_sde_1", partial(noisy.er_sde_1, scale=lambda kappa: kappa**3), more_equalities.names_of_ancestral),
    (noisy, "mrs_data", wrong_mean, mean_reverting.mean_reverting_flow),
    (noisy, "sde_heun", noisy.sde_midpoint, mean_reverting.mean_reverting_sde),
]


def at_random(expression):
    """Zero, or a value of the expression that is not: symbols and unknown functions are numbers taken at random."""
    expression, numbers = exact(expression), Random(7)
    unknown = sorted(expression.free_symbols | expression.atoms(AppliedUndef), key=str)
    value = expression.xreplace({u: sympy.Rational(numbers.randint(30, 99), 60) for u in unknown}).evalf(40)
    return sympy.Integer(0) if abs(value) < 1e-25 else value


@pytest.mark.parametrize("module, name, wrong, derive", BROKEN, ids=[f"{m.__name__[7:]}.{n}" for m, n, _, _ in BROKEN])
def test_a_broken_formula_is_not_equal(monkeypatch, module, name, wrong, derive):
    # to see that something is not zero takes no algebra, and simplifying it takes seconds
    monkeypatch.setattr("theory.statement._simplify", at_random)
    monkeypatch.setattr(module, name, wrong)
    assert not derive().holds


@pytest.mark.parametrize("derive", [more_equalities.dpm_2, more_equalities.unip_3, more_equalities.two_step_sde])
def test_numbers_at_random_agree_that_what_is_proved_is_zero(monkeypatch, derive):
    monkeypatch.setattr("theory.statement._simplify", at_random)
    assert derive().holds


@pytest.mark.parametrize("gap", [GAPS[i] for i in (0, 1, 13)], ids=lambda gap: gap.name)
def test_twice_the_closed_form_is_not_proved(gap):
    twice = replace(gap, closed=lambda levels: {key: 2 * c for key, c in gap.closed(levels).items()})
    assert not twice.statement().holds


def test_samplers_that_evaluate_another_number_of_times_have_no_difference():
    with pytest.raises(ValueError, match="equally often"):
        equal("", "", "", (in_clock(SIGMA, 2), [dn.solvers.heun, dn.solvers.euler]))


# --- the coordinates


def test_where_no_log_snr_is_known_a_formula_that_needs_it_is_refused():
    with pytest.raises(TypeError, match="no rational function"):
        equal("", "", "", (in_clock(in_ratio(), 2), [one.res_2m, one.dpmpp_heun]))


def test_equal_steps_are_equal():
    levels, sizes = in_log_snr(ANY, 3, equal=True)
    assert levels.h == sizes and len(set(sizes)) == 1
    clocks = [level.t for level in in_clock(SIGMA, 3, equal=True).levels]
    assert len({b - a for a, b in pairwise(clocks)}) == 1


def test_signal_scales_of_any_process_are_variables_of_their_own():
    levels = in_clock(in_ratio(), 3).levels
    assert len({level.alpha for level in levels}) == 4
    assert all(level.sigma == level.t * level.alpha for level in levels)
    plans = [compile(sampler, in_clock(in_ratio(), 2)) for sampler in (many.bdia, many.leapfrog)]
    assert any(difference(*plans))


# --- the pictures


def test_methods_are_groups_of_what_is_near():
    apart = np.array([[0, 1e-14, 0.3, np.inf], [1e-14, 0, 0.3, np.inf], [0.3, 0.3, 0, 0.2], [np.inf, np.inf, 0.2, 0]])
    assert figures.methods(apart) == [[0, 1], [2], [3]]
    with pytest.raises(ArithmeticError, match="entry 0 is near some that are not near each other"):
        figures.methods([[0, 1, 1], [1, 0, 3], [1, 3, 0]], tolerance=2)


def test_every_name_of_a_method_is_in_its_frame():
    ax = Figure().subplots()
    apart = np.array([[0, 0, 0.5], [0, 0, 0.5], [0.5, 0.5, 0]])
    image = figures.distance_matrix(ax, ["a", "b", "c"], apart)
    assert [patch.get_width() for patch in ax.patches] == [2, 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    np.testing.assert_array_equal(image.get_array()[2], [0.5, 0.5, 1e-2])


def test_incomparable_samplers_have_no_shade():
    image = figures.distance_matrix(Figure().subplots(), ["", ""], [[0, np.inf], [np.inf, 0]])
    np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), [[False, True], [True, False]])


def test_coinciding_curves_are_rings_of_different_size():
    ax = Figure().subplots()
    errors = {"a": [0.1, 0.01], "b": [0.1, 0.01], "c": [0.2, 0.1]}
    figures.coincident(ax, [8, 16], errors, [["a", "b"], ["c"]])
    a, b, c = ax.get_lines()
    assert a.get_color() == b.get_color() != c.get_color() and a.get_markersize() < b.get_markersize()
    assert sorted(text.get_text() for text in ax.texts) == ["a =\nb", "c"]


def test_closed_forms_are_lines_and_measurements_dots_of_one_colour():
    ax = Figure().subplots()
    figures.closed_forms(ax, [1, 2, 4], {"a": [1, 4, 16]}, [1, 4], {"a": [1, 16]})
    line, dots = ax.get_lines()
    assert line.get_color() == dots.get_color() and (line.get_linestyle(), dots.get_linestyle()) == ("-", "None")
    np.testing.assert_array_equal(dots.get_xydata(), [[1, 1], [4, 16]])


def test_names_stand_by_their_methods():
    """Names of one method on the grids of the pictures are neighbours, so that frames hold whole methods."""
    grids = [
        dn.grid.custom(dn.EDM(), sigmas=np.linspace(6, 0.3, 5).tolist()),
        dn.grid.uniform(dn.Flow(shift=3.0), 4, start=0.97, stop=0.05),
    ]
    for levels in grids:
        plans = [compile(sampler, levels) for sampler in ONE_EVALUATION.values()]
        groups = figures.methods([[distance(a, b) for b in plans] for a in plans])
        assert all(group == list(range(group[0], group[-1] + 1)) for group in groups)
        assert len(plans) > 2 * len(groups) - 2


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.name)
def test_short_names_are_plain(gap):
    assert " − " in gap.short and "\\" not in gap.short
