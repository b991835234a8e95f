"""A design on disk: the plan, the picture of its grid and weights, and the numbers behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..design.designing import Design
from ..design.weights import step_weights
from ..figures import panels, save, style
from ..figures.design import gains, ladders, weight_matrix

__all__ = ["draw_design", "record"]


def record(design: Design) -> dict[str, Any]:
    """Everything that is known of a design, for JSON."""
    return {
        "nfe": design.nfe,
        "plan": design.plan.hash,
        "prediction": design.plan.prediction,
        "trained_on": design.trained_on,
        "order": design.fit.free.order,
        "better": design.better,
        "log_snr": [level.lam for level in design.plan.levels],
        "theta": design.fit.theta.tolist(),
        "verdicts": [
            {
                "surrogate": v.trial,
                "hand_made": {"sampler": v.hand_made.sampler, "grid": v.hand_made.grid, "end": v.hand_made.end},
                "hand_made_error": v.hand_made_error,
                "error": v.error,
                "gain": v.gain.value,
                "low": v.gain.low,
                "high": v.gain.high,
                "better": v.better,
            }
            for v in design.verdicts
        ],
        "tried": [{"trained_on": name, "order": order, "score": score} for name, order, score in design.tried],
    }


def draw_design(design: Design, path: Path, rerun: str) -> tuple[Path, ...]:
    """Three panels: gains on surrogates never used, levels beside the best hand-made plan's, weights of every step."""
    rivals = {verdict.hand_made.sampler: verdict.hand_made for verdict in design.verdicts[:1]}
    rungs = {"designed": _asked(design.plan)}
    rungs |= {f"{rival.sampler}\n{rival.grid}": _asked(rival.plan) for rival in rivals.values()}
    weights = step_weights(design.fit.plan())
    rows = [(v.trial, v.gain.value, v.gain.low, v.gain.high) for v in design.verdicts]
    with style():
        fig, axes = panels(1, 3, (14.0, 4.6))
        (left, middle, right) = axes[0]
        gains(left, rows)
        left.set_title("Gain on laws it never saw")
        ladders(middle, rungs)
        middle.set_title("Levels of the evaluations")
        weight_matrix(right, weights)
        right.set_title("Weights of the denoised predictions")
        numbers = {"gains": {row[0]: list(row[1:]) for row in rows}, "log_snr": rungs, "weights": weights}
        return save(fig, path, numbers, rerun)


def _asked(plan: Any) -> list[float]:
    return sorted(plan.lines[r - 1].level.lam for r in plan.evaluations)
