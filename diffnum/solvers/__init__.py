"""Every sampler of diffnum; :data:`ALL` maps names to samplers with their claims and citations."""

from ..trace import Solver
from . import (
    ancestral,
    churn,
    classical,
    corrected,
    deis,
    exponential,
    extrapolated,
    implicit,
    langevin,
    momentum,
    multistep,
    onestep,
    pseudo,
    singlestep,
    stabilised,
    stochastic,
    stochastic_rk,
)
from .ancestral import *  # noqa: F403
from .churn import *  # noqa: F403
from .classical import *  # noqa: F403
from .corrected import *  # noqa: F403
from .deis import *  # noqa: F403
from .exponential import *  # noqa: F403
from .extrapolated import *  # noqa: F403
from .implicit import *  # noqa: F403
from .langevin import *  # noqa: F403
from .momentum import *  # noqa: F403
from .multistep import *  # noqa: F403
from .onestep import *  # noqa: F403
from .pseudo import *  # noqa: F403
from .singlestep import *  # noqa: F403
from .stabilised import *  # noqa: F403
from .stochastic import *  # noqa: F403
from .stochastic_rk import *  # noqa: F403

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
        ancestral,
        churn,
        langevin,
        stochastic_rk,
    )
    for member in (getattr(family, name) for name in family.__all__)
    if isinstance(member, Solver)
}

__all__ = ["ALL", *ALL]  # pyright: ignore[reportUnsupportedDunderAll]
