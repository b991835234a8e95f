"""Who calls what how: samplers of diffusers, k-diffusion, ComfyUI and A1111 by our names.

:data:`TABLE` is the map, as data. Our names are those that are equal on every process that preserves variance or lets
it explode: ``rho_heun`` steps in ``sigma / alpha``, as k-diffusion does whatever the network was trained on, and
``heun`` in the process's own clock. For flow matching, where these codes step in ``sigma`` itself, see
:attr:`Name.flow`. What is not the same method is listed with an empty :attr:`Name.ours` and the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..solvers import ALIASES, ALL
from ..trace import Solver

__all__ = ["GRIDS", "LIBRARIES", "TABLE", "Name", "called", "find", "named"]

LIBRARIES = ("diffusers", "k-diffusion", "ComfyUI", "A1111")


@dataclass(frozen=True)
class Name:
    """One sampler of a library.

    Attributes:
        library: one of :data:`LIBRARIES`.
        name: what it is called there.
        ours: our sampler; empty where none is equal.
        settings: keywords there that choose it; the empty mapping stands for their defaults.
        options: keywords of ours that it corresponds to.
        flow: our sampler on :class:`~diffnum.process.Flow`, if another or none ("") is equal there.
        note: what is to be known, or why there is none.
    """

    library: str
    name: str
    ours: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    flow: str | None = None
    note: str = ""


def _diffusers() -> list[Name]:
    def row(name: str, ours: str, settings: dict[str, Any] | None = None, note: str = "", **more: Any) -> Name:
        return Name("diffusers", f"{name}Scheduler", ours, settings or {}, note=note, **more)

    dpm, single, unipc = "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep"
    factor = "a factor 2 is missing: order two, see dpmpp_3m_corrected"
    sde = {"algorithm_type": "sde-dpmsolver++"}
    return [
        row("EulerDiscrete", "ddim"),
        row("EulerAncestralDiscrete", "euler_ancestral"),
        row("HeunDiscrete", "rho_heun"),
        row("KDPM2Discrete", "kdpm2"),
        row("KDPM2AncestralDiscrete", "kdpm2_ancestral"),
        row("LMSDiscrete", "deis_rhoab_4"),
        row("DDIM", "ddim", {"clip_sample": False}),
        row("DDIM", "ddim_eta", {"clip_sample": False, "eta": 1.0}, options={"eta": 1.0}, note="eta is given to step"),
        row("DDIMParallel", "ddim", {"clip_sample": False}),
        row("CogVideoXDDIM", "ddim", {"clip_sample": False}),
        row("DDPM", "ddpm_ancestral", {"clip_sample": False}),
        row("DDPM", "ddpm_ancestral_large", {"clip_sample": False, "variance_type": "fixed_large"}),
        row("PNDM", "plms", {"skip_prk_steps": True}, note="epsilon only; of order one with v_prediction"),
        row(dpm, "dpmpp_2m", note="its default; to sigma = 0, or with lower_order_final = False"),
        row(dpm, "dpmpp_1", {"solver_order": 1}),
        row(dpm, "exp_ab2", {"solver_type": "heun"}),
        row(dpm, "dpmpp_3m", {"solver_order": 3, "lower_order_final": False}, note=factor),
        row(
            dpm, "dpm_2m", {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "lower_order_final": False}
        ),
        row(dpm, "sde_dpmpp_2m", sde),
        row(dpm, "sde_dpmpp_2m_heun", {**sde, "solver_type": "heun"}),
        row(dpm, "sde_dpmpp_1", {**sde, "solver_order": 1}),
        row(dpm, "sde_dpmpp_3m_coded", {**sde, "solver_order": 3, "lower_order_final": False}, note="a sign is wrong"),
        row(single, "dpmpp_singlestep_2", note="on levels in groups of two"),
        row("DPMSolverSDE", "dpmpp_sde"),
        row(unipc, "unipc_2", note="its default; to sigma = 0, or with lower_order_final = False"),
        row(unipc, "unipc_3", {"solver_order": 3, "lower_order_final": False}),
        row(unipc, "unipc_2_bh1", {"solver_type": "bh1"}),
        row("DEISMultistep", "exp_ab2_noise", {"lower_order_final": False}),
        row("DEISMultistep", "exp_ab3_noise", {"solver_order": 3, "lower_order_final": False}),
        row("EDMEuler", "ddim"),
        row("EDMDPMSolverMultistep", "dpmpp_2m"),
        row("FlowMatchEulerDiscrete", "ddim"),
        row("FlowMapEulerDiscrete", "ddim"),
        row("FlowMatchEulerDiscrete", "renoise", {"stochastic_sampling": True}),
        row("FlowMatchHeunDiscrete", "heun"),
        row("LTXEulerAncestralRF", "euler_ancestral_rf"),
        row("IPNDM", "", note="from pure noise it forgets the first data prediction: not ipndm_4"),
        row("SASolver", "", note="its tau_func is no setting of ours: compile sa_p2c2 with rate = tau^2"),
        row("CosineDPMSolverMultistep", "", note="its own levels and noise of a Brownian tree"),
        row("LCM", "", note="its boundary condition rescales the network's output"),
        row("TCD", "", note="its boundary condition rescales the network's output"),
    ]


# the functions of k-diffusion: (name there, in ComfyUI, in A1111, ours, settings there, on flow matching, note)
_SIGMA: list[tuple[str, str, str, str, dict[str, Any], str | None, str]] = [
    ("sample_euler", "euler", "Euler", "ddim", {}, None, "with s_churn > 0: euler_churn"),
    ("sample_euler_ancestral", "euler_ancestral", "Euler a", "euler_ancestral", {}, "", "on flows: euler_ancestral_rf"),
    ("sample_heun", "heun", "Heun", "rho_heun", {}, "heun", "with s_churn > 0: edm_churn"),
    ("sample_dpm_2", "dpm_2", "DPM2", "kdpm2", {}, "", "with s_churn > 0: kdpm2_churn"),
    ("sample_dpm_2_ancestral", "dpm_2_ancestral", "DPM2 a", "kdpm2_ancestral", {}, "", ""),
    ("sample_lms", "lms", "LMS", "deis_rhoab_4", {}, "ab4", ""),
    ("sample_dpm_fast", "dpm_fast", "DPM fast", "", {}, None, "takes sigma_min, sigma_max, n: dpm_solver_fast there"),
    ("sample_dpm_adaptive", "dpm_adaptive", "DPM adaptive", "", {}, None, "adaptive: no plan; see dn.adapt"),
    ("sample_dpmpp_2s_ancestral", "dpmpp_2s_ancestral", "DPM++ 2S a", "dpmpp_2s_ancestral", {}, "", ""),
    ("sample_dpmpp_sde", "dpmpp_sde", "DPM++ SDE", "dpmpp_sde", {}, "", ""),
    ("sample_dpmpp_2m", "dpmpp_2m", "DPM++ 2M", "dpmpp_2m", {}, "", ""),
    ("sample_dpmpp_2m_sde", "dpmpp_2m_sde", "DPM++ 2M SDE", "sde_dpmpp_2m", {}, "", ""),
    ("sample_dpmpp_2m_sde", "dpmpp_2m_sde_heun", "DPM++ 2M SDE Heun", "sde_dpmpp_2m_heun", {"solver_type": "heun"}, "",
     ""),
    ("sample_dpmpp_3m_sde", "dpmpp_3m_sde", "DPM++ 3M SDE", "sde_dpmpp_3m", {}, "", "a factor 2 is missing"),
]  # fmt: skip
_ONLY_WEBUI = [
    Name("ComfyUI", "ddim", "ddim", note="runs its euler"),
    Name("ComfyUI", "ddpm", "ddpm_ancestral"),
    Name("ComfyUI", "lcm", "renoise"),
    Name("A1111", "DDIM", "ddim"),
    Name("A1111", "LCM", "renoise"),
    Name("A1111", "UniPC", "", note="order and variant are settings of the program: unipc_2, unipc_3, ..."),
    Name("A1111", "PLMS", "plms"),
]


def _webuis() -> list[Name]:
    rows: list[Name] = []
    for function, comfy, a1111, ours, settings, flow, note in _SIGMA:
        rows.append(Name("k-diffusion", function, ours, settings, flow=flow, note=note))
        rows.append(Name("ComfyUI", comfy, ours, flow=flow, note=note))
        rows.append(Name("A1111", a1111, ours, flow=flow, note=note))
    return rows + _ONLY_WEBUI


TABLE: tuple[Name, ...] = (*_diffusers(), *_webuis())

GRIDS: dict[str, dict[str, str]] = {
    "karras": {
        "diffusers": "use_karras_sigmas",
        "k-diffusion": "get_sigmas_karras",
        "ComfyUI": "karras",
        "A1111": "Karras",
    },
    "log_snr": {
        "diffusers": "use_exponential_sigmas",
        "k-diffusion": "get_sigmas_exponential",
        "ComfyUI": "exponential",
        "A1111": "Exponential",
    },
    "exponential": {"k-diffusion": "get_sigmas_polyexponential", "A1111": "Polyexponential"},
}
"""Our grids, between the ends of the network's own range and with ``end="zero"``, by their names elsewhere."""


