"""Product1D and its laws against quadrature, closed forms in extended precision, and their own ODE."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffnum.plan import PREDICTIONS, Level
from diffnum.targets import Atoms1D, Gaussian, Laplace1D, Mixture1D, Product1D, Uniform1D
from diffnum.targets.laws import cdf
from diffnum.targets.transport import quantile, transport

MIXTURE = Mixture1D([0.3, 0.5, 0.2], [-1.0, 0.2, 2.0], [0.3, 0.5, 0.2])
ATOMS = Atoms1D([-1.0, 0.5, 0.7], [0.2, 0.5, 0.3])
UNIFORM = Uniform1D(-1.0, 2.0)
LAPLACE = Laplace1D(0.3, 0.7)
LAWS = {"mixture": MIXTURE, "atoms": ATOMS, "uniform": UNIFORM, "laplace": LAPLACE}
SMOOTH = [MIXTURE, Mixture1D([0.6, 0.4], [-0.5, 0.8], [0.4, 0.3]), Mixture1D([1.0], [0.1], [0.7])]
ROTATION = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
COUPLED = Product1D(SMOOTH, ROTATION)
MIXED = Product1D([UNIFORM, MIXTURE, LAPLACE], ROTATION)
PRODUCTS = {"smooth": COUPLED, "mixed": MIXED}

LEVELS = [Level(0.5, a, s) for a, s in [(0.6, 0.8), (0.995, 0.1), (1.0, 1e-3), (1e-6, 1.0), (1.0, 80.0), (0.0, 1.0)]]
S, T = LEVELS[:2]
CLEAN, PURE = Level(0.0, 1.0, 0.0), Level(1.0, 0.0, 1.0)

each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
each_level = pytest.mark.parametrize("level", LEVELS, ids=lambda at: f"{at.alpha:g}-{at.sigma:g}")
each_product = pytest.mark.parametrize("target", PRODUCTS.values(), ids=PRODUCTS.keys())


def spread(law, level):
    """Points at the centre and out to fifteen standard deviations."""
    std = np.hypot(level.alpha * law.std, level.sigma)
    return level.alpha * law.mean + std * np.array([0.0, 1e-9, -0.4, 1.0, -2.5, 5.0, -15.0])


def on_circle(angle):
    """``alpha = cos``, ``sigma = sin``, so that ``dx/dangle`` is the velocity prediction."""
    return Level(angle, mp.cos(angle), mp.sin(angle), lam=mp.log(mp.cot(angle)))


def normal_piece(mu, s, lo, hi):
    """Log-integral, mean and second moment of ``exp(-(u - mu)^2 / 2 s^2)`` on ``[lo, hi]``."""
    p, q = (lo - mu) / s, (hi - mu) / s
    if p > 0:
        mass = mp.ncdf(-p) - mp.ncdf(-q)
    else:
        mass = mp.ncdf(q) - mp.ncdf(p)
    edges = [(z, mp.npdf(z) if mp.isfinite(z) else mp.mpf(0)) for z in (p, q)]
    first = (edges[0][1] - edges[1][1]) / mass
    second = 1 + sum(sign * z * f for sign, (z, f) in zip((1, -1), edges, strict=True) if f) / mass
    log_integral = mp.log(mass * s * mp.sqrt(2 * mp.pi))
    return log_integral, mu + s * first, mu * mu + 2 * mu * s * first + s * s * second


def pieces(law, y, a, s):
    """The posterior's pieces as normals on intervals: ``(log-weight, mean, second moment)`` each."""
    if isinstance(law, Uniform1D):
        log_i, mean, second = normal_piece(y / a, s / a, mp.mpf(law.a), mp.mpf(law.b))
        return [(log_i - mp.log(mp.mpf(law.b) - mp.mpf(law.a)), mean, second)]
    if isinstance(law, Laplace1D):
        loc, b, found = mp.mpf(law.loc), mp.mpf(law.scale), []
        for side, lo, hi in ((1, loc, mp.inf), (-1, -mp.inf, loc)):
            mu = y / a - side * s * s / (a * a * b)
            log_i, mean, second = normal_piece(mu, s / a, lo, hi)
            log_i += (mu * mu * a * a - y * y) / (2 * s * s) + side * loc / b - mp.log(2 * b)
            found.append((log_i, mean, second))
        return found
    found = []
    for w, m, c in zip(law.weights, law.means, law.variances, strict=True):
        v, m, c = a * a * c + s * s, mp.mpf(m), mp.mpf(c)
        r, left = y - a * m, c * s * s / v
        mean = m + a * c / v * r
        found.append((mp.log(w) - r * r / (2 * v) + mp.log(s / mp.sqrt(v)), mean, mean * mean + left))
    return found


