"""diffnum: the oracle for diffusion samplers.

Exact targets, every sampler as one small linear plan, a certificate for each, and from there to
images. Public names are imported when first used, so ``import diffnum`` is quick.

    import diffnum as dn
    process = dn.VP()
    levels = dn.grid.log_snr(process, 10)
    plan = dn.compile("dpmpp_2m", levels)
    target = dn.Gaussian.power_law(64)
    mean, variance = dn.moments(plan, target)
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("diffnum")
except PackageNotFoundError:
    __version__ = "0+unknown"

_HOMES = {
    "plan": ("Level", "Plan"),
    "process": ("VP", "Cosine", "VE", "EDM", "SubVP", "Flow", "DDPM", "CosineRate", "MeanReverting"),
    "trace": ("solver",),
    "targets": ("Gaussian", "Product1D", "Mixture", "Empirical", "Conditional", "Mistaken"),
    "read.sample": ("sample",),
    "read.execute": ("eager",),
    "read.fused": ("fused",),
    "read.quickest": ("quickest",),
    "read.captured": ("captured", "unrolled"),
    "read.triton_lines": ("triton_lines",),
    "read.tableau": ("tableau", "distance"),
    "read.moments": ("moments",),
    "read.invert": ("invert",),
    "read.growth": ("Growth", "growth"),
    "read.symbolic": ("symbolic", "leading_error"),
    "read.cost": ("cost",),
    "read.distance": ("w2", "kl", "frechet"),
    "bridges": ("Centred",),
    "read.law": ("law", "joint", "split"),
    "read.density": ("densities", "expectation"),
    "adaptive": ("adapt", "adapt_each", "doubling"),
    "lifting": ("lift", "examine", "nearest"),
    "certificate": ("Certificate",),
    "budget": ("best_within",),
}
_NAMES = {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = (
    "adaptive", "audit", "bridges", "budget", "certificate", "design", "ensemble", "facts", "figures", "gradients",
    "grid", "images", "interop", "inversion", "lab", "lifting", "likelihood", "models", "noise", "num", "order",
    "parallel", "plan", "prediction", "process", "read", "series", "solvers", "study", "tables", "targets", "trace",
    "weak_order", "witness",
)  # fmt: skip

__all__ = ["certify", "compile", "within", *_NAMES, *_ROOMS]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from . import (
        adaptive,
        audit,
        bridges,
        budget,
        certificate,
        design,
        ensemble,
        facts,
        figures,
        gradients,
        grid,
        images,
        interop,
        inversion,
        lab,
        lifting,
        likelihood,
        models,
        noise,
        num,
        order,
        parallel,
        plan,
        prediction,
        process,
        read,
        series,
        solvers,
        study,
        tables,
        targets,
        trace,
        weak_order,
        witness,
    )
    from .adaptive import adapt, adapt_each, doubling
    from .bridges import Centred
    from .budget import best_within
    from .certificate import Certificate
    from .lifting import examine, lift, nearest
    from .plan import Level, Plan
    from .process import DDPM, EDM, VE, VP, Cosine, CosineRate, Flow, MeanReverting, SubVP
    from .read.captured import captured, unrolled
    from .read.cost import cost
    from .read.density import densities, expectation
    from .read.distance import frechet, kl, w2
    from .read.execute import eager
    from .read.fused import fused
    from .read.growth import Growth, growth
    from .read.invert import invert
    from .read.law import joint, law, split
    from .read.moments import moments
    from .read.quickest import quickest
    from .read.sample import sample
    from .read.symbolic import leading_error, symbolic
    from .read.tableau import distance, tableau
    from .read.triton_lines import triton_lines
    from .targets import Conditional, Empirical, Gaussian, Mistaken, Mixture, Product1D
    from .trace import Solver, solver


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(f".{_NAMES[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"diffnum has no {name!r}: its public names are {', '.join(sorted(__all__))}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def _named(sampler: Solver | Callable[..., None] | str) -> Any:
    return import_module(".solvers", __name__).named(sampler) if isinstance(sampler, str) else sampler


def compile(sampler: Solver | Callable[..., None] | str, levels: Any, prediction: str = "data", **options: Any) -> Plan:
    """Compile a sampler, or its name, on a grid; see :func:`diffnum.trace.compile`."""
    return import_module(".trace", __name__).compile(_named(sampler), levels, prediction, **options)


def within(sampler: Solver | Callable[..., None] | str, process: Any, nfe: int, *args: Any, **options: Any) -> Plan:
    """The longest plan of a sampler, or of its name, at or under a budget; see :func:`diffnum.budget.within`."""
    return import_module(".budget", __name__).within(_named(sampler), process, nfe, *args, **options)


def certify(sampler: Solver | Callable[..., None] | str) -> Certificate:
    """The certificate of a sampler, or of its name: print it, or read ``verdict``, ``reasons``, ``proved``.

    See :func:`diffnum.certificate.certify`.
    """
    return import_module(".certificate", __name__).certify(_named(sampler))
