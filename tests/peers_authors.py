"""Author codes and libraries that cannot be installed beside us, loaded from the folder ``DIFFNUM_PEERS``.

``make test-peers`` fills it with clones at the commits of :data:`COMMITS` and with ``site``, a folder of
:data:`PACKAGES` without their dependencies (azula wants torchvision, which no sampler of it uses). See :mod:`peers`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import math
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from peers import EDM, Recorder, grid_of

from diffnum import process as processes
from diffnum.grid import Grid
from diffnum.plan import Plan

__all__ = [
    "COMMITS",
    "PACKAGES",
    "VP",
    "author",
    "azula",
    "by_sigma",
    "by_time",
    "deis",
    "k_diffusion",
    "needed",
    "quiet",
    "sampler_of_edm",
    "sampler_of_restart",
    "sampler_of_ucgm",
    "tables_of_res4lyf",
]

COMMITS = {
    "LuChengTHU/dpm-solver": "52bc3fbcd5de56d60917b826b15d2b69460fc2fa",
    "wl-zhao/UniPC": "cf9de85bf2ed68137e6fba5f165f451677b174c4",
    "crowsonkb/k-diffusion": "4601bf085320592473f681a62808ed873d17fad5",
    "qsh-zh/deis": "a30709f434ddddefaf2201d014ce4158e62c2a33",
    "zju-pi/diff-sampler": "68d5ce427f261962b89ce3b0ee8f6b29f0577328",
    "luping-liu/PNDM": "e771949c344875ebecda46967de68fc86e970569",
    "NVlabs/edm": "008a4e5316c8e3bfe61a62f874bddba254295afb",
    "Newbeeer/diffusion_restart_sampling": "8cbcb076330381216b2f60578bb6e381ce182683",
    "LINs-lab/UCGM": "407636a673a0b46fa24c50fe310b539fcbe10d1e",
    "ClownsharkBatwing/RES4LYF": "022c873c6d198c67b3312a1804336533a050df18",
}
PACKAGES = ("azula==0.11.1", "einops==0.8.2", "jax==0.10.2", "jaxlib==0.10.2", "ml_dtypes==0.6.0", "opt_einsum==3.4.0")
VP = processes.VP()


def needed() -> None:
    """Skips the whole module, by name, where there is no folder of peers."""
    if not os.environ.get("DIFFNUM_PEERS"):
        pytest.skip("the codes of others: DIFFNUM_PEERS names no folder (make test-peers)", allow_module_level=True)


def folder(*parts: str) -> Path:
    """A path in the peers' folder; skips the test, by name, where it is absent."""
    root = Path(os.environ.get("DIFFNUM_PEERS", ""))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not in {root}")
    return path


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings of their code, and what it prints, are theirs; single precision is not its default here."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, mock.patch("sys.stdout", nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(default)


def author(repository: str, *parts: str, absent: Sequence[str] = (), name: str = "") -> Any:
    """The module at ``parts`` of a clone; modules named in ``absent`` are stubs while it loads.

    Args:
        name: of the module, where it imports from a package of its own.
    """
    path = folder(repository, *parts)
    name = name or f"peer_{repository}_{path.stem}".replace("-", "_")
    if name in LOADED:
        return LOADED[name]
    stubs = {module: mock.MagicMock(name=module) for module in absent if module not in sys.modules}
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules.update(stubs)
    try:
        with quiet(), mock.patch.object(sys, "path", [str(path.parent), *sys.path]):
            spec.loader.exec_module(module)
    finally:
        for stub in stubs:
            del sys.modules[stub]
    return LOADED.setdefault(name, module)


LOADED: dict[str, Any] = {}


def azula() -> Any:
    """``azula.sample``."""
    site = folder("site", "azula").parent
    with quiet(), mock.patch.object(sys, "path", [str(site), *sys.path]):
        return importlib.import_module("azula.sample")


@contextmanager
def k_diffusion() -> Iterator[None]:
    """``k_diffusion.sampling`` can be imported, and what it needs for training and for trees of noise is not there."""
    package = types.ModuleType("k_diffusion")
    package.__path__ = [str(folder("k-diffusion", "k_diffusion"))]
    absent = ("torchdiffeq", "torchsde", "torchvision", "torchvision.transforms")
    stubs = {name: mock.MagicMock(name=name) for name in absent if name not in sys.modules}
    before = {name for name in sys.modules if name.startswith("k_diffusion")}
    sys.modules.update({**stubs, "k_diffusion": package})
    try:
        yield
    finally:
        for name in [*stubs, *(n for n in sys.modules if n.startswith("k_diffusion") and n not in before)]:
            del sys.modules[name]