def exact(law, y, level):
    """``E[x0 | y], Var[x0 | y], log p(y)`` from closed forms at 150 digits, where they may cancel."""
    a, s, y = mp.mpf(level.alpha) or mp.mpf(10) ** -20, mp.mpf(level.sigma), mp.mpf(y)
    found = pieces(law, y, a, s)
    top = max(log_w for log_w, _, _ in found)
    share = [mp.exp(log_w - top) for log_w, _, _ in found]
    total = sum(share)
    mean = sum(w * piece[1] for w, piece in zip(share, found, strict=True)) / total
    second = sum(w * piece[2] for w, piece in zip(share, found, strict=True)) / total
    return mean, second - mean * mean, top + mp.log(total) - mp.log(s * mp.sqrt(2 * mp.pi))


def exact_cdf(law, y, level):
    """``P(Y <= y)`` in extended precision."""
    a, s, y = mp.mpf(level.alpha) or mp.mpf(10) ** -20, mp.mpf(level.sigma), mp.mpf(y)
    if isinstance(law, Uniform1D):
        p, q = (y - a * law.a) / s, (y - a * law.b) / s
        return ((p * mp.ncdf(p) + mp.npdf(p)) - (q * mp.ncdf(q) + mp.npdf(q))) / (p - q)
    if isinstance(law, Laplace1D):
        t, k = (y - a * mp.mpf(law.loc)) / s, s / (a * mp.mpf(law.scale))
        up = mp.exp(k * k / 2 + k * t) * mp.ncdf(-t - k)
        return mp.ncdf(t) + up / 2 - mp.exp(k * k / 2 - k * t) * mp.ncdf(t - k) / 2
    parts = zip(law.weights, law.means, law.variances, strict=True)
    return sum(w * mp.ncdf((y - a * m) / mp.sqrt(a * a * c + s * s)) for w, m, c in parts)


def mirrored(law):
    """The law of ``-x0``."""
    if isinstance(law, Mixture1D):
        return Mixture1D(law.weights, -law.means, law.stds)
    return Uniform1D(-law.b, -law.a) if isinstance(law, Uniform1D) else Laplace1D(-law.loc, law.scale)


@pytest.mark.parametrize("name", ["mixture", "uniform", "laplace"])
def test_the_closed_forms_of_this_file_against_quadrature(name):
    law, y = LAWS[name], 1.1
    prior = {
        "mixture": lambda u: sum(
            w * mp.npdf(u, m, s) for w, m, s in zip(MIXTURE.weights, MIXTURE.means, MIXTURE.stds, strict=True)
        ),
        "uniform": lambda u: mp.mpf(1) / 3,
        "laplace": lambda u: mp.exp(-abs(u - mp.mpf(0.3)) / mp.mpf(0.7)) / 2 / mp.mpf(0.7),
    }[name]
    points = [-1, 0, 1, 2] if name == "uniform" else [-40, -12, -3, -1, 0, mp.mpf(0.3), 1, 2, 4, 12]
    joint = lambda u: prior(u) * mp.npdf(y, mp.mpf(S.alpha) * u, mp.mpf(S.sigma))  # noqa: E731
    density = mp.quad(joint, points)
    mean = mp.quad(lambda u: u * joint(u), points) / density
    variance = mp.quad(lambda u: (u - mean) ** 2 * joint(u), points) / density
    below = mp.quad(lambda u: prior(u) * mp.ncdf((y - mp.mpf(S.alpha) * u) / mp.mpf(S.sigma)), points)
    got = exact(law, y, S)
    for value, want in zip((*got, exact_cdf(law, y, S)), (mean, variance, mp.log(density), below), strict=True):
        assert abs(value - want) < 1e-10


