"""Zero-stability beyond the ratios that are tried, against runs, and start-ups that are longer than the depth."""

from fractions import Fraction

import numpy as np
import pytest
import sympy

import diffnum as dn
from diffnum.bseries import GUARD
from diffnum.generic import GenericGrid, GenericProcess
from diffnum.order import generic_plan, history, prove, start_up, traced_depth
from diffnum.roots import reads_last_state, root_condition
from diffnum.series import rational
from diffnum.solvers import ALL
from diffnum.trace import compile, solver
from diffnum.weak_order import prove_weak
from theory import step_ratios
from theory.step_ratios import difference_factor, stable_ratios

TWO_STATES = ("ucgm", "ucgm_2", "bdf2", "rho_bdf2", "ghvb", "ghvb2", "hb", "hb_2m", "nesterov")


def on_ratio(sampler, ratio):
    """The plan on steps of constant ratio."""
    process = GenericProcess.random(1, 3 + GUARD)
    steps = [rational(1)]
    for _ in range(start_up(sampler) + 6):
        steps.append(steps[-1] * rational(ratio))
    return compile(sampler, GenericGrid.build(process, steps, 3 + GUARD))


@pytest.mark.parametrize(("kappa", "stable"), [(0.5, True), (-0.5, True), (1.5, False), (-1.5, False), (3.0, False)])
def test_a_start_up_that_drops_the_spurious_mode_does_not_hide_it(kappa, stable):
    proof = prove(ALL["ucgm"].with_options(kappa=kappa))
    assert proof.stable is stable and not proof.every_ratio


def test_what_fails_the_root_condition_grows_when_it_runs():
    law = dn.Gaussian(np.array([0.0, 0.5]), np.array([0.4, 1.5]))

    def errors(kappa):
        sampler = ALL["ucgm"].with_options(kappa=kappa)
        return [dn.w2(compile(sampler, dn.grid.log_snr(dn.VP(), n)), law) for n in (10, 20, 40)]

    stable, unstable = errors(0.5), errors(1.5)
    assert stable[0] > stable[1] > stable[2] and unstable[2] > 50 * unstable[1] > 100 * unstable[0]


def test_a_weak_proof_does_not_take_a_start_up_for_the_method():
    def noisy(kappa):
        def build(T, grid):
            older = None
            for i, (s, t) in enumerate(T.steps(grid)):
                x, D = T.x, T.denoise(T.x, s)
                r = t.sigma / s.sigma
                T.x = r * r * x + (t.alpha - r * r * s.alpha) * D + (t.sigma * dn.num.sqrt(1 - r * r)) * T.noise(s, t)
                if older is not None and i > 2:
                    y, u = older
                    T.x = T.x + kappa * (t.sigma * ((1 / s.sigma) * x - (1 / u.sigma) * y))
                older = x, s

        return solver(order=1, cold=1, cite="none", stochastic=True)(build)

    assert prove_weak(noisy(0.5)).stable and not prove_weak(noisy(1.5)).stable


@pytest.mark.parametrize("r", [3, 4])
def test_ghvb_of_higher_order_is_of_order_two_on_smooth_grids(r):
    proof = prove(ALL["ghvb"].with_options(r=r))
    assert (proof.order, proof.cold, proof.smooth, proof.stable) == (1, 2, 2, True)


@pytest.mark.parametrize("heun", [0, 1, 5])
def test_a_start_up_is_as_long_as_its_option_says(heun):
    sampler = ALL["flowturbo"].with_options(heun=heun)
    assert start_up(sampler) == max(2 * traced_depth(sampler) + 1, heun + 1)
    assert history(sampler, 4).steps >= start_up(sampler)


def test_methods_that_read_one_state_are_stable_for_every_ratio():
    for name in ("ddim", "dpmpp_2m", "heun", "unipc_3", "ab2"):
        assert prove(ALL[name]).every_ratio
        assert reads_last_state(generic_plan(ALL[name], 8, 3, 2)[1])
    assert not any(prove(ALL[name]).every_ratio for name in ("bdf2", "hb"))


@pytest.mark.parametrize("name", TWO_STATES)
def test_the_ratio_at_which_stability_ends_is_where_the_factor_is_one(name):
    sampler = ALL[name]
    g = difference_factor(sampler)
    for ratio in (Fraction(9, 10), Fraction(2), Fraction(12, 5), Fraction(5, 2), Fraction(49, 10), Fraction(51, 10)):
        grows = g.subs(step_ratios.R, sympy.Rational(ratio.numerator, ratio.denominator)) > 1
        assert root_condition(on_ratio(sampler, ratio), start_up(sampler)) is not bool(grows)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ddim", "every ratio"),
        ("ucgm", "every ratio"),
        ("bdf2", r"$r < 1 + \sqrt{2}$"),
        ("ucgm_2", r"$r < 1 + \sqrt{2}$"),
        ("hb_2m", "$r < 5$"),
    ],
)
def test_the_table_says_which_ratios_are_proved(name, says):
    assert stable_ratios(ALL[name], prove(ALL[name])) == says


def test_more_than_two_states_have_no_one_factor():
    @solver(order=1, cold=1, cite="none")
    def three(T, grid):
        past = []
        for s, t in T.steps(grid):
            u = (1 / s.sigma) * T.x
            D, past = T.denoise(T.x, s), [u, *past][:3]
            T.x = (t.sigma / s.sigma) * T.x + (t.alpha - t.sigma / s.sigma * s.alpha) * D
            if len(past) == 3:
                T.x = T.x + (t.sigma / 2) * (past[1] - past[2])

    assert prove(three).stable
    with pytest.raises(ArithmeticError, match="three is no combination of two states"):
        difference_factor(three)


def test_a_wrong_shape_of_a_condition_is_no_proof():
    (adams,) = (s for s in step_ratios.SHAPES if "ab2" in s.members)
    wrong = step_ratios.Shape("", "", 2, {"": step_ratios.R**3}, ("ab2",))
    high = step_ratios.Shape("", "", 3, adams.forms, ("ab2",))
    absent = step_ratios.Shape("", "", 2, {**adams.forms, "D_ccc": adams.forms[""]}, ("ab2",))
    assert not any(shape.derive().holds for shape in (wrong, high, absent))


@pytest.mark.parametrize("ratio", [Fraction(1, 2), Fraction(1), Fraction(7, 5)])
@pytest.mark.parametrize("name", ["dpmpp_2m", "ipndm_2", "bdf2"])
def test_conditions_in_the_ratio_are_those_of_a_grid_with_that_ratio(name, ratio):
    from diffnum.order import leading_condition, local_errors, show_tree

    sampler = ALL[name]
    power, forms = step_ratios.residuals(sampler)
    order = (sampler.smooth or sampler.order) + 2
    past = history(sampler, order)
    process = GenericProcess.random(step_ratios.SEED, order + GUARD)
    steps = [rational(1)] * past.steps + [rational(ratio), rational(1)]
    plan = compile(sampler, GenericGrid.build(process, steps, order + GUARD))
    error = local_errors(plan, process, order, past.predictions(plan), past.steps)[0]
    low, trees = leading_condition(error, order)
    at = sympy.Rational(ratio.numerator, ratio.denominator)
    values = {tree: form.subs(step_ratios.R, at) for tree, form in forms.items()}
    expected = {tree: value for tree, value in values.items() if value != 0}
    if expected:
        found = {show_tree(t): sympy.Rational(int(c.numerator), int(c.denominator)) for t, c in trees.items()}
        assert (low, found) == (power, expected)
    else:
        assert low > power
