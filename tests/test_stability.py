"""Stability: the reading against runs of the plan, against closed forms, and against what is proved."""

import math

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnum.figures import panels, style
from diffnum.figures.stability import amplification_map, stability_regions
from diffnum.plan import interpret
from diffnum.prediction import convert
from diffnum.read.stability import (
    DataForm,
    NoiseForm,
    Ratio,
    _traced,
    amplification,
    guided_jacobian,
    largest_guidance,
    live,
    matrix,
    real_interval,
    region,
)
from diffnum.solvers import (
    ALL,
    ab2,
    ddim,
    ddpm_ancestral,
    dpm_solver_2,
    dpmpp_2m,
    dpmpp_2s,
    dpmpp_3m,
    dpmpp_3m_corrected,
    euler,
    ghvb,
    ghvb2,
    ghvb3,
    ghvb4,
    hb,
    hb_2m,
    heun,
    midpoint,
    nesterov,
    rk4,
)
from diffnum.solvers.momentum import weights
from diffnum.trace import Form, solver
from theory import stability as theory

SAMPLERS = (
    *(euler, heun, midpoint, rk4, ab2, ddim, dpm_solver_2, dpmpp_2s, dpmpp_2m, dpmpp_3m, dpmpp_3m_corrected),
    *(hb, hb_2m, nesterov, ghvb, ghvb2, ghvb3, ghvb4),
)
IN_RATIO = (euler, heun, midpoint, rk4, ab2, ddim, hb, nesterov, ghvb, ghvb2, ghvb3, ghvb4)
names = {"ids": lambda s: s.name}
damping = st.floats(0.02, 1)
jacobian = st.complex_numbers(max_magnitude=6, allow_nan=False, allow_infinity=False)


@solver(order=1, cold=2, smooth=2)
def with_velocity(T, grid, r=2, b=0.8):
    """GHVB with its velocities in registers of their own."""
    velocities = []
    for s, t in T.steps(grid):
        e = T.evaluate(T.x, s).noise
        v = (1 - b) * velocities[0] + b * e if velocities else 1.0 * e
        velocities = [Form(((T.pin(v, "v"), 1.0),)), *velocities][:r]
        d = t.sigma / t.alpha - s.sigma / s.alpha
        mean = sum((w / b * v for w, v in zip(weights(b, [1.0] * len(velocities)), velocities, strict=True)), Form())
        T.x = (t.alpha / s.alpha) * T.x + (t.alpha * d) * mean


@solver(order=0)
def leapfrog(T, grid):
    """The two-step midpoint rule, weakly unstable for every decaying solution."""
    before = None
    for s, t in T.steps(grid):
        x, v = T.x, T.slope(T.x, s)
        T.x = x + T.dt(s, t) * v if before is None else before + 2 * T.dt(s, t) * v
        before = x


# --- against runs ---


def growth(sampler, equation, z, steps=240):
    """Factor per step by which a run of the whole plan grows, over its second half."""
    plan = _traced(sampler, equation, steps)
    states = {r: level.sigma for r, level in zip(plan.states, plan.levels, strict=True)}
    sizes = []

    def evaluate(x, level, quantity):
        a, b = convert(level, equation.prediction, quantity)
        return a * x + b * equation.evaluate(x, level, z)

    def visit(r, line, value):
        if r in states:
            sizes.append(abs(value) / (states[r] if isinstance(equation, NoiseForm) else 1.0))
        return value

    interpret(plan, 1.0 + 0j, lambda terms: sum(c * x for c, x in terms), evaluate, lambda line: None, visit)
    half = steps // 2
    first, second = max(sizes[half - 8 : half]), max(sizes[-8:])
    return (second / first) ** (1 / half)


@pytest.mark.parametrize("sampler", SAMPLERS, **names)
@pytest.mark.parametrize("z", [-2.5, 3.0 + 1.0j])
@pytest.mark.parametrize("equation", [DataForm(0.05), NoiseForm(0.05)], ids=lambda e: type(e).__name__)
def test_radius_is_the_growth_of_a_long_run_in_log_snr(sampler, equation, z):
    assert growth(sampler, equation, z) == pytest.approx(float(amplification(sampler, z, equation)), rel=0.02)


