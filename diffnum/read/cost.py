"""What a plan costs: a ledger of model evaluations, draws, live registers and bytes moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..plan import Eval, Level, Lin, Plan, sources
from .lean import lean
from .pieces import held

__all__ = ["Cost", "cost", "live"]


@dataclass(frozen=True)
class Cost:
    """The ledger of a plan.

    Attributes:
        nfe: model evaluations; ``calls`` counts each as many times as it takes calls (2 under guidance).
        start_up: evaluations in the first steps, where a multistep method's history is incomplete.
        final: evaluations after the last step (full or half denoise).
        repeated: evaluations at a level evaluated before (correctors).
        wasted: evaluations that never reach an output.
        draws: draws of noise.
        live: largest number of registers that a run of :func:`~diffnum.read.lean.lean` holds at once, to the tensor the
            memory that it takes besides ``x_T``, its caller's, and the model's own. A line's result stands beside what
            it reads; predictions and draws are registers that the model and the source of noise allocate; what the
            caller keeps comes on top, and so does, of states of 16 bits, what their sums take in float32.
        moved: registers read and written by its linear lines, times ``bytes_per_register`` in ``bytes``.
        folded, stored: predictions read as another quantity and folded into their users or stored
            once, whichever takes fewer terms (``Plan.conversions`` has both numbers of each).
    """

    nfe: int
    calls: int
    start_up: int
    final: int
    repeated: int
    wasted: int
    draws: int
    live: int
    moved: int
    bytes: int
    folded: int
    stored: int


def cost(plan: Plan, calls_per_evaluation: int | Callable[[Level], int] = 1, bytes_per_register: int = 1) -> Cost:
    """Count ``plan``; see :class:`Cost`.

    Args:
        calls_per_evaluation: 2 for classifier-free guidance in two passes; or a function of the level, such as the
            ``calls`` of a guided model whose guidance acts in an interval.
        bytes_per_register: size of one state, for ``bytes``.
    """
    evals = [(r, line) for r, line in enumerate(plan.lines, 1) if isinstance(line, Eval)]
    seen: set[float] = set()
    repeated = 0
    for _, line in evals:
        repeated += line.level.lam in seen
        seen.add(line.level.lam)
    needed = _needed(plan)
    moved = sum(len(line.terms) + 1 for line in lean(plan).lines if isinstance(line, Lin))
    folded = sum(a <= b for _, _, a, b in plan.conversions)
    return Cost(
        nfe=plan.nfe,
        calls=sum(_calls(calls_per_evaluation, line.level) for _, line in evals),
        start_up=sum(line.step < plan.depth for _, line in evals),
        final=sum(line.step >= plan.steps for _, line in evals),
        repeated=repeated,
        wasted=sum(r not in needed for r, _ in evals),
        draws=len(plan.draws),
        live=live(plan),
        moved=moved,
        bytes=moved * bytes_per_register,
        folded=folded,
        stored=len(plan.conversions) - folded,
    )


def _calls(each: int | Callable[[Level], int], level: Level) -> int:
    return each(level) if callable(each) else each


def _needed(plan: Plan) -> set[int]:
    needed = {r for _, r in plan.outputs}
    for r in range(len(plan.lines), 0, -1):
        if r in needed:
            needed.update(sources(plan.lines[r - 1]))
    return needed


def live(plan: Plan) -> int:
    """``live`` of :class:`Cost`."""
    return held(lean(plan))
