"""One call of a model for states of several levels.

A round of an iteration in parallel asks for predictions at ``p`` states of ``p`` levels at once. A model that can
answer them in one call has a method

    model.at(xs, levels)        xs of shape (p, n, ...), p levels  ->  predictions of shape (p, n, ...)

beside ``model(x, level)``; :class:`diffnum.models.Network` has it, and :class:`PerSample` gives it to any function
whose time is one number per row. Other models, and exact targets, are asked level by level: the same numbers, without
the speed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level
from ..prediction import convert
from ..read.sample import adapted_model, as_like

__all__ = ["Ask", "PerSample", "Restated", "Sharded", "sharded", "together"]

Ask = Callable[[Sequence[Any], Sequence[Level]], list[Any]]
"""From states and their levels, one each, to the predictions."""


def together(model: Any, prediction: str = "data") -> Ask:
    """``model`` for several states at once: in one call where it has ``at``, else one after another.

    Args:
        model: ``model(x, level)``, with or without ``at(xs, levels)``, or a target.
        prediction: what a target is asked for.

    Raises:
        ValueError: later, predictions of another shape or kind than the states.
    """
    at = getattr(model, "at", None)
    if at is None:
        call = adapted_model(model, prediction)
        return lambda xs, levels: [as_like(call(x, level), x) for x, level in zip(xs, levels, strict=True)]

    def ask(xs: Sequence[Any], levels: Sequence[Level]) -> list[Any]:
        stacked = _stack(xs)
        return list(as_like(at(stacked, tuple(levels)), stacked))

    return ask


def _stack(xs: Sequence[Any]) -> Any:
    if isinstance(xs[0], np.ndarray):
        return np.stack(xs)
    import torch

    return torch.stack(list(xs))


def _told(level: Level) -> float:
    return float(level.t)


@dataclass(frozen=True)
class PerSample:
    """A network ``f(x, times)`` with one time per row as a model that answers several levels in one call.

    Attributes:
        f: from torch tensors ``(m, ...)`` and ``(m,)``, both of the dtype of the state, to predictions ``(m, ...)``.
        told: from a level to the number that the network is told; its time by default.
    """

    f: Callable[[Any, Any], Any]
    told: Callable[[Level], float] = _told

    def __call__(self, x: Any, level: Level) -> Any:
        """``(n, ...)`` at one level."""
        return self.at(x[None], (level,))[0]

    def at(self, xs: Any, levels: Sequence[Level]) -> Any:
        """``(p, n, ...)`` at ``p`` levels, in one call of ``f``."""
        import torch

        times = torch.tensor([self.told(level) for level in levels], dtype=torch.float64)
        times = times.to(device=xs.device, dtype=xs.dtype).repeat_interleave(xs.shape[1])
        return self.f(xs.flatten(0, 1), times).unflatten(0, xs.shape[:2])


@dataclass(frozen=True)
class Restated:
    """A model of one prediction as a model of another: what is iterated in parallel is the plan's prediction.

    A sampler compiled for the velocity is the same sampler to rounding, and on a variance-preserving process Picard
    iteration of it needs about half the rounds of that for the noise; see
    :func:`~diffnum.parallel.predicted_iterations`.

        plan = dn.compile("ddim", levels, "velocity")
        found = dn.parallel.picard(plan, dn.parallel.Restated(network, "noise", "velocity"), x)

    Attributes:
        model: ``model(x, level)``, with or without ``at(xs, levels)``, or a target.
        source: what it predicts.
        target: what this model predicts, one of ``diffnum.plan.PREDICTIONS``.

    Raises:
        ValueError: later, at a level where one does not determine the other.
    """

    model: Any
    source: str
    target: str

    def __call__(self, x: Any, level: Level) -> Any:
        """The prediction of ``target`` at one level."""
        return self._read(x, together(self.model, self.source)([x], [level])[0], level)

    def at(self, xs: Any, levels: Sequence[Level]) -> Any:
        """``(p, n, ...)`` at ``p`` levels, in one call of a model that can."""
        found = together(self.model, self.source)(xs, levels)
        return _stack([self._read(*one) for one in zip(xs, found, levels, strict=True)])

    def _read(self, x: Any, prediction: Any, level: Level) -> Any:
        try:
            a, b = convert(level, self.source, self.target)
        except ZeroDivisionError as error:
            raise ValueError(
                f"{self.source} prediction does not determine {self.target} at alpha = {level.alpha:g}, sigma = "
                f"{level.sigma:g}: start and stop at levels with both above 0"
            ) from error
        return a * x + b * prediction


def sharded(model: Any, prediction: str = "data", group: Any = None) -> Any:
    """``model`` with the states of a round shared out among the ranks of a process group.

    Every rank runs the same program from the same ``x_T`` and the same source of noise, asks its model for its part of
    the round, and receives the others' by ``all_gather``: ``ceil(p / ranks)`` states each instead of ``p``.

        torch.distributed.init_process_group("nccl")             # under torchrun
        x = dn.parallel.picard(plan, dn.parallel.sharded(network), x_T).sample

    Args:
        model: as for :func:`together`; on this rank's device.
        prediction: what a target is asked for.
        group: a process group; None for all ranks.

    Returns:
        A :class:`Sharded` model, or ``model`` itself, with a ``RuntimeWarning``, where no process group was started.
    """
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        warnings.warn(
            "no process group was started, so all states of a round are asked for here: run under torchrun and call "
            "torch.distributed.init_process_group first",
            RuntimeWarning,
            stacklevel=2,
        )
        return model
    return Sharded(model, prediction, group)


@dataclass(frozen=True)
class Sharded:
    """See :func:`sharded`, which makes it."""

    model: Any
    prediction: str = "data"
    group: Any = None

    def __call__(self, x: Any, level: Level) -> Any:
        """One state is asked for on every rank."""
        return together(self.model, self.prediction)([x], [level])[0]

    def at(self, xs: Any, levels: Sequence[Level]) -> Any:
        """``(p, n, ...)`` at ``p`` levels; every rank must call it with the same number of states."""
        import torch
        import torch.distributed as dist

        ranks, rank = dist.get_world_size(self.group), dist.get_rank(self.group)
        share = math.ceil(len(xs) / ranks)
        # equal shares: the last state stands in for those that are missing
        mine = [min(rank * share + i, len(xs) - 1) for i in range(share)]
        ask = together(self.model, self.prediction)
        part = _stack(ask([xs[i] for i in mine], [levels[i] for i in mine]))
        sent = torch.as_tensor(part).contiguous()
        parts = [torch.empty_like(sent) for _ in range(ranks)]
        dist.all_gather(parts, sent, group=self.group)
        whole = torch.cat(parts)[: len(xs)]
        return whole.numpy() if isinstance(part, np.ndarray) else whole
