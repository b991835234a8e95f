"""DEIS in the clock: its weights against the published integral, closed forms of the quadrature, identities, ends."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

import diffnum as dn
from diffnum.num import exp, phi
from diffnum.order import prove
from diffnum.plan import PREDICTIONS
from diffnum.read.tableau import canonical, distance
from diffnum.series import Series, h_series
from diffnum.solvers import ddim, deis_rhoab_2, deis_rhoab_3, deis_rhoab_4
from diffnum.solvers.coords import RATIO
from diffnum.solvers.deis import clock_adams, deis_tab_2, deis_tab_3, deis_tab_4, weights
from diffnum.solvers.quadrature import decaying_mean, interpolatory, lagrange
from diffnum.trace import Trace
from diffnum.witness import alternating, uniform

TAB = (deis_tab_2, deis_tab_3, deis_tab_4)
ADAMS = {2: deis_rhoab_2, 3: deis_rhoab_3, 4: deis_rhoab_4}
names = {"ids": lambda s: s.name}
PROCESSES = [dn.VP(), dn.SubVP(), dn.Cosine(), dn.EDM(), dn.VE(), dn.Flow(), dn.DDPM(smooth=True)]


# --- the published integral ---


@pytest.mark.parametrize("times", [(0.9, 0.7, 0.6, 0.2), (1.0, 0.8, 0.4, 0.05), (0.5, 0.45, 0.42, 0.41)])
@pytest.mark.parametrize("points", [2, 3])
def test_weights_are_the_integrals_in_time_of_the_paper(times, points):
    """``C_j = int psi(tau, t) beta(tau) / (2 sigma(tau)) l_j(tau) dtau`` on VP, with ``G = sqrt(beta)``."""
    process = dn.VP()
    trace = Trace(process)
    *_, s, t = (process.level(tau) for tau in times)
    nodes = times[-2 : -2 - points : -1]

    def integrand(tau, j):
        rate = process.beta_min + (process.beta_max - process.beta_min) * tau
        return t.alpha / process.alpha(tau) * rate / (2 * process.sigma(tau)) * lagrange(nodes, tau)[j]

    published = [quad(integrand, s.t, t.t, (j,), epsabs=0, epsrel=1e-13)[0] for j in range(points)]
    gain = RATIO.gain(t) * RATIO.step(trace, s, t)
    ours = [gain * w for w in weights(trace, s, t, nodes)]
    np.testing.assert_allclose(ours, published, rtol=1e-11)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
@pytest.mark.parametrize("lams", [(-4.3, -4, -2, 0.5), (-3, -2, 2, 3.9), (0, 0.01, 0.015, 0.016), (1, 2, 3, math.inf)])
def test_weights_on_every_process_are_adaptive_quadrature_in_log_snr(process, lams):
    levels = [process.at(lam) for lam in lams]
    s, t = levels[-2:]
    clocks = [process.clock(level) for level in levels[2::-1]]
    h = lams[3] - lams[2]

    def integrand(y, j):
        return lagrange(clocks, process.clock(process.node(lams[2] + y)))[j] * math.exp(-y) / -math.expm1(-h)

    panels = np.linspace(0, min(h, 40.0), 11)
    for j, w in enumerate(weights(Trace(process), s, t, clocks)):
        parts = [quad(integrand, a, b, (j,), epsrel=1e-13, epsabs=1e-16)[0] for a, b in pairwise(panels)]
        assert w == pytest.approx(sum(parts), rel=1e-11, abs=1e-14)


# --- the quadrature ---


def exact(h, k):
    """``int_0^h e^-y y^k dy / (1 - e^-h) = k! h^k e^-h phi_{k+1}(h) / phi_1(-h)``."""
    power = h**k if k else 1
    return math.factorial(k) * power * exp(-h) * phi(k + 1, h) / phi(1, -h)


@given(size=st.floats(1e-9, 60), k=st.integers(0, 5), sign=st.sampled_from([1, -1]))
@settings(max_examples=60, deadline=None)
def test_moments_of_the_decaying_mean(size, k, sign):
    h = sign * size
    if sign > 0 or size < 20:
        assert sum(w * y**k for y, w in decaying_mean(h)) == pytest.approx(exact(h, k), rel=1e-12)


@pytest.mark.parametrize("k", range(6))
def test_moments_to_the_clean_level_are_factorials(k):
    rule = decaying_mean(math.inf)
    assert sum(w * y**k for y, w in rule) == pytest.approx(math.factorial(k), rel=1e-11)


@pytest.mark.parametrize("k", range(4))
def test_moments_of_a_series_are_exact(k):
    h = Series(0, (*h_series(3).c, *(h_series(3) * 2).c[1:], 5))
    found = sum((w * y**k for y, w in decaying_mean(h, k)), h._lift(0))
    difference = found - exact(h, k)
    assert difference.end >= h.end - 1 and difference.valuation == difference.end


@pytest.mark.parametrize("digits", [25, 40])
def test_moments_in_extended_precision(digits):
    with mpmath.workdps(digits):
        h = mpmath.mpf(7) / 3
        for k in range(4):
            found = sum(w * y**k for y, w in decaying_mean(h))
            assert abs(found / exact(h, k) - 1) < mpmath.mpf(10) ** (3 - digits)


def test_moments_have_gradients():
    h = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: sum(w * y**2 for y, w in decaying_mean(h)), h)


def test_an_interpolatory_rule_is_exact_below_its_count_and_not_above():
    for count in (3, 4, 9):
        for k in range(count + 2):
            found = sum(b * u**k for u, b in interpolatory(count)) - sympy.Rational(1, k + 1)
            assert (found == 0) == (k < count + count % 2)


def test_symbols_are_refused_in_one_sentence():
    with pytest.raises(TypeError, match=r"^no closed form .* use numbers instead of symbols$"):
        decaying_mean(sympy.Symbol("h"))


# --- identities ---


@pytest.mark.parametrize("grid", [uniform, alternating, dn.grid.karras], ids=["uniform", "alternating", "karras"])
@pytest.mark.parametrize("end", ["stop", "zero"])
@pytest.mark.parametrize("sampler", TAB, **names)
def test_where_the_clock_is_sigma_over_alpha_it_is_adams_bashforth(sampler, grid, end):
    levels = grid(dn.EDM(), 8) if end == "stop" else dn.grid.karras(dn.EDM(), 8, end=end)
    assert distance(dn.compile(sampler, levels), dn.compile(ADAMS[sampler.order], levels)) < 1e-13


@pytest.mark.parametrize("sampler", TAB, **names)
def test_elsewhere_it_is_not(sampler):
    levels = dn.grid.uniform(dn.VP(), 6)
    assert distance(dn.compile(sampler, levels), dn.compile(ADAMS[sampler.order], levels)) > 1e-3


def test_one_point_is_ddim():
    levels = dn.grid.uniform(dn.VP(), 6)
    assert distance(dn.compile(clock_adams(1), levels), dn.compile(ddim, levels)) < 1e-13


@pytest.mark.parametrize("sampler", TAB, **names)
@pytest.mark.parametrize("end", ["stop", "zero", "denoise"])
def test_n_steps_cost_n_evaluations(sampler, end):
    for n in range(1, 13):
        assert dn.compile(sampler, dn.grid.uniform(dn.VP(), n, end=end)).nfe == n + (end == "denoise")


# --- orders and ends ---


@pytest.mark.parametrize("sampler", [deis_tab_2, *(pytest.param(s, marks=pytest.mark.full) for s in TAB[1:])], **names)
def test_claimed_orders_are_proved(sampler):
    proof = prove(sampler, highest=max(4, sampler.order + 1))
    assert (proof.order, proof.cold, proof.stable) == (sampler.order, sampler.cold, True)


@pytest.mark.parametrize("sampler", [pytest.param(s, marks=pytest.mark.full) for s in TAB], **names)
def test_certificates_hold(sampler):
    certificate = dn.certify(sampler)
    assert certificate.verdict == "holds", certificate.reasons


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_pure_noise_level_is_remembered_since_its_clock_is_finite(prediction):
    levels = dn.grid.uniform(dn.Cosine(), 4, end="zero")
    if prediction in ("noise", "score"):
        with pytest.raises(ValueError, match=r"not defined at alpha = 0 .* another prediction or sampler$"):
            dn.compile(deis_tab_3, levels, prediction)
        return
    matrix = canonical(dn.compile(deis_tab_3, levels, prediction)).matrix
    # the prediction at alpha = 0 is column 1; each of the next two steps reads it again
    share = dn.compile(clock_adams(1), levels, prediction)
    assert np.abs(matrix[2, 1] - canonical(share).matrix[2, 1]) > 1e-3
