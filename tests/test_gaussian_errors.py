"""Errors on Gaussians against recursions written from the SDE and the ODE, mode by mode, at 30 digits."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from mpmath import mp, mpf

from diffnum.study import gaussian_errors

LOW, HIGH = mpf("0.1"), mpf(20)
SPECTRUM = [float(k) ** -2 for k in range(1, 7)]
SDE = ("euler_maruyama", "exponential_integrator")
ODE = ("euler", "heun", "rk4")
# two evaluations at the last level: no value there in a direction of variance zero when that level is t = 0
EVALUATE_AT_THE_END = ("heun", "rk4")


@pytest.fixture(autouse=True)
def thirty_digits():
    with mp.workdps(30):
        yield


def beta(t):
    return LOW + (HIGH - LOW) * t


@cache
def alpha(t):
    return mp.exp(-(HIGH - LOW) * t**2 / 4 - LOW * t / 2)


def variance(c, t):
    """Of x(t) where the data have variance c, from the forward SDE dx = -beta/2 x dt + sqrt(beta) dw."""
    return alpha(t) ** 2 * c + 1 - alpha(t) ** 2


def score(c, t, x):
    return -x / variance(c, t)


def velocity(c, t, x):
    """The probability-flow ODE dx/dt = -beta/2 (x + score)."""
    return -beta(t) / 2 * (x + score(c, t, x))


def euler_maruyama(c, s, t):
    """dx = (-beta/2 x - beta score) dt + sqrt(beta) dw, backwards: factor of x and variance added."""
    return 1 + (t - s) * (-beta(s) / 2 - beta(s) * score(c, s, 1)), beta(s) * (s - t)


def exponential_integrator(c, s, t):
    """The same with the score held over the step: x e^B + 2 (e^B - 1) score, B the integral of beta / 2."""
    q = mp.exp((HIGH - LOW) * (s**2 - t**2) / 4 + LOW * (s - t) / 2)
    return q + 2 * (q - 1) * score(c, s, 1), q**2 - 1


def euler(c, s, t):
    return 1 + (t - s) * velocity(c, s, 1), 0


def heun(c, s, t):
    k1 = velocity(c, s, 1)
    k2 = velocity(c, t, 1 + (t - s) * k1)
    return 1 + (t - s) * (k1 + k2) / 2, 0


def rk4(c, s, t):
    h, m = t - s, (s + t) / 2
    k1 = velocity(c, s, 1)
    k2 = velocity(c, m, 1 + h / 2 * k1)
    k3 = velocity(c, m, 1 + h / 2 * k2)
    k4 = velocity(c, t, 1 + h * k3)
    return 1 + h * (k1 + 2 * k2 + 2 * k3 + k4) / 6, 0


def output_variance(step, c, points, eps, init):
    times = [1 + (mpf(eps) - 1) * i / (points - 1) for i in range(points)]
    v = variance(c, 1) if init == "p_T" else mpf(1)
    for s, t in pairwise(times):
        factor, added = step(c, s, t)
        v = factor**2 * v + added
    return v


def distance(variances, spectrum):
    return mp.sqrt(sum((mp.sqrt(v) - mp.sqrt(c)) ** 2 for v, c in zip(variances, spectrum, strict=True)))


def scheme_error(scheme, spectrum, points, eps, init):
    spectrum = [mpf(c) for c in spectrum]
    return distance([output_variance(globals()[scheme], c, points, eps, init) for c in spectrum], spectrum)


def exact_sde_variance(c):
    """At t = 0 of the reverse SDE from N(0, 1) at t = 1: a quadrature of its linear solution.

    The factor from t to 0 is F(t) = alpha c / variance, which ``test_the_factor_of_the_reverse_sde`` checks.
    """
    if c == 0:
        return mpf(0)
    added = mp.quad(lambda t: beta(t) * reverse_factor(c, t) ** 2, mp.linspace(0, 1, 9))
    return reverse_factor(c, 1) ** 2 + added


def reverse_factor(c, t):
    return alpha(t) * c / variance(c, t)


def initialisation_error(scheme, spectrum):
    spectrum = [mpf(c) for c in spectrum]
    if scheme in SDE:
        return distance([exact_sde_variance(c) for c in spectrum], spectrum)
    # the flow keeps x / sqrt(variance)
    return distance([c / variance(c, 1) for c in spectrum], spectrum)


def close(value, exact, spectrum, rtol=1e-10):
    """To ``rtol``, or to the rounding of standard deviations near their own size."""
    scale = float(np.sqrt(np.sum(spectrum)))
    return abs(mpf(value) - exact) <= rtol * abs(exact) + 1e-15 * scale


@pytest.mark.parametrize("c", [0.01, 1.0, 3.0])
@pytest.mark.parametrize("t", [0.02, 0.4, 1.0])
def test_the_factor_of_the_reverse_sde(c, t):
    # d log F / dt of x' = -beta/2 x - beta score, with F the factor from t down to 0
    drift = -beta(t) / 2 - beta(t) * score(c, t, 1)
    slope = mp.diff(lambda u: mp.log(reverse_factor(mpf(c), u)), mpf(t))
    assert mp.almosteq(slope, -drift, rel_eps=mpf("1e-12"))
    assert reverse_factor(mpf(c), 0) == 1


@pytest.mark.parametrize("init", ["p_T", "normal"])
@pytest.mark.parametrize(("points", "eps"), [(50, 1e-3), (11, 1e-5), (173, 1e-2), (30, 0.0)])
@pytest.mark.parametrize("scheme", [*SDE, *ODE])
def test_total_is_the_recursion(scheme, points, eps, init):
    found = gaussian_errors(SPECTRUM, scheme, points=points, eps=eps, init=init)
    assert close(found.total, scheme_error(scheme, SPECTRUM, points, eps, init), SPECTRUM)


@pytest.mark.parametrize("points", [6, 50, 120])
@pytest.mark.parametrize("scheme", [*SDE, *ODE])
def test_discretisation_is_the_recursion_down_to_zero(scheme, points):
    found = gaussian_errors(SPECTRUM, scheme, points=points)
    assert close(found.discretisation, scheme_error(scheme, SPECTRUM, points, 0, "p_T"), SPECTRUM)


@pytest.mark.parametrize("scheme", [*SDE, *ODE])
def test_initialisation_is_the_exact_solution_from_a_normal(scheme):
    spectrum = [0.0, 0.02, 0.5, 1.0, 4.0, 30.0]
    found = gaussian_errors(spectrum, scheme)
    exact = initialisation_error(scheme, spectrum)
    assert exact > 0
    assert abs(mpf(found.initialisation) - exact) <= 1e-10 * exact


@pytest.mark.parametrize("eps", [1e-5, 1e-3, 0.1, 0.0])
def test_truncation_is_the_distance_of_the_marginal(eps):
    spectrum = [0.0, 0.02, 1.0, 5.0]
    exact = distance([variance(mpf(c), mpf(eps)) for c in spectrum], [mpf(c) for c in spectrum])
    found = gaussian_errors(spectrum, "euler", eps=eps).truncation
    assert abs(mpf(found) - exact) <= 1e-10 * exact


@pytest.mark.parametrize("init", ["p_T", "normal"])
@pytest.mark.parametrize("scheme", [*SDE, *ODE])
def test_directions_of_variance_zero(scheme, init):
    spectrum = [1.0, 0.1, 0.0, 0.0]
    found = gaussian_errors(spectrum, scheme, points=40, eps=1e-3, init=init)
    assert close(found.total, scheme_error(scheme, spectrum, 40, 1e-3, init), spectrum)
    if scheme in EVALUATE_AT_THE_END:
        assert np.isnan(found.discretisation)
        assert np.isnan(gaussian_errors(spectrum, scheme, eps=0.0).total)
    else:
        assert close(found.discretisation, scheme_error(scheme, spectrum, 40, 0, "p_T"), spectrum)


def test_the_steepest_power_law_of_images():
    spectrum = [float(k) ** -2.5 for k in (1, 10, 100, 1000, 3072)]
    for scheme in (*SDE, *ODE):
        found = gaussian_errors(spectrum, scheme)
        assert close(found.total, scheme_error(scheme, spectrum, 50, 1e-3, "p_T"), spectrum)


def test_modes_add_in_squares_and_in_any_order():
    one, two = gaussian_errors([2.0], "heun"), gaussian_errors([0.3, 0.05], "heun")
    both = gaussian_errors(np.array([[0.3], [2.0], [0.05]]), "heun")
    for part in ("total", "initialisation", "truncation", "discretisation"):
        assert np.hypot(getattr(one, part), getattr(two, part)) == pytest.approx(getattr(both, part), rel=1e-12)


def test_the_parts_do_not_depend_on_what_they_switch_off():
    found = gaussian_errors(SPECTRUM, "heun", points=30, eps=1e-2, init="normal")
    assert found.initialisation == gaussian_errors(SPECTRUM, "heun", points=60, eps=1e-4).initialisation
    assert found.truncation == gaussian_errors(SPECTRUM, "euler", points=60, eps=1e-2).truncation
    assert found.discretisation == gaussian_errors(SPECTRUM, "heun", points=30, eps=0.0, init="p_T").total


def test_many_points_leave_what_the_scheme_does_not_do():
    # from p_T the truncation is left of the total, and nothing of the discretisation
    spectrum = [2.0, 0.5, 0.1]
    found = gaussian_errors(spectrum, "rk4", points=300, eps=1e-2)
    assert found.total == pytest.approx(found.truncation, rel=1e-6)
    assert found.discretisation < 1e-6 * found.truncation


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (dict(spectrum=[1.0, -0.1], scheme="euler"), "negative"),
        (dict(spectrum=[1.0, float("nan")], scheme="euler"), "finite"),
        (dict(spectrum=[], scheme="euler"), "empty"),
        (dict(spectrum=[1.0], scheme="eular"), "euler_maruyama"),
        (dict(spectrum=[1.0], scheme="euler", points=1), "points = 1"),
        (dict(spectrum=[1.0], scheme="euler", points=2.5), "points = 2.5"),
        (dict(spectrum=[1.0], scheme="euler", eps=1.0), "eps = 1.0"),
        (dict(spectrum=[1.0], scheme="euler", eps=-1e-3), "eps = -0.001"),
        (dict(spectrum=[1.0], scheme="euler", eps=float("nan")), "eps = nan"),
        (dict(spectrum=[1.0], scheme="euler", init="zero"), "'p_T'"),
    ],
)
def test_bad_input_is_refused_by_value_and_remedy(arguments, part):
    with pytest.raises(ValueError) as refusal:
        gaussian_errors(**arguments)
    assert part in str(refusal.value) and "\n" not in str(refusal.value)
