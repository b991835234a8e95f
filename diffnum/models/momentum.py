"""Guidance that remembers: a run in which the difference of two predictions is summed up over the calls."""

from __future__ import annotations

from typing import Any

from ..plan import Level, Plan
from ..read.sample import sample
from .guidance import Guidance, check_prediction, read

__all__ = ["sample_with_momentum"]


def sample_with_momentum(plan: Plan, guided: Guidance, momentum: float, x: Any, noise: Any = None) -> Any:
    """The run of ``plan`` under guidance whose difference has a momentum (Sadat et al. 2024, section 5),

        d_k = (strong_k - weak_k) + momentum d_{k-1},    d_{-1} = 0,

    in the rule's own prediction; the rule is given ``strong_k`` and ``strong_k - d_k``. A negative ``momentum``, the
    published one, leaves what was pushed already out of the next push. With :class:`~diffnum.models.Projected` it is
    the whole of adaptive projected guidance.

    The memory is of calls: it begins with the run, is as long for two samplers as their calls are many, and calls
    outside the interval of guidance are no part of it. Of a difference that stays as it is the sum is
    ``1 / (1 - momentum)`` times it in the end, so that momentum is a change of the scale which sets in with the calls,
    and a run has no limit as an ODE but that one.

    Args:
        plan: of ``guided.prediction``.
        guided: two models and a rule.
        momentum: in ]-1, 1[; -0.5 and -0.75 are the authors'; 0 is ``dn.sample``.
        x, noise: as for ``dn.sample``.

    Raises:
        ValueError: a momentum that does not forget; a plan of another prediction.
    """
    if not -1 < momentum < 1:
        raise ValueError(f"momentum = {momentum!r} never forgets: give a number between -1 and 1")
    check_prediction(guided, plan.prediction)
    quantity = guided.rule.quantity or guided.prediction
    pushed: list[Any] = []

    def model(x: Any, level: Level) -> Any:
        if not guided.active(level):
            return guided.source.alone(x, level)
        pair = guided.source.both(x, level)
        strong, weak = (read(x, value, level, guided.prediction, quantity) for value in pair)
        push = strong - weak
        pushed[:] = [push + momentum * pushed[0] if pushed else push]
        return read(x, guided.rule(strong, strong - pushed[0], level), level, quantity, guided.prediction)

    return sample(plan, model, x, noise)
