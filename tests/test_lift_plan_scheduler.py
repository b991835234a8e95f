"""PlanScheduler, lifted as any scheduler is: the plan that it runs is the one found, and nothing is found wrong."""

import pytest

import diffnum as dn

pytest.importorskip("diffusers")
from pipelines import V, label, ours, scheduler

# between diffusers, numpy and torch
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
STEPS = 8
DPM = "DPMSolverMultistepScheduler"
UNCLIPPED = {"clip_sample": False}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
# the scheduler in whose place it stands, its settings, our sampler, the grid
STANDS = [
    ("DDPMScheduler", UNCLIPPED, "dpmpp_3m_corrected", None),
    ("DDPMScheduler", UNCLIPPED, "ddpm_ancestral", None),
    ("DDPMScheduler", {**UNCLIPPED, **V}, "unipc_3", "karras"),
    ("DDPMScheduler", {**UNCLIPPED, "prediction_type": "sample"}, "rho_heun", "log_snr"),
    ("EulerDiscreteScheduler", {}, "dpmpp_2m", None),
    ("EDMEulerScheduler", {}, "dpmpp_2m", None),
    ("EDMEulerScheduler", {}, "dpmpp_2s", "karras"),
    ("FlowMatchEulerDiscreteScheduler", {}, "heun", None),
    (DPM, FLOW, "dpmpp_2m", None),
]


@pytest.mark.parametrize("name, config, sampler, grid", STANDS, ids=label)
def test_nothing_is_found_in_it_and_its_plan_is_the_one_that_it_runs(name, config, sampler, grid):
    made = ours(scheduler(name, **config), sampler, grid=grid)
    assert dn.examine(made, STEPS).faults == ()
    lifted = dn.examine(made, STEPS, precision="double")
    assert lifted.faults == ()
    made.set_timesteps(STEPS)
    assert lifted.assumed is not None and lifted.plan is not None
    assert (lifted.plan.prediction, lifted.plan.nfe) == (made.plan.prediction, made.plan.nfe)
    assert sampler in [near.name for near in dn.nearest(lifted.assumed) if near.rows == 0]


def test_levels_shifted_twice_by_the_scheduler_that_makes_them_are_found_in_ours_too():
    flow = scheduler("FlowMatchEulerDiscreteScheduler", shift=3.0)
    assert "shift" in {f.kind for f in dn.examine(ours(flow, "ddim"), STEPS).faults}
    assert not dn.examine(ours(flow, "ddim", grid="uniform"), STEPS).faults


def test_clipping_is_found_not_linear():
    lifted = dn.examine(ours(scheduler("DDPMScheduler"), "ddim"), STEPS)
    assert [f.kind for f in lifted.faults] == ["nonlinear"]
