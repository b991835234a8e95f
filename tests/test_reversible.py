"""Reversible samplers: there and back on any model, with noise, orders, constants, intervals, ends, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.interop.walk import Walk
from diffnum.noise import Brownian, Counter
from diffnum.order import prove
from diffnum.read.stability import Ratio, real_interval
from diffnum.slopes import TOLERANCE, fit
from diffnum.solvers import ALL, generated, reversible, reversible_pairs
from diffnum.solvers.coords import DATA, RATIO, SNR
from diffnum.solvers.reversible_pairs import couple, explicit
from diffnum.witness import Run, gaussian, law_errors, near, nonlinear, norm, path_errors

VP = dn.VP()
NAMES = [*reversible.__all__, *reversible_pairs.__all__]
NOISY = [name for name in NAMES if ALL[name].stochastic]
MIXTURE = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])


def levels(n, process=VP, low=-3.0, high=3.0):
    return dn.grid.log_snr(process, n, start=process.at(low), stop=process.at(high))


def in_sigma(n, start=1.2, stop=0.8):
    """Equal steps of ``sigma / alpha``."""
    return dn.grid.custom(dn.EDM(), sigmas=np.linspace(start, stop, n + 1).tolist())


def source(plan):
    return Counter(3) if plan.draws else None


def there_and_back(plan, model, x, noise=None):
    """What comes back beside what was started from, and where the run there ended."""
    ends = dn.sample(plan, model, x, noise, outputs="all")
    starts = dn.sample(dn.invert(plan), model, ends, noise, outputs="all")
    return starts[0], ends


# --- one method under two names ---


def test_bdia_with_no_past_is_ddim():
    assert dn.distance(dn.compile("bdia", levels(6), gamma=0.0), dn.compile("ddim", levels(6))) < 1e-13


def test_leapfrog_on_the_noise_is_bdia_where_alpha_stands_still():
    edm = levels(6, dn.EDM(), -1.0, 2.0)
    assert dn.distance(dn.compile("leapfrog", edm, coords=RATIO), dn.compile("bdia", edm)) < 1e-12
    assert dn.distance(dn.compile("leapfrog", edm), dn.compile("bdia", edm)) > 1e-3


# --- there and back ---


class Network(torch.nn.Module):
    """Random weights: no score of any law."""

    def __init__(self, dtype):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2)).to(dtype)

    def forward(self, x, level):
        return self.layers(torch.cat([x, torch.full_like(x[:, :1], math.atan(level.lam))], dim=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_random_weights_is_undone(name, dtype):
    plan = dn.compile(name, levels(8, low=-1.5, high=1.5), "velocity")
    x = torch.randn(5, 2, generator=torch.manual_seed(1), dtype=dtype)
    with torch.no_grad():
        back, (end, *_) = there_and_back(plan, Network(dtype), x, source(plan))
    # the inverse of an SDE that forgets, and of half a gamma, costs three digits
    assert (back - x).abs().max() < 1e4 * torch.finfo(dtype).eps
    assert (end - x).abs().max() > 0.1 and back.dtype == dtype


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "score"])
@pytest.mark.parametrize("name", NAMES)
def test_pure_noise_and_the_data_are_no_obstacle(name, prediction):
    """Where the network says enough there. An SDE forgets a start in pure noise for good."""
    flow = dn.Flow()
    noisy, clean = prediction in ("data", "velocity"), prediction in ("noise", "velocity")
    plan = dn.compile(
        name, dn.grid.uniform(flow, 6, start=None if noisy else 0.9, stop=0.0 if clean else 0.05), prediction
    )
    x = MIXTURE.sample(3, 0, plan.start)
    if noisy and name in NOISY:
        with pytest.raises(ValueError, match="cannot be undone exactly"):
            dn.invert(plan)
        return
    back, _ = there_and_back(plan, MIXTURE, x, source(plan))
    assert np.abs(back - x).max() < 1e-9


def test_an_increment_that_remembers_cannot_be_undone():
    """BDIA on the steps of DPM-Solver++(2M): the prediction at the state that is sought enters."""

    def on_2m(T, grid, gamma=1.0):
        past = None
        for s, t in T.steps(grid):
            x, D = T.x, T.denoise(T.x, s)

            def step(u, slope, x=x, s=s, T=T):
                return (u.sigma / s.sigma) * x - (u.alpha * math.expm1(-T.h(s, u))) * slope

            if past is None:
                T.x = T.given("next", step(t, D))
            else:
                x_, r, D_ = past
                slope = T.h(s, t) / (2 * T.h(r, s))
                T.x = step(t, D + slope * (D - D_)) + gamma * (x_ - step(r, D + 0.5 * (D_ - D)))
            past = x, s, D
        T.returns("previous", past[0])

    with pytest.raises(ValueError, match="cannot be undone exactly"):
        dn.invert(dn.compile(on_2m, levels(5)))


def test_one_step_that_drops_its_start_is_refused_by_one_sentence():
    one = dn.grid.uniform(dn.Flow(), 1, stop=0.0)
    with pytest.raises(
        ValueError, match=r"edict cannot be undone exactly: its outputs \(x1, y0b\) leave x0 and y0 open"
    ):
        dn.invert(dn.compile("edict", one, "data"))


def test_partners_are_known_at_every_level_and_survive_a_file(tmp_path):
    plan = dn.compile("reversible_heun", levels(4))
    (hats,) = plan.partners
    assert len(hats) == 5 and hats[0] == dict(plan.inputs)["hat"] and hats[-1] == dict(plan.outputs)["hat"]
    plan.save(tmp_path / "plan.json")
    assert dn.Plan.load(tmp_path / "plan.json") == plan
    (again,) = dn.invert(plan).partners
    assert len(again) == 5
    assert not dn.compile("bdia", levels(4)).partners


@pytest.mark.parametrize("name", [name for name in NAMES if name != "reversible_shark"])  # it draws first
def test_a_pipeline_that_asks_for_one_prediction_at_a_time_runs_them(name):
    plan = dn.compile(name, levels(5), "noise")
    x = MIXTURE.sample(2, 0, plan.start)
    walk, at = Walk(plan), x
    for r in plan.evaluations:
        level = plan.lines[r - 1].level
        at = walk.give(at, MIXTURE.predict(at, level, "noise"), Counter(3))
    np.testing.assert_allclose(at, dn.sample(plan, MIXTURE, x, source(plan)), rtol=1e-13, atol=1e-13)


# --- with noise ---


@pytest.mark.parametrize("draws", [Counter, Brownian])
@pytest.mark.parametrize("name", NOISY)
def test_the_same_noise_gives_the_start_back_and_another_does_not(name, draws):
    plan = dn.compile(name, levels(20, low=-2.0, high=2.0))
    x = MIXTURE.sample(6, 0, plan.start)
    back, ends = there_and_back(plan, MIXTURE, x, draws(7))
    assert np.abs(back - x).max() < 1e-9
    other = dn.sample(dn.invert(plan), MIXTURE, ends, draws(8))
    assert np.abs(other - x).max() > 0.1


@pytest.mark.parametrize("name", NOISY)
def test_the_way_back_asks_for_the_draws_of_the_way_there(name):
    plan = dn.compile(name, levels(5))
    seen = {}

    def recorded(which):
        def draw(s, t, j, x):
            found = Counter(2)(dn.plan.Noise(s, t, j), x)
            seen.setdefault(which, {})[s.lam, t.lam, j] = found
            return found

        return draw

    x = MIXTURE.sample(2, 0, plan.start)
    ends = dn.sample(plan, MIXTURE, x, recorded("there"), outputs="all")
    dn.sample(dn.invert(plan), MIXTURE, ends, recorded("back"))
    assert seen["there"].keys() == seen["back"].keys() and len(seen["there"]) == len(plan.draws)
    assert all((seen["there"][key] == seen["back"][key]).all() for key in seen["there"])


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "plain", "least"),
    [("reversible_euler_maruyama", "sde_dpmpp_1", 0.85), ("reversible_shark", "shark", 1.35)],
)
def test_both_states_have_the_strong_order_of_what_is_coupled(name, plain, least):
    """Along one path: the slopes of ``Psi`` itself, 1 and 1.5. Euler-Maruyama in ``rho`` is DPM-Solver++(1)."""

    def middle(n):
        return levels(n, low=-0.5, high=0.5)

    x = MIXTURE.sample(200, 1, VP.at(-0.5))
    exact = dn.sample(dn.compile("sra3", middle(512)), MIXTURE, x, Brownian(3))

    def error(end):
        return math.sqrt(((end - exact) ** 2).mean())

    counts = (16, 32, 64)
    pairs = [dn.sample(dn.compile(name, middle(n)), MIXTURE, x, Brownian(3), outputs="all") for n in counts]
    alone = [error(dn.sample(dn.compile(plain, middle(n)), MIXTURE, x, Brownian(3))) for n in counts]
    for k in (0, 1):
        errors = [error(pair[k]) for pair in pairs]
        assert fit(errors, counts)[1] == pytest.approx(fit(alone, counts)[1], abs=TOLERANCE)
        assert fit(errors, counts)[1] > least
        assert all(0.5 < a / b < 2 for a, b in zip(errors, alone, strict=True))


# --- orders and constants ---


@pytest.mark.parametrize("coords", [SNR, RATIO], ids=lambda c: c.name)
@pytest.mark.parametrize(
    ("table", "order"), [("EULER", 1), ("HEUN2", 2), ("RALSTON3", 3), pytest.param("RK4", 4, marks=pytest.mark.full)]
)
def test_the_coupling_keeps_the_order_of_what_it_couples(table, order, coords):
    def coupled(T, grid):
        couple(T, grid, explicit(coords, getattr(generated, table)), 0.9)

    proof = prove(coupled, highest=order + 1, seeds=(1,))
    assert (proof.order, proof.cold, proof.stable, proof.every_ratio) == (order, order, True, True)


@pytest.mark.full
@pytest.mark.parametrize("coords", [SNR, RATIO], ids=lambda c: c.name)
@pytest.mark.parametrize("name", ["reversible_euler", "reversible_midpoint", "reversible_rk4"])
def test_measured_orders_are_the_same_on_the_data_and_on_the_noise(name, coords):
    run = Run.of(nonlinear(), VP.at(-0.25))
    plans = [dn.compile(name, near(VP, n), coords=coords, zeta=0.5) for n in (32, 64, 128)]
    errors = [norm(path_errors(plan, run, False)) for plan in plans]
    assert math.log2(errors[1] / errors[2]) == pytest.approx(ALL[name].order, abs=0.15)


@pytest.mark.parametrize("gamma", [0.3, 0.8])
def test_bdia_has_a_share_of_the_error_of_ddim(gamma):
    """``(1 - g) / (1 + g)`` of it on equal steps of ``sigma``, on a law that is not linear."""
    ends = [in_sigma(n) for n in (200, 400)]
    run = Run.of(nonlinear(), ends[0].levels[0])
    own, plain = (
        [path_errors(dn.compile(name, grid, **options), run, False) for grid in ends]
        for name, options in (("bdia", {"gamma": gamma}), ("ddim", {}))
    )
    # the next term halves with the step
    first, second = (norm(a - (1 - gamma) / (1 + gamma) * b) / norm(a) for a, b in zip(own, plain, strict=True))
    assert second < 0.04 and second < 0.6 * first


def test_bdia_on_heun_gains_nothing_but_the_inverse():
    grid = in_sigma(64)
    run = Run.of(nonlinear(), grid.levels[0])
    own, plain = (path_errors(dn.compile(name, grid), run, False) for name in ("bdia_edm", "rho_heun"))
    assert norm(own - plain) < 0.05 * norm(plain)


def test_errors_of_the_two_states_are_opposite_before_they_mix():
    """Of Euler's coupling: for ``n (1 - zeta)`` small; later that of the partner remains in both."""
    run = Run.of(nonlinear(), VP.at(-0.25))
    for zeta, n, sign in ((0.999, 32, -1), (0.5, 512, 1)):
        plan = dn.compile("reversible_euler", near(VP, n), zeta=zeta)
        y, z = (end - run.exact(plan.stop) for end in dn.sample(plan, run.target, run.x, outputs="all"))
        assert norm(y - sign * z) < 0.1 * norm(z)