@pytest.mark.parametrize("sampler", IN_RATIO, **names)
@pytest.mark.parametrize("z", [-2.2, 0.3 + 0.5j])
def test_radius_is_the_growth_of_a_long_run_in_sigma(sampler, z):
    assert growth(sampler, Ratio(), z) == pytest.approx(float(amplification(sampler, z, Ratio())), rel=0.02)


@pytest.mark.parametrize("sampler", SAMPLERS, **names)
@given(z=jacobian)
@settings(max_examples=5, deadline=None)
def test_noise_form_is_data_form_with_the_other_jacobian(sampler, z):
    h = 0.3
    one, two = amplification(sampler, z, NoiseForm(h)), amplification(sampler, 1 - z, DataForm(h))
    assert one == pytest.approx(math.exp(h) * two, rel=1e-6)


@pytest.mark.parametrize("r", [1, 2, 3, 4])
@pytest.mark.parametrize("equation", [Ratio(), DataForm(0.7), NoiseForm(0.7)], ids=lambda e: type(e).__name__)
def test_a_stored_velocity_does_not_change_stability(r, equation):
    z = np.array([-0.7, 0.4, -0.3 + 0.6j, 2.0])
    stored, eliminated = with_velocity.with_options(r=r, b=0.6), ghvb.with_options(r=r, b=0.6)
    np.testing.assert_allclose(amplification(stored, z, equation), amplification(eliminated, z, equation), rtol=1e-9)


def test_what_is_live_are_states_evaluations_and_velocities():
    assert [matrix(sampler, 0.5, DataForm(0.4)).shape[-1] for sampler in (heun, dpmpp_2m, dpmpp_3m)] == [1, 2, 3]
    # two states and three remembered slopes
    assert matrix(hb, 0.5, Ratio()).shape[-1] == 5
    plan = _traced(with_velocity, DataForm(0.4), 8)
    assert [plan.lines[r - 1].name for r in live(plan, 5)] == ["v", "x"]


# --- against closed forms ---


@pytest.mark.parametrize("sampler", [*IN_RATIO, *(s.with_options(r=2, b=0.3) for s in (hb, nesterov, ghvb))], **names)
def test_eigenvalues_are_the_roots_of_the_characteristic_polynomial_in_sigma(sampler):
    exact = sampler.with_options(**{k: sympy.Rational(str(v)) for k, v in sampler.options})
    z = -0.4 + 0.7j
    _same_roots(theory.on_ratio(exact).subs(theory.Z, z), matrix(sampler, z, Ratio()))


@pytest.mark.parametrize("sampler", [ddim, euler, heun, dpmpp_2m, dpmpp_3m, dpmpp_3m_corrected, hb_2m], **names)
def test_eigenvalues_are_the_roots_of_the_characteristic_polynomial_in_log_snr(sampler):
    J, h = -1.3 + 0.7j, 0.6
    _same_roots(theory.on_data(sampler).subs({theory.J: J, theory.H: h}), matrix(sampler, J, DataForm(h)))


def _same_roots(polynomial, found):
    roots = np.roots([complex(c) for c in sympy.Poly(sympy.expand(polynomial), theory.X).all_coeffs()])
    eigenvalues = np.linalg.eigvals(found)
    padded = [*roots, *[0] * (len(eigenvalues) - len(roots))]
    # a zero root of multiplicity m is known to the m-th root of a few ulp
    np.testing.assert_allclose(sorted(np.abs(eigenvalues)), sorted(np.abs(padded)), atol=1e-5)
    assert np.abs(eigenvalues).max() == pytest.approx(np.abs(roots).max(), rel=1e-9)


@pytest.mark.parametrize("sampler, length", [(euler, 2), (ddim, 2), (heun, 2), (midpoint, 2), (ab2, 1), (leapfrog, 0)])
def test_real_intervals_of_classical_methods(sampler, length):
    assert real_interval(sampler, Ratio()) == pytest.approx(length, abs=1e-10)