@each_law
@each_level
def test_denoiser_variance_density_and_score_against_extended_precision(law, level):
    points = spread(law, level)
    got = law.denoise(points, level), law.variance(points, level), law.log_pdf(points, level), law.score(points, level)
    with mp.workdps(150):
        for y, D, variance, log_p, score in zip(points, *got, strict=True):
            mean, second, log_density = exact(law, y, level)
            assert abs(D - mean) < 2e-14 * law.std
            # a posterior that is one atom: its variance is a probability of the others, e^-(large) and as accurate
            assert abs(variance - second) < (1e-12 if law is ATOMS else 5e-14) * second + 1e-25
            assert abs(log_p - log_density) < 2e-14 * (1 + abs(log_density))
            slope = (level.alpha * mean - mp.mpf(y)) / mp.mpf(level.sigma) ** 2
            size = (abs(y - level.alpha * law.mean) + level.alpha * law.std) / level.sigma
            assert abs(score - slope) < 2e-14 * (1 + size) / level.sigma


@each_law
@each_level
def test_both_tails_against_extended_precision(law, level):
    points = spread(law, level)
    lower, upper = law.log_tail(points, -1.0, level), law.log_tail(points, 1.0, level)
    with mp.workdps(150):
        for y, low, high in zip(points, lower, upper, strict=True):
            assert abs(low - mp.log(exact_cdf(law, y, level))) < 1e-15 * (4 + abs(low))
            assert abs(high - mp.log(exact_cdf(mirrored(law), -y, level))) < 1e-15 * (4 + abs(high))


@each_law
def test_density_is_the_slope_of_the_cdf_and_score_that_of_the_log_density(law):
    y, h = np.linspace(-1.5, 1.5, 7), 1e-3
    stencil = [(-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12)]
    slope = sum(c * cdf(law, y + k * h, S) for k, c in stencil) / h
    np.testing.assert_allclose(slope, np.exp(law.log_pdf(y, S)), rtol=1e-9)
    slope = sum(c * law.log_pdf(y + k * h, S) for k, c in stencil) / h
    np.testing.assert_allclose(slope, law.score(y, S), rtol=1e-9, atol=1e-9)


@each_law
def test_posterior_variance_is_the_slope_of_the_denoiser(law):
    y, h = np.linspace(-1.5, 1.5, 7), 1e-3
    stencil = [(-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12)]
    slope = sum(c * law.denoise(y + k * h, S) for k, c in stencil) / h
    np.testing.assert_allclose(S.sigma**2 / S.alpha * slope, law.variance(y, S), rtol=1e-9)


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


@pytest.mark.parametrize("law", [UNIFORM, LAPLACE], ids=["uniform", "laplace"])
@pytest.mark.parametrize("s, t", [(S, T), (T, S), (PURE, T), (S, LEVELS[2])], ids=str)
def test_flow_against_the_quantile_found_at_fifty_digits(law, s, t):
    y = spread(law, s)[:-1]
    moved = transport(law, y, s, t)
    with mp.workdps(50):
        for before, after in zip(y, moved, strict=True):
            # compare tails on the nearer side: the residual over the density is the error
            low, goal = exact_cdf(law, after, t), exact_cdf(law, before, s)
            off = abs(low - goal) / mp.exp(law.log_pdf(np.array([after]), t)[0])
            assert off < 1e-12 * max(abs(after), float(np.hypot(t.alpha * law.std, t.sigma)))


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