def test_weak_order_one_shows_once_the_states_have_mixed():
    sizes = [
        norm(law_errors(dn.compile("reversible_euler_maruyama", near(VP, n), zeta=0.5), gaussian())[1])
        for n in (64, 128, 256)
    ]
    assert math.log2(sizes[1] / sizes[2]) == pytest.approx(1, abs=0.05)


# --- stability ---


@pytest.mark.parametrize(
    ("name", "options", "length"),
    [
        *(("bdia", {"gamma": g}, 2 * (1 - g) / (1 + g)) for g in (0.3, 0.8, 1.0)),
        *(("edict_plain", {"p": p}, (1 - p**2) / (1 - p + p**2)) for p in (0.5, 0.93)),
        *(("reversible_euler", {"zeta": z, "coords": RATIO}, 1 - z) for z in (0.5, 0.9)),
        ("leapfrog", {"coords": RATIO}, 0.0),
        ("belm", {}, 0.0),
        ("reversible_heun", {}, 0.0),
    ],
)
def test_real_intervals_of_stability(name, options, length):
    assert real_interval(ALL[name].with_options(**options), Ratio()) == pytest.approx(length, rel=1e-9, abs=1e-12)


def drift(name, grid, **options):
    """By how much a perturbation of the second of two starting states moves the sample."""
    plan = dn.compile(name, grid, **options)
    law = dn.Gaussian(np.zeros(1), np.array([0.5]))
    x = law.sample(1, 0, plan.start)
    second = dn.sample(plan, law, x, keep="states")[1]
    one, two = (dn.sample(plan, law, (x, second + size)) for size in (0.0, 1e-3))
    return float(np.abs(two - one).max()) * 1e3


