"""Proofs against textbook orders, on methods written here and on deliberate falsehoods."""

from fractions import Fraction

import pytest

import diffnum as dn
from diffnum.num import expm1, phi, sqrt
from diffnum.order import generic_plan, local_errors, prove, root_condition, show_tree
from diffnum.solvers import ALL, dpm_solver_2, dpmpp_2s
from diffnum.solvers.coords import data_transfer, transfer
from diffnum.trace import solver
from diffnum.weak_order import prove_weak

# by default certificates prove the orders of those that are selected; here some are proved alone
ALONE = {"rk4", "dpmpp_3m", "unipc_3", "ddpm_ancestral", "er_sde_3_corrected"}
SAMPLERS = [pytest.param(s, id=n, marks=() if n in ALONE else pytest.mark.full) for n, s in ALL.items()]
DETERMINISTIC, STOCHASTIC = ([p for p in SAMPLERS if p.values[0].stochastic is noisy] for noisy in (False, True))


@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_proved_order_equals_claim(sampler):
    proof = prove(sampler, highest=max(4, sampler.order + 1))
    assert (proof.order, proof.cold, proof.stable) == (sampler.order, sampler.cold, not sampler.smooth_only)
    assert proof.violated and proof.on_equal


@pytest.mark.parametrize("sampler", STOCHASTIC)
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


def classical(fraction):
    """Heun's third-order method, its coefficients written as ``fraction`` gives them."""

    def heun3(T, grid):
        for s, t in T.steps(grid):
            dc, k1 = T.dt(s, t), T.slope(T.x, s)
            k2 = T.slope(T.x + fraction(1, 3) * dc * k1, T.clock_between(s, t, fraction(1, 3)))
            k3 = T.slope(T.x + fraction(2, 3) * dc * k2, T.clock_between(s, t, fraction(2, 3)))
            T.x = T.x + dc * (fraction(1, 4) * k1 + fraction(3, 4) * k3)

    return heun3


@pytest.mark.parametrize("fraction", [Fraction, lambda a, b: a / b], ids=["fractions", "floats"])
def test_a_third_written_as_a_float_is_a_third(fraction):
    assert prove(classical(fraction)).order == 3


@pytest.mark.parametrize(("factor", "order"), [(1, 2), (2, 3)])
def test_a_formula_that_divides_by_h_loses_no_order(factor, order):
    """DPM-Solver++(3M) as its reference code has it: ``phi_2 = phi_1 / h + 1``, ``phi_3 = phi_2 / h - 1/2``."""

    def literal(T, grid):
        past = []
        for s, t in T.steps(grid):
            h, D = T.h(s, t), T.denoise(T.x, s)
            if len(past) < 2:
                T.x = data_transfer(T, T.x, s, t, D + h / (2 * past[0][1]) * (D - past[0][0]) if past else D)
            else:
                (D1, h1), (D2, h2) = past
                r0, r1 = h1 / h, h2 / h
                one, two = (1 / r0) * (D - D1), (1 / r1) * (D1 - D2)
                slope, bend = one + (r0 / (r0 + r1)) * (one - two), (1 / (r0 + r1)) * (one - two)
                phi_2 = expm1(-h) / h + 1
                bend = t.alpha * factor * (phi_2 / h - 0.5) * bend
                T.x = data_transfer(T, T.x, s, t, D) + t.alpha * phi_2 * slope - bend
            past = [(D, h), *past][:2]

    proof = prove(literal)
    assert (proof.order, proof.cold) == (order, 2) and proof.violated


@pytest.mark.parametrize(
    ("root", "stable"),
    [(0.5, True), (-1.0, True), (1.05, False), (-1.1, False)],
)
def test_a_spurious_root_just_beyond_the_circle_is_found(root, stable):
    def with_root(T, grid):
        older = None
        for s, t in T.steps(grid):
            x, D = T.x, T.denoise(T.x, s)
            step = transfer(x, s, t, D)
            if older is not None:
                step = step + root * (t.sigma / s.sigma) * (x - transfer(*older))
            T.x, older = step, (x, s, t, D)

    assert prove(with_root).order == 1
    assert prove(with_root).stable is stable


