"""Readings against each other: moments against samples, series against runs, gradients against differences."""

import math
from itertools import pairwise

import numpy as np
import pytest
import sympy
from selection import deterministic

import diffnum as dn
from diffnum.noise import Counter
from diffnum.plan import PREDICTIONS
from diffnum.read.symbolic import leading_error, symbolic
from diffnum.solvers import ALL

TARGET = dn.Gaussian(np.array([0.5, -1.0, 0.2]), np.array([0.05, 0.6, 2.0]))


@pytest.mark.parametrize("sampler", deterministic())
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_moments_are_the_affine_map_that_runs(sampler, prediction):
    plan = dn.compile(sampler, dn.grid.log_snr(dn.VP(), 6), prediction)
    probes = np.stack([np.zeros(3), np.ones(3)])
    low, high = dn.sample(plan, TARGET, probes)
    mean, var = dn.moments(plan, TARGET, init="prior")
    np.testing.assert_allclose(low, mean, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose((high - low) ** 2, var, rtol=1e-10)


@pytest.mark.parametrize("name", ["dpmpp_2m", "heun", "ddpm_ancestral", "euler_maruyama"])
def test_a_million_samples_agree_with_exact_moments_within_their_error_bars(name):
    n, total, square = 1_000_000, np.zeros(3), np.zeros(3)
    plan = dn.compile(name, dn.grid.log_snr(dn.VP(), 8))
    mean, var = dn.moments(plan, TARGET)
    rng = np.random.default_rng(7)
    for _ in range(10):
        x = TARGET.sample(n // 10, rng, plan.start)
        out = dn.sample(plan, TARGET, x, noise=lambda s, t, j, x: rng.standard_normal(x.shape))
        total += out.sum(0)
        square += ((out - mean) ** 2).sum(0)
    assert (np.abs(total / n - mean) < 4 * np.sqrt(var / n)).all()
    assert (np.abs(square / n / var - 1) < 4 * math.sqrt(2 / n)).all()


def test_distances_of_a_perfect_sampler_vanish_and_of_others_do_not():
    fine = dn.compile("rk4", dn.grid.log_snr(dn.VP(), 400, start=dn.VP().at(-3.0), stop=dn.VP().at(3.0)))
    coarse = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 5))
    assert dn.w2(fine, TARGET) < 1e-8 < dn.w2(coarse, TARGET)
    assert abs(dn.kl(fine, TARGET)) < 1e-8 < dn.kl(coarse, TARGET)
    assert dn.frechet(coarse, TARGET) == pytest.approx(dn.w2(coarse, TARGET) ** 2, rel=1e-14)


def test_kl_against_the_integral():
    from scipy.integrate import quad
    from scipy.stats import norm

    from diffnum.read.distance import gaussian_kl

    a, b = norm(0.3, 0.8), norm(-0.2, 1.1)
    integral = quad(lambda x: a.pdf(x) * (a.logpdf(x) - b.logpdf(x)), -12, 12, epsabs=1e-12)[0]
    ours = gaussian_kl(np.array([0.3]), np.array([0.64]), np.array([-0.2]), np.array([1.21]))
    assert ours == pytest.approx(integral, rel=1e-9)
    with pytest.raises(ValueError, match="zero variance"):
        gaussian_kl(np.zeros(1), np.ones(1), np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="zero variance"):
        gaussian_kl(np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1))


def test_at_and_init_mean_what_they_say():
    plan = dn.compile("rk4", dn.grid.log_snr(dn.VP(), 300))
    exact_marginal, against_data = dn.w2(plan, TARGET), dn.w2(plan, TARGET, at="data")
    assert exact_marginal < 1e-6 < against_data
    assert dn.w2(plan, TARGET, at=plan.stop) == exact_marginal
    assert dn.w2(plan, TARGET, init="prior") > exact_marginal
    with pytest.raises(ValueError, match="init = 'p_T'"):
        dn.moments(plan, TARGET, init="p_T")
    with pytest.raises(ValueError, match="at = 'clean'"):
        dn.w2(plan, TARGET, at="clean")


def test_moments_have_the_gradient_of_finite_differences():
    import torch

    target = dn.Gaussian(np.zeros(2), np.array([0.3, 1.5]))

    def loss(sigmas):
        return dn.w2(dn.compile("dpmpp_2m", dn.grid.custom(dn.EDM(), sigmas=sigmas)), target)

    values = [10.0, 3.0, 1.0, 0.4, 0.1]
    leaf = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    value = loss(leaf)
    value.backward()
    assert value.item() == pytest.approx(loss(values), rel=1e-12)
    for i in range(5):
        up, down = ([v * (1 + s * 1e-6 * (j == i)) for j, v in enumerate(values)] for s in (1, -1))
        difference = (loss(up) - loss(down)) / (2e-6 * values[i])
        assert float(leaf.grad[i]) == pytest.approx(difference, rel=1e-5, abs=1e-8)