def find(name: str, library: str | None = None) -> list[Name]:
    """Rows of :data:`TABLE` by a library's name, the one without settings first; empty where nobody uses it."""
    rows = [row for row in TABLE if row.name == name and library in (None, row.library)]
    return sorted(rows, key=lambda row: len(row.settings))


def called(ours: str, library: str) -> list[Name]:
    """Rows of :data:`TABLE` that are our sampler ``ours`` in ``library``."""
    if library not in LIBRARIES:
        raise ValueError(f"library {library!r} is unknown: use one of {', '.join(LIBRARIES)}")
    return [row for row in TABLE if row.ours == ours and row.library == library]


def named(name: str, flow: bool = False) -> Solver:
    """Our sampler of this name, or the one that a library calls so.

    Args:
        flow: for a flow-matching network, see :attr:`Name.flow`; our own names are not affected.

    Raises:
        ValueError: an unknown name, or one whose sampler has no equal here.
    """
    known = ALL | ALIASES
    if name in known:
        return known[name]
    rows = find(name)
    if not rows:
        raise ValueError(f"sampler {name!r} is unknown: use one of dn.solvers.ALL or of dn.interop.names.TABLE")
    row = rows[0]
    ours = row.ours if row.flow is None or not flow else row.flow
    if not ours:
        where = " on flow matching" if flow and row.ours else ""
        raise ValueError(f"{name} of {row.library} has no equal here{where}{': ' + row.note if row.note else ''}")
    return known[ours].with_options(**row.options) if row.options else known[ours]
