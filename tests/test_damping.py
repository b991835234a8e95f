"""Gains of errors of a denoiser in closed form, against exact laws of samplers that are fed such errors."""

import numpy as np
import pytest

import diffnum as dn
from diffnum.lab import damping
from diffnum.solvers import ALL

EDM = dn.EDM(sigma_max=1000.0)
TARGET = dn.Gaussian(np.array([0.3, -0.4, 0.0, 1.0]), np.array([0.01, 0.2, 1.0, 9.0]))


def levels(n):
    return dn.grid.log_snr(EDM, n, start=EDM.at(-3.0), stop=EDM.at(3.0))


def reverse(rate):
    return ALL["sde_dpmpp_1"].with_options(rate=rate)


def moved(plan, model):
    """By how much the model's error moves the mean."""
    return dn.moments(plan, model)[0] - dn.moments(plan, model.target)[0]


@pytest.mark.parametrize("rate", [0, 0.5, 1, 3])
def test_an_error_at_one_level_arrives_with_the_gain(rate):
    def relative(n):
        plan = dn.compile(reverse(rate), levels(n))
        h, at = 6 / n, plan.levels[n // 3]
        u = damping.seen_from(TARGET.variances, at, plan.stop)
        return moved(plan, damping.one_level(TARGET, at, 1 / h)) / damping.gain(rate, u)

    coarse, middle, fine = (relative(n) for n in (150, 300, 600))
    # errors of order one: two differences of factor two, and a limit of one
    assert np.linalg.norm(coarse - middle) / np.linalg.norm(middle - fine) == pytest.approx(2, rel=0.1)
    assert 2 * fine - middle == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize(
    ("name", "option", "rate"),
    [
        *[("sde_dpmpp_2m", {"rate": rate}, rate) for rate in (0.0, 1.0, 4.0)],
        *[("edm_churn_refined", {"churn": rate}, rate) for rate in (0.0, 1.0, 4.0)],
        *[("ddim_eta", {"eta": rate**0.5}, rate) for rate in (0.0, 0.5, 1.0)],
    ],
)
def test_noise_of_one_rate_damps_alike_whatever_it_is_called(name, option, rate):
    plan = dn.compile(ALL[name].with_options(**option), levels(300))
    found = moved(plan, damping.constant_noise_error(TARGET, 0.1))
    wanted = damping.bias(lambda lam: -0.1 * np.exp(-lam), rate, TARGET.variances, plan.start, plan.stop)
    assert found == pytest.approx(wanted, rel=0.03)


def test_an_error_is_damped_where_noise_and_flow_have_different_gains():
    for rate in (0.01, 1.0, 5.0):
        u = damping.damped_from(rate)
        assert damping.gain(rate, u) == pytest.approx(damping.gain(0, u), rel=1e-12)
        assert damping.gain(rate, 1.1 * u) < damping.gain(0, 1.1 * u)
        assert damping.gain(rate, 0.9 * u) > damping.gain(0, 0.9 * u)
    assert damping.damped_from(1) == pytest.approx(3)
    with pytest.raises(ValueError, match="adds no noise"):
        damping.damped_from(0)


def test_errors_of_another_law_are_its_denoiser():
    believed = dn.Gaussian(np.array([0.5, 0.0, -1.0, 1.0]), np.array([0.02, 0.1, 3.0, 9.0]))
    level, x = EDM.at(0.4), np.random.default_rng(0).normal(size=(5, 4))
    model = damping.another_law(TARGET, believed)
    np.testing.assert_allclose(model.predict(x, level, "noise"), believed.predict(x, level, "noise"), rtol=1e-12)


def test_noise_of_no_rate_heals_errors_of_another_law():
    believed = dn.Gaussian(TARGET.mean + 0.5, 1.3 * TARGET.variances)
    model = damping.another_law(TARGET, believed)
    for rate in (0, 1, 4):
        plan = dn.compile(ALL["sde_dpmpp_2m"].with_options(rate=rate), dn.grid.log_snr(EDM, 400, EDM.at(-6), EDM.at(6)))
        mean, variance = dn.moments(plan, model)
        assert mean == pytest.approx(believed.mean, abs=0.01)
        assert variance == pytest.approx(believed.variances, rel=0.02)
