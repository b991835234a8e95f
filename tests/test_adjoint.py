"""The adjoint ODE handed to a compiled plan: against the exact flow's gradient, at the plan's order, and its drift."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gradient_cases import BOTTOM, PROCESSES, TOP, Affine, Modes, both_ways, convolutional, dense, grid, loss, slope

import diffnum as dn
from diffnum import gradients, witness
from diffnum.gradients.adjoint import reading, scale
from diffnum.prediction import convert

GAUSSIAN, NONLINEAR = witness.gaussian(), witness.nonlinear()
LAW = NONLINEAR._groups[0][1]
# order, and what is run in a default test: both witnesses for each order at least once
METHODS = {"ddim": 1, "dpm_solver_2": 2, "rho_midpoint": 2, "dpmpp_2m": 2, "rho_rk4": 4, "rk4": 4, "etd4rk": 4}
QUICK = {("dpm_solver_2", "velocity")}
FULL = pytest.mark.full
DRIFTS = [("heun3", 3), ("rk4", 5)]
CASES = [
    pytest.param(name, variables, marks=() if (name, variables) in QUICK else FULL)
    for name in METHODS
    for variables in ("noise", "data", "velocity")
    # the slowest to settle: one of order four is enough
    if (METHODS[name], variables) != (4, "data") or name == "etd4rk"
]


def gaussian_case():
    """A trainable Gaussian, starts, and the true gradients in the start, the mean and the log-variances."""
    model = Affine(*(np.array(a) for a in GAUSSIAN.eigen()))
    x = torch.tensor(GAUSSIAN.sample(8, 1, TOP), requires_grad=True)
    truth = torch.autograd.grad(loss(model.flow(x, TOP, BOTTOM)), [x, *model.parameters()])
    return model, x.detach(), [t.numpy() for t in truth]


def mixture_case():
    """The same of mixtures on the line, with trainable means."""
    model = Modes(LAW)
    x = NONLINEAR.sample(8, 1, TOP)
    y = torch.tensor(NONLINEAR.flow(x, TOP, BOTTOM), requires_grad=True)
    (cotangent,) = torch.autograd.grad(loss(y), y)
    return model, torch.tensor(x), list(model.truth(x, y.detach().numpy(), cotangent.numpy(), TOP, BOTTOM))


def errors(model, x, truth, sampler, n, **options):
    found = gradients.adjoint(*both_ways(sampler, n), model, x, loss, list(model.parameters()), **options)
    pairs = zip([found.x, *found.parameters], truth, strict=True)
    return [float(np.abs(a.numpy() - b).max()) for a, b in pairs]


@pytest.mark.parametrize(("sampler", "variables"), CASES)
@pytest.mark.parametrize("case", [gaussian_case, mixture_case])
def test_the_gradient_converges_to_that_of_the_flow_at_the_order_of_the_sampler(case, sampler, variables):
    problem = case()
    found = slope(lambda n: max(errors(*problem, sampler, n, variables=variables)))
    assert found.holds(METHODS[sampler]), found


def test_the_true_gradient_of_a_gaussian_is_the_flow_of_the_target_turned_round():
    model, x, truth = gaussian_case()
    y = torch.tensor(GAUSSIAN.flow(x.numpy(), TOP, BOTTOM))
    assert np.abs(model.flow(x, TOP, BOTTOM).detach().numpy() - y.numpy()).max() < 1e-14
    _, c = GAUSSIAN.eigen()
    v, u = (level.alpha**2 * c + level.sigma**2 for level in (BOTTOM, TOP))
    cotangent = (torch.cos(y) + 2 * y / 3).numpy()
    ratio = np.sqrt(v / u)
    mean = (cotangent * (BOTTOM.alpha - ratio * TOP.alpha)).sum(0)
    moved = x.numpy() - TOP.alpha * GAUSSIAN.eigen()[0]
    variance = (cotangent * moved * ratio / 2 * c * (BOTTOM.alpha**2 / v - TOP.alpha**2 / u)).sum(0)
    for found, exact in zip(truth, (cotangent * ratio, mean, variance), strict=True):
        assert np.abs(found - exact).max() < 1e-13


def test_the_papers_own_triple_by_hand_is_the_adjoint_in_the_variables_of_the_noise():
    """AdjointDPM: RK4 in ``rho`` on ``(y, a, g)``, against the same table compiled."""
    n = 6
    model, x, _ = gaussian_case()
    parameters = list(model.parameters())
    plan, back = both_ways("rho_rk4", n)
    found = gradients.adjoint(plan, back, model, x, loss, parameters, variables="noise")

    def slope_at(level, y, a):
        leaf = y.detach().requires_grad_()
        eps = model(level.alpha * leaf, level)
        down = torch.autograd.grad(eps, [leaf, *parameters], a)
        return [eps.detach(), *(-d for d in down)]

    state = [found.output / back.start.alpha, found.output.clone()]
    leaf = found.output.clone().requires_grad_()
    state[1] = torch.autograd.grad(loss(leaf), leaf)[0] * back.start.alpha
    state += [torch.zeros_like(p) for p in parameters]
    clock = [level.sigma / level.alpha for level in back.levels]
    for i in range(n):
        s, t = back.levels[i], back.levels[i + 1]
        h, middle = clock[i + 1] - clock[i], dn.VP().at(-np.log((clock[i] + clock[i + 1]) / 2))
        k1 = slope_at(s, *state[:2])
        k2 = slope_at(middle, *(q + h / 2 * k for q, k in zip(state[:2], k1[:2], strict=True)))
        k3 = slope_at(middle, *(q + h / 2 * k for q, k in zip(state[:2], k2[:2], strict=True)))
        k4 = slope_at(t, *(q + h * k for q, k in zip(state[:2], k3[:2], strict=True)))
        state = [q + h / 6 * (a + 2 * b + 2 * c + d) for q, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True)]
    hand = [state[0] * back.stop.alpha, state[1] / back.stop.alpha, *state[2:]]
    for mine, theirs in zip([found.returned, found.x, *found.parameters], hand, strict=True):
        assert float((mine - theirs).abs().max() / theirs.abs().max()) < 1e-12


@pytest.mark.parametrize(
    ("sampler", "order"), [("ddim", 1), ("dpm_solver_2", 3), *(pytest.param(*c, marks=FULL) for c in DRIFTS)]
)
def test_the_drift_of_the_start_found_again_has_one_order_more_where_the_methods_is_even(sampler, order):
    x = torch.tensor(NONLINEAR.sample(6, 1, TOP))

    def drift(n):
        found = gradients.adjoint(*both_ways(sampler, n), NONLINEAR, x, loss)
        return float((found.returned - x).abs().max())

    found = slope(drift)
    assert found.holds(order), found


@pytest.mark.parametrize("process", PROCESSES)
def test_what_the_model_predicts_does_not_change_the_adjoint(process):
    top, bottom = process.at(-2.0), process.at(2.0)
    levels = dn.grid.log_snr(process, 5, start=top, stop=bottom)
    x = torch.tensor(NONLINEAR.sample(4, 1, top))
    for variables in ("noise", "data", "velocity"):
        found = [
            gradients.adjoint(
                dn.compile("dpm_solver_2", levels, prediction),
                dn.compile("dpm_solver_2", gradients.backwards(levels), prediction),
                NONLINEAR,
                x,
                loss,
                variables=variables,
            ).x
            for prediction in ("noise", "data", "velocity", "score")
        ]
        for other in found[1:]:
            assert float((other - found[0]).abs().max() / found[0].abs().max()) < 1e-10


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("variables", ["data", "noise", "velocity", "score"])
@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
def test_the_scale_solves_its_equation(process, prediction, variables):
    """``dw/w = 2 (dlog alpha + a_1 g)`` along the process, by central differences in log-SNR."""
    lam, e = 0.4, 1e-5
    here, above, below = (process.at(lam + d) for d in (0.0, e, -e))
    drift = (above.alpha - below.alpha) / (2 * e) / here.alpha
    g = (above.sigma - below.sigma) / (2 * e) - here.sigma * drift
    # eps = a x + b n, by way of what the model predicts
    (p, q), (c, d) = convert(here, prediction, "noise"), reading(here, prediction, variables)
    w = (scale(above, variables) - scale(below, variables)) / (2 * e) / scale(here, variables)
    assert abs(w - 2 * (drift + (p - q * c / d) * g)) < 1e-8


@pytest.mark.parametrize("network", [dense, convolutional])
def test_the_adjoint_of_a_network_converges_to_its_discrete_gradient(network):
    model, parameters = network()
    x = torch.randn(3, *((2, 5, 5) if network is convolutional else (4,)), dtype=torch.float64)
    # to the flow of the network: both gradients tend to its own, which a fine run gives
    apart = []
    for n in (8, 16, 32):
        plan, back = both_ways("rk4", n, "velocity")
        adjoint = gradients.adjoint(plan, back, model, x, loss, parameters)
        discrete = gradients.backprop(plan, model, x, loss, parameters)
        pairs = zip([adjoint.x, *adjoint.parameters], [discrete.x, *discrete.parameters], strict=True)
        apart.append(max(float((a - b).abs().max()) for a, b in pairs))
    assert apart[0] > 12 * apart[1] > 12 * 12 * apart[2]


def test_calls_and_products_are_counted():
    x = torch.tensor(GAUSSIAN.sample(2, 1, TOP))
    plan, back = dn.compile("ddim", grid(7), "noise"), dn.compile("rk4", gradients.backwards(grid(3)), "noise")
    calls = []
    found = gradients.adjoint(
        plan, back, lambda y, level: calls.append(1) or GAUSSIAN.predict(y, level, "noise"), x, loss
    )
    assert found.evaluations == len(calls) == plan.nfe + back.nfe == 7 + 12
    assert found.vjps == 12


def test_the_velocitys_variables_serve_pure_noise_and_the_papers_do_not():
    levels = dn.grid.uniform(dn.Flow(), 20, start=1.0, stop=0.05)
    plan, back = (dn.compile("heun", g, "velocity") for g in (levels, gradients.backwards(levels)))
    x = torch.tensor(GAUSSIAN.sample(3, 1, plan.start))
    found = gradients.adjoint(plan, back, GAUSSIAN, x, loss)
    discrete = gradients.backprop(plan, GAUSSIAN, x, loss)
    assert float((found.x - discrete.x).abs().max()) < 0.01 * float(discrete.x.abs().max())
    with pytest.raises(ValueError, match=r"variables of noise prediction.* not defined at alpha = 0, sigma = 1"):
        gradients.adjoint(plan, back, GAUSSIAN, x, loss, variables="noise")


def test_what_has_no_adjoint_is_refused():
    x = torch.tensor(GAUSSIAN.sample(2, 1, TOP))
    plan, back = both_ways("ddim", 4)

    def refused(match, *args, **options):
        with pytest.raises(ValueError, match=match):
            gradients.adjoint(*args, GAUSSIAN, x, loss, **options)

    refused("draws noise and so follows no ODE", dn.compile("ddpm_ancestral", grid(4), "noise"), back)
    refused("compile both for what the model returns", plan, both_ways("ddim", 4, "data")[1])
    refused("compile it on dn.gradients.backwards", plan, plan)
    refused("variables = 'x0' are unknown", plan, back, variables="x0")
    clean = dn.grid.uniform(dn.Flow(), 3, start=0.9, stop=0.0)
    with pytest.raises(ValueError, match=r"is not defined at sigma = 0 \(t = 0\): start at sigma > 0"):
        dn.compile("ddim", gradients.backwards(clean), "score")
    ended = dn.grid.log_snr(dn.VP(), 4, start=TOP, stop=BOTTOM, end="denoise")
    refused("which is no state of the ODE", dn.compile("ddim", ended, "noise"), back)
