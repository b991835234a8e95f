"""Product1D against its laws, the Gaussian, derivatives and its own ODE."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffnum.plan import PREDICTIONS, Level
from diffnum.targets import Gaussian, Laplace1D, Mixture1D, Product1D, Uniform1D
from tests.law_cases import ATOMS, CLEAN, LAPLACE, MIXTURE, PURE, UNIFORM, S, T, each_law

SMOOTH = [MIXTURE, Mixture1D([0.6, 0.4], [-0.5, 0.8], [0.4, 0.3]), Mixture1D([1.0], [0.1], [0.7])]
ROTATION = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
COUPLED = Product1D(SMOOTH, ROTATION)
MIXED = Product1D([UNIFORM, MIXTURE, LAPLACE], ROTATION)
PRODUCTS = {"smooth": COUPLED, "mixed": MIXED}
each_product = pytest.mark.parametrize("target", PRODUCTS.values(), ids=PRODUCTS.keys())


def on_circle(angle):
    """``alpha = cos``, ``sigma = sin``, so that ``dx/dangle`` is the velocity prediction."""
    return Level(angle, mp.cos(angle), mp.sin(angle), lam=mp.log(mp.cot(angle)))


@each_product
def test_posterior_cov_is_the_jacobian_of_the_denoiser(target):
    x, h = target.sample(1, 2, S)[0], 1e-3
    stencil = [(-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12)]
    columns = [sum(c * target.denoise(x + k * h * e, S) for k, c in stencil) / h for e in np.eye(3)]
    np.testing.assert_allclose(S.sigma**2 / S.alpha * np.stack(columns, -1), target.posterior_cov(x, S), atol=1e-9)


def test_score_is_the_gradient_of_log_prob():
    x = torch.tensor(COUPLED.sample(4, 5, S), requires_grad=True)
    (gradient,) = torch.autograd.grad(COUPLED.log_prob(x, S).sum(), x)
    np.testing.assert_allclose(COUPLED.score(x, S).detach(), gradient, atol=1e-12)


@each_product
def test_a_rotated_product_is_the_product_rotated(target):
    plain, x = Product1D(target.laws), target.sample(6, 7, S)
    u = x @ ROTATION
    for quantity in PREDICTIONS:
        want = plain.predict(u, S, quantity) @ ROTATION.T
        np.testing.assert_allclose(target.predict(x, S, quantity), want, atol=1e-13)
    np.testing.assert_allclose(target.flow(x, S, T), plain.flow(u, S, T) @ ROTATION.T, atol=1e-13)
    np.testing.assert_allclose(target.log_prob(x, S), plain.log_prob(u, S), rtol=1e-13)
    one_by_one = np.stack([law.denoise(u[:, i], S) for i, law in enumerate(target.laws)], -1)
    np.testing.assert_allclose(plain.denoise(u, S), one_by_one, atol=1e-14)


def test_a_product_of_normals_is_the_gaussian():
    means, stds = [0.5, -1.0, 0.0], [0.2, 1.0, 3.0]
    product = Product1D([Mixture1D([1.0], [m], [s]) for m, s in zip(means, stds, strict=True)], ROTATION)
    gaussian = Gaussian(ROTATION @ means, np.square(stds), ROTATION)
    x = gaussian.sample(6, 1, S)
    for quantity in PREDICTIONS:
        np.testing.assert_allclose(product.predict(x, S, quantity), gaussian.predict(x, S, quantity), atol=1e-13)
    for s, t in [(S, T), (T, S), (PURE, CLEAN), (CLEAN, S)]:
        np.testing.assert_allclose(product.flow(x, s, t), gaussian.flow(x, s, t), atol=1e-12)
    np.testing.assert_allclose(product.log_prob(x), gaussian.log_prob(x), rtol=1e-12)


@pytest.mark.parametrize(("quantity", "pair"), [("noise", (0, 1)), ("velocity", (-0.8, 0.6)), ("score", (0, -1 / 0.8))])
@each_product
def test_predictions_are_the_same_combination_of_data_and_noise(target, quantity, pair):
    x = target.sample(5, 11, S)
    D = target.denoise(x, S)
    eps = (x - S.alpha * D) / S.sigma
    np.testing.assert_allclose(target.predict(x, S, quantity), pair[0] * D + pair[1] * eps, atol=1e-13)


def extrapolated_midpoint(f, start, end, y, steps, order):
    """Gragg, Bulirsch and Stoer's method for ``dy/dt = f(t, y)``, order ``2 * order``."""
    step = (end - start) / steps
    for i in range(steps):
        t, row = start + i * step, []
        for n in range(2, 2 * order + 1, 2):
            h, old, new = step / n, y, y + step / n * f(t, y)
            for j in range(1, n):
                old, new = new, old + 2 * h * f(t + j * h, new)
            row.append((old + new + h * f(t + step, new)) / 2)
        for k in range(1, order):
            for j in range(order - 1, k - 1, -1):
                row[j] = row[j] + (row[j] - row[j - 1]) / ((mp.mpf(j + 1) / (j + 1 - k)) ** 2 - 1)
        y = row[-1]
    return y


