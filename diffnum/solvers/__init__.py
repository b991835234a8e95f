"""Every sampler of diffnum; :data:`ALL` maps names to samplers with their claims and citations.

:data:`ALIASES` maps the names that a paper gives to a method which another paper has named: they are not listed, proved
and certified twice.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from ..trace import Solver
from . import (
    adams,
    ancestral,
    churn,
    classical,
    corrected,
    deis,
    er_sde,
    exponential,
    extrapolated,
    implicit,
    langevin,
    momentum,
    momentum_rules,
    multistep,
    onestep,
    pseudo,
    reversible,
    reversible_pairs,
    reverting,
    sde_multistep,
    sde_singlestep,
    singlestep,
    stabilised,
    stochastic,
    stochastic_rk,
)
from .adams import *  # noqa: F403
from .ancestral import *  # noqa: F403
from .churn import *  # noqa: F403
from .classical import *  # noqa: F403
from .corrected import *  # noqa: F403
from .deis import *  # noqa: F403
from .er_sde import *  # noqa: F403
from .exponential import *  # noqa: F403
from .extrapolated import *  # noqa: F403
from .implicit import *  # noqa: F403
from .langevin import *  # noqa: F403
from .momentum import *  # noqa: F403
from .momentum_rules import *  # noqa: F403
from .multistep import *  # noqa: F403
from .onestep import *  # noqa: F403
from .pseudo import *  # noqa: F403
from .reversible import *  # noqa: F403
from .reversible_pairs import *  # noqa: F403
from .reverting import *  # noqa: F403
from .sde_multistep import *  # noqa: F403
from .sde_singlestep import *  # noqa: F403
from .singlestep import *  # noqa: F403
from .stabilised import *  # noqa: F403
from .stochastic import *  # noqa: F403
from .stochastic_rk import *  # noqa: F403

_FAMILIES = (
    onestep,
    exponential,
    singlestep,
    multistep,
    deis,
    reverting,
    pseudo,
    corrected,
    extrapolated,
    adams,
    classical,
    implicit,
    stabilised,
    momentum,
    momentum_rules,
    reversible_pairs,
    reversible,
    stochastic,
    ancestral,
    churn,
    langevin,
    stochastic_rk,
    sde_multistep,
    sde_singlestep,
    er_sde,
)
_NAMED = [(name, getattr(family, name)) for family in _FAMILIES for name in family.__all__]

ALL: dict[str, Solver] = {member.name: member for _, member in _NAMED if isinstance(member, Solver)}
ALIASES: dict[str, Solver] = {
    name: member for name, member in _NAMED if isinstance(member, Solver) and name != member.name
}


def named(sampler: Solver | Callable[..., None] | str) -> Any:
    """The sampler of a name or of another name; what is no text stays as it is.

    Raises:
        ValueError: an unknown name; the nearest are named.
    """
    if not isinstance(sampler, str):
        return sampler
    known = ALL | ALIASES
    if sampler not in known:
        first, second, third = get_close_matches(sampler, known, 3, cutoff=0.0)
        raise ValueError(
            f"sampler {sampler!r} is unknown: did you mean {first}, {second} or {third}? `diffnum solvers` lists all"
        )
    return known[sampler]


__all__ = ["ALIASES", "ALL", *ALL, *ALIASES]  # pyright: ignore[reportUnsupportedDunderAll]
