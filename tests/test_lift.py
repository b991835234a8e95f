"""Samplers on unit vectors: what comes back is what went in, and what is no linear sampler is refused by its step."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planted import Multistep, Noisy
from selection import names

import diffnum as dn
from diffnum.lifting.frames import of_process
from diffnum.lifting.units import Path, Session, drawing

CIRCLE = dn.Cosine()
SIGMAS = [20.0, 11.0, 5.0, 2.5, 1.1, 0.4, 0.1]


def grid(process=CIRCLE, n=5):
    return dn.grid.log_snr(process, n, start=process.at(-2.5), stop=process.at(2.5))


def walker(plan):
    """A plan as a function ``f(model, x)`` of somebody else."""
    return lambda model, x: dn.sample(plan, model, x, noise=lambda s, t, j, x: torch.randn(x.shape, dtype=x.dtype))


# --- round trips ---


@pytest.mark.parametrize("name", names())
def test_a_plan_that_is_run_and_lifted_is_the_plan(name):
    plan = dn.compile(name, grid())
    assert dn.distance(dn.lift(walker(plan), grid()), plan) < 1e-12


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "score"])
@pytest.mark.parametrize("process", [CIRCLE, dn.VP(), dn.EDM(), dn.Flow(shift=2.0), dn.SubVP()], ids=lambda p: p.name)
@pytest.mark.parametrize("name", ["dpmpp_2m", "heun", "ddpm_ancestral"])
def test_round_trip_on_any_process_with_any_prediction(name, process, prediction):
    plan = dn.compile(name, grid(process), prediction)
    lifted = dn.lift(walker(plan), grid(process), prediction=prediction)
    assert lifted.prediction == prediction
    assert dn.distance(lifted, plan) < 1e-12


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_3", "dpm_solver_2", "ddpm_ancestral"])
def test_a_lifted_plan_is_itself_when_it_is_lifted_and_when_it_is_saved(name, tmp_path):
    lifted = dn.lift(walker(dn.compile(name, grid())), process=CIRCLE)
    assert dn.distance(dn.lift(walker(lifted), process=CIRCLE), lifted) < 1e-12
    lifted.save(tmp_path / "plan.json")
    assert dn.Plan.load(tmp_path / "plan.json").hash == lifted.hash


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_3", "heun", "deis_tab_3", "dpm_solver_2", "sde_dpmpp_2m"])
def test_a_sampler_of_ours_is_nearest_to_itself(name):
    lifted = dn.lift(walker(dn.compile(name, grid())), grid())
    same = [near.name for near in dn.nearest(lifted) if near.rows == 0]
    plan = dn.compile(name, grid())
    # others may be the same sampler on this grid
    assert name in same or any(dn.distance(dn.compile(other, grid()), plan) < 1e-12 for other in same)


def test_levels_and_steps_of_a_lifted_plan_are_those_of_its_grid():
    g = grid()
    lifted = dn.lift(walker(dn.compile("rk4", g)), g)
    assert np.allclose([level.lam for level in lifted.levels], [level.lam for level in g], rtol=1e-12)
    assert lifted.nfe == 4 * lifted.steps
    assert [lifted.lines[r - 1].step for r in lifted.evaluations][-1] == lifted.steps - 1


# --- functions f(model, x, sigmas) ---


def euler(model, x, sigmas):
    for s, t in pairwise(sigmas):
        x = x + (x - model(x, s * x.new_ones(len(x)))) / s * (t - s)
    return x


def ancestral(model, x, sigmas, noise_sampler, eta=1.0):
    for s, t in pairwise(sigmas):
        up = min(t, eta * (t**2 * (s**2 - t**2) / s**2) ** 0.5)
        down = (t**2 - up**2) ** 0.5
        x = x + (x - model(x, s)) / s * (down - s) + up * noise_sampler(s, t)
    return x


def clipped(model, x, sigmas):
    for i, (s, t) in enumerate(pairwise(sigmas)):
        D = model(x, s)
        x = x + (x - (D.clamp(-1, 1) if i >= 2 else D)) / s * (t - s)
    return x


def normalised(model, x, sigmas):
    """Homogeneous of degree one, and not linear."""
    for i, (s, t) in enumerate(pairwise(sigmas)):
        D = model(x, s)
        D = D * (x.std() / (x.std() + D.std())) if i == 1 else D
        x = x + (x - D) / s * (t - s)
    return x


def impatient(model, x, sigmas):
    """Leaves when its prediction no longer moves."""
    for s, t in pairwise(sigmas):
        D = model(x, s)
        x = x + (x - D) / s * (t - s)
        if D.abs().max() > 2:
            break
    return x


def images(model, x, sigmas):
    batch, _, height, width = x.shape
    return euler(model, x.reshape(batch, 1, height, width), sigmas)


@pytest.mark.parametrize("function", [euler, images])
def test_a_function_of_sigmas_is_the_sampler_that_it_writes(function):
    lifted = dn.examine(function, SIGMAS)
    assert lifted.findings == ()
    plan = dn.compile("euler", dn.grid.custom(dn.EDM(), sigmas=SIGMAS))
    assert dn.distance(lifted.plan, plan) < 1e-12
    assert lifted.times == tuple(SIGMAS[:-1])


def test_a_function_that_draws_is_the_sampler_that_it_writes():
    lifted = dn.examine(ancestral, SIGMAS)
    assert lifted.findings == ()
    plan = dn.compile("euler_ancestral", dn.grid.custom(dn.EDM(), sigmas=SIGMAS))
    assert dn.distance(lifted.plan, plan) < 1e-12
    quiet = dn.lift(ancestral, SIGMAS, options={"eta": 0.0})
    assert dn.nearest(quiet)[0].name == dn.nearest(dn.lift(euler, SIGMAS))[0].name


def test_a_lifted_function_gives_its_own_samples_on_any_model():
    def model(x, sigma):
        s = float(sigma.sigma if isinstance(sigma, dn.Level) else torch.as_tensor(sigma).reshape(-1)[0])
        return torch.tanh(x) / (1 + s**2) + 0.3 * torch.sin(3 * x)

    x = torch.linspace(-30, 30, 12, dtype=torch.float64).reshape(3, 4)
    mine = dn.sample(dn.lift(euler, SIGMAS), model, x)
    assert torch.allclose(mine, euler(model, x, torch.tensor(SIGMAS, dtype=torch.float64)), rtol=1e-13, atol=1e-13)


def test_a_grid_stands_for_its_sigmas():
    edm = dn.grid.custom(dn.EDM(), sigmas=SIGMAS)
    assert dn.lift(euler, edm).hash == dn.lift(euler, SIGMAS).hash


@pytest.mark.parametrize(
    "function, step, why",
    [(clipped, 2, "does not scale"), (normalised, 1, "depend on what the model returns"), (impatient, 0, "scale")],
)
def test_what_is_not_linear_is_refused_with_its_step(function, step, why):
    (found,) = dn.examine(function, SIGMAS).findings
    assert (found.kind, found.step) == ("nonlinear", step)
    with pytest.raises(ValueError, match=f"{function.__name__} cannot be lifted: step {step} .*{why}.*switch off"):
        dn.lift(function, SIGMAS)


# --- draws ---


def session(width=32):
    return Session(of_process(dn.EDM(), "data"), np.eye(width))


def test_a_generator_seeded_twice_gives_the_same_draw_twice():
    s = session()
    with drawing(s):
        first = torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
        fresh = torch.randn(1, 32)
        again = torch.randn(1, 32, generator=torch.Generator().manual_seed(1))
        like = torch.randn_like(torch.zeros(1, 32))
        inplace = torch.empty(1, 32).normal_()
        other = torch.randn(5)
    assert torch.equal(first, again)
    units = torch.cat([first, fresh, like, inplace])
    assert torch.equal(units @ units.T, torch.eye(4))
    assert len(s.recording().draws) == 4
    # another size than the state's is nobody's noise
    assert other.shape == (5,)


def test_increments_of_the_path_have_the_covariance_of_brownian_motion():
    path = Path(session())
    times = [10.0, 4.0, 6.5, 0.5, 5.0, 12.0]
    pairs = [(a, b) for a in times for b in times if a != b]
    rows = torch.cat([path(a, b) for a, b in pairs])

    def covariance(p, q):
        sign = 1 if (p[0] > p[1]) == (q[0] > q[1]) else -1
        common = max(min(max(p), max(q)) - max(min(p), min(q)), 0.0)
        return sign * common / math.sqrt(abs(p[0] - p[1]) * abs(q[0] - q[1]))

    expected = torch.tensor([[covariance(p, q) for q in pairs] for p in pairs], dtype=torch.float64)
    assert torch.allclose(rows @ rows.T, expected, atol=1e-12)


# --- scheduler objects ---


def test_the_scheduler_itself_is_not_changed():
    scheduler = Multistep()
    before = dict(vars(scheduler))
    dn.examine(scheduler, 6)
    assert vars(scheduler) == before


def test_a_lifted_scheduler_gives_its_own_samples_with_its_own_draws():
    def model(x, t):
        return torch.tanh(x + float(t) / 1000)

    def run(generator):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator)
            scheduler = Noisy()
            scheduler.set_timesteps(7)
            x = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(2, 4)
            for t in scheduler.timesteps:
                (x,) = scheduler.step(model(x, t), t, x)
            return x

    plan = dn.lift(Noisy(), 7)
    x = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(2, 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        ours = dn.sample(plan, lambda x, level: model(x, level.t), x, lambda s, t, j, x: torch.randn_like(x))
    assert torch.allclose(ours, run(3), rtol=1e-12, atol=1e-12)


def test_timesteps_may_be_prepared_by_their_owner():
    few = dn.lift(Multistep(), 6)
    assert dn.lift(Multistep(), timesteps={"n": 6}).hash == few.hash
    assert dn.lift(Multistep(), timesteps=lambda scheduler: scheduler.set_timesteps(6)).hash == few.hash


class Clipping(Multistep):
    def __init__(self):
        super().__init__()
        self.config.clip_sample = True

    def step(self, D, t, x, return_dict=True):
        return super().step(D.clamp(-1, 1), t, x)


class Counting(Multistep):
    """Counts its steps for ever, and lets them in."""

    steps = 0

    def step(self, D, t, x, return_dict=True):
        Counting.steps += 1
        return (super().step(D, t, x)[0] * (1 + 1e-3 * Counting.steps),)


def test_a_clipping_scheduler_names_the_setting():
    with pytest.raises(ValueError, match=r"Clipping cannot be lifted: step 0 does not scale .* set clip_sample=False"):
        dn.lift(Clipping(), 5)


def test_two_fresh_runs_that_differ_are_refused():
    with pytest.raises(ValueError, match="two fresh runs differ from step 0 on"):
        dn.lift(Counting(), 5)


# --- refusals ---


class Opaque:
    config = SimpleNamespace()

    def set_timesteps(self, n):
        self.timesteps = torch.arange(n)

    def step(self, out, t, x):
        return (x,)


class Deaf(Multistep):
    def step(self, D, t, x, return_dict=True):
        return (super().step(D, t, x)[0],)

    def scale_model_input(self, x, t):
        return torch.zeros_like(x)


def raising(model, x, sigmas):
    model(x, sigmas[0])
    return x.undefined


REFUSED = [
    ((Multistep(), 0), {}, "n = 0 is no number of steps"),
    ((Multistep(), 2.5), {}, "n = 2.5 is no number of steps"),
    ((Multistep,), {}, "Multistep is a class: make one"),
    ((3,), {}, "a int is no sampler"),
    ((euler, 7), {}, "n = 7 says nothing to a function: give it the sigmas"),
    ((euler, [1.0]), {}, "1 levels make no step"),
    ((euler, SIGMAS), {"precision": "half"}, "precision 'half' is unknown: use shipped or double"),
    ((euler, SIGMAS), {"prediction": "epsilon"}, "prediction 'epsilon' is unknown"),
    ((Opaque(), 4), {}, "Opaque has neither alphas_cumprod nor num_train_timesteps"),
    ((Multistep("", "logits"), 4), {}, "prediction 'logits' is unknown"),
    ((Deaf(), 4), {}, "does not depend on the start"),
    ((lambda model, x: model(x),), {}, "the model was called without a time"),
    ((lambda model, x: x,), {}, "it never called its model"),
    ((lambda model, x: model(x[..., :3], 1.0),), {}, "where its state has"),
    ((raising, SIGMAS), {}, "raising cannot be lifted: it raises AttributeError"),
]


@pytest.mark.parametrize("args, options, sentence", REFUSED, ids=[r[2][:30] for r in REFUSED])
def test_what_cannot_be_lifted_is_refused_in_one_sentence(args, options, sentence):
    with pytest.raises(ValueError) as refusal:
        dn.lift(*args, **options)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
