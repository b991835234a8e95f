"""Every library's way to run a case from the same latents with the same network.

diffusers is a package of the environment. k-diffusion and azula need packages that cannot be installed beside ours, so
they are taken from the folder ``DIFFNUM_PEERS`` that ``make test-peers`` fills, and left out where there is none.
Draws of noise are stored tensors too, but for samplers without noise that draw all the same: these draw.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from ... import grid
from ...process import VP
from ...read.sample import sample
from ...read.triton_lines import triton_lines
from ...solvers import ALL
from ...trace import compile
from .cases import PREDICTION, Case, Theirs
from .network import outputs_like

__all__ = ["COMPILED", "OURS", "WAYS", "Draws", "Subject", "available", "by_kernel", "levels", "quiet", "subjects"]


def _ways() -> dict[str, Mapping[str, Any]]:
    if importlib.util.find_spec("diffnum.read.fused") is None:
        return {"diffnum": {}}
    return {"diffnum": {}, "diffnum fused": {"execution": importlib.import_module("diffnum.read.fused").fused}}


# how a plan is run: keywords of dn.sample for each name in the tables
WAYS = _ways()
COMPILED = ("diffnum fused",)
OURS = (*WAYS, "diffnum scheduler")

Network = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Subject:
    """Something that is timed: ``run(network, x)`` walks from ``x`` and returns where it arrives.

    Attributes:
        library: whose it is.
        sampler: what it is called there.
        prediction: what it takes the network to predict.
        ours: the sampler of ours that it equals.
    """

    library: str
    sampler: str
    prediction: str
    ours: str
    run: Callable[[Network, torch.Tensor], torch.Tensor]


class Draws:
    """``draws(dtype)``: stored standard normals of a shape, in turn, in any dtype."""

    def __init__(self, like: torch.Tensor) -> None:
        self._stored = {dtype: outputs_like(like.to(dtype), 2)[:2] for dtype in {like.dtype, torch.float32}}
        self._asked = 0

    def __call__(self, dtype: torch.dtype) -> torch.Tensor:
        self._asked += 1
        return self._stored[dtype][self._asked % 2]


def levels(n: int) -> Any:
    """``n`` steps, equal in log-SNR, of linear VP diffusion."""
    return grid.log_snr(VP(), n)


def available() -> tuple[str, ...]:
    """The other libraries that are here."""
    found = ["diffusers"] if importlib.util.find_spec("diffusers") else []
    for name, parts in (("k-diffusion", ("k-diffusion", "k_diffusion")), ("azula", ("site", "azula"))):
        if _peer(*parts).exists() and os.environ.get("DIFFNUM_PEERS"):
            found.append(name)
    return tuple(found)


def subjects(
    case: Case, n: int, draws: Draws, device: str = "cpu", libraries: Sequence[str] | None = None
) -> list[Subject]:
    """All that run ``case`` in ``n`` steps; ours first, once for every prediction that another library takes.

    Args:
        libraries: of the others; those that are :func:`available` if None.

    Raises:
        ValueError: a library that is not there.
    """
    here = available()
    chosen = here if libraries is None else libraries
    for name in chosen:
        if name not in here:
            raise ValueError(f"library {name!r} is not here: use some of {', '.join(here) or 'none'} (make test-peers)")
    found = [_ours(case.ours, way, n, p, draws, WAYS[way]) for p in ("noise", "data") for way in WAYS]
    for name in (name for name in chosen if name in case.theirs):
        found.append(_THEIRS[name](case.theirs[name], n, draws, device))
        if name == "diffusers":
            found.append(_scheduler(case, n, draws, device))
    return found


def by_kernel(case: Case, n: int, draws: Draws, device: str = "cpu") -> list[Subject]:
    """Ours with a kernel of triton for each line, which no count of operations sees; none without a GPU and triton."""
    if device == "cpu" or importlib.util.find_spec("triton") is None:
        return []
    options = {"execution": triton_lines}
    return [_ours(case.ours, "diffnum triton", n, p, draws, options) for p in ("noise", "data")]


# --- ours ---


def _ours(name: str, way: str, n: int, prediction: str, draws: Draws, options: Mapping[str, Any]) -> Subject:
    plan = compile(ALL[name], levels(n), prediction)
    noise = (lambda s, t, j, x: draws(x.dtype)) if plan.draws else None

    def run(network: Network, x: torch.Tensor) -> torch.Tensor:
        return sample(plan, lambda x, level: network(x), x, noise=noise, **options)

    return Subject(way, name, prediction, name, run)


def _scheduler(case: Case, n: int, draws: Draws, device: str) -> Subject:
    """Our plan in the place of their scheduler, on its levels."""
    module = importlib.import_module("diffnum.interop.diffusers")
    theirs = case.theirs["diffusers"]
    with quiet():
        scheduler = module.PlanScheduler.from_config(_made(theirs).config, sampler=case.ours)
    return Subject("diffnum scheduler", case.ours, "noise", case.ours, _pipeline(scheduler, module, n, draws, device))


# --- theirs ---


def _diffusers(theirs: Theirs, n: int, draws: Draws, device: str) -> Subject:
    scheduler = _made(theirs)
    module = importlib.import_module(type(scheduler).__module__)
    run = _pipeline(scheduler, module, n, draws, device)
    return Subject("diffusers", theirs.name, "noise", theirs.ours, run)


def _made(theirs: Theirs) -> Any:
    import diffusers

    with quiet():
        return getattr(diffusers, theirs.name)(**theirs.settings)


def _pipeline(scheduler: Any, module: Any, n: int, draws: Draws, device: str) -> Callable[..., torch.Tensor]:
    def drawn(shape: Any, generator: Any = None, device: Any = None, dtype: Any = None, layout: Any = None) -> Any:
        return draws(dtype or torch.float32)

    def run(network: Network, x: torch.Tensor) -> torch.Tensor:
        with quiet():
            scheduler.set_timesteps(n, device=device)
        with _replaced(module, "randn_tensor", drawn):
            for t in scheduler.timesteps:
                output = network(scheduler.scale_model_input(x, t))
                x = scheduler.step(output, t, x).prev_sample
        return x

    return run


def _k_diffusion(theirs: Theirs, n: int, draws: Draws, device: str) -> Subject:
    sampling = _sampling()
    sampler = getattr(sampling, theirs.name)
    sigmas = sampling.get_sigmas_karras(n, 0.02, 80.0, device=device)
    noisy = ALL[theirs.ours].stochastic

    def run(network: Network, x: torch.Tensor) -> torch.Tensor:
        given = {"noise_sampler": lambda s, t: draws(x.dtype)} if noisy else {}
        return sampler(lambda x, sigma: network(x), x, sigmas, disable=True, **given)

    return Subject("k-diffusion", theirs.name, "data", theirs.ours, run)


def _azula(theirs: Theirs, n: int, draws: Draws, device: str) -> Subject:
    sampling, noise = _azula_module("sample"), _azula_module("noise")
    made = getattr(sampling, theirs.name)
    noisy = ALL[theirs.ours].stochastic

    def run(network: Network, x: torch.Tensor) -> torch.Tensor:
        denoiser = _Denoiser(noise.VPSchedule(), network)
        sampler = made(denoiser, steps=n, silent=True, device=device, **theirs.settings)
        if not noisy:
            return sampler(x)
        with _replaced(torch, "randn_like", lambda like: draws(like.dtype)):
            return sampler(x)

    return Subject("azula", theirs.name, "data", theirs.ours, run)


@dataclass(frozen=True)
class _Denoiser:
    schedule: Any
    network: Network

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> Any:
        return SimpleNamespace(mean=self.network(x))


_THEIRS: dict[str, Callable[[Theirs, int, Draws, str], Subject]] = {
    "diffusers": _diffusers,
    "k-diffusion": _k_diffusion,
    "azula": _azula,
}
assert set(_THEIRS) == set(PREDICTION)


def _peer(*parts: str) -> Path:
    return Path(os.environ.get("DIFFNUM_PEERS", ""), *parts)


@cache
def _sampling() -> Any:
    # what it needs for training and for trees of noise is not there, and not used
    package = SimpleNamespace(
        __path__=[str(_peer("k-diffusion", "k_diffusion"))], __name__="k_diffusion", __spec__=None
    )
    absent = ("torchdiffeq", "torchsde", "torchvision", "torchvision.transforms")
    stubs: dict[str, Any] = {name: mock.MagicMock(name=name) for name in absent if name not in sys.modules}
    with quiet(), mock.patch.dict(sys.modules, {**stubs, "k_diffusion": package}):
        return importlib.import_module("k_diffusion.sampling")


@cache
def _azula_module(name: str) -> Any:
    with quiet(), mock.patch.object(sys, "path", [str(_peer("site")), *sys.path]):
        return importlib.import_module(f"azula.{name}")


@contextmanager
def quiet() -> Iterator[None]:
    """Deprecations between other packages are theirs to settle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    if not hasattr(module, name):
        yield
        return
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