def test_extrapolating_the_state_alone_has_a_double_root():
    def extrapolation(T, grid):
        older = None
        for s, t in T.steps(grid):
            x = T.x
            if older is None:
                T.x = transfer(x, s, t, T.denoise(x, s))
            else:
                y, u = older
                ratio = T.dt(s, t) / T.dt(u, s)
                T.x = t.sigma * ((1 / s.sigma) * x + ratio * ((1 / s.sigma) * x - (1 / u.sigma) * y))
            older = (x, s)

    proof = prove(extrapolation)
    assert proof.order == 1 and not proof.stable


def test_predicted_evaluations_and_a_simpler_last_step_do_not_hide_the_order():
    """A predictor-corrector of order three that keeps the evaluation at the predicted state, two nodes and three."""

    def nodes(T, x, s, t, known):
        # Lagrange through (offset in h, D), integrated against e^lam
        h, out = T.h(s, t), (t.sigma / s.sigma) * x
        for i, (at, D) in enumerate(known):
            poly, scale = [1], 1
            for j, (other, _) in enumerate(known):
                if j != i:
                    pad = [0, *poly]
                    poly = [a - other * b for a, b in zip(pad, [*poly, 0], strict=True)]
                    scale = scale * (at - other)
            weight = sum((c * (1, 1, 2)[k] * phi(k + 1, -h) for k, c in enumerate(poly)), 0 * h)
            out = out + (t.alpha * h * weight / scale) * D
        return out

    def unipc(T, grid):
        past, D = None, None
        for i, (s, t) in enumerate(T.steps(grid)):
            h = T.h(s, t)
            D = T.denoise(T.x, s) if D is None else D
            known = [(0 * h, D)] if past is None else [(0 * h, D), (-past[1] / h, past[0])]
            T.x, before = nodes(T, T.x, s, t, known), T.x
            if i < len(grid.levels) - 2:
                E = T.denoise(T.x, t)
                T.x = nodes(T, before, s, t, [(0 * h + 1, E), *known])
                past, D = (D, h), E

    proof = prove(unipc)
    assert (proof.order, proof.cold, proof.stable) == (3, 3, True)


def weak(build):
    return solver(order=1, cold=1, cite="nobody")(build)


def posterior(T, s, t, D, z):
    forward = -expm1(-2 * T.h(s, t))
    eps = (1 / s.sigma) * (T.x - s.alpha * D)
    return t.alpha * D + (t.sigma * sqrt(1 - forward)) * eps + (t.sigma * sqrt(forward)) * z


def test_weak_proofs_see_where_the_model_is_called():
    """A Gaussian cannot: its denoiser is linear, so noise in the input averages out."""

    @weak
    def halved(T, grid):
        for s, t in T.steps(grid):
            T.x = posterior(T, s, t, T.denoise(0.5 * T.x, s), T.noise(s, t))

    @weak
    def noisy(T, grid):
        for s, t in T.steps(grid):
            D = T.denoise(T.x + s.sigma * T.noise(s, t), s)
            T.x = posterior(T, s, t, D, T.noise(s, t))

    for wrong in (halved, noisy):
        proof = prove_weak(wrong)
        assert proof.order == 0 and "does not tend to x_s" in proof.violated[0]


def test_weak_proofs_refuse_a_draw_used_in_two_steps():
    @weak
    def again(T, grid):
        z = None
        for s, t in T.steps(grid):
            D = T.denoise(T.x, s)
            z = T.noise(s, t) if z is None else z
            T.x = posterior(T, s, t, D, z)

    proof = prove_weak(again)
    assert proof.order == 0 and "earlier step" in proof.violated[0]


def test_weak_proofs_leave_the_circle():
    @weak
    def circular(T, grid):
        for s, t in T.steps(grid):
            D = T.denoise(T.x, s)
            T.x = posterior(T, s, t, D, T.noise(s, t)) + (sqrt(1 - t.sigma * t.sigma) - t.alpha) * D

    proof = prove_weak(circular)
    assert proof.order == 0 and "not preserved" in proof.violated[0]


def test_a_deterministic_method_of_order_two_is_of_weak_order_two():
    """Heun's method read as a law: sharp on the Gaussian, whose moments miss at h^3."""
    law = solver(order=2, cold=2, cite="none", stochastic=True)(ALL["heun"].build)
    proof = prove_weak(law)
    assert (proof.order, proof.cold) == (2, 2) and "h^3" in proof.violated[0]
