"""What a process reads: numbers of every kind, arrays and JSON; and what it refuses."""

from __future__ import annotations

import json
import math

import mpmath
import numpy as np
import pytest
import sympy
import torch
from mpmath import mpf

from diffnum.process import (
    DDPM,
    EDM,
    VE,
    VP,
    Cosine,
    CosineRate,
    Flow,
    MeanReverting,
    SubVP,
    from_json,
    rate_table,
)
from tests.process_cases import PROCESSES, PURE, ZERO_TERMINAL, every

CONTINUOUS = {name: p for name, p in PROCESSES.items() if not name.startswith("DDPM")}
every_continuous = pytest.mark.parametrize("name", CONTINUOUS)


@pytest.fixture(autouse=True)
def fifty_digits():
    with mpmath.workdps(50):
        yield


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


@pytest.mark.parametrize("name", ["VP", "Cosine", "SubVP", "Flow", "VE", "EDM", "CosineRate", "MeanReverting linear"])
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
        (lambda: CosineRate(0.0), r"delta=0\.0"),
        (lambda: CosineRate(1.0), r"delta=1\.0"),
        (lambda: CosineRate(s=1.0), r"s=1\.0"),
        (lambda: MeanReverting(sigma_max=0.0), r"sigma_max=0\.0"),
        (lambda: MeanReverting(VP(), -0.1), r"sigma_max=-0\.1"),
        (lambda: MeanReverting(VP(), math.nan), "sigma_max=nan"),
        (lambda: MeanReverting(EDM()), "signal=EDM.* has no rate theta"),
        (lambda: MeanReverting(Cosine()), "signal=Cosine.* forgets x0"),
        (lambda: rate_table([]), "at least one rate"),
        (lambda: rate_table([0.1, 0.0]), r"thetas\[1\] = 0\.0"),
        (lambda: rate_table([0.1], 2.0), r"delta=2\.0"),
        (lambda: from_json({"name": "MeanReverting", "signal": {"name": "VPX"}}), "'VPX' is unknown"),
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