@settings(deadline=None, max_examples=60)
@given(
    gap=st.floats(0.5, 12), width=st.floats(0.05, 1), weight=st.floats(1e-6, 0.5), where=st.floats(-4, 4),
    angles=st.tuples(st.floats(0.01, 1.57), st.floats(0.01, 1.57)),
)
def test_flow_is_refused_or_right_to_1e_10(gap, width, weight, where, angles):
    law = Mixture1D([weight, 1 - weight], [-gap / 2, gap / 2], [width, width])
    s, t = (Level(a, float(np.cos(a)), float(np.sin(a))) for a in angles)
    y = np.array([where * float(np.hypot(s.alpha * law.std, s.sigma))])
    try:
        moved = transport(law, y, s, t)
    except ValueError as refusal:
        assert "could be off" in str(refusal)
        return
    with mp.workdps(60):
        truth = transport(law, y.astype(object) * mp.mpf(1), *(on_float(at) for at in (s, t)))
        assert abs(moved[0] - truth[0]) < 1e-10 * max(abs(moved[0]), float(np.hypot(t.alpha * law.std, t.sigma)))


def on_float(level):
    """The same float level in extended precision."""
    alpha, sigma = mp.mpf(level.alpha), mp.mpf(level.sigma)
    return Level(level.t, alpha, sigma, lam=mp.log(alpha / sigma))


def test_flow_keeps_order():
    for law in LAWS.values():
        y = np.linspace(-2.0, 2.5, 40)
        moved = transport(law, y, S, Level(0.3, 0.9, 0.3))
        assert np.all(np.diff(moved) > 0)


def test_flow_between_noise_and_data_where_there_are_no_point_masses():
    z = np.random.default_rng(1).standard_normal((50, 3))
    x0 = MIXED.flow(z, PURE, CLEAN)
    u = x0 @ ROTATION
    assert np.all((u[:, 0] > -1) & (u[:, 0] < 2))
    np.testing.assert_allclose(MIXED.flow(x0, CLEAN, PURE), z, atol=1e-9)
    np.testing.assert_allclose(u[:, 0], -1 + 3 * stats.norm.cdf(z @ ROTATION[:, 0]), atol=1e-12)


@each_law
@pytest.mark.parametrize("log_p", [np.log(0.5), -3.0, -700.0, -5000.0])
def test_quantile_inverts_the_tail(law, log_p):
    for sign in (-1.0, 1.0):
        target, side = np.array([log_p]), np.array([sign])
        y = quantile(law, target, side, S)
        assert law.log_tail(y, side, S)[0] == pytest.approx(log_p, rel=1e-13)


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
    want = want + np.log(sum(w * stats.norm(m, s).pdf(u[:, 1]) for w, m, s in zip(
        MIXTURE.weights, MIXTURE.means, MIXTURE.stds, strict=True)))
    np.testing.assert_allclose(MIXED.log_prob(x), want, rtol=1e-12)


@each_law
@pytest.mark.parametrize("level", [None, Level(0.2, 0.9, 0.3)], ids=["data", "noisy"])
def test_samples_against_the_cdf(law, level):
    x = Product1D([UNIFORM, law]).sample(4000, 10, level)[:, 1]
    if level is None and law is ATOMS:
        counts = [np.sum(np.isclose(x, point, rtol=0, atol=1e-15)) for point in ATOMS.means]
        assert stats.chisquare(counts, 4000 * ATOMS.weights).pvalue > 1e-3
    else:
        assert stats.kstest(x, lambda y: cdf(law, y, level or CLEAN)).pvalue > 1e-3


def test_cdf_of_point_masses_steps_at_the_points():
    y = np.array([-1.1, -1.0, 0.0, 0.5, 0.6, 0.7, 3.0])
    np.testing.assert_allclose(cdf(ATOMS, y, CLEAN), [0, 0.2, 0.2, 0.7, 0.7, 1, 1], atol=1e-15)
    np.testing.assert_allclose(np.exp(ATOMS.log_tail(y, 1.0, CLEAN)), [1, 1, 0.8, 0.8, 0.3, 0.3, 0], atol=1e-15)


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