def test_real_interval_of_the_classical_runge_kutta_method():
    (root,) = (z for z in sympy.Poly(theory.Z**3 + 4 * theory.Z**2 + 12 * theory.Z + 24).nroots(20) if z.is_real)
    assert real_interval(rk4, Ratio()) == pytest.approx(-float(root), abs=1e-10)


@pytest.mark.parametrize("r", [1, 2, 3, 4])
@given(b=damping)
@settings(max_examples=4, deadline=None)
def test_real_intervals_with_momentum_are_the_proved_ones(r, b):
    adams = float(theory.ADAMS[r])
    wanted = {
        hb: (2 - b) / b * adams,
        nesterov: (2 - b) / (b * (3 - 2 * b)) * adams,
        ghvb: {1: 2 * (2 - b) / b, 2: 2 - b, 3: 6 * (2 - b) / (12 - b), 4: 3 * (2 - b) / (11 - b)}[r],
    }
    for sampler, length in wanted.items():
        assert real_interval(sampler.with_options(r=r, b=b), Ratio()) == pytest.approx(length, rel=1e-10)
    corrected = {2: ghvb2, 3: ghvb3, 4: ghvb4}.get(r)
    if corrected:
        assert real_interval(corrected.with_options(b=b), Ratio()) == pytest.approx(wanted[ghvb], rel=1e-10)


@given(h=st.floats(0.02, 6), b=damping)
@settings(max_examples=8, deadline=None)
def test_real_intervals_in_log_snr_are_the_proved_ones(h, b):
    far = 1 / math.tanh(h / 2)
    for sampler, below in ((ddim, far), (dpmpp_2m, far / 2), (hb_2m.with_options(b=b), (2 - b) / (2 * b) * far)):
        assert real_interval(sampler, DataForm(h)) == pytest.approx(1 + below, rel=1e-10)


def test_what_is_inside_a_region_is_stable_and_what_is_outside_is_not():
    x, y, radius = region(euler, Ratio(), (-2.5, 0.5, -1.2, 1.2), points=61)
    assert radius.shape == (len(y), len(x)) == (49, 61)
    disc = np.abs(1 + x[None, :] + 1j * y[:, None])
    np.testing.assert_allclose(radius, disc, atol=1e-12)


# --- guidance ---


@pytest.mark.parametrize("sampler", [ddim, dpmpp_2m, hb_2m, dpmpp_3m_corrected, ab2], **names)
@pytest.mark.parametrize("inner, outer", [(0.1, 1.0), (0.0, 2.0), (0.4, 0.5)])
def test_the_largest_guidance_scale_is_stable_at_every_noise_and_the_next_is_not(sampler, inner, outer):
    h = 0.4
    scale = largest_guidance(sampler, h, inner, outer)
    sigmas = np.geomspace(1e-3, 1e3, 400)

    def worst(g):
        return amplification(sampler, guided_jacobian(g, inner, outer, sigmas), DataForm(h)).max()

    assert worst(scale * (1 - 1e-6)) <= 1 + 1e-9 < worst(scale * (1 + 1e-3))
    each = [largest_guidance(sampler, h, inner, outer, sigma) for sigma in sigmas[::40]]
    assert min(each) >= scale * (1 - 1e-12)


def test_the_largest_guidance_scale_of_the_first_order_step_is_the_closed_form():
    c = 1 / math.tanh(0.3 / 2)
    wanted = (math.sqrt((1 + c) * 1.5) + math.sqrt(c * 0.2)) ** 2 / 1.3
    assert largest_guidance(ddim, 0.3, 0.2, 1.5) == pytest.approx(wanted, rel=1e-10)


# --- pictures ---


