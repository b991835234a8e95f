"""The exact law of a sampler's output on a Gaussian: no samples, no sampling noise.

On a Gaussian the denoiser is affine and every eigen-direction moves alone, so each register of an
affine plan is ``constant + a x_T + sum_k b_k z_k`` per direction; :func:`affine` carries these
forms through the plan, draws included, and :func:`moments` reads mean and variance off the output.
Where a state is made, the rows of the ``L`` registers that are still read are turned into ``L``
others with the same covariances (Gram-Schmidt), so that the cost of a stochastic plan grows with its
steps and not with their square. Directions are taken as many at a time as a cache holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..num import sqrt
from ..plan import Level, Noise, Plan, interpret
from ..prediction import to_native

__all__ = ["Affine", "Response", "affine", "as_arrays", "moments"]


@dataclass(frozen=True)
class Affine:
    """``constant + rows[0] x_T + rows[1:] z`` per eigen-direction; shapes ``(d,)`` and ``(1 + draws, d)``."""

    constant: Any
    rows: Any


CHUNK = 4096
"""Directions that :func:`moments` takes at a time, half as many where noise is drawn."""
WORTH = 2**14
"""Entries of rows from which on fewer of them are worth the arithmetic that makes them fewer."""

Response = Callable[[Level], tuple[Any, Any]]
"""From a level to ``(gain, offset)`` of an affine denoiser ``D = gain x + offset`` per eigen-direction."""


def affine(plan: Plan, mean: Any, variances: Any, response: Response | None = None) -> Affine:
    """The output register as an affine form on ``N(mean, diag(variances))``, in ``x_T`` and every draw.

    Args:
        mean, variances: ``(d,)`` in eigen-coordinates; numpy (float64 or objects such as mpmath
            numbers) or torch, which keeps the gradient.
        response: another affine denoiser than this Gaussian's own.
    """
    mean, variances = as_arrays(plan, mean, variances)
    one = variances * 0 + 1
    return _carry(plan, mean, variances, Affine(mean * 0, one[None]), lambda r, line, value, draw: value, response)


def as_arrays(plan: Plan, mean: Any, variances: Any) -> tuple[Any, Any]:
    """Both as torch where either, or a level of the plan, is a tensor."""
    tensors = (mean, variances, *(level.sigma for level in plan.levels))
    if not any(type(c).__module__.startswith("torch") for c in tensors):
        return mean, variances
    import torch

    # targets keep their arrays read-only, which torch does not support
    return tuple(torch.as_tensor(np.array(c) if isinstance(c, np.ndarray) else c) for c in (mean, variances))  # type: ignore[return-value]


def _carry(
    plan: Plan, mean: Any, variances: Any, start: Affine, visit: Any, response: Response | None = None
) -> Affine:
    zero, one = mean * 0, variances * 0 + 1

    def lin(terms: Sequence[tuple[Any, Affine]]) -> Affine:
        constant = sum((c * value.constant for c, value in terms[1:]), terms[0][0] * terms[0][1].constant)
        (c, longest), *others = sorted(terms, key=lambda term: -len(term[1].rows))
        rows = c * longest.rows
        for c, value in others:
            rows[: len(value.rows)] += c * value.rows
        return Affine(constant, rows)

    def evaluate(value: Affine, level: Level, quantity: str) -> Affine:
        a, b = to_native(level, quantity)
        if response is not None:
            gain, offset = response(level)
            return Affine(a * value.constant + b * (gain * value.constant + offset), (a + b * gain) * value.rows)
        gain = denoiser_gain(variances, level)
        constant = a * value.constant + b * (mean + gain * (value.constant - level.alpha * mean))
        return Affine(constant, (a + b * gain) * value.rows)

    def noise(line: Noise) -> Affine:
        draw.row += 1
        return Affine(zero, _last(zero, one, draw.row))

    draw = _Rows(1)
    return interpret(plan, start, lin, evaluate, noise, lambda r, line, value: visit(r, line, value, draw))[0]


@dataclass
class _Rows:
    """The row that the next draw takes."""

    row: int


def _last(zero: Any, one: Any, count: int) -> Any:
    """``count`` rows, the last of ones and the others of zeros."""
    if not isinstance(zero, np.ndarray) or zero.dtype != np.float64:
        return _stack([zero] * (count - 1) + [one])
    rows = np.zeros((count, *zero.shape))
    rows[-1] = 1.0
    return rows


def _stack(rows: list[Any]) -> Any:
    if type(rows[0]).__module__.startswith("torch"):
        import torch

        return torch.stack(rows)
    return np.array(rows)


def _still_read(plan: Plan) -> dict[int, tuple[int, ...]]:
    """For the register of each state those that are read later: all that follows depends on them alone."""
    states, last = set(plan.states), plan.last_use
    found: dict[int, tuple[int, ...]] = {}
    alive: set[int] = set()
    for r in range(len(plan.lines) + 1):
        alive = {q for q in alive if last[q] > r} | {r}
        if r in states:
            found[r] = tuple(sorted(alive))
    return found


def _gathered(forms: Sequence[Affine]) -> list[Affine]:
    """Forms with the same means and covariances in as many rows as there are forms, by Gram-Schmidt."""
    axes: list[Any] = []
    made: list[Affine] = []
    most = max(len(form.rows) for form in forms)
    for form in forms:
        rest, parts = form.rows, []
        if len(rest) < most:
            rest = np.concatenate([rest, np.zeros((most - len(rest), *rest.shape[1:]))])
        for axis in axes:
            parts.append((axis * rest).sum(0))
            rest = rest - parts[-1] * axis
        size = sqrt((rest**2).sum(0))
        made.append(Affine(form.constant, _stack([*parts, size])))
        if len(made) < len(forms):
            rest = rest / (size + (size == 0))
            axes.append(rest)
    return made


def denoiser_gain(variances: Any, level: Level) -> Any:
    """``alpha c / (alpha^2 c + sigma^2)``, the slope of ``E[x0 | x]`` on ``N(mean, c)``."""
    return level.alpha * variances / (level.alpha**2 * variances + level.sigma**2)


def moments(plan: Plan, target: Any, init: str = "marginal") -> tuple[Any, Any]:
    """Exact mean and variance of the plan's output on a Gaussian, per eigen-direction.

    Args:
        plan: any plan with scalar coefficients.
        target: a Gaussian (``eigen()`` gives mean and variances in its eigen-basis), or a denoiser that errs around one
            by a known affine amount (``response``), such as :class:`~diffnum.targets.Mistaken`.
        init: ``"marginal"`` starts from the target's law at ``plan.start``, ``"prior"`` from
            ``N(0, plan.prior^2)``, what users draw.

    Returns:
        ``(mean, variance)``, each ``(d,)``.

    Raises:
        ValueError: a target that is not Gaussian; an unknown ``init``.
    """
    if not hasattr(target, "eigen"):
        raise ValueError(f"exact moments need a Gaussian, got {type(target).__name__}: use dn.Gaussian.fit(data)")
    mean, variances = as_arrays(plan, *target.eigen())
    start = start_law(plan, mean, variances, init)
    response = getattr(target, "response", None)
    read = _still_read(plan) if plan.draws else {}
    plain = isinstance(mean, np.ndarray) and mean.dtype == variances.dtype == np.float64
    size = CHUNK // 2 if plan.draws else CHUNK
    if not plain or len(mean) <= size:
        return _moments(plan, mean, variances, start, response, read)

    def of(part: slice) -> Response | None:
        if response is None:
            return None
        return lambda level: tuple(np.broadcast_to(c, mean.shape)[part] for c in response(level))  # type: ignore[return-value]

    parts = [slice(i, i + size) for i in range(0, len(mean), size)]
    found = [
        _moments(plan, mean[part], variances[part], (start[0][part], start[1][part]), of(part), read) for part in parts
    ]
    return np.concatenate([m for m, _ in found]), np.concatenate([v for _, v in found])


def _moments(
    plan: Plan,
    mean: Any,
    variances: Any,
    start: tuple[Any, Any],
    response: Response | None,
    read: dict[int, tuple[int, ...]],
) -> tuple[Any, Any]:
    plain = isinstance(mean, np.ndarray) and mean.dtype == np.float64
    alive: dict[int, Affine] = {}

    def gather(r: int, line: Any, value: Affine, draw: _Rows) -> Affine:
        if not read:
            return value
        alive[r] = value
        kept = read.get(r, ())
        if r not in read:
            return value
        for q in set(alive) - set(kept):
            del alive[q]
        # a gradient passes through one root, not through directions that are almost dependent
        worth = len(kept) == 1 or (plain and draw.row * len(mean) > WORTH)
        if draw.row <= len(kept) or not worth:
            return value
        draw.row = len(kept)
        for q, form in zip(kept, _gathered([alive[q] for q in kept]), strict=True):
            object.__setattr__(alive[q], "constant", form.constant)
            object.__setattr__(alive[q], "rows", form.rows)
        return value

    form = _carry(plan, mean, variances, Affine(start[0], sqrt(start[1])[None]), gather, response)
    return form.constant, (form.rows**2).sum(0)


def start_law(plan: Plan, mean: Any, variances: Any, init: str) -> tuple[Any, Any]:
    """Mean and variance of ``x_T`` for an ``init`` of :func:`moments`."""
    if init == "marginal":
        return plan.start.alpha * mean, plan.start.alpha**2 * variances + plan.start.sigma**2
    if init == "prior":
        return mean * 0, variances * 0 + plan.prior**2
    raise ValueError(f"init = {init!r} is unknown: use 'marginal' or 'prior'")