def test_flow_against_its_own_ode_integrated_at_fifty_digits():
    target = Product1D(SMOOTH[:2], np.array([[0.6, -0.8], [0.8, 0.6]]))
    with mp.workdps(50):
        start, end = mp.mpf("1.2"), mp.mpf("0.3")
        x = np.array([[0.4, -1.1], [2.0, 0.3]]).astype(object) * mp.mpf(1)
        y = extrapolated_midpoint(lambda t, z: target.velocity(z, on_circle(t)), start, end, x, 4, 10)
        moved = target.flow(x, on_circle(start), on_circle(end))
        assert abs(moved - y).max() < 1e-18
        floats = [Level(0.0, float(at.alpha), float(at.sigma)) for at in (on_circle(start), on_circle(end))]
        np.testing.assert_allclose(target.flow(x.astype(float), *floats), y.astype(float), rtol=1e-12)


def test_flow_has_the_velocity_as_its_slope_at_fifty_digits():
    with mp.workdps(50):
        x = COUPLED.sample(1, 3, S)[0].astype(object) * mp.mpf(1)
        start, end = on_circle(mp.mpf("0.9")), mp.mpf("0.3")
        velocity = COUPLED.velocity(COUPLED.flow(x, start, on_circle(end)), on_circle(end))
        for i in range(3):
            slope = mp.diff(lambda angle, i=i: COUPLED.flow(x, start, on_circle(angle))[i], end)
            assert abs(slope - velocity[i]) < 1e-40


@settings(deadline=None, max_examples=60)
@given(
    at=st.tuples(*[st.floats(0.02, 1.55)] * 2),
    seed=st.integers(0, 999),
    name=st.sampled_from(["smooth", "mixed"]),
)
def test_flow_there_and_back_is_the_identity(at, seed, name):
    target = PRODUCTS[name]
    s, t = (Level(a, float(np.cos(a)), float(np.sin(a))) for a in at)
    x = target.sample(4, seed, s)
    assert np.abs(target.flow(target.flow(x, s, t), t, s) - x).max() < 1e-12


def test_flow_between_noise_and_data_where_there_are_no_point_masses():
    z = np.random.default_rng(1).standard_normal((50, 3))
    x0 = MIXED.flow(z, PURE, CLEAN)
    u = x0 @ ROTATION
    assert np.all((u[:, 0] > -1) & (u[:, 0] < 2))
    np.testing.assert_allclose(MIXED.flow(x0, CLEAN, PURE), z, atol=1e-9)
    np.testing.assert_allclose(u[:, 0], -1 + 3 * stats.norm.cdf(z @ ROTATION[:, 0]), atol=1e-12)


@each_product
@pytest.mark.parametrize("quantity", PREDICTIONS)
def test_numpy_and_torch_agree_in_every_dtype(target, quantity):
    x = target.sample(4, 4, S)
    want = target.predict(x, S, quantity)
    assert want.dtype == np.float64
    np.testing.assert_allclose(target.predict(torch.tensor(x), S, quantity), want, atol=1e-13)
    number = {"dtype": torch.float64}
    level = Level(0.5, torch.tensor(0.6, **number), torch.tensor(0.8, **number), lam=S.lam)
    np.testing.assert_allclose(target.predict(x, level, quantity), want, atol=1e-13)
    np.testing.assert_allclose(target.predict(torch.tensor(x), level, quantity), want, atol=1e-13)
    assert target.predict(x.astype(np.float32), S, quantity).dtype == np.float32
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        assert target.predict(torch.tensor(x).to(dtype), S, quantity).dtype == dtype
    np.testing.assert_allclose(target.flow(torch.tensor(x), S, T), target.flow(x, S, T), atol=1e-13)


@pytest.mark.parametrize("quantity", PREDICTIONS)
def test_extended_precision_agrees_and_is_not_capped_by_the_rotation(quantity):
    x = COUPLED.sample(3, 4, S)
    with mp.workdps(50):
        long = COUPLED.predict(x * mp.mpf(1), S, quantity)
        np.testing.assert_allclose(long.astype(float), COUPLED.predict(x, S, quantity), atol=1e-13)
        back = COUPLED.flow(COUPLED.flow(x * mp.mpf(1), S, T), T, S)
        assert abs(back - x).max() < 1e-45


