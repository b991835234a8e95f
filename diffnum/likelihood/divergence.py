"""The trace of a prediction's Jacobian: exact, or by random probes without bias."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..noise import Counter
from ..plan import Level, Noise
from ..prediction import to_native
from ..read.sample import adapted_model, as_like

__all__ = ["Divergence", "Gaussian", "Rademacher", "Traced", "exact", "jacobian", "vector"]

Traced = Callable[[Any, Level], tuple[Any, Any]]
"""From ``x`` and a level to the prediction there and its traces, ``(n, probes)``."""
Divergence = Callable[[Any, str], Traced]
"""From a model and its prediction to a :data:`Traced`; :func:`exact`, :class:`Rademacher`, :class:`Gaussian`."""


def exact(model: Any, prediction: str) -> Traced:
    """The trace itself: of a target by its posterior covariance, of a network by ``d`` vector-Jacobian products.

    By the second-order Tweedie formula a denoiser's Jacobian is ``(alpha / sigma^2) Cov[x0 | x]`` (Meng et al. 2021,
    eq. 9), so the trace of ``a x + b D`` is ``a d + b (alpha / sigma^2) tr Cov``.
    """
    call = adapted_model(model, prediction)

    def traced(x: Any, level: Level) -> tuple[Any, Any]:
        if hasattr(model, "posterior_cov"):
            a, b = to_native(level, prediction) if not level.clean else (0.0, 0.0)
            total = a * math.prod(x.shape[1:]) + _at_clean(model, x, level, prediction) + 0 * _rows(x).sum(-1)
            if b:
                total = total + b * (level.alpha / level.sigma**2) * _trace(_covariance(model, x, level))
            return as_like(call(x, level), x), total[:, None]
        found, rows = _jacobian_rows(call, x, level, lambda i, row: row[:, i])
        return found, _stack(rows).sum(1)[:, None]

    return traced


@dataclass(frozen=True)
class Rademacher:
    """``v^T J v`` for signs ``v``: unbiased for the trace, with variance ``sum_{i != j} J_ij (J_ij + J_ji)``, the least
    of all laws with independent entries (Hutchinson 1990). One vector-Jacobian product per probe.

    The probes of a sample are those of its index under ``seed``, whatever batch it stands in, and stay the same along a
    run, so that what is integrated is smooth and the result of each probe is unbiased (Grathwohl et al. 2019, FFJORD).

    Attributes:
        seed: of the probes.
        probes: how many; each gives an estimate of its own, whose spread is the standard error.
    """

    seed: int
    probes: int = 1

    def __post_init__(self) -> None:
        _check_probes(self.probes)

    def __call__(self, model: Any, prediction: str) -> Traced:
        return _probed(model, prediction, [_signs(self.seed, j) for j in range(self.probes)])


@dataclass(frozen=True)
class Gaussian:
    """:class:`Rademacher` with standard normal probes (Skilling 1989): the variance is ``|J|^2 + tr J^2``, in which the
    diagonal's squares enter too."""

    seed: int
    probes: int = 1

    def __post_init__(self) -> None:
        _check_probes(self.probes)

    def __call__(self, model: Any, prediction: str) -> Traced:
        return _probed(model, prediction, [_normals(self.seed, j) for j in range(self.probes)])


def _normals(seed: int, j: int) -> Callable[[Any], Any]:
    """From ``x`` to the ``j``-th normal probe of each of its samples."""
    line = Noise(Level(1.0, 0.0, 1.0), Level(0.0, 1.0, 0.0), j)
    return lambda x: Counter(seed)(line, x)


def _signs(seed: int, j: int) -> Callable[[Any], Any]:
    """From ``x`` to the ``j``-th probe of signs."""
    normal = _normals(seed, j)
    return lambda x: 1.0 - 2.0 * (normal(x) < 0)


def _probed(model: Any, prediction: str, probes: list[Callable[[Any], Any]]) -> Traced:
    call = adapted_model(model, prediction)

    def traced(x: Any, level: Level) -> tuple[Any, Any]:
        found, product = vector(model, call, x, level, prediction)
        estimates = []
        for probe in probes:
            v = as_like(probe(x), x)
            estimates.append((_rows(product(v)) * _rows(v)).sum(-1))
        return found, _stack(estimates)

    return traced


