"""Which samplers are timed, and who calls them what.

Every case is one sampler of ours and those of the other libraries that compute the same step. Where a library has only
a relative that reads and writes the same tensors, :attr:`Theirs.ours` says which sampler of ours equals it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "LIBRARIES", "PREDICTION", "Case", "Theirs", "named"]

# what the network of each library predicts here
PREDICTION = {"diffusers": "noise", "k-diffusion": "data", "azula": "data"}
LIBRARIES = tuple(PREDICTION)


@dataclass(frozen=True)
class Theirs:
    """A sampler of another library: its name there, its settings, and which of ours it equals."""

    name: str
    ours: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One sampler.

    Attributes:
        name: as in the tables.
        ours: our sampler.
        theirs: by library.
    """

    name: str
    ours: str
    theirs: Mapping[str, Theirs]


_DPM = "DPMSolverMultistepScheduler"
_UNIPC = "UniPCMultistepScheduler"
# no lower order at the end, where their UniPC needs a last level with noise
_FULL = {"lower_order_final": False}
_NOISY = {**_FULL, "final_sigmas_type": "sigma_min"}

CASES = (
    Case(
        "DDIM",
        "ddim",
        {
            "diffusers": Theirs("DDIMScheduler", "ddim", {"clip_sample": False}),
            "k-diffusion": Theirs("sample_euler", "ddim"),
            "azula": Theirs("DDIMSampler", "ddim"),
        },
    ),
    Case(
        "DPM-Solver++ 2M",
        "dpmpp_2m",
        {
            "diffusers": Theirs(_DPM, "dpmpp_2m", _FULL),
            "k-diffusion": Theirs("sample_dpmpp_2m", "dpmpp_2m"),
            "azula": Theirs("xEABSampler", "exp_ab2", {"order": 2}),
        },
    ),
    Case(
        "DPM-Solver++ 3M",
        "dpmpp_3m",
        {
            "diffusers": Theirs(_DPM, "dpmpp_3m", {"solver_order": 3, **_FULL}),
            "azula": Theirs("xEABSampler", "exp_ab3", {"order": 3}),
        },
    ),
    Case("UniPC 2", "unipc_2", {"diffusers": Theirs(_UNIPC, "unipc_2", {"solver_order": 2, **_NOISY})}),
    Case("UniPC 3", "unipc_3", {"diffusers": Theirs(_UNIPC, "unipc_3", {"solver_order": 3, **_NOISY})}),
    Case(
        "Heun",
        "rho_heun",
        {
            "diffusers": Theirs("HeunDiscreteScheduler", "rho_heun"),
            "k-diffusion": Theirs("sample_heun", "rho_heun"),
            "azula": Theirs("HeunSampler", "rho_heun"),
        },
    ),
    Case(
        "ancestral",
        "euler_ancestral",
        {
            "diffusers": Theirs("EulerAncestralDiscreteScheduler", "euler_ancestral"),
            "k-diffusion": Theirs("sample_euler_ancestral", "euler_ancestral"),
            "azula": Theirs("DDPMSampler", "ddpm_ancestral"),
        },
    ),
    Case(
        "2M-SDE",
        "sde_dpmpp_2m",
        {
            "diffusers": Theirs(_DPM, "sde_dpmpp_2m", {"algorithm_type": "sde-dpmsolver++", **_FULL}),
            "k-diffusion": Theirs("sample_dpmpp_2m_sde", "sde_dpmpp_2m"),
        },
    ),
)


def named(names: str | None) -> tuple[Case, ...]:
    """The cases of a list with commas; all of them for None.

    Raises:
        ValueError: a name that is no case.
    """
    known = {case.name: case for case in CASES}
    chosen = list(known) if names is None else [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in known:
            raise ValueError(f"{name!r} is no case of the benchmark: use some of {', '.join(known)}")
    return tuple(known[name] for name in chosen)
