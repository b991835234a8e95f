"""Taylor steps against closed derivatives, differences along exact flows, and the two-stage methods they come from."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from process_cases import PROCESSES

from diffnum import grid
from diffnum.adaptive import derivatives, expansion, taylor, two_stage
from diffnum.order import prove
from diffnum.plan import interpret
from diffnum.process import EDM, VP, Cosine, Flow
from diffnum.process_shared import as_float
from diffnum.read.sample import sample
from diffnum.read.tableau import distance
from diffnum.slopes import measured, settled
from diffnum.solvers import ALL
from diffnum.solvers.coords import ANGLE, CLOCK, DATA, LOG_SNR, NOISE, RATIO, SNR
from diffnum.targets import Empirical, Gaussian, Laplace1D, Mixture, Product1D
from diffnum.trace import Trace, compile
from diffnum.witness import GRIDS, NEAR, Run, alternating, coupled, gaussian, near, near_alternating, nonlinear, norm

COORDS = {"data": DATA, "noise": NOISE, "ratio": RATIO, "snr": SNR, "angle": ANGLE, "clock": CLOCK, "log snr": LOG_SNR}
every_coords = pytest.mark.parametrize("coords", COORDS.values(), ids=COORDS)
WITNESSES = {"non-linear": nonlinear, "Gaussian": gaussian}
PREDICTIONS = ("data", "noise", "velocity", "score")


def ran(target, levels, run, coords=DATA, order=2, prediction="data"):
    return taylor(target, levels, torch.tensor(run.x), coords, order, prediction).x.numpy()


# --- derivatives ---


@pytest.mark.parametrize("name", ["VP", "SubVP", "Cosine", "VE", "EDM", "Flow shift 3", "DDPM", "DDPM smooth"])
def test_levels_of_torch_have_the_derivatives_of_their_process(name):
    process = PROCESSES[name]
    for at in (-0.7, 0.9):

        def numbers(lam):
            level = process.at(lam)
            # one is a float where the process has nothing to differentiate
            return tuple(torch.as_tensor(c) + 0 * lam for c in (level.t, level.alpha, level.sigma))

        lam = torch.tensor(at, dtype=torch.float64)
        (t, alpha, sigma), slopes = torch.func.jvp(numbers, (lam,), (torch.ones_like(lam),))
        level = process.at(at)
        da, ds = process.rates(level)
        fall = da / level.alpha - ds / level.sigma
        assert np.allclose([alpha, sigma], [level.alpha, level.sigma], rtol=1e-14)
        assert np.allclose(slopes[1:], [da / fall, ds / fall], atol=1e-13)
        e = 1e-6 * max(1.0, float(t))
        if not name.startswith("DDPM"):
            e = 1e-5
        change = (as_float(process.t(at + e)) - as_float(process.t(at - e))) / (2 * e)
        assert abs(float(slopes[0]) / change - 1) < 1e-5


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("process", [VP(), Cosine(), EDM(), Flow(3.0)], ids=lambda p: p.name)
def test_total_derivatives_on_a_gaussian_are_the_closed_ones(process, prediction):
    """Along the flow ``(x - alpha m) / sqrt(v)`` stays, so ``D`` and ``eps`` are functions of the level alone."""
    target = gaussian()
    m, c = target.eigen()
    for lam, h in ((-2.0, 0.3), (0.4, 0.7), (2.5, 0.1)):
        s, t = process.at(lam), process.at(lam + h)
        x = target.sample(5, 1, s)
        unit = (x - s.alpha * m) / np.sqrt(s.alpha**2 * c + s.sigma**2)
        e, v = math.exp(-2 * lam), c + math.exp(-2 * lam)
        data = (m + unit * c / v**0.5, unit * c * e / v**1.5, unit * c * (e**2 - 2 * c * e) / v**2.5)
        root = math.exp(-lam)
        noise = (unit * root / v**0.5, -unit * root * c / v**1.5, unit * root * c * (c - 2 * e) / v**2.5)
        for coords, closed in ((DATA, data), (NOISE, noise)):
            found = derivatives(target, process, torch.tensor(x), s, t, coords, 3, prediction)
            assert len(found) == 3
            for k, (ours, theirs) in enumerate(zip(found, closed, strict=True)):
                assert abs(ours.numpy() / (t.lam - s.lam) ** k - theirs).max() < 1e-12 * 10**k


@every_coords
@pytest.mark.parametrize("process", [VP(), Flow()], ids=lambda p: p.name)
def test_derivatives_are_differences_along_the_exact_flow(process, coords):
    s, t, target = process.at(-0.6), process.at(0.2), nonlinear()
    x, T, d = target.sample(6, 2, s), Trace(process), 1 / 64

    def seen(r):
        u = coords.between(T, s, t, r)
        return derivatives(target, process, torch.tensor(target.flow(x, s, u)), u, t, coords)[0].numpy()

    N, first, second = (a.numpy() for a in derivatives(target, process, torch.tensor(x), s, t, coords, 3))
    far, close, here = seen(2 * d), seen(d), seen(0.0)
    back, behind = seen(-d), seen(-2 * d)
    assert np.allclose(here, N, atol=1e-13)
    assert abs((behind - 8 * back + 8 * close - far) / (12 * d) - first).max() < 1e-6
    assert abs((-behind + 16 * back - 30 * here + 16 * close - far) / (12 * d * d) - second).max() < 2e-5


# --- order ---


def slope(process, coords, order, witness, levels, counts, low):
    target, (start, stop) = WITNESSES[witness](), (process.at(low), process.at(-low))
    run = Run.of(target, start)
    errors = [norm(ran(target, levels(process, n), run, coords, order) - run.exact(stop)) for n in counts]
    must = "equal" if witness == "non-linear" else "reach"
    assert settled(errors, counts)
    return measured(errors, counts, witness, levels.__name__, process.name, "warm", must)


@pytest.mark.parametrize("witness", WITNESSES)
@every_coords
@pytest.mark.parametrize("process", [VP(), pytest.param(Flow(), marks=pytest.mark.full)], ids=lambda p: p.name)
def test_order_two_is_measured_in_all_coordinates(process, coords, witness):
    levels = near_alternating if witness == "non-linear" else near
    assert slope(process, coords, 2, witness, levels, (4, 8, 16, 32), -NEAR).holds(2)


@pytest.mark.parametrize("levels", GRIDS)
@pytest.mark.parametrize(
    "process, coords", [pytest.param(VP(), DATA, marks=pytest.mark.full), (Flow(), CLOCK)], ids=["VP", "Flow"]
)
def test_order_two_is_measured_from_noise_to_data(process, coords, levels):
    assert slope(process, coords, 2, "non-linear", GRIDS[levels], (16, 32, 64, 128), -3.0).holds(2)


@pytest.mark.parametrize("process, coords", [(VP(), NOISE), (Flow(), CLOCK)], ids=["VP", "Flow"])
def test_order_three_is_measured(process, coords):
    assert slope(process, coords, 3, "non-linear", near_alternating, (4, 8, 16, 32), -NEAR).holds(3)


@pytest.mark.parametrize(
    "coords, top", [(DATA, lambda c: 2 * c - 1), (NOISE, lambda c: c - 2), (RATIO, lambda c: -3)], ids=["D", "e", "rho"]
)
def test_the_error_of_a_step_is_the_proved_one(coords, top):
    c = np.array([0.1, 0.4, 1.0, 2.5])
    target, process, x = Gaussian(np.zeros(4), c), EDM(), np.sqrt(1 + c)[None]
    found = []
    for h in (2.0**-6, 2.0**-7):
        levels = grid.custom(process, lams=[0.0, h])
        end = taylor(target, levels, torch.tensor(x), coords).x.numpy()
        found.append((end - target.flow(x, *levels.levels)) / h**3)
    closed = c * top(c) / (6 * (1 + c) ** 2.5)
    assert abs(2 * found[1] - found[0] - closed).max() < 1e-3 * abs(closed).max()


# --- the two-stage methods ---


@pytest.mark.parametrize(
    "name, coords, r",
    [("dpm_solver_2_taylor", NOISE, Fraction(1, 2)), ("rf_solver", CLOCK, Fraction(1, 2)), ("etd2rk", DATA, 1)],
)
def test_two_stages_are_known_methods(name, coords, r):
    levels = alternating(VP(), 6)
    assert distance(compile(two_stage(coords, r), levels), compile(ALL[name], levels)) < 1e-13


@every_coords
def test_two_stages_have_order_two_at_every_node(coords):
    for r in (Fraction(1, 1000), Fraction(2, 3), Fraction(-1, 7)):
        proof = prove(two_stage(coords, r), seeds=(1,))
        assert (proof.order, proof.cold, proof.stable) == (2, 2, True)


SMOOTH = {
    "Gaussian in a basis": Gaussian(
        np.zeros(3), np.array([0.3, 2.0]), np.linalg.qr(np.arange(6.0).reshape(3, 2) ** 2 + np.eye(3, 2))[0]
    ),
    "product": nonlinear(),
    "mixture": coupled(),
    "mixture of low rank": Mixture.low_rank([1, 2], [[0.0, 1], [1, 0]], [[[0.5], [0.2]], [[0.1], [0.7]]], [0.2, 0.3]),
    "points": Empirical(np.array([[0.0, 1.0], [1.0, -0.5], [-1.0, 0.3]])),
}


@pytest.mark.parametrize("coords", [DATA, CLOCK], ids=["data", "clock"])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_run_is_the_limit_of_two_stages(name, coords):
    target, levels = SMOOTH[name], near_alternating(VP(), 4)
    x = torch.tensor(target.sample(5, 3, levels.levels[0]))
    run = taylor(target, levels, x, coords).x
    away = [float((sample(compile(two_stage(coords, r), levels), target, x) - run).abs().max()) for r in (2**-5, 2**-9)]
    assert 14 < away[0] / away[1] < 18


def test_rf_solver_differs_from_the_taylor_step_of_its_name_at_the_third_order():
    process, target = Flow(), nonlinear()
    s, away, errors = process.at(-0.4), [], []
    x = target.sample(8, 4, s)
    counts = (16, 32, 64, 128)
    for n in counts:
        levels = grid.custom(process, lams=[s.lam, s.lam + 4 / n])
        exact = target.flow(x, *levels.levels)
        named = sample(compile(ALL["rf_solver"], levels), target, x)
        expanded = taylor(target, levels, torch.tensor(x), CLOCK).x.numpy()
        away.append(norm(named - expanded))
        errors.append([norm(named - exact), norm(expanded - exact)])
    assert measured(away, counts, "", "", "", "warm", "local").holds(2)
    # and by no more than either of them is wrong
    assert all(gap > 0.2 * min(pair) for gap, pair in zip(away, errors, strict=True))


@every_coords
def test_the_plan_of_a_step_on_the_derivatives_is_the_step(coords):
    process, target = Flow(), nonlinear()
    levels = grid.custom(process, lams=[-0.4, 0.1])
    x = torch.tensor(target.sample(3, 5, levels.levels[0]))
    given_ = iter(derivatives(target, process, x, *levels.levels, coords, 3))
    plan = compile(expansion(coords, 3), levels)
    end = interpret(plan, x, lambda terms: sum(c * v for c, v in terms), lambda *_: next(given_), lambda _: None)[0]
    assert np.allclose(end, taylor(target, levels, x, coords, 3).x, atol=1e-14)


# --- the ledger, predictions, networks ---


class Counted:
    def __init__(self):
        self.plain = self.dual = 0

    def __call__(self, x, level):
        dual = torch.is_tensor(level.sigma)
        self.dual, self.plain = self.dual + dual, self.plain + (not dual)
        return nonlinear().denoise(x, level)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("end", ["stop", "denoise", "half"])
def test_the_ledger_counts_calls(order, end):
    model, process = Counted(), Flow()
    levels = grid.log_snr(process, 5, process.at(-2.0), process.at(2.0), end=end)
    result = taylor(model, levels, torch.tensor(Run.of(nonlinear(), process.at(-2.0)).x), order=order)
    assert result.evaluations == model.plain == 5 + 2 + (end != "stop")
    assert sum(result.calls[1:]) == model.dual == 5 * (order - 1)
    assert result.jvps == 5 and len(result.calls) == order


@settings(max_examples=12)
@given(st.sampled_from(list(COORDS)), st.sampled_from(PREDICTIONS[1:]), st.floats(-1.5, 1.0), st.floats(0.1, 1.5))
def test_what_the_model_predicts_does_not_matter(name, prediction, lam, h):
    levels = grid.custom(VP(), lams=[lam, lam + h])
    run = Run.of(nonlinear(), VP().at(0.0))
    ours, theirs = (ran(nonlinear(), levels, run, COORDS[name], 2, p) for p in ("data", prediction))
    assert np.allclose(ours, theirs, atol=1e-11)


class Net(torch.nn.Module):
    """A small network of the state and the time, smooth in both."""

    def __init__(self, told=lambda level, x: torch.as_tensor(level.t, dtype=x.dtype)):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.told, self.layers = (
            told,
            torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)),
        )
        for p in self.parameters():
            torch.nn.init.normal_(p, 0, 0.6, generator)

    def forward(self, x, level):
        t = self.told(level, x)
        t = torch.as_tensor(t, dtype=x.dtype).expand(len(x), 1)
        return self.layers(torch.cat([x, t], 1))


@lru_cache
def states(dtype=torch.float64):
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("coords", [DATA, CLOCK, ANGLE], ids=["data", "clock", "angle"])
def test_a_network_in_float32_keeps_its_dtype_and_no_graph(coords):
    levels = grid.log_snr(VP(), 6, VP().at(-3.0), VP().at(3.0))
    with torch.no_grad():
        single = taylor(Net(), levels, states(torch.float32), coords, prediction="noise").x
        double = taylor(Net().double(), levels, states(), coords, prediction="noise").x
    assert single.dtype == torch.float32 and not single.requires_grad and single.grad_fn is None
    assert np.allclose(single, double, atol=2e-5 * float(double.abs().max()))


def test_a_network_is_the_limit_of_two_stages_and_may_be_trained_through():
    levels, net = grid.log_snr(VP(), 4, VP().at(-2.0), VP().at(2.0)), Net().double()
    end = taylor(net, levels, states(), prediction="noise").x
    near_ = [sample(compile(two_stage(DATA, r), levels, "noise"), net, states()) for r in (2**-8, 2**-12)]
    away = [float((other - end).detach().abs().max()) for other in near_]
    assert 14 < away[0] / away[1] < 18
    ours, theirs = (torch.autograd.grad(value.square().sum(), tuple(net.parameters())) for value in (end, near_[1]))
    assert all(
        torch.allclose(a, b, rtol=1e-2, atol=1e-3 * float(a.abs().max())) for a, b in zip(ours, theirs, strict=True)
    )


# --- ends ---


def test_steps_at_infinite_ends_are_of_first_order():
    process, target = Flow(), nonlinear()
    levels = grid.custom(process, times=[1.0, 0.7, 0.2, 0.0])
    x = torch.tensor(target.sample(4, 6, levels.levels[0]))
    whole = taylor(target, levels, x)
    first, last = (grid.custom(process, times=times) for times in ([1.0, 0.7], [0.2, 0.0]))
    middle = grid.custom(process, times=[0.7, 0.2])
    parts = sample(compile(ALL["ddim"], first), target, x)
    parts = sample(compile(ALL["ddim"], last), target, taylor(target, middle, parts).x)
    assert np.allclose(whole.x, parts, atol=1e-14)
    assert whole.calls == (5, 1)


def test_coordinates_that_are_finite_at_the_ends_are_expanded_there():
    process, target = Flow(), nonlinear()
    levels = grid.custom(process, times=[1.0, 0.7, 0.2, 0.0])
    x = torch.tensor(target.sample(4, 6, levels.levels[0]))
    assert [taylor(target, levels, x, coords).jvps for coords in (CLOCK, ANGLE, RATIO, NOISE)] == [3, 2, 2, 1]
    run = taylor(target, levels, x, CLOCK).x
    away = [float((sample(compile(two_stage(CLOCK, r), levels), target, x) - run).abs().max()) for r in (2**-8, 2**-12)]
    assert 14 < away[0] / away[1] < 18


@pytest.mark.parametrize("end", ["stop", "denoise", "half"])
def test_ends_are_those_of_plans(end):
    process, target = VP(), nonlinear()
    levels = grid.log_snr(process, 3, process.at(-1.0), process.at(1.0), end=end)
    x = torch.tensor(target.sample(4, 7, levels.levels[0]))
    away = [
        (sample(compile(two_stage(DATA, r), levels), target, x) - taylor(target, levels, x).x).abs().max()
        for r in (2**-8, 2**-12)
    ]
    assert 14 < away[0] / away[1] < 18


# --- refusals ---

LEVELS = near(VP(), 2)


def taken_out(level, x):
    return float(level.t)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: taylor(nonlinear(), LEVELS, states().numpy()), "ndarray.* give a tensor, or compile taylor.two_stage"),
        (lambda: taylor(nonlinear(), LEVELS, states(), order=4), "order = 4"),
        (lambda: taylor(Product1D([Laplace1D(0.0, 1.0)] * 3), LEVELS, states()), "forward in torch .*two_stage"),
        (lambda: taylor(lambda x, level: x.cumsum(0).numpy(), LEVELS, states()), "returned a ndarray"),
        (lambda: taylor(Net(taken_out).double(), LEVELS, states()), "stay tensors"),
        (lambda: taylor(lambda x, level: nonlinear().denoise(x.detach(), level), LEVELS, states()), "stay tensors"),
        (lambda: derivatives(nonlinear(), Flow(), states(), Flow().level(1.0), Flow().level(0.5)), "use levels with"),
        (lambda: taylor(nonlinear(), grid.uniform(Flow(), 3), states(), prediction="noise"), "alpha > 0"),
    ],
)
def test_what_cannot_run_is_refused_in_one_sentence(make, words):
    with pytest.raises(ValueError, match=words) as refusal:
        make()
    assert "\n" not in str(refusal.value)


def test_a_model_that_does_not_depend_on_its_level_is_no_fault():
    assert taylor(lambda x, level: torch.tanh(x), LEVELS, states()).jvps == 2
