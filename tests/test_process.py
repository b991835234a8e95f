"""Processes against their definitions at 50 digits, round trips through the log-SNR, and tables."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mpf

from diffnum.process import DDPM, EDM, VE, VP, Cosine, CosineRate, Flow, MeanReverting, SubVP
from tests.process_cases import PROCESSES, PURE, ZERO_TERMINAL, every


@pytest.fixture(autouse=True)
def fifty_digits():
    with mpmath.workdps(50):
        yield


def truth(process, t):
    """``(alpha, sigma)`` from the definition, at 50 digits; what is written here shares nothing with the package."""
    t = mpf(t)
    if isinstance(process, (VP, SubVP)):
        low, high = mpf(process.beta_min), mpf(process.beta_max)
        alpha = mpmath.exp(-(high - low) / 4 * t**2 - low / 2 * t)
        return alpha, mpmath.sqrt(1 - alpha**2) if isinstance(process, VP) else 1 - alpha**2
    if isinstance(process, Cosine):
        if t == 1:
            return mpf(0), mpf(1)
        s = mpf(process.s)
        alpha = mpmath.cos(mpmath.pi / 2 * (t + s) / (1 + s)) / mpmath.cos(mpmath.pi / 2 * s / (1 + s))
        return alpha, mpmath.sqrt(1 - alpha**2)
    if isinstance(process, VE):
        return mpf(1), mpf(process.sigma_min) * (mpf(process.sigma_max) / mpf(process.sigma_min)) ** t
    if isinstance(process, EDM):
        return mpf(1), t
    if isinstance(process, Flow):
        sigma = mpf(process.shift) * t / (1 + (mpf(process.shift) - 1) * t)
        return 1 - sigma, sigma
    if isinstance(process, MeanReverting):
        alpha, sigma = truth(process.signal, t)
        return alpha, mpf(process.sigma_max) * sigma
    if isinstance(process, CosineRate):
        return cosine_rate(process, t)
    alpha = table_alpha(process, t)
    return alpha, mpmath.sqrt(1 - alpha**2)


def cosine_rate(process, t):
    """``log alpha`` proportional to ``int 1 - cos^2(k (u + s)) / cos^2(k s) du``, integrated as the cosine of a double
    angle; the digits in which that cancels, as ``t^3`` for ``s = 0``, are added."""
    with mpmath.extradps(700):
        s = mpf(process.s)
        k = mpmath.pi / 2 / (1 + s)

        def area(u):
            squared = u / 2 + (mpmath.sin(2 * k * (u + s)) - mpmath.sin(2 * k * s)) / (4 * k)
            return u - squared / mpmath.cos(k * s) ** 2

        log_alpha = mpmath.log(mpf(process.delta)) * area(t) / area(mpf(1))
        return mpmath.exp(log_alpha), mpmath.sqrt(-mpmath.expm1(2 * log_alpha))


def table_alpha(process, t):
    i = max(int(mpmath.ceil(t)), 0)
    below = mpmath.sqrt(mpmath.fprod(1 - mpf(b) for b in process.betas[:i]))
    here = mpmath.sqrt(1 - mpf(process.betas[i]))
    w = t - (i - 1)
    return below * here**w if here else below * (1 - w)


def true_lam(process, t):
    alpha, sigma = truth(process, t)
    return mpmath.log(alpha / sigma) if alpha * sigma else mpf("inf") if alpha else mpf("-inf")


def times(process):
    """Inside, and close to both ends as far as floats go."""
    low, high = process.t_clean, process.t_start
    inner = [low + (high - low) * f for f in (1e-3, 0.1, 0.3, 0.5, 0.7, 0.75, 0.76, 0.9, 0.999)]
    near = [low + (high - low) * 10.0**-k for k in (5, 8, 12, 15)] if low else [10.0**-k for k in (6, 12, 20, 200)]
    return sorted({*inner, *near, *(high - (high - low) * 10.0**-k for k in (5, 9, 12, 15))})


def relative(value, exact):
    return float(abs(mpf(value) - exact) / abs(exact)) if exact else abs(value)


@pytest.mark.parametrize("name", [name for name in PROCESSES if name != "DDPM smooth"])
def test_scales_agree_with_the_definition_at_50_digits(name):
    process = PROCESSES[name]
    with mpmath.workdps(450):  # 1 - alpha^2 cancels in the definition
        for t in times(process):
            alpha, sigma = truth(process, t)
            # exp carries the rounding of its argument
            bound = 1e-15 * (1 + abs(float(mpmath.log(alpha))))
            assert relative(process.alpha(t), alpha) <= bound, t
            assert relative(process.sigma(t), sigma) <= 2e-15, t
            lam = mpmath.log(alpha / sigma)
            assert abs(process.lam(t) - lam) <= 1e-15 * max(1, abs(lam)), t


@every
def test_levels_at_a_log_snr_agree_with_its_definition_at_50_digits(name):
    process = PROCESSES[name]
    low, high = max(process.lam(process.t_start), -690), min(process.lam(process.t_clean), 690)
    for lam in np.linspace(low, high, 60).tolist():
        level = process.at(lam)
        assert level.lam == lam and not level.clean and not level.pure_noise
        assert relative(level.alpha / level.sigma, mpmath.exp(mpf(lam))) <= 1e-15
        alpha, sigma = mpf(level.alpha), mpf(level.sigma)
        if process.preserves_variance:
            exact = 1 / mpmath.sqrt(1 + mpmath.exp(-2 * mpf(lam)))
        elif isinstance(process, MeanReverting):
            exact = 1 / mpmath.sqrt(1 + mpmath.exp(-2 * mpf(lam)) / mpf(process.sigma_max) ** 2)
        elif isinstance(process, SubVP):
            exact = mpmath.exp(-mpmath.asinh(mpmath.exp(-mpf(lam)) / 2))
        elif isinstance(process, Flow):
            exact = 1 / (1 + mpmath.exp(-mpf(lam)))
        else:
            exact = mpf(1)
        assert relative(alpha, exact) <= 1e-15
        assert relative(sigma, exact * mpmath.exp(-mpf(lam))) <= 1e-15


def reachable(process):
    low, high = max(process.lam(process.t_start), -700.0), min(process.lam(process.t_clean), 700.0)
    return low, high


def within_half_an_ulp(process, t, lam):
    half = mpf(math.ulp(t)) / 2 * mpf("1.01")
    low, high = mpf(process.t_clean), mpf(process.t_start)
    below, above = max(mpf(t) - half, low), min(mpf(t) + half, high)
    return true_lam(process, above) <= lam <= true_lam(process, below)


@pytest.mark.parametrize("name", [name for name in PROCESSES if name != "DDPM smooth"])
@settings(max_examples=60)
@given(share=st.floats(0, 1), near=st.booleans())
@example(share=0.0, near=False)
@example(share=1.0, near=False)
def test_time_of_a_log_snr_round_trips_or_is_the_nearest_float(name, share, near):
    process = PROCESSES[name]
    low, high = reachable(process)
    # deeper, t itself is not a normal float
    low, high = (max(low, -45.0), min(high, 45.0)) if near else (low, min(high, 345.0))
    lam = low + share * (high - low)
    t = process.t(lam)
    assert process.t_clean <= t <= process.t_start
    back = process.lam(t)
    with mpmath.workdps(700):
        exact = true_lam(process, t)
        assert abs(exact - lam) <= 1e-12 * max(1, abs(lam)) or within_half_an_ulp(process, t, lam)
        if mpmath.isfinite(exact):
            assert abs(back - exact) <= 1e-14 * max(1, abs(lam))


@settings(max_examples=100)
@given(st.floats(-5.0, 15.0))
def test_time_of_a_log_snr_round_trips_on_the_spline(lam):
    process = PROCESSES["DDPM smooth"]
    t = process.t(lam)
    allowed = 0.51 * math.ulp(t) * abs(process.drift(t)) / process.sigma(t) ** 2
    assert abs(process.lam(t) - lam) <= max(1e-12 * max(1, abs(lam)), allowed)


@every
@settings(max_examples=30)
@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_log_snr_falls_with_time(name, a, b):
    process = PROCESSES[name]
    s, t = (process.t_clean + f * (process.t_start - process.t_clean) for f in (a, b))
    if abs(s - t) > 1e-9 * (process.t_start - process.t_clean):
        assert (process.lam(s) > process.lam(t)) == (s < t)


@every
def test_default_ends_are_levels_with_exact_flags(name):
    process = PROCESSES[name]
    start, stop = process.level(process.t_start), process.level(process.t_stop)
    assert start.lam < stop.lam or process.t_start == process.t_stop
    assert start.pure_noise == (name in PURE) and not start.clean and not stop.clean
    if start.pure_noise:
        assert (start.alpha, start.sigma, start.lam) == (0.0, 1.0, -math.inf)
        assert process.at(-math.inf) == start


@every
def test_the_clean_level_has_no_noise(name):
    process = PROCESSES[name]
    clean = process.at(math.inf)
    assert (clean.alpha, clean.sigma, clean.lam, clean.clean) == (1.0, 0.0, math.inf, True)
    assert clean.t == process.t_clean and process.t(math.inf) == process.t_clean
    if not isinstance(process, VE):
        assert process.level(process.t_clean) == clean


@every
def test_ends_in_time_come_back_from_their_log_snr(name):
    process = PROCESSES[name]
    assert process.t(process.lam(process.t_start)) == process.t_start
    assert process.t(process.lam(process.t_clean)) == process.t_clean


@pytest.mark.parametrize("ends", [(0.02, 80.0), (0.081, 50.3), (0.09, 63.1), (0.096, 26.6)])
def test_ve_ends_are_its_sigmas(ends):
    process = VE(*ends)
    assert (process.sigma(0), process.sigma(1)) == ends


@pytest.mark.parametrize(
    "process",
    [
        VP(0.23596699557770248, 26.73987290741689),
        VP(7.520004296115085, 0.5034269624411336),
        SubVP(0.04276480912032254, 3.1120884093334027),
    ],
)
def test_a_log_snr_one_ulp_inside_gives_a_time_inside(process):
    # found by search: here the inverse rounds to 1 + 2^-52, which is outside
    level = process.at(math.nextafter(process.lam(1.0), 0))
    assert level.t == 1.0
    assert process.rates(level) == pytest.approx(process.rates(process.level(1.0)))


@every
def test_the_clock_finds_its_level(name):
    process = PROCESSES[name]
    for f in (0.2, 0.5, 0.8):
        level = process.level(process.t_clean + f * (process.t_start - process.t_clean))
        back = process.at_clock(process.clock(level))
        assert process.clock(back) == process.clock(level)
        assert back.lam == pytest.approx(level.lam, abs=1e-12)
        assert back.t == pytest.approx(level.t, rel=1e-13)


@pytest.mark.parametrize("process", [VE(), EDM()])
def test_the_clock_reaches_below_sigma_min(process):
    inner = process.at_clock(process.sigma_min / 3)
    assert inner.sigma == process.sigma_min / 3 and not inner.clean
    assert inner.lam == pytest.approx(-math.log(process.sigma_min / 3), rel=1e-15)
    assert process.at_clock(0.0) == process.at(math.inf)
    if isinstance(process, VE):
        assert process.sigma_min * (process.sigma_max / process.sigma_min) ** inner.t == pytest.approx(inner.sigma)


def clock_derivatives(process, t):
    """``(dalpha/dc, dsigma/dc)`` by differences at 50 digits, through ``t``."""
    da = mpmath.diff(lambda u: truth(process, u)[0], mpf(t))
    ds = mpmath.diff(lambda u: truth(process, u)[1], mpf(t))
    dc = ds if isinstance(process, (VE, EDM, Flow)) else 1
    return da / dc, ds / dc


def derivative_times(process):
    return [t for t in times(process) if min(t - process.t_clean, process.t_start - t) > 1e-7 and t != int(t)]


@pytest.mark.parametrize("name", [name for name in PROCESSES if name != "DDPM smooth"])
def test_rates_drift_and_diffusion_agree_with_differences_at_50_digits(name):
    process = PROCESSES[name]
    for t in derivative_times(process):
        _, sigma = truth(process, t)
        da, ds = clock_derivatives(process, t)
        for rate, exact in zip(process.rates(process.level(t)), (da, ds), strict=True):
            assert abs(rate - exact) <= 1e-14 * abs(exact) + 1e-30, t
        f = mpmath.diff(lambda u: mpmath.log(truth(process, u)[0]), mpf(t))
        g2 = mpmath.diff(lambda u: truth(process, u)[1] ** 2, mpf(t)) - 2 * f * sigma**2
        assert abs(process.drift(t) - f) <= 1e-14 * abs(f) + 1e-30, t
        assert relative(process.diffusion(t), mpmath.sqrt(g2)) <= 1e-14, t


@every
def test_the_velocity_pair_is_that_of_the_process(name):
    process = PROCESSES[name]
    level = process.level(0.4 * process.t_start)
    if isinstance(process, (VE, EDM, Flow)):
        assert level.v == process.rates(level) == process.at(level.lam).v
    elif isinstance(process, MeanReverting):
        # d/dphi of cos(phi) (x0 - mu) + sigma_max sin(phi) eps
        assert level.v == (-level.sigma / process.sigma_max, process.sigma_max * level.alpha)
        assert process.at(level.lam).v == pytest.approx(level.v, rel=1e-14)
    else:
        assert level.v == (-level.sigma, level.alpha)


def test_priors_are_the_stationary_deviation_or_the_noise():
    for process in PROCESSES.values():
        level = process.level(process.t_start)
        stationary = process.sigma_max if isinstance(process, MeanReverting) else 1.0
        assert process.prior(level) == (level.sigma if isinstance(process, (VE, EDM, Flow)) else stationary)


# tables


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("betas", [None, np.linspace(1e-4, 0.02, 1000, dtype=np.float32), [0.1, 0.2, 0.3]])
def test_table_nodes_are_the_rounded_exact_products(betas, smooth):
    process = DDPM(betas, smooth)
    product = mpf(1)
    for i, beta in enumerate(process.betas):
        product *= 1 - mpf(beta)
        level = process.level(i)
        assert abs(level.alpha - mpmath.sqrt(product)) <= math.ulp(level.alpha) / 2
        assert abs(level.sigma - mpmath.sqrt(1 - product)) <= math.ulp(level.sigma) / 2
        assert abs(level.lam - mpmath.log(product / (1 - product)) / 2) <= 1e-15 * max(1, abs(level.lam))
        assert process.t(level.lam) == i


@pytest.mark.parametrize("name", ["DDPM", "DDPM few", "DDPM smooth"])
def test_the_table_is_continuous_at_its_nodes(name):
    process = PROCESSES[name]
    for i in range(int(process.t_start)):
        for side in (math.nextafter(i, -1), math.nextafter(i, i + 1)):
            assert process.alpha(side) == pytest.approx(process.alpha(i), rel=1e-14)
            assert process.sigma(side) == pytest.approx(process.sigma(i), rel=1e-14)


def test_log_alpha_is_linear_between_nodes():
    process = DDPM([0.5, 0.2, 0.9])
    for i in (-1, 0, 1):
        ends = math.log(process.alpha(i)), math.log(process.alpha(i + 1))
        for w in (0.25, 0.5, 0.8):
            assert math.log(process.alpha(i + w)) == pytest.approx((1 - w) * ends[0] + w * ends[1], rel=1e-14)


def test_alpha_is_linear_where_it_ends_at_zero():
    process = DDPM(ZERO_TERMINAL)
    for w in (0.1, 0.5, 0.999):
        assert process.alpha(3 + w) == pytest.approx(process.alpha(3) * (1 - w), rel=1e-12)


def test_at_a_kink_the_derivative_is_that_of_the_interval_below():
    process = DDPM([0.5, 0.2, 0.9])
    assert process.drift(1) == pytest.approx(process.drift(0.5), rel=1e-14)
    assert process.drift(-1) == process.drift(-0.5)
    assert process.rates(process.level(1))[0] == pytest.approx(process.alpha(1) * process.drift(1))


def test_the_spline_through_a_cubic_is_that_cubic():
    def log_alpha(t):
        u = t + 1
        return -(0.03 * u + 0.02 * u**2 + 0.001 * u**3)

    betas = [-math.expm1(2 * (log_alpha(i) - log_alpha(i - 1))) for i in range(12)]
    process = DDPM(betas, smooth=True)
    for t in np.linspace(-1, 11, 101):
        assert math.log(process.alpha(t)) == pytest.approx(log_alpha(t), rel=1e-12, abs=1e-15)
        assert process.drift(t) == pytest.approx(-(0.03 + 0.04 * (t + 1) + 0.003 * (t + 1) ** 2), rel=1e-11)


def test_smooth_has_two_continuous_derivatives_and_the_polygon_none():
    betas = 0.1 + 0.05 * np.sin(np.arange(20.0))
    d = 1e-4

    def jumps(process, i):
        first = process.drift(i + d) - process.drift(i - d)
        second = (process.drift(i + d) + process.drift(i - d) - 2 * process.drift(i)) / d
        return abs(first), abs(second)

    smooth, polygon = DDPM(betas, smooth=True), DDPM(betas)
    for i in range(1, 18):
        first, second = jumps(smooth, i)
        assert first < 2 * d and second < 2 * d
    assert max(jumps(polygon, i)[0] for i in range(1, 18)) > 0.01


def test_the_spline_rises_nowhere_or_is_refused():
    with pytest.raises(ValueError, match=r"not decreasing between t = .*smooth=False"):
        DDPM([1e-4, 0.9, 1e-4, 1e-4, 0.9], smooth=True)


def test_the_short_form_of_a_table_hides_its_betas():
    assert len(repr(DDPM())) < 80


def test_the_cosine_process_without_offset_is_trigflow():
    """``x_t = cos(t) x0 + sin(t) eps`` with ``t`` in [0, pi / 2]."""
    process, times = Cosine(0), np.linspace(0.05, 0.95, 19)
    angle = np.pi / 2 * times
    np.testing.assert_allclose(process.alpha(times), np.cos(angle), rtol=1e-14)
    np.testing.assert_allclose(process.sigma(times), np.sin(angle), rtol=1e-14)
