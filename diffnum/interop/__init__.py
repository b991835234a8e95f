"""Ours in other people's code and theirs in ours.

- :mod:`.diffusers`: ``PlanScheduler`` runs a plan in any pipeline; ``scheduler_to_plan`` goes the other way.
- :mod:`.k_diffusion`: a sampler or a plan as ``f(model, x, sigmas, ...)``, as k-diffusion and ComfyUI call theirs.
- :mod:`.names`: who calls what how.

Each is imported when it is asked for; the first needs diffusers.
"""

from importlib import import_module
from typing import Any

__all__ = ["diffusers", "k_diffusion", "names"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"diffnum.interop has no {name!r}: it has {', '.join(__all__)}")
