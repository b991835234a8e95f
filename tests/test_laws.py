"""Laws on the line against quadrature and closed forms in extended precision, their flow against quantiles."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffnum.plan import Level
from diffnum.targets import Laplace1D, Mixture1D, Product1D, Uniform1D
from diffnum.targets.laws import cdf
from diffnum.targets.transport import quantile, transport
from tests.law_cases import ATOMS, CLEAN, LAPLACE, LAWS, LEVELS, MIXTURE, PURE, UNIFORM, S, T, each_law

each_level = pytest.mark.parametrize("level", LEVELS, ids=lambda at: f"{at.alpha:g}-{at.sigma:g}")


def spread(law, level):
    """Points at the centre and out to fifteen standard deviations."""
    std = np.hypot(level.alpha * law.std, level.sigma)
    return level.alpha * law.mean + std * np.array([0.0, 1e-9, -0.4, 1.0, -2.5, 5.0, -15.0])


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
    gap=st.floats(0.5, 12),
    width=st.floats(0.05, 1),
    weight=st.floats(1e-6, 0.5),
    where=st.floats(-4, 4),
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


@each_law
@pytest.mark.parametrize("log_p", [np.log(0.5), -3.0, -700.0, -5000.0])
def test_quantile_inverts_the_tail(law, log_p):
    for sign in (-1.0, 1.0):
        target, side = np.array([log_p]), np.array([sign])
        y = quantile(law, target, side, S)
        assert law.log_tail(y, side, S)[0] == pytest.approx(log_p, rel=1e-13)


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
