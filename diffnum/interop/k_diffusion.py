"""Samplers of diffnum as k-diffusion and ComfyUI call theirs: ``f(model, x, sigmas, ...)``, sigmas in and out.

.. code-block:: python

    sample = dn.interop.k_diffusion.sampler("dpmpp_3m_corrected")
    x = sample(model, torch.randn(4, 3, 32, 32) * sigmas[0], sigmas)      # model(x, sigma) -> denoised

Their state is ``x0 + sigma eps``; with ``process=dn.Flow()`` it is ``(1 - sigma) x0 + sigma eps``, as in ComfyUI for
networks of flow matching.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..grid import Grid, custom
from ..plan import Level, Plan
from ..process import EDM, Process
from ..read.sample import sample
from ..trace import Solver
from ..trace import compile as compiled
from .names import named
from .walk import starts

__all__ = ["grid", "sampler", "sigmas"]


def grid(sigmas: Any, process: Process | None = None) -> Grid:
    """The grid of a list of sigmas, noise first, a last 0 the clean level.

    Args:
        process: default EDM up to the first sigma.
    """
    listed = [float(s) for s in (sigmas.tolist() if hasattr(sigmas, "tolist") else sigmas)]
    return custom(process or EDM(sigma_max=max(listed[0], 0.004)), sigmas=listed)


def sigmas(levels: Grid | Plan, like: Any = None) -> Any:
    """The sigmas of a grid or a plan as they take them: a tensor, ``sigma / alpha``, or ``sigma`` on flow matching.

    Args:
        like: a tensor whose dtype and device are wanted; default float32 on the CPU.

    Raises:
        ValueError: a grid that starts at ``alpha = 0`` where that ratio is infinite.
    """
    import torch

    at = list(levels.levels)
    flow = (levels.process.get("name") if isinstance(levels, Plan) else levels.process.name) == "Flow"
    if at[0].pure_noise and not flow:
        raise ValueError("sigma / alpha is infinite at alpha = 0: start the grid at alpha > 0")
    values = [level.sigma if flow else level.sigma / level.alpha for level in at]
    return torch.tensor(values) if like is None else torch.tensor(values, dtype=like.dtype, device=like.device)


def sampler(which: str | Solver | Plan, process: Process | None = None, **options: Any) -> Callable[..., Any]:
    """A sampler, its name here or elsewhere, or a plan as a function of that library.

    Args:
        which: with a plan, the function takes its sigmas only.
        process: default EDM; ``dn.Flow()`` for networks of flow matching.
        options: of the sampler.

    Returns:
        ``f(model, x, sigmas, extra_args=None, callback=None, disable=None, **options)``. There
        ``model(x, sigma, **extra_args)`` returns the denoised ``x`` for a vector of sigmas, one a sample; ``callback``
        gets ``x, i, sigma, sigma_hat, denoised`` at the start of every step; ``noise_sampler(sigma, sigma_next)`` among
        the options is what plans with noise draw from (else ``torch.randn_like``); ``disable`` is for the signature,
        no bar is shown. Sigmas are read once, before the first call.

    Raises:
        ValueError: a plan in another scale or for another prediction, sigmas that are not the plan's.
    """
    if isinstance(which, Plan):
        _check_scale(which)
    else:
        which = named(which, getattr(process, "name", "") == "Flow") if isinstance(which, str) else which
    return _Sampler(which, process, options)


class _Sampler:
    # a class and not a closure: these programs copy and pickle what they are given

    def __init__(self, which: Solver | Plan, process: Process | None, options: Mapping[str, Any]) -> None:
        self.which, self.process, self.options = which, process, dict(options)

    def __call__(
        self,
        model: Callable[..., Any],
        x: Any,
        sigmas: Any,
        extra_args: Mapping[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], Any] | None = None,
        disable: bool | None = None,
        noise_sampler: Callable[[Any, Any], Any] | None = None,
        **options: Any,
    ) -> Any:
        import torch

        plan = self._plan(sigmas, options)
        step_of = {k: i for i, k in enumerate(starts(plan)) if k is not None}
        calls = iter(range(plan.nfe))

        def denoise(u: Any, level: Level) -> Any:
            sigma = _sigma(plan, level)
            D = model(u, u.new_full((len(u),), sigma), **(extra_args or {}))
            i = step_of.get(next(calls))
            if callback is not None and i is not None:
                here = u.new_tensor(sigma)
                callback({"x": u, "i": i, "sigma": here, "sigma_hat": here, "denoised": D})
            return D

        def noise(s: Level, t: Level, j: int, u: Any) -> Any:
            if noise_sampler is None:
                return torch.randn_like(u)
            return noise_sampler(u.new_tensor(_sigma(plan, s)), u.new_tensor(_sigma(plan, t))).to(u.dtype)

        return sample(plan, denoise, x, noise)

    def _plan(self, sigmas: Any, options: Mapping[str, Any]) -> Plan:
        if not isinstance(self.which, Plan):
            return compiled(self.which, grid(sigmas, self.process), **{**self.options, **options})
        if options:
            raise ValueError(
                f"a plan has its options already: leave {', '.join(options)} out, or give the sampler's name"
            )
        given = [float(s) for s in sigmas.tolist()]
        own = [_sigma(self.which, level) for level in self.which.levels]
        for i, (a, b) in enumerate(zip(given, own, strict=False)):
            if abs(a - b) > 1e-6 * max(abs(b), 1e-3):
                raise ValueError(f"sigmas[{i}] = {a!r} but the plan has {b!r} there: pass sigmas(plan)")
        if len(given) != len(own):
            raise ValueError(f"{len(given)} sigmas for a plan of {self.which.steps} steps: pass sigmas(plan)")
        return self.which


def _sigma(plan: Plan, level: Level) -> float:
    return level.sigma if plan.process.get("name") == "Flow" else level.sigma / level.alpha


def _check_scale(plan: Plan) -> None:
    if plan.prediction != "data":
        raise ValueError(
            f"the plan is for {plan.prediction} prediction and these models return the data: compile it for data"
        )
    if plan.process.get("name") not in ("EDM", "VE", "Flow"):
        raise ValueError(
            f"the plan lies on {plan.process.get('name')}, whose states are alpha x0 + sigma eps: compile it on "
            "dn.interop.k_diffusion.grid(sigmas)"
        )
