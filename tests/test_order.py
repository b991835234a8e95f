"""Proofs against textbook orders, on methods written here and on deliberate falsehoods."""

from fractions import Fraction

import pytest

import diffnum as dn
from diffnum.num import expm1
from diffnum.order import generic_plan, local_errors, prove, root_condition, show_tree
from diffnum.solvers import ALL
from diffnum.solvers.onestep import data_transfer, dpm_solver_2, dpmpp_2s, transfer
from diffnum.trace import solver
from diffnum.weak import prove_weak

DETERMINISTIC = [s for s in ALL.values() if not s.stochastic]
STOCHASTIC = [s for s in ALL.values() if s.stochastic]


@pytest.mark.parametrize("sampler", DETERMINISTIC, ids=lambda s: s.name)
def test_proved_order_equals_claim(sampler):
    proof = prove(sampler, highest=max(4, sampler.order + 1))
    assert (proof.order, proof.cold, proof.stable) == (sampler.order, sampler.cold, True)
    assert proof.violated


@pytest.mark.parametrize("sampler", STOCHASTIC, ids=lambda s: s.name)
def test_proved_weak_order_equals_claim(sampler):
    assert prove_weak(sampler).order == sampler.order


@pytest.mark.parametrize("r", [Fraction(1, 3), Fraction(1, 2), Fraction(4, 5), Fraction(1)])
@pytest.mark.parametrize("family", [dpm_solver_2, dpmpp_2s], ids=lambda s: s.name)
def test_second_order_for_every_intermediate_node(family, r):
    assert prove(family.with_options(r=r)).order == 2


def test_constant_step_weights_lose_an_order_on_variable_steps():
    @solver(order=1, cold=1, cite="none")
    def constant_ab2(T, grid):
        past = None
        for s, t in T.steps(grid):
            v = T.slope(T.x, s)
            T.x = T.x + T.dt(s, t) * (v if past is None else 1.5 * v - 0.5 * past)
            past = v

    proof = prove(constant_ab2)
    assert (proof.order, proof.cold) == (1, 1)


def test_a_wrong_level_and_a_wrong_sign_are_named():
    def late(T, grid):
        for s, t in T.steps(grid):
            T.x = transfer(T.x, s, t, T.denoise(T.x, t))

    def flipped(T, grid):
        for s, t in T.steps(grid):
            T.x = (t.sigma / s.sigma) * T.x + t.alpha * expm1(-T.h(s, t)) * T.denoise(T.x, s)

    # a level wrong by O(h) and a state not moved along: still consistent, no longer the same method
    assert prove(late).order == 1
    assert prove(flipped).order == 0
    assert any(v.startswith("D:") for v in prove(flipped).violated)


def test_a_weakly_consistent_unstable_method_fails_the_root_condition():
    def unstable(T, grid):
        older = None
        for s, t in T.steps(grid):
            D, x = T.denoise(T.x, s), T.x
            first = data_transfer(T, x, s, t, D)
            # the backward-looking extrapolation 4 x_n - 3 x_{n-1}: consistent, spurious root 3
            if older is not None:
                y, u, Du = older
                back = (s.sigma / u.sigma) * y + (s.alpha - s.sigma / u.sigma * u.alpha) * Du
                first = first + 3 * (t.sigma / s.sigma) * (x - back)
            T.x, older = first, (x, s, D)

    _, plan = generic_plan(unstable, 6, 4, 1)
    assert not root_condition(plan)
    assert not prove(unstable).stable


def test_local_error_of_ddim_starts_at_h_squared_with_the_field_and_its_clock_derivative():
    process, plan = generic_plan(ALL["ddim"], 2, 4, 3)
    error = local_errors(plan, process, 4)[-1]
    leading = {show_tree(t) for t, s in error.items() if s.valuation == 2}
    assert leading == {"D_u(D)", "D_c"}


def test_a_solver_that_draws_noise_has_no_pathwise_proof():
    with pytest.raises(ValueError, match="draws noise"):
        prove(ALL["ddpm_ancestral"])


def test_nonlinear_forms_are_refused():
    def squared(T, grid):
        for s, _ in T.steps(grid):
            T.x = T.x * T.denoise(T.x, s)

    with pytest.raises(TypeError, match="linear"):
        dn.compile(squared, dn.grid.log_snr(dn.VP(), 2))
