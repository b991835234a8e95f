"""Schedulers of diffusers that no sampler of ours equals, as plans: their own run with a network that is not linear."""

import pytest
import torch

pytest.importorskip("diffusers")
import diffusers
from test_lift_diffusers import computed, network, ours, theirs

from diffnum.interop.diffusers import PlanScheduler, scheduler_to_plan

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
IPNDM, PNDM, SA = "IPNDMScheduler", "PNDMScheduler", "SASolverScheduler"
V, NOISE = {"prediction_type": "v_prediction"}, {"algorithm_type": "noise_prediction"}
CODED = [
    (IPNDM, {}),
    (PNDM, {"set_alpha_to_one": True}),
    (PNDM, {"steps_offset": 1}),
    (PNDM, {"steps_offset": 1, **V}),
    (PNDM, {"steps_offset": 1, "skip_prk_steps": True, **V}),
    (SA, {}),
    (SA, {"tau_func": lambda t: 0.0, "corrector_order": 3}),
    (SA, {"predictor_order": 3, "corrector_order": 4, "lower_order_final": False}),
    (SA, {"predictor_order": 3, "corrector_order": 1, "prediction_type": "sample"}),
    (SA, {"predictor_order": 1, "corrector_order": 3, **NOISE}),
    (SA, {"predictor_order": 3, "corrector_order": 3, "tau_func": lambda t: 0.5, **NOISE, **V}),
]
# an even and an odd number of training steps between levels
STEPS = [8, 9]


def label(value):
    return "-".join(f"{k}={getattr(v, '__name__', v)}" for k, v in value.items()) if isinstance(value, dict) else value


@pytest.mark.parametrize("n", STEPS)
@pytest.mark.parametrize("name, config", CODED, ids=label)
def test_the_plan_gives_the_schedulers_own_output(name, config, n):
    f, kind = network(torch.float64), getattr(diffusers, name)
    x = torch.linspace(-1.5, 2, 18, dtype=torch.float64).reshape(3, 6)
    with computed(kind, "double"), torch.random.fork_rng(devices=[]):
        scheduler = kind(**config)
        plan = scheduler_to_plan(scheduler, n)
        scheduler.set_timesteps(n)
        torch.manual_seed(5)
        expected, drawn = theirs(scheduler, f, x.clone())
        got = ours(plan, scheduler, f, x, drawn)
    assert plan.nfe == len(scheduler.timesteps)
    assert bool(plan.draws) == (name == SA and any(scheduler.tau_func(t) for t in scheduler.timesteps))
    assert float((got - expected).abs().max()) <= 1e-12 * float(expected.abs().max())


def test_runge_kutta_steps_are_refused_where_there_are_not_enough():
    with pytest.raises(ValueError, match="begins with three Runge-Kutta steps and n = 3"):
        scheduler_to_plan(diffusers.PNDMScheduler(steps_offset=1), 3)


def test_a_plan_of_ours_runs_on_the_angles_of_ipndm():
    theirs_ = diffusers.IPNDMScheduler()
    theirs_.set_timesteps(6)
    made = PlanScheduler.from_config(theirs_, sampler="ddim")
    made.set_timesteps(6)
    assert torch.allclose(made.timesteps, theirs_.timesteps, atol=1e-7)
    assert [level.sigma for level in made.plan.levels] == pytest.approx(theirs_.betas.tolist(), abs=1e-7)