def test_leapfrog_drifts_on_the_noise_and_not_on_the_data():
    assert drift("leapfrog", levels(100), coords=RATIO) > 30 * drift("leapfrog", levels(100))


def test_belm_amplifies_where_steps_alternate_with_their_number():
    def on(pattern, n):
        sizes = np.array(pattern * n, dtype=float)
        return drift(
            "belm", dn.grid.custom(dn.EDM(), sigmas=(1.2 - 0.4 * np.cumsum([0, *sizes]) / sizes.sum()).tolist())
        )

    assert on([1, 2], 200) > 1.8 * on([1, 2], 100) > 3 * on([1, 2], 50)
    assert on([1, 1], 200) < 2


# --- what is refused ---


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("bdia", {"gamma": 1.5}, r"gamma = 1.5 is outside \[0, 1\]"),
        ("edict", {"p": 0.0}, r"p = 0.0 is outside \(0, 1\]"),
        ("reversible_euler", {"zeta": 0.0}, r"zeta = 0.0 is outside \(0, 1\]"),
        ("reversible_rk4", {"coords": DATA}, "data in log-SNR needs an exponential table"),
    ],
)
def test_options_out_of_range_are_refused(name, options, told):
    with pytest.raises(ValueError, match=told):
        dn.compile(name, levels(3), **options)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 1.0), st.floats(0.5, 1.0), st.floats(0.5, 1.0), st.integers(2, 7))