def deis() -> Any:
    """``th_deis``, whose coefficients are computed with jax, here in double precision."""
    site, root = folder("site", "jax").parent, folder("deis", "th_deis").parent
    with quiet(), mock.patch.object(sys, "path", [str(root), str(site), *sys.path]):
        jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        # a private name that moved; only discrete tables use it
        lax, moved = (importlib.import_module(f"jax._src.numpy.{name}") for name in ("lax_numpy", "util"))
        vars(lax)["_promote_dtypes_inexact"] = moved.promote_dtypes_inexact
        return importlib.import_module("th_deis")


def sampler_of_edm() -> Callable[..., torch.Tensor]:
    """``edm_sampler`` of ``generate.py``, without the training code that the file imports."""
    return _function("edm_sampler", folder("edm", "generate.py"), torch=torch)


def sampler_of_restart() -> Callable[..., torch.Tensor]:
    """``restart_sampler`` of ``generate_restart.py``, whose levels of a restart are in double precision here."""
    path = folder("diffusion_restart_sampling", "benchmarks", "generate_restart.py")
    return _function("restart_sampler", path, torch=_double(), dist=mock.MagicMock())


def sampler_of_ucgm(normal: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The method ``uni_sample`` of ``unigen.py`` in double precision, which draws ``normal(shape)``."""
    return _function("uni_sample", folder("UCGM", "methods", "unigen.py"), torch=_double(randn=normal))


def tables_of_res4lyf() -> dict[str, Any]:
    """``rk_coeff``: from names to ``(A, b, c)``, without what the module imports."""
    wanted = {"alpha_crouzeix", "gamma_crouzeix", "delta_crouzeix", "rk_coeff"}
    path = folder("RES4LYF", "beta", "rk_coefficients_beta.py")
    lines = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Assign)]
    found = [n for n in lines if ast.unparse(n.targets[0]) in wanted]
    exec(compile(ast.Module(list(found), []), path.name, "exec"), space := {"math": math})
    return space["rk_coeff"]


def _double(**more: Any) -> Any:
    """``torch`` whose single precision is double."""
    return types.SimpleNamespace(**{**vars(torch), "float": torch.float64, "float32": torch.float64, **more})


def _function(name: str, path: Path, **space: Any) -> Callable[..., torch.Tensor]:
    import numpy

    found = ast.walk(ast.parse(path.read_text()))
    wanted: list[ast.stmt] = [n for n in found if isinstance(n, ast.FunctionDef) and n.name == name]
    exec(compile(ast.Module(wanted, []), path.name, "exec"), space := {"np": numpy, **space})
    return space[name]


# --- running them ---


def by_sigma(
    sample: Callable[[Callable[..., torch.Tensor], torch.Tensor], torch.Tensor],
    sigmas: Sequence[float],
    shape: Sequence[int] = (1, -1),
    start: float = 1.0,
) -> tuple[Plan, Grid]:
    """A sampler ``sample(denoiser, x)`` whose denoiser is ``D(x, sigma)``, ``x = x0 + sigma eps``.

    Args:
        sigmas: the levels that it walks.
        shape: of a batch; images where their code wants them.
        start: of the state that it is given, over ``x_T``.
    """
    grid = grid_of(sigmas, EDM)
    model = Recorder(64)

    def denoiser(x: torch.Tensor, sigma: Any, *rest: Any, **options: Any) -> torch.Tensor:
        s = torch.as_tensor(sigma).reshape(-1)[0]
        return model(x, EDM.at_clock(float(s)), "data", s)

    with quiet():
        return model.plan(sample(denoiser, model.start(start).reshape(*shape)), grid[0], grid[-1]), grid


def by_time(
    sample: Callable[[Callable[..., torch.Tensor], torch.Tensor], torch.Tensor], times: Sequence[float]
) -> tuple[Plan, Grid]:
    """A sampler ``sample(model, x)`` whose model is ``eps(x, t)`` on :data:`VP`."""
    from diffnum.grid import custom

    grid = custom(VP, times=times)
    model = Recorder(64)

    def noise(x: torch.Tensor, t: Any, *rest: Any) -> torch.Tensor:
        time = torch.as_tensor(t).reshape(-1)[0]
        return model(x, VP.level(float(time)), "noise", time)

    with quiet():
        return model.plan(sample(noise, model.start()), grid[0], grid[-1]), grid
