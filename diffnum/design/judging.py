"""A plan judged on any model, such as a network that the design never saw: its own trajectories are the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..plan import Level, Plan
from .contest import Verdict
from .followed import Followed
from .handmade import Candidate, best_on, candidates
from .trajectories import DATA, Trajectories
from .trial import Part, Trial

__all__ = ["against", "agree", "judge", "trial_of"]


def trial_of(
    plan: Plan, model: Callable[[Any, Level], Any], x: Any, process: Any, prediction: str, tol: float
) -> Trial:
    """Trajectories of a model from ``x`` at the start of ``plan`` as a trial; arguments as of :func:`judge`."""
    law = Followed(model, prediction, process, process.level(process.t_stop), x)
    rows = np.asarray(x.detach().cpu().numpy() if hasattr(x, "detach") else x, dtype=np.float64).reshape(len(x), -1)
    if bad := int((~np.isfinite(rows)).any(axis=1).sum()):
        what = "NaN" if np.isnan(rows).any() else "infinity"
        raise ValueError(f"x holds {what} in {bad} of {len(rows)} starting points: pass finite noise")
    followed = Trajectories(law, plan.start, rows, law.flow(rows, plan.start, DATA, tol), tol)
    return Trial("model", (Part(followed),))


def agree(plan: Plan, model: Any, process: Any, prediction: str) -> None:
    """Refuse a process or prediction that the plan, or a network that knows its own, contradicts."""
    said, network = process.to_json(), getattr(model, "process", None)
    known = {"plan": dict(plan.process), "network": getattr(network, "to_json", dict)()}
    for what, own in known.items():
        if own and own != said:
            raise ValueError(f"the {what} is for the process {own}, not {said}: pass the process that both have")
    own = getattr(model, "prediction", prediction)
    if own != prediction:
        raise ValueError(f"the network predicts {own}, not {prediction}: pass prediction={own!r}")


def judge(
    plan: Plan,
    model: Callable[[Any, Level], Any],
    x: Any,
    process: Any,
    prediction: str = "data",
    samplers: Sequence[Any] | None = None,
    seed: int = 0,
    tol: float = 1e-3,
) -> Verdict:
    """``plan`` against the best hand-made plan of as many evaluations, on a model's own trajectories.

    The hand-made plan is the best *on these very trajectories*; nothing of the plan is chosen by them. Hand-made plans
    that start at less noise than ``plan``, as the EDM's grid does on other processes, start on the trajectories there.

    Args:
        plan: a design, of any prediction: the same plan is run with predictions as the model's. It may start at pure
            noise.
        model: ``model(x, level)``, returning ``prediction``; a network, or any function.
        x: ``(n, ...)`` starting points at ``plan.start``, torch or numpy, as the model takes them.
        process: the model's noise process.
        prediction: what the model returns.
        samplers: hand-made ones or their names; :data:`.handmade.RIVALS` if None.
        seed: of the interval.
        tol: relative error of the converged trajectories, estimated by doubling their steps.

    Raises:
        ValueError: one starting point, or some that are not finite; a plan that draws noise, or that starts after every
            hand-made one; a prediction of noise where there is nothing else; trajectories that do not converge.
    """
    if len(x) < 2:
        raise ValueError(f"{len(x)} starting points give no interval: pass at least 2")
    if plan.draws:
        raise ValueError(f"{plan.solver} draws noise and follows no trajectory: judge it by dn.w2 on a Gaussian")
    by_hand = [c for c in candidates(process, plan.nfe, samplers) if not c.plan.start.lam < plan.start.lam]
    if not by_hand:
        raise ValueError(
            f"no hand-made plan of {plan.nfe} evaluations starts at log-SNR {plan.start.lam:.6g} or later: judge "
            "a plan that starts at process.level(process.t_start), or pass other samplers"
        )
    agree(plan, model, process, prediction)
    return against(plan, trial_of(plan, model, x, process, prediction, tol), by_hand, seed)


def against(plan: Plan, trial: Trial, by_hand: Sequence[Candidate], seed: int = 0) -> Verdict:
    """``plan`` against the best of some hand-made plans on a trial."""
    rival = best_on(trial, by_hand)[0]
    gain = trial.gain(plan, rival.plan, seed)
    return Verdict(trial.name, rival, trial.error(rival.plan), trial.error(plan), gain)
