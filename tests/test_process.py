"""Processes against their definitions at 50 digits, round trips through the log-SNR, and the kinds of number."""

from __future__ import annotations

import json
import math

import mpmath
import numpy as np
import pytest
import sympy
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mpf

from diffnum.process import DDPM, EDM, VE, VP, Cosine, Flow, SubVP, from_json

ZERO_TERMINAL = (0.1, 0.3, 0.02, 0.9, 1.0)
PROCESSES = {
    "VP": VP(),
    "VP steep": VP(0.01, 100.0),
    "VP falling rate": VP(12.0, 0.5),
    "Cosine": Cosine(),
    "Cosine s=0": Cosine(0.0),
    "VE": VE(),
    "VE wide": VE(1e-3, 3e4),
    "EDM": EDM(),
    "SubVP": SubVP(),
    "Flow": Flow(),
    "Flow shift 3": Flow(3.0),
    "Flow shift 0.3": Flow(0.3),
    "DDPM": DDPM(),
    "DDPM few": DDPM([0.5, 0.2, 0.9]),
    "DDPM alpha=0": DDPM(ZERO_TERMINAL),
    "DDPM only alpha=0": DDPM([1.0]),
    "DDPM smooth": DDPM(smooth=True),
}
CONTINUOUS = {name: p for name, p in PROCESSES.items() if not name.startswith("DDPM")}
PURE = {name for name, p in PROCESSES.items() if p.lam(p.t_start) == -math.inf}

every = pytest.mark.parametrize("name", PROCESSES)
every_continuous = pytest.mark.parametrize("name", CONTINUOUS)


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
    alpha = table_alpha(process, t)
    return alpha, mpmath.sqrt(1 - alpha**2)


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
    else:
        assert level.v == (-level.sigma, level.alpha)


def test_priors_are_one_or_the_noise():
    for process in PROCESSES.values():
        level = process.level(process.t_start)
        assert process.prior(level) == (level.sigma if isinstance(process, (VE, EDM, Flow)) else 1.0)


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


# kinds of number


@every_continuous
def test_mpmath_levels_are_consistent_at_50_digits(name):
    process = CONTINUOUS[name]
    for lam in (mpf("-2.5"), mpf("0.3"), mpf("3.7")):
        if process.lam(process.t_start) < lam < process.lam(process.t_clean):
            level = process.at(lam)
            assert abs(mpmath.log(level.alpha / level.sigma) - lam) < mpf("1e-46")
            assert abs(process.lam(process.t(lam)) - lam) < mpf("1e-45")
            at_time = process.level(level.t)
            assert abs(at_time.alpha - level.alpha) < mpf("1e-45") and abs(at_time.sigma - level.sigma) < mpf("1e-45")


@pytest.mark.parametrize("process", [DDPM(), DDPM(ZERO_TERMINAL), DDPM([0.1, 0.2, 0.3], smooth=True)])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_mpmath_tables_round_trip_at_50_digits(process, share):
    lam = mpf(process.lam(process.t_clean + share * (process.t_start - process.t_clean)))
    assert abs(process.lam(process.t(lam)) - lam) < mpf("1e-40")


@pytest.mark.parametrize("kind", [VP, SubVP])
def test_sympy_derivatives_are_the_drift_and_the_diffusion(kind):
    process = kind(sympy.Rational(1, 10), sympy.Integer(20))
    t = sympy.symbols("t", positive=True)
    alpha, sigma, f, g = (method(t) for method in (process.alpha, process.sigma, process.drift, process.diffusion))
    assert sympy.simplify(sympy.diff(sympy.log(alpha), t) - f) == 0
    assert sympy.simplify(sympy.diff(sigma**2, t) - 2 * f * sigma**2 - g**2) == 0
    level = process.level(t)
    rates = process.rates(level)
    assert [sympy.simplify(a - sympy.diff(b, t)) for a, b in zip(rates, (alpha, sigma), strict=True)] == [0, 0]
    assert not level.clean and not level.pure_noise


def test_sympy_inverse_of_the_log_snr_is_exact():
    process = VP(sympy.Rational(1, 10), sympy.Integer(20))
    t, lam = sympy.symbols("t lam", positive=True)
    back, third = process.t(lam).subs(lam, process.lam(t)), sympy.Rational(1, 3)
    assert abs((back.subs(t, third) - third).evalf(40)) < sympy.Float("1e-38", 40)
    level = process.at(lam)
    assert sympy.simplify(level.alpha**2 + level.sigma**2) == 1


@every
def test_torch_gradients_agree_with_differences(name):
    process = PROCESSES[name]
    low, high = process.t_clean, process.t_start
    t = torch.tensor(low + 0.3171 * (high - low), dtype=torch.float64, requires_grad=True)
    lam = torch.tensor(process.lam(float(t.detach())), dtype=torch.float64, requires_grad=True)
    through = [process.sigma, process.lam, *([process.alpha] if torch.is_tensor(process.alpha(t)) else [])]
    for method in through:
        assert torch.autograd.gradcheck(method, t, rtol=1e-6)
    assert torch.autograd.gradcheck(process.t, lam, rtol=1e-6)
    for read in (lambda x: process.at(x).sigma, lambda x: process.at(x).t, lambda x: process.at(x).lam):
        assert torch.autograd.gradcheck(read, lam, rtol=1e-6)


@pytest.mark.parametrize("name", ["VP", "Cosine", "SubVP", "Flow", "VE", "EDM"])
def test_torch_gradients_at_log_snr_zero_see_no_branch(name):
    process = PROCESSES[name]
    zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
    level = process.at(zero)
    (slope,) = torch.autograd.grad(level.sigma, zero)
    step = 1e-6
    assert float(slope) == pytest.approx((process.at(step).sigma - process.at(-step).sigma) / (2 * step), rel=1e-8)