def test_gradients_between_fixed_ends_are_those_of_a_grid_of_leaves():
    import torch

    target = dn.Gaussian(np.zeros(2), np.array([0.3, 1.5]))

    def gradient(sigmas, inner):
        return torch.autograd.grad(dn.w2(dn.compile("heun", dn.grid.custom(dn.EDM(), sigmas=sigmas)), target), inner)[0]

    leaf = torch.tensor([10.0, 3.0, 1.0, 0.4, 0.1], dtype=torch.float64, requires_grad=True)
    inner = leaf.detach()[1:-1].requires_grad_()
    torch.testing.assert_close(gradient([10.0, *inner, 0.1], inner), gradient(leaf, leaf)[1:-1])


def test_the_optimal_euler_grid_on_a_gaussian_is_equally_spaced_in_the_angle():
    """Found as a zero of the exact gradient: sigma_i = sqrt(c) tan(theta_i), both ends fixed."""
    import torch
    from scipy.optimize import root

    c, n = 0.7, 8
    target = dn.Gaussian(np.zeros(1), np.array([c]))
    ends = math.atan(80.0 / math.sqrt(c)), math.atan(0.02 / math.sqrt(c))

    def gradient(inner):
        theta = torch.tensor([ends[0], *inner, ends[1]], dtype=torch.float64, requires_grad=True)
        sigmas = math.sqrt(c) * torch.tan(theta)
        plan = dn.compile("euler", dn.grid.custom(dn.VE(), sigmas=sigmas))
        _, var = dn.moments(plan, target)
        (torch.log(var).sum()).backward()
        return theta.grad[1:-1].numpy()

    # a start that is not the answer: equal spacing in log sigma
    log_spaced = np.exp(np.linspace(math.log(80.0), math.log(0.02), n + 1))
    found = root(gradient, np.arctan(log_spaced / math.sqrt(c))[1:-1], tol=1e-13)
    assert found.success
    np.testing.assert_allclose(found.x, np.linspace(*ends, n + 1)[1:-1], atol=1e-6)


def test_leading_errors_have_their_closed_forms():
    c = sympy.Symbol("c", positive=True)
    ddim = leading_error(ALL["ddim"])
    assert ddim.power == 2 and sympy.simplify(ddim.coefficient + c / (2 * (1 + c) ** sympy.Rational(3, 2))) == 0
    two_m = leading_error(ALL["dpmpp_2m"])
    expected = c * (3 * c - 2) / (4 * sympy.sqrt(1 + c) * (1 + c) ** 2)
    assert two_m.power == 3 and sympy.simplify(two_m.coefficient - expected) == 0


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "dpm_solver_2", "dpmpp_3m"])
def test_leading_error_predicts_the_error_of_a_run(name):
    c, h = 1.3, 0.005
    process, sampler = dn.EDM(), ALL[name]
    formula = leading_error(sampler)
    lams = [-2 * h, -h, 0.0, h]
    plan = dn.compile(sampler, dn.grid.custom(process, lams=lams))
    target = dn.Gaussian(np.zeros(1), np.array([c]))
    start = np.full((1, 1), math.sqrt(1 + c))
    pinned = {i: target.flow(start, process.at(0.0), plan.levels[i]) for i in range(1, 3)}
    x0 = target.flow(start, process.at(0.0), plan.start)
    error = (dn.sample(plan, target, x0, pinned=pinned) - target.flow(start, process.at(0.0), plan.stop)).item()
    (symbol,) = formula.coefficient.free_symbols
    predicted = float(formula.coefficient.subs(symbol, c)) * h**formula.power
    assert error == pytest.approx(predicted, rel=0.06)


def test_symbolic_reading_is_a_formula_that_gives_the_run():
    c = sympy.Symbol("c", positive=True)
    plan = dn.compile("heun", dn.grid.log_snr(dn.VP(), 3))
    factor = symbolic(plan, c)
    for value in (0.1, 1.0, 3.0):
        target = dn.Gaussian(np.zeros(1), np.array([value]))
        run = dn.sample(plan, target, np.ones((1, 1))).item()
        assert float(factor.subs(c, value)) == pytest.approx(run, rel=1e-12)


