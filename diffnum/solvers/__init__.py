"""Every sampler of diffnum; :data:`ALL` maps names to samplers with their claims and citations."""

from ..trace import Solver
from . import (
    classical,
    corrected,
    deis,
    er_sde,
    exponential,
    extrapolated,
    implicit,
    momentum,
    multistep,
    onestep,
    pseudo,
    sde_multistep,
    sde_singlestep,
    singlestep,
    stabilised,
    stochastic,
)
from .classical import *  # noqa: F403
from .corrected import *  # noqa: F403
from .deis import *  # noqa: F403
from .er_sde import *  # noqa: F403
from .exponential import *  # noqa: F403
from .extrapolated import *  # noqa: F403
from .implicit import *  # noqa: F403
from .momentum import *  # noqa: F403
from .multistep import *  # noqa: F403
from .onestep import *  # noqa: F403
from .pseudo import *  # noqa: F403
from .sde_multistep import *  # noqa: F403
from .sde_singlestep import *  # noqa: F403
from .singlestep import *  # noqa: F403
from .stabilised import *  # noqa: F403
from .stochastic import *  # noqa: F403

ALL: dict[str, Solver] = {
    member.name: member
    for family in (
        onestep,
        exponential,
        singlestep,
        multistep,
        deis,
        pseudo,
        corrected,
        extrapolated,
        classical,
        implicit,
        stabilised,
        momentum,
        stochastic,
        sde_multistep,
        sde_singlestep,
        er_sde,
    )
    for member in (getattr(family, name) for name in family.__all__)
    if isinstance(member, Solver)
}

__all__ = ["ALL", *ALL]  # pyright: ignore[reportUnsupportedDunderAll]
