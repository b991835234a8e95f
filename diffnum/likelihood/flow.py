"""Log-likelihood by the instantaneous change of variables, along a compiled plan or by an adaptive integrator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..gradients.adjoint import check_variables, reading, scale
from ..plan import Level, Plan, interpret
from ..prediction import convert
from ..process import from_json
from ..read.sample import linear
from .divergence import Divergence, exact

__all__ = ["LogProb", "bits_per_dim", "by_adaptive_steps", "log_prob", "normal"]

LogDensity = Callable[[Any], Any]
"""From points ``(n, ...)`` to log-densities ``(n,)``."""


@dataclass(frozen=True, eq=False)
class LogProb:
    """Log-likelihoods of points.

    Attributes:
        value: ``log p(x)`` in nats, ``(n,)``; the mean over probes.
        estimates: ``(n, probes)``, one column where the divergence is exact.
        encoding: where the flow takes ``x``, at the noisy end; the same for every exact model of one law and process.
        evaluations: calls of the model.
    """

    value: Any
    estimates: Any
    encoding: Any
    evaluations: int

    @property
    def error(self) -> Any:
        """Standard error of ``value`` by the spread of the probes, ``(n,)``; nan for one probe.

        It is what the probes add; the error of discretisation is another.
        """
        k = self.estimates.shape[1]
        if k == 1:
            return self.value * math.nan
        return (((self.estimates - self.value[:, None]) ** 2).sum(1) / (k - 1) / k) ** 0.5


def log_prob(
    back: Plan,
    model: Any,
    x: Any,
    prior: LogDensity | None = None,
    divergence: Divergence = exact,
    variables: str = "velocity",
) -> LogProb:
    """``log p(x)`` at ``back.start`` of the probability-flow ODE, integrated by any sampler's steps.

    Along the flow of ``dx/dc = f(x)`` a density changes by ``d log p / dc = -div f`` (Chen et al. 2018, eq. 8; Song et
    al. 2021, eq. 39). In ``y = x / sqrt(w)`` and a clock of its own the flow is one prediction ``n``, as it is
    ``dy/drho = eps`` for noise, so with ``l`` the log-density of ``y``

        dy = n,     dl = -sqrt(w) tr(dn/dx),     log p = l - d log sqrt(w)

    and ``sqrt(w) l`` is integrated beside ``x`` as one more coordinate, whose prediction is ``-sqrt(w) tr(dn/dx)``.

    So ``back``, any compiled plan from data to noise, gives it with that plan's order. See
    :func:`~diffnum.gradients.adjoint` for ``w`` and ``variables``.

    Args:
        back: such as ``dn.compile("rk4", dn.gradients.backwards(grid), "noise")``; without draws.
        model: a target, or a network on torch tensors.
        x: ``(n, ...)`` at ``back.start``, numpy for targets or torch.
        prior: log-density at ``back.stop``; None is :func:`normal` with the process's prior there. A target's own is
            ``lambda x: target.log_prob(x, back.stop)``.
        divergence: :func:`~diffnum.likelihood.exact`, or a :class:`~diffnum.likelihood.Rademacher` or
            :class:`~diffnum.likelihood.Gaussian` of probes.
        variables: the prediction ``n``.

    Raises:
        ValueError: a plan that draws noise, or runs towards data; an end where ``w`` is zero or ``n`` not determined;
            unknown variables; models whose derivatives are not known.
    """
    _check(back, variables)
    traced = divergence(model, back.prediction)
    lin = linear(x)
    start = _empty(x)

    def combine(terms: Sequence[tuple[Any, tuple[Any, Any]]]) -> tuple[Any, Any]:
        return lin([(c, at[0]) for c, at in terms]), sum(c * at[1] for c, at in terms)

    def evaluate(at: tuple[Any, Any], level: Level, quantity: str) -> tuple[Any, Any]:
        found, traces = traced(at[0], level)
        # n = c x + d found, and the answer in n is read as the model's own prediction
        c, d = reading(level, quantity, variables)
        root = scale(level, variables) ** 0.5
        size = math.prod(x.shape[1:])
        return found, -root * (traces + (c / d) * size) - (c / d) * at[1]

    encoding, gathered = interpret(back, (x, start), combine, evaluate, _no_draw)[0]
    first, last = (scale(level, variables) ** 0.5 for level in (back.start, back.stop))
    known = (prior or default_prior(back))(encoding)
    constant = math.prod(x.shape[1:]) * math.log(last / first)
    estimates = known[:, None] + constant - gathered / last
    return LogProb(estimates.mean(1), estimates, encoding, back.nfe)


def by_adaptive_steps(
    model: Any,
    process: Any,
    x: Any,
    start: Level,
    stop: Level,
    prediction: str = "data",
    prior: LogDensity | None = None,
    divergence: Divergence = exact,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    method: str = "RK45",
) -> LogProb:
    """:func:`log_prob` by an adaptive integrator of scipy in the process's clock, as published (Song et al. 2021,
    appendix D.2): all points in one system, whose error estimate is shared.

    Args:
        start, stop: levels of the data and of the prior, ``sigma > 0`` at both.
        prediction: what the model returns.
        rtol, atol, method: of ``scipy.integrate.solve_ivp``; the defaults are the published ones.

    Raises:
        ValueError: the integration fails; as :func:`log_prob`.
    """
    from scipy.integrate import solve_ivp

    traced = divergence(model, prediction)
    size, shape = math.prod(x.shape[1:]), x.shape
    calls, probes = 0, traced(x, start)[1].shape[1]

    def slope(c: float, both: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        level = start if c == begin else process.at_clock(c)
        point = _like(x, both[: len(x) * size].reshape(shape))
        found, traces = traced(point, level)
        # dx/dc = alpha' x0 + sigma' eps = a x + b prediction
        a, b = convert(level, prediction, process.rates(level))
        return np.concatenate([_flat(a * point + b * found), _flat(a * size + b * traces)])

    begin, end = float(process.clock(start)), float(process.clock(stop))
    both = np.concatenate([_flat(x), np.zeros(len(x) * probes)])
    found = solve_ivp(slope, (begin, end), both, method=method, rtol=rtol, atol=atol, t_eval=[end])
    if not found.success:
        raise ValueError(f"the integration stopped at {found.t[-1:]}: {found.message}")
    encoding = _like(x, found.y[: len(x) * size, -1].reshape(shape))
    gathered = _like(x, found.y[len(x) * size :, -1].reshape(len(x), probes))
    estimates = (prior or normal(process.prior(stop)))(encoding)[:, None] + gathered
    return LogProb(estimates.mean(1), estimates, encoding, calls + 1)


def normal(std: float) -> LogDensity:
    """The log-density of ``N(0, std^2)`` in every coordinate."""

    def density(x: Any) -> Any:
        rows = x.reshape(len(x), -1)
        return -((rows / std) ** 2).sum(-1) / 2 - rows.shape[1] * (math.log(2 * math.pi) / 2 + math.log(std))

    return density


def bits_per_dim(log_prob: Any, dim: int, bins: int = 256, width: float = 2.0) -> Any:
    """Bits per dimension of data in ``bins`` whole values, dequantised uniformly and scaled to an interval.

        -log p(x) / (d log 2) + log2(bins / width)

    The constant is what the scaling of the density is worth: 7 for images of 256 values in [-1, 1], 8 in [0, 1]. For
    noise spread uniformly over a bin it bounds the cost of the whole values from above, in the mean over the noise
    (Theis et al. 2016, section 3.1).

    Args:
        log_prob: in nats, of the scaled data; any shape.
        dim: numbers per sample.
        bins, width: whole values, and the length of the interval that they were scaled to.
    """
    return -log_prob / (dim * math.log(2)) + math.log2(bins / width)


def default_prior(back: Plan) -> LogDensity:
    """:func:`normal` with the prior of the plan's process at its last level."""
    if not back.process:
        raise ValueError(f"{back.solver or 'the plan'} does not say its process: pass prior=dn.likelihood.normal(std)")
    return normal(float(from_json(back.process).prior(back.stop)))


def _no_draw(line: Any) -> Any:
    raise AssertionError("refused before")


def _check(back: Plan, variables: str) -> None:
    if back.draws:
        raise ValueError(f"{back.solver} draws noise and so follows no ODE: use a sampler without draws")
    if not back.start.lam > back.stop.lam:
        raise ValueError(
            f"{back.solver} runs towards data, and a likelihood is asked for at the data: compile it on "
            "dn.gradients.backwards(grid)"
        )
    check_variables(back, variables)


def _empty(x: Any) -> Any:
    """Zeros ``(n, 1)`` beside ``x``."""
    return 0 * x.reshape(len(x), -1)[:, :1]


def _flat(x: Any) -> np.ndarray:
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, dtype=float).ravel()


def _like(x: Any, values: np.ndarray) -> Any:
    if not hasattr(x, "requires_grad"):
        return values
    import torch

    return torch.as_tensor(values, dtype=x.dtype, device=x.device)