def test_noise_is_asked_for_and_given():
    plan = dn.compile("ddpm_ancestral", dn.grid.log_snr(dn.VP(), 4))
    x = TARGET.sample(5, 0, plan.start)
    with pytest.raises(ValueError, match="noise"):
        dn.sample(plan, TARGET, x)
    one = dn.sample(plan, TARGET, x, noise=Counter(3))
    np.testing.assert_array_equal(one, dn.sample(plan, TARGET, x, noise=Counter(3)))
    assert np.abs(one - dn.sample(plan, TARGET, x, noise=Counter(4))).max() > 1e-3


def test_sample_on_torch_keeps_dtype_and_agrees_with_numpy():
    import torch

    plan = dn.compile("dpmpp_3m_corrected", dn.grid.log_snr(dn.VP(), 9))
    x = TARGET.sample(4, 0, plan.start)
    array = dn.sample(plan, TARGET, x)
    np.testing.assert_allclose(dn.sample(plan, TARGET, torch.tensor(x)).numpy(), array, rtol=1e-13)
    half = dn.sample(plan, TARGET, torch.tensor(x, dtype=torch.float32))
    assert half.dtype == torch.float32
    np.testing.assert_allclose(half.numpy(), array, rtol=2e-4, atol=1e-5)


def test_states_are_reached_in_the_order_of_their_levels_by_every_sampler():
    """Also where the last state is a prediction, which is made before the state before it is corrected."""
    grid = dn.grid.log_snr(dn.VP(), 3, end="zero")
    for name, sampler in ALL.items():
        try:
            plan = dn.compile(sampler, grid)
        except ValueError:
            continue
        assert all(a < b for a, b in pairwise(plan.states)), name
    plan = dn.compile("unipc_2", grid)
    x, reached = TARGET.sample(2, 0, plan.start), []
    states = dn.sample(plan, TARGET, x, keep="states")
    out = dn.sample(plan, TARGET, x, callback=lambda i, level, x, D: reached.append(i))
    assert reached == [1, 2, 3]
    assert np.array_equal(states[-1], out)


def test_states_denoised_callback_and_early_stop():
    plan = dn.compile("heun", dn.grid.log_snr(dn.VP(), 5))
    x = TARGET.sample(3, 0, plan.start)
    states = dn.sample(plan, TARGET, x, keep="states")
    assert len(states) == 6 and len(dn.sample(plan, TARGET, x, keep="denoised")) == plan.nfe
    np.testing.assert_array_equal(states[-1], dn.sample(plan, TARGET, x))
    seen = []
    stopped = dn.sample(plan, TARGET, x, callback=lambda i, level, x, D: seen.append((i, level)) or i == 3)
    np.testing.assert_array_equal(stopped, states[3])
    assert seen == [(i, plan.levels[i]) for i in (1, 2, 3)]
    with pytest.raises(ValueError, match="keep = 'all'"):
        dn.sample(plan, TARGET, x, keep="all")
    with pytest.raises(ValueError, match=r"shape \(1,\)"):
        dn.sample(plan, lambda x, level: x[0, :1], x)


@pytest.mark.parametrize("name", ["dpmpp_2m", "ddpm_ancestral"])
def test_a_direction_without_variance_leaves_the_gradient_finite(name):
    import torch

    target = dn.Gaussian(np.zeros(2), np.array([0.0, 1.0]))

    def loss(middle):
        return dn.w2(dn.compile(name, dn.grid.custom(dn.EDM(), sigmas=[80.0, middle, 0.5, 0.0])), target)

    leaf = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    loss(leaf).backward()
    difference = (loss(3.0 + 1e-5) - loss(3.0 - 1e-5)) / 2e-5
    assert leaf.grad.item() == pytest.approx(difference, rel=1e-6)


def test_a_target_runs_on_images_as_on_rows():
    target = dn.Gaussian.power_law(12)
    plan = dn.compile("dpmpp_2m", dn.grid.log_snr(dn.VP(), 4))
    rows = target.sample(5, 0, plan.start)
    images = dn.sample(plan, target, rows.reshape(5, 3, 2, 2))
    np.testing.assert_array_equal(images.reshape(5, 12), dn.sample(plan, target, rows))


def test_wrong_arguments_get_one_sentence():
    plan = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 2))
    with pytest.raises(ValueError, match="VP is no grid"):
        dn.compile("ddim", dn.VP())
    with pytest.raises(ValueError, match="the plan comes first"):
        dn.w2(TARGET, plan)
    with pytest.raises(ValueError, match="returned a NoneType"):
        dn.sample(plan, lambda x, level: None, np.zeros((1, 3)))

    def branching(T, grid):
        for s, t in T.steps(grid):
            T.x = (t.sigma / s.sigma) * T.x if t.sigma < 0.1 else T.x

    with pytest.raises(TypeError, match="may not branch on numbers"):
        dn.leading_error(branching)