def test_the_boundary_that_is_drawn_is_where_the_radius_is_one():
    with style():
        _, ((ax, beside),) = panels(1, 2)
        box = (-2.5, 0.5, -1.2, 1.2)
        drawn = {s.name: region(s, Ratio(), box, points=121) for s in (euler, ab2)}
        stability_regions(ax, drawn)
        lines = [c for c in ax.collections if c.get_facecolor().size == 0]
        first, second = (np.concatenate([p.vertices for p in line.get_paths() if len(p.vertices)]) for line in lines)
        np.testing.assert_allclose(np.hypot(1 + first[:, 0], first[:, 1]), 1, atol=1e-3)
        found = amplification(ab2, second[:, 0] + 1j * second[:, 1], Ratio())
        np.testing.assert_allclose(found, 1, atol=5e-3)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["euler", "ab2"]
        with pytest.raises(ValueError, match="euler is stable everywhere or nowhere in its box"):
            stability_regions(beside, {"euler": region(euler, Ratio(), (-1.5, -0.5, -0.2, 0.2))})


def test_the_map_of_amplification_draws_the_boundary_where_the_formula_is():
    h, scales = np.linspace(0.2, 1.5, 60), np.linspace(0, 12, 80)
    jacobians = guided_jacobian(scales, 0.1, 1.0, 1.0)
    radius = np.stack([amplification(dpmpp_2m, jacobians, DataForm(float(x))) for x in h])
    with style():
        _, ((ax,),) = panels()
        amplification_map(ax, scales, h, radius)
        (line,) = (c for c in ax.collections if c.get_facecolor().size == 0)
        (path,) = line.get_paths()
        for scale, step in path.vertices[::8]:
            assert largest_guidance(dpmpp_2m, step, 0.1, 1.0, 1.0) == pytest.approx(scale, rel=0.02)


# --- refusals ---


def test_every_deterministic_sampler_is_read_or_refused_with_a_sentence():
    read = 0
    for sampler in ALL.values():
        if not sampler.stochastic:
            try:
                assert math.isfinite(amplification(sampler, 0.5, DataForm(0.3)))
                read += 1
            except ValueError as error:
                assert "does not repeat itself on these levels" in str(error)
    assert read > 0.8 * sum(not sampler.stochastic for sampler in ALL.values())


def test_noise_other_levels_and_growth_without_guidance_are_refused():
    with pytest.raises(ValueError, match="draws noise"):
        amplification(ddpm_ancestral, 0.5, DataForm(0.3))
    with pytest.raises(ValueError, match="dpmpp_2m does not repeat itself"):
        amplification(dpmpp_2m, -0.5, Ratio())
    with pytest.raises(ValueError, match="heun grows without guidance at steps h = 4"):
        largest_guidance(heun, 4.0, 0.1, 1.0)
    with pytest.raises(ValueError, match="use 0 <= conditional < unconditional"):
        largest_guidance(ddim, 0.3, 2.0, 1.0)


# --- the proof itself ---


def test_an_unstable_polynomial_with_the_right_end_is_not_proved():
    # chi(-1) vanishes at z = -1, but from z = -1/2 on the product of the roots exceeds one
    chi = theory.X**2 - 3 * theory.Z * theory.X - 2 * theory.Z
    residual = theory.interval(chi, theory.Z, 0, sympy.Integer(-1), {}, ())
    assert residual[:2] == [0, 0] and any(r != 0 for r in residual)


@pytest.mark.parametrize("wrong", [theory.B + 2, 2 * (2 - theory.B) / 3])
def test_a_wrong_interval_is_not_proved(wrong):
    chi = theory.on_ratio(ghvb.with_options(r=2, b=theory.B))
    right = theory.interval(chi, theory.Z, 0, theory.B - 2, {theory.B: 1 / (1 + theory.W)}, (theory.W,))
    assert all(r == 0 for r in right)
    residual = theory.interval(chi, theory.Z, 0, -wrong, {theory.B: 1 / (1 + theory.W)}, (theory.W,))
    assert any(r != 0 for r in residual)


@pytest.mark.full  # by default test_theory derives them, with the page that holds them
@pytest.mark.parametrize("derivation", theory.CHAPTER, ids=lambda f: f.__name__)
def test_every_statement_holds(derivation):
    statement = derivation()
    assert statement.holds, statement.residual