def test_gradients_pass_through_the_level_and_the_points():
    x = torch.tensor(COUPLED.sample(2, 6, S), requires_grad=True)
    sigma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, noise: COUPLED.velocity(z, Level(0.5, 0.6, noise, lam=0.0)), (x, sigma))


@each_law
def test_ends_data_is_itself_and_pure_noise_says_nothing(law):
    target, rng = Product1D([law]), np.random.default_rng(2)
    x0, z = target.sample(5, rng), rng.standard_normal((5, 1))
    np.testing.assert_array_equal(target.denoise(x0, CLEAN), x0)
    np.testing.assert_array_equal(target.noise_prediction(x0, CLEAN), 0)
    np.testing.assert_array_equal(target.posterior_cov(x0, CLEAN), 0)
    np.testing.assert_allclose(target.denoise(z, PURE), np.full_like(z, law.mean), atol=1e-14)
    np.testing.assert_allclose(target.noise_prediction(z, PURE), z, atol=1e-14)
    np.testing.assert_allclose(target.posterior_cov(z, PURE)[..., 0, 0], law.std**2, rtol=1e-13)


@each_law
@settings(deadline=None, max_examples=40)
@given(exponent=st.floats(-12, 8), alpha=st.sampled_from([1.0, 0.5, 1e-5, 1e-12]), z=st.floats(-8, 8))
def test_predictions_stay_finite_and_add_up_at_any_noise(law, exponent, alpha, z):
    level = Level(0.5, alpha, 10.0**exponent)
    x0 = law.means[0] if isinstance(law, Mixture1D) else 0.4
    x = np.array([alpha * x0 + level.sigma * z])
    target = Product1D([law])
    D, eps = target.denoise(x, level), target.noise_prediction(x, level)
    np.testing.assert_allclose(alpha * D + level.sigma * eps, x, rtol=0, atol=1e-14 * (1 + abs(x[0])))
    assert 0 <= target.posterior_cov(x, level)[0, 0] < 10
    assert np.isfinite(target.log_prob(x, level))


def test_log_prob_of_the_data_is_the_density_of_the_laws():
    x = MIXED.sample(20, 4)
    u = x @ ROTATION
    want = -np.log(3) + stats.laplace(0.3, 0.7).logpdf(u[:, 2])
    want = want + np.log(
        sum(
            w * stats.norm(m, s).pdf(u[:, 1])
            for w, m, s in zip(MIXTURE.weights, MIXTURE.means, MIXTURE.stds, strict=True)
        )
    )
    np.testing.assert_allclose(MIXED.log_prob(x), want, rtol=1e-12)


REFUSED = {
    "no laws": lambda: Product1D([]),
    "orthonormal": lambda: Product1D(SMOOTH, np.eye(3) + 0.1),
    "shape": lambda: Product1D(SMOOTH, np.eye(2)),
    "one per component": lambda: Mixture1D([0.5, 0.5], [0.0], [1.0]),
    "give numbers >= 0": lambda: Mixture1D([1.0], [0.0], [-1.0]),
    "sum to 0": lambda: Mixture1D([0.0], [0.0], [1.0]),
    "finite numbers": lambda: Mixture1D([1.0], [float("nan")], [1.0]),
    "no interval": lambda: Uniform1D(1.0, 1.0),
    "scale > 0": lambda: Laplace1D(0.0, 0.0),
    "last axis": lambda: COUPLED.denoise(np.zeros((2, 2)), S),
    "unknown": lambda: COUPLED.predict(np.zeros(3), S, "drift"),
    "no score at sigma = 0": lambda: Product1D([ATOMS]).score(np.zeros(1), CLEAN),
    "uniform law has no score": lambda: Product1D([UNIFORM]).score(np.zeros(1), CLEAN),
    "no density": lambda: Product1D([ATOMS]).log_prob(np.zeros(1)),
    "point masses has no inverse": lambda: Product1D([ATOMS]).flow(np.zeros(1), S, CLEAN),
    "outside the support": lambda: Product1D([UNIFORM]).flow(np.full(1, 5.0), CLEAN, S),
    "almost vanishes": lambda: Product1D([Mixture1D([0.5, 0.5], [-5.0, 5.0], [0.1, 0.1])]).flow(np.zeros(1), S, CLEAN),
    "no gradient": lambda: COUPLED.flow(torch.zeros(3, requires_grad=True), S, T),
    "extended precision": lambda: MIXED.denoise(np.zeros(3).astype(object), S),
}


@pytest.mark.parametrize(("words", "build"), REFUSED.items(), ids=REFUSED.keys())
def test_bad_input_is_refused_in_one_sentence(words, build):
    with pytest.raises(ValueError, match=words) as refusal:
        build()
    assert "\n" not in str(refusal.value)