def vector(model: Any, call: Any, x: Any, level: Level, prediction: str) -> tuple[Any, Callable[[Any], Any]]:
    """The prediction, and the function ``v -> v^T J``: by torch, or for targets on numpy arrays by their covariance."""
    if not hasattr(x, "requires_grad"):
        matrix = jacobian(model, x, level, prediction)[1]
        return call(x, level), lambda v: np.einsum("ni,nij->nj", _rows(v), matrix).reshape(x.shape)
    import torch

    leaf, found = _graph(call, x, level)
    return found.detach(), lambda v: torch.autograd.grad(found, leaf, v, retain_graph=True)[0]


def jacobian(model: Any, x: Any, level: Level, prediction: str) -> tuple[Any, Any]:
    """The prediction and its Jacobian ``(n, d, d)``, entry ``[:, i, j]`` that of ``i`` in ``j``; see :func:`exact`.

    A network is asked as it is, so samples of a batch must not see one another.

    Raises:
        ValueError: numpy arrays and a model that is no target.
    """
    call = adapted_model(model, prediction)
    if not hasattr(model, "posterior_cov"):
        found, rows = _jacobian_rows(call, x, level, lambda i, row: row)
        return found, _stack(rows)
    a, b = to_native(level, prediction) if not level.clean else (0.0, 0.0)
    eye = _eye(x)
    gain = _at_clean(model, x, level, prediction) / eye.shape[-1] if level.clean else 0.0
    spread = b * (level.alpha / level.sigma**2) * _covariance(model, x, level) if b else 0 * _rows(x)[..., None]
    return as_like(call(x, level), x), (a + gain) * eye + spread


def _at_clean(model: Any, x: Any, level: Level, prediction: str) -> float:
    """The trace at ``sigma = 0``: ``D = x / alpha`` there, and the noise is not known."""
    if not level.clean:
        return 0.0
    if prediction == "score" or getattr(model, "singular", False):
        raise ValueError(f"the divergence of a {prediction} prediction at sigma = 0 is not known: start at sigma > 0")
    share = 0.0 if prediction == "noise" else 1.0 if prediction == "data" else level.v[0]
    return share * math.prod(x.shape[1:]) / level.alpha


def _covariance(model: Any, x: Any, level: Level) -> Any:
    return model.posterior_cov(_rows(x), level)


def _trace(matrices: Any) -> Any:
    return matrices.diagonal(0, -2, -1).sum(-1)


def _jacobian_rows(call: Any, x: Any, level: Level, take: Callable[[int, Any], Any]) -> tuple[Any, list[Any]]:
    """The prediction, and ``take(i, row)`` of every row ``i`` of its Jacobian, ``(n, d)``."""
    import torch

    if not isinstance(x, torch.Tensor):
        raise ValueError(
            f"the derivatives of a function on {type(x).__name__} are not known: give a torch tensor, or a target"
        )
    leaf, found = _graph(call, x, level)
    flat = _rows(found)
    rows = []
    for i in range(flat.shape[1]):
        (row,) = torch.autograd.grad(flat[:, i].sum(), leaf, retain_graph=True)
        rows.append(take(i, _rows(row)))
    return found.detach(), rows


def _graph(call: Any, x: Any, level: Level) -> tuple[Any, Any]:
    import torch

    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        found = as_like(call(leaf, level), leaf)
    if not found.requires_grad:
        raise ValueError(
            "the model returned a tensor that does not depend on x: compute it with torch alone, and without "
            "torch.no_grad() or detach()"
        )
    return leaf, found


def _rows(x: Any) -> Any:
    return x.reshape(len(x), -1)


def _stack(columns: list[Any]) -> Any:
    """Along a new axis after the first."""
    if not hasattr(columns[0], "requires_grad"):
        return np.stack(columns, axis=1)
    import torch

    return torch.stack(columns, dim=1)


def _eye(x: Any) -> Any:
    d = math.prod(x.shape[1:])
    if not hasattr(x, "requires_grad"):
        return np.eye(d)[None]
    import torch

    return torch.eye(d, dtype=x.dtype, device=x.device)[None]


def _check_probes(probes: int) -> None:
    if not isinstance(probes, int) or probes < 1:
        raise ValueError(f"probes = {probes!r}: give a number of probes, 1 or more")