@every
def test_arrays_are_read_elementwise(name):
    process = PROCESSES[name]
    span = process.t_clean + (process.t_start - process.t_clean) * np.array([[0.2, 0.5, 0.9], [0.3, 0.35, 0.6]])
    for method in (process.alpha, process.sigma, process.lam, process.drift, process.diffusion):
        expected = [[method(float(t)) for t in row] for row in span]
        np.testing.assert_array_equal(method(span), expected)
        tensors = method(torch.from_numpy(span))
        assert tensors.shape == span.shape
        np.testing.assert_allclose(tensors.numpy(), expected, rtol=1e-13)
    lams = process.lam(span)
    np.testing.assert_array_equal(process.t(lams), [[process.t(float(lam)) for lam in row] for row in lams])


@every
def test_numpy_scalars_and_integers_make_the_levels_of_floats(name):
    process = PROCESSES[name]
    t = 0.5 * process.t_start
    for kind in (np.float64, np.array):
        level = process.level(kind(t))
        assert level == process.level(t) and type(level.t) is type(level.sigma) is float
    assert process.level(int(process.t_start)) == process.level(float(int(process.t_start)))


# what is refused


@every
@pytest.mark.parametrize("shift", [-0.1, 0.1])
def test_times_outside_are_refused(name, shift):
    process = PROCESSES[name]
    t = (process.t_clean if shift < 0 else process.t_start) + shift
    for method in (process.alpha, process.sigma, process.lam, process.level, process.drift, process.diffusion):
        with pytest.raises(ValueError, match=rf"t = {t!r} is outside {process.name}, .*: use a time in this interval$"):
            method(t)


@every
def test_nan_is_refused(name):
    process = PROCESSES[name]
    for method in (process.level, process.at, process.t, process.at_clock):
        with pytest.raises(ValueError, match="nan is outside"):
            method(math.nan)


@every
def test_log_snrs_outside_are_refused(name):
    process = PROCESSES[name]
    beyond = [800.0] + [-800.0, process.lam(process.t_start) - 1e-9] * (name not in PURE)
    if isinstance(process, VE):
        beyond.append(process.lam(process.t_clean) + 1e-9)
    for lam in beyond:
        with pytest.raises(ValueError, match=rf"log-SNR {lam!r} is outside {process.name}, .*: use a value in this"):
            process.at(lam)
    if name not in PURE:
        with pytest.raises(ValueError, match="log-SNR -inf is outside"):
            process.at(-math.inf)


def test_rounding_at_the_noisy_end_is_no_error():
    process = VP()
    low = process.lam(1.0)
    assert process.t(math.nextafter(low, -math.inf)) == 1.0
    assert process.at(low - 2e-15).t == 1.0


@pytest.mark.parametrize("name", sorted(PURE))
def test_drift_where_alpha_is_zero_is_refused(name):
    process = PROCESSES[name]
    for method in (process.drift, process.diffusion):
        with pytest.raises(ValueError, match=f"of {process.name} is infinite at t = "):
            method(process.t_start)


@pytest.mark.parametrize("name", ["VP", "Cosine", "DDPM", "DDPM alpha=0"])
def test_rates_divide_by_zero_noise_and_nowhere_else(name):
    process = PROCESSES[name]
    with pytest.raises(ZeroDivisionError):
        process.rates(process.at(math.inf))
    assert all(math.isfinite(rate) for rate in process.rates(process.level(process.t_start)))


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: VP(-0.1), "beta_min=-0.1"),
        (lambda: VP(0.1, math.nan), "beta_max=nan"),
        (lambda: SubVP(0.1, 4000.0), "4000.1 leaves SubVP no signal"),
        (lambda: Cosine(-1.0), r"s=-1\.0"),
        (lambda: VE(1.0, 0.5), "sigma_min=1.0, sigma_max=0.5"),
        (lambda: EDM(0.0), "sigma_min=0.0"),
        (lambda: Flow(0.0), "shift=0.0"),
        (lambda: DDPM([]), "at least one beta"),
        (lambda: DDPM([0.1, 0.0]), r"betas\[1\] = 0.0"),
        (lambda: DDPM([0.1, math.nan]), r"betas\[1\] = nan"),
        (lambda: DDPM([1.0, 0.1]), r"betas\[0\] = 1.0"),
        (lambda: DDPM([0.1, 1.0], smooth=True), r"betas\[1\] = 1.0"),
        (lambda: EDM().at_clock(81.0), "sigma = 81.0 is outside EDM"),
        (lambda: VE().at_clock(-1.0), r"sigma = -1.0 is outside VE"),
        (lambda: Flow().at_clock(1.5), "sigma = 1.5 is outside Flow"),
        (lambda: from_json({"name": "VPX"}), "'VPX' is unknown"),
        (lambda: from_json({"name": "VP", "beta": 3}), "no parameters of VP"),
    ],
)
def test_bad_parameters_are_refused_by_one_sentence(build, told):
    with pytest.raises(ValueError, match=told) as caught:
        build()
    assert "\n" not in str(caught.value) and ":" in str(caught.value)


@every
def test_json_round_trips(name):
    process = PROCESSES[name]
    back = from_json(json.loads(json.dumps(process.to_json())))
    assert back == process and hash(back) == hash(process)
    assert back.level(0.3 * back.t_start) == process.level(0.3 * process.t_start)