def test_determinants_of_runs_from_a_pair_are_in_closed_form(gamma, p, zeta, n):
    """Whatever the model: the part that a prediction adds to one state does not change the area."""
    grid = levels(n, low=-1.0, high=1.0)
    alphas, sigmas = ([float(getattr(u, name)) for u in grid.levels] for name in ("alpha", "sigma"))
    alpha, sigma = alphas[-1] / alphas[0], sigmas[-1] / sigmas[0]
    tau = np.diff(np.array(sigmas) / np.array(alphas))
    known = {
        "bdia": ({"gamma": gamma}, gamma ** (n - 1)),
        "edict": ({"p": p}, p ** (2 * n) * alpha**2),
        "reversible_midpoint": ({"zeta": zeta}, zeta**n * sigma**2),
        "reversible_heun": ({}, alpha**2),
        "leapfrog": ({}, sigmas[-1] * sigmas[-2] / (sigmas[0] * sigmas[1])),
        "belm": ({}, (tau[-1] / tau[0]) ** 2 * alphas[-1] * alphas[-2] / (alphas[0] * alphas[1])),
    }
    law = dn.Gaussian(np.zeros(1), np.array([0.6]))
    for name, (options, area) in known.items():
        plan = dn.compile(name, grid, "noise", **options)
        ones = (np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]))
        determinant = np.linalg.det(np.concatenate(dn.sample(plan, law, ones, outputs="all"), axis=1))
        assert abs(determinant) == pytest.approx(area, rel=1e-9), name
