"""Ito-Taylor of strong order 1.5 on the reverse SDE, its derivatives by forward mode.

With noise of one per log-SNR the reverse SDE is ``dy = D drho + dB`` for ``y = alpha x / sigma^2``,
``rho = (alpha / sigma)^2`` (:mod:`diffnum.solvers.stochastic_rk`), and the scheme for additive noise (Kloeden & Platen
1992, eq. 10.4.4) is, over a step of length ``L`` with ``W = sqrt(L) z_0`` and ``Z = L (W / 2 + sqrt(L / 12) z_1)``,

    y_t = y + L D + W + D_y Z + L^2 / 2 (D_rho + D_y D + Laplacian(D) / 2).

``D_y Z + L^2 / 2 (D_rho + D_y D)`` is one Jacobian-vector product, with the tangent ``(Z + L^2 D / 2, L^2 / 2)``. The
Laplacian is ``sum_i d^2 D / dy_i^2``, or an estimate ``v^T D_yy v`` with signs ``v`` (Hutchinson): its error, of mean
zero and of size ``L^2`` a step, leaves strong order 1.5. A draw is multiplied by what the model computes, so a run is
no plan; :data:`~diffnum.solvers.sra1` is of the same order and is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import Any

from ..grid import Grid
from ..noise import as_source
from ..num import expm1, log
from ..plan import Level, Noise
from ..prediction import convert
from ..read.sample import adapted_model, as_like, sample
from ..solvers.stochastic import ddpm_ancestral
from ..trace import compile
from .record import Span
from .taylor import derivatives

__all__ = ["Expanded", "ito_taylor"]


@dataclass(frozen=True)
class Expanded:
    """What :func:`ito_taylor` returns.

    Attributes:
        x: the sample.
        evaluations: model passes without derivatives, four of which check the first derivative.
        jvps: Jacobian-vector products, one a step.
        second: products of products, ``probes`` or ``d`` a step.
    """

    x: Any
    evaluations: int
    jvps: int
    second: int


def ito_taylor(
    model: Any, grid: Grid, x_T: Any, noise: Any, probes: int | None = 1, prediction: str = "data"
) -> Expanded:
    """Sample the reverse SDE at strong order 1.5 with exact derivatives.

    Args:
        model: as for :func:`~diffnum.adaptive.taylor`: torch throughout, with the level's numbers used as tensors.
        grid: steps from ``alpha = 0`` and to ``sigma = 0``, where ``rho`` has no increment, are ancestral ones.
        x_T: torch tensor ``(batch, ...)`` at the grid's first level; its dtype is kept.
        noise: a source of draws; ``dn.noise.Brownian`` for one path on every grid, whose ``j = 1`` is the area.
        probes: directions of signs in which the Laplacian is estimated, drawn as ``j = 2, 3, ...``; None for all of it,
            in as many products as a sample has numbers.
        prediction: what the model returns.

    Raises:
        ValueError: ``probes`` that is no number of directions; arrays other than torch's; a model that torch cannot
            differentiate forward.
    """
    if probes is not None and not (isinstance(probes, int) and probes >= 1):
        raise ValueError(f"probes = {probes!r} is no number of directions: use a whole number >= 1, or None for all")
    inner = [(s, t) for s, t in pairwise(grid.levels) if not (s.pure_noise or t.clean)]
    if inner:
        # refuses what loses a part of the derivative
        derivatives(model, grid.process, x_T, *inner[0], prediction=prediction)
    step = _Step(adapted_model(model, prediction), grid.process, as_source(noise), probes, prediction)
    x, second = x_T, 0
    for (s, t), h in zip(pairwise(grid.levels), grid.h, strict=True):
        if s.pure_noise or t.clean:
            span = Span(grid.process, (s, t), (h,))
            x = sample(compile(ddpm_ancestral, span, prediction), model, x, noise)
            continue
        x = step.take(x, s, t, h)
        second += x[0].numel() if probes is None else probes
    return Expanded(x, 4 * bool(inner) + grid.steps, len(inner), second)


@dataclass(frozen=True)
class _Step:
    call: Any
    process: Any
    draw: Any
    probes: int | None
    prediction: str

    def take(self, x: Any, s: Level, t: Level, h: Any) -> Any:
        jvp = import_module("torch").func.jvp
        rho = (s.alpha / s.sigma) ** 2
        length = rho * expm1(2 * h)
        unit = s.sigma**2 / s.alpha
        w, area = (self.draw(Noise(s, t, j), x) for j in (0, 1))
        W = length**0.5 * w
        Z = length * (W / 2 + (length / 12) ** 0.5 * area)
        y = x / unit
        D = self.data(y, 0.0, rho)
        half = length * length / 2
        at = import_module("torch").zeros((), dtype=import_module("torch").float64, device=x.device)
        moved = jvp(partial(self.data, rho=rho), (y, at), (Z + half * D, at + half))[1]
        y = y + length * D + W + moved + (half / 2) * self.laplacian(y, rho, s, t)
        return (t.sigma**2 / t.alpha) * y

    def data(self, y: Any, ahead: Any, rho: Any) -> Any:
        """``D`` at ``y`` and the level of ``rho + ahead``."""
        level = self.process.at(log(rho + ahead) / 2)
        x = (level.sigma**2 / level.alpha) * y
        a, b = convert(level, self.prediction, "data")
        value = as_like(self.call(x.to(y.dtype), level), y)
        return (value if self.prediction == "data" else a * x + b * value).to(y.dtype)

    def laplacian(self, y: Any, rho: Any, s: Level, t: Level) -> Any:
        torch = import_module("torch")
        if self.probes is None:
            eye = torch.eye(y[0].numel(), dtype=y.dtype, device=y.device).reshape(-1, *y.shape[1:])
            return sum(self.bent(y, rho, e.expand_as(y)) for e in eye)
        signs = (self.draw(Noise(s, t, 2 + k), y).sign() for k in range(self.probes))
        return sum(self.bent(y, rho, v) for v in signs) / self.probes

    def bent(self, y: Any, rho: Any, v: Any) -> Any:
        """``v^T D_yy v``."""
        jvp = import_module("torch").func.jvp

        def along(point: Any) -> Any:
            return jvp(lambda u: self.data(u, 0.0, rho), (point,), (v,))[1]

        return jvp(along, (y,), (v,))[1]
