"""What an audit of diffusers 0.42 has to find, and what it must leave alone. The audit itself knows none of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch

from diffnum.audit import Case, Sampler

__all__ = ["DEFECTS", "GOOD", "Steps", "case", "euler", "heun"]

CLIPPING = {
    "DDIMScheduler",
    "DDPMScheduler",
    "DDIMParallelScheduler",
    "DDPMParallelScheduler",
    "CogVideoXDDIMScheduler",
    "DDIMInverseScheduler",
}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
MULTISTEP, SINGLESTEP = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
INVERSE, EDM = "DPMSolverMultistepInverseScheduler", "EDMDPMSolverMultistepScheduler"
DEIS, SA, UNIPC = "DEISMultistepScheduler", "SASolverScheduler", "UniPCMultistepScheduler"
EULER, HEUN, FLOW_EULER = "EulerDiscreteScheduler", "HeunDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"
FLOW_HEUN, PNDM, DDIM, DDPM = "FlowMatchHeunDiscreteScheduler", "PNDMScheduler", "DDIMScheduler", "DDPMScheduler"
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
SDE, SDE_NOISE = {"algorithm_type": "sde-dpmsolver++"}, {"algorithm_type": "sde-dpmsolver"}
TRAILING, LINSPACE = {"timestep_spacing": "trailing"}, {"timestep_spacing": "linspace"}
KARRAS = {"use_karras_sigmas": True}

# number in the list of known defects, scheduler, settings, kinds that must all be among those found
DEFECTS: list[tuple[str, str, dict[str, Any], set[str]]] = [
    ("B01", MULTISTEP, {"solver_order": 3}, {"order"}),
    ("B01", MULTISTEP, {"solver_order": 3, **KARRAS}, {"order"}),
    ("B01", EDM, {"solver_order": 3}, {"order"}),
    ("B03", MULTISTEP, {"solver_order": 3, **SDE}, {"order", "monotone"}),
    ("B03", MULTISTEP, {"solver_order": 3, **SDE, **KARRAS}, {"order"}),
    ("B04", MULTISTEP, {"solver_order": 3, **SDE_NOISE, "final_sigmas_type": "sigma_min"}, {"stopped"}),
    ("B05", SINGLESTEP, SDE, {"order", "monotone"}),
    ("B06", SINGLESTEP, {"solver_order": 3, **SDE, "solver_type": "heun"}, {"diverges", "order"}),
    ("B21", DEIS, {"solver_order": 3}, {"precision"}),
    ("B22", SA, {"predictor_order": 3, "corrector_order": 4}, {"precision"}),
    ("B23", "EulerAncestralDiscreteScheduler", COSINE, {"infinite"}),
    ("B23", "KDPM2AncestralDiscreteScheduler", COSINE, {"infinite"}),
    ("B24", FLOW_EULER, {}, {"lookup"}),
    ("B27", EULER, TRAILING, {"outside", "ledger"}),
    ("B27", DDIM, TRAILING, {"outside", "ledger"}),
    ("B27", MULTISTEP, TRAILING, {"outside", "ledger"}),
    ("B27", UNIPC, TRAILING, {"outside", "ledger"}),
    ("B28", DDIM, LINSPACE, {"level", "end"}),
    ("B29", FLOW_EULER, {"shift": 3.0}, {"shift"}),
    ("B29", FLOW_HEUN, {"shift": 3.0}, {"shift"}),
    ("B30", DEIS, FLOW, {"end"}),
    ("B30", SA, FLOW, {"end"}),
    ("B31", DEIS, KARRAS, {"idle"}),
    ("B31", SA, KARRAS, {"idle"}),
    ("B32", MULTISTEP, {"solver_order": 3, **KARRAS, "final_sigmas_type": "sigma_min"}, {"infinite"}),
    ("B33", MULTISTEP, {**COSINE, **KARRAS}, {"stopped"}),
    ("B34", FLOW_EULER, {"shift_terminal": 0.1}, {"infinite"}),
    ("B40", DDPM, {"variance_type": "fixed_large_log"}, {"infinite"}),
    ("B41", INVERSE, SDE, {"infinite"}),
    ("B41", INVERSE, SDE_NOISE, {"infinite"}),
    ("B41", "DDIMInverseScheduler", {}, {"level"}),
    ("B42", MULTISTEP, {"solver_order": 1}, {"reuse"}),
    ("B46", PNDM, {}, {"calls", "idle"}),
]

# nothing but notes
GOOD: list[tuple[str, dict[str, Any]]] = [
    (DDIM, {}),
    (DDPM, {}),
    (MULTISTEP, SDE),
    (MULTISTEP, {**SDE_NOISE, "final_sigmas_type": "sigma_min"}),
    (EULER, {}),
    (HEUN, {}),
    (MULTISTEP, {"solver_order": 1}),
    (DDIM, {"prediction_type": "v_prediction"}),
    (DDIM, COSINE),
    (DDPM, {"variance_type": "fixed_large"}),
    (DEIS, {"prediction_type": "v_prediction"}),
    (MULTISTEP, {"prediction_type": "sample"}),
    (MULTISTEP, {"solver_type": "heun"}),
    (MULTISTEP, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    (MULTISTEP, KARRAS),
    (MULTISTEP, {"use_exponential_sigmas": True}),
    (MULTISTEP, {"use_lu_lambdas": True}),
    (MULTISTEP, {**SDE, "solver_type": "heun"}),
    (SINGLESTEP, {}),
    (SINGLESTEP, {"solver_order": 1}),
    (SINGLESTEP, {"solver_order": 3}),
    (SINGLESTEP, KARRAS),
    (EDM, {}),
    ("EDMEulerScheduler", {}),
    (EULER, KARRAS),
    (EULER, {"use_exponential_sigmas": True}),
    (EULER, {"prediction_type": "v_prediction"}),
    ("EulerAncestralDiscreteScheduler", {}),
    (HEUN, KARRAS),
    ("KDPM2DiscreteScheduler", {}),
    ("KDPM2AncestralDiscreteScheduler", {}),
    ("LMSDiscreteScheduler", {}),
    (UNIPC, {"solver_order": 1}),
    (UNIPC, {"prediction_type": "v_prediction"}),
    (UNIPC, KARRAS),
    (UNIPC, {"solver_order": 3, **FLOW}),
    (SINGLESTEP, {"solver_type": "heun"}),
    (SINGLESTEP, {"solver_order": 3, "solver_type": "heun", **KARRAS}),
    ("LMSDiscreteScheduler", {"use_exponential_sigmas": True}),
    (DDIM, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}),
    (SA, {"predictor_order": 1}),
    ("LCMScheduler", {}),
    ("TCDScheduler", {}),
]


def euler(model, x, sigmas):
    """Euler's method in sigma on data predictions."""
    for s, t in pairwise(sigmas):
        x = x + (t - s) / s * (x - model(x, s))
    return x


def heun(model, x, sigmas, stay: bool = False):
    """Heun's method in sigma on data predictions; with ``stay`` the model is told the old level at the new state."""
    for s, t in pairwise(sigmas):
        d = (x - model(x, s)) / s
        y = x + (t - s) * d
        if t > 0:
            d = (d + (y - model(y, s if stay else t)) / t) / 2
        x = x + (t - s) * d
    return x


class Steps:
    """DDIM with ``step(x_t, t, s)`` and a denoiser; ``swapped`` takes a level of the wrong end."""

    def __init__(self, denoiser, steps: int = 64, swapped: bool = False, dtype=None):
        self.denoiser, self.swapped = denoiser, swapped
        self.timesteps = torch.linspace(1.0, 0.0, steps + 1, dtype=dtype)

    def step(self, x_t, t, s):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.denoiser.schedule(t), self.denoiser.schedule(s)
        D = self.denoiser(x_t, t).mean
        return (alpha_t if self.swapped else alpha_s) * D + sigma_s / sigma_t * (x_t - alpha_t * D)


def case(name: str, settings: dict[str, Any]) -> Case:
    """As the audit would make it, with clipping off."""
    off = ("clip_sample",) if name in CLIPPING else ()
    return Case(Sampler(f"diffusers:{name}", "scheduler"), tuple(settings.items()), off=off)
