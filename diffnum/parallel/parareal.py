"""Parareal: a coarse sampler one step after another, a fine one in all its intervals at once.

With ``G`` one coarse interval and ``F`` the fine plan over it (Lions, Maday & Turinici 2001),

    U_{j+1}^{k+1} = F_j(U_j^k) + (G_j(U_j^{k+1}) - G_j(U_j^k)),        U_0 = x_T.

After ``k`` iterations the first ``k`` states are those of the fine plan run alone. Where every ``F_j`` and ``G_j`` is
linear, with factors ``phi_j`` and ``gamma_j`` in an eigen-direction of a Gaussian, the errors obey ``e_{j+1}^{k+1} =
gamma_j e_j^{k+1} + (phi_j - gamma_j) e_j^k``, and with ``|gamma_j| <= 1`` and ``D = max |phi_j - gamma_j|``

    max_j |e_j^k| <= D^k / k! (N - 1) ... (N - k) max_j |e_j^0|

(Gander & Vandewalle 2007, theorem 4.9: superlinear on a bounded interval).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..noise import as_source
from ..plan import Eval, Level, Lin, Noise, Plan, sources
from ..read.moments import affine
from ..read.sample import linear
from .batching import Ask, together
from .picard import Rule, check_rule, worst

__all__ = ["Parareal", "cut", "parareal", "parareal_bound", "parareal_errors"]


@dataclass(frozen=True)
class Parareal:
    """What :func:`parareal` gives.

    Attributes:
        states: at the levels of the coarse plan, ``x_T`` first.
        iterations: corrections made after the first coarse run.
        residuals: for each, the mean square change of every state, the largest of the batch.
        depth: batched or single calls of the model made one after another.
        nfe: model evaluations in all.
        sequential: evaluations of the fine plan run alone.
    """

    states: tuple[Any, ...]
    iterations: int
    residuals: tuple[np.ndarray, ...]
    depth: int
    nfe: int
    sequential: int

    @property
    def sample(self) -> Any:
        """The sample."""
        return self.states[-1]


def parareal(
    fine: Plan,
    coarse: Plan,
    model: Any,
    x: Any,
    tol: float = 0.0,
    iterations: int | None = None,
    noise: Any = None,
) -> Parareal:
    """Run ``fine`` in parallel over the steps of ``coarse``, which predicts what each starts from.

    Args:
        fine: the plan whose sample is wanted; its levels hold all of ``coarse``'s, and at these nothing but the state
            is remembered (any one-step method).
        coarse: a cheap plan without draws on some of its levels, with nothing remembered either.
        model: as for :func:`~diffnum.parallel.picard`; the fine runs of an iteration go hand in hand, one batched call
            for each of their evaluations.
        x: ``x_T``.
        tol: the iteration stops when every state changed by a mean square of at most ``tol^2 sigma^2`` of its level, or
            not at all, or after as many corrections as intervals, when it is exact.
        iterations: most corrections, 0 for the coarse run alone; None for as many as needed.
        noise: source of the fine plan's draws, named by their intervals.

    Raises:
        ValueError: plans for different predictions, levels of ``coarse`` that ``fine`` does not have, memory across
            one, a coarse plan that draws; a negative tolerance.
    """
    check_rule(Rule(tol))
    if iterations is not None and not (isinstance(iterations, int) and iterations >= 0):
        raise ValueError(f"iterations = {iterations!r} is no number of corrections: give a whole number >= 0, or None")
    _check(fine, coarse)
    source = as_source(noise, fine)
    fines = cut(fine, coarse.levels)
    coarses = cut(coarse, coarse.levels)
    ask, lin = together(model, fine.prediction), linear(x)
    draw = lambda line: source(line, x)  # noqa: E731
    depth = nfe = 0

    def run(plans: Sequence[Plan], starts: Sequence[Any]) -> list[Any]:
        nonlocal depth, nfe
        depth += max(plan.nfe for plan in plans)
        nfe += sum(plan.nfe for plan in plans)
        return side_by_side(plans, starts, ask, lin, draw)

    states, guesses = [x], []
    for plan in coarses:
        guesses += run([plan], states[-1:])
        states.append(guesses[-1])
    n, limits = len(fines), [(tol * float(level.sigma)) ** 2 for level in coarse.levels[1:]]
    residuals: list[np.ndarray] = []
    for k in range(n if iterations is None else min(n, iterations)):
        # the first k states are final, and so are the k - 1 intervals between them
        ends = run(fines[k:], states[k:-1])
        new = states[: k + 1]
        for j, end in enumerate(ends, k):
            if j > k:
                (again,) = run([coarses[j]], new[-1:])
                end, guesses[j] = end + (again - guesses[j]), again
            new.append(end)
        changes = [worst(a, b) for a, b in zip(new[1:], states[1:], strict=True)]
        residuals.append(np.array(changes))
        states = new
        if all(c <= m for c, m in zip(changes, limits, strict=True)):
            break
    return Parareal(tuple(states), len(residuals), tuple(residuals), depth, nfe, fine.nfe)


def _check(fine: Plan, coarse: Plan) -> None:
    if fine.prediction != coarse.prediction:
        raise ValueError(
            f"the fine plan is for {fine.prediction} prediction and the coarse one for {coarse.prediction}: compile "
            "both for the model's"
        )
    if coarse.draws:
        raise ValueError(f"{coarse.solver} draws noise, so it predicts nothing: take a coarse plan without draws")


def cut(plan: Plan, levels: Sequence[Level]) -> list[Plan]:
    """``plan`` in pieces between ``levels``, each from one state to the next.

    Raises:
        ValueError: levels that the plan does not start with, stop with or pass; something other than the state that is
            remembered across one; an output that is not its last state.
    """
    if plan.outputs[0][1] != plan.states[-1]:
        raise ValueError(
            f"{plan.solver} ends with {plan.end!r}, so its output is not its last state: end the grid with "
            "'stop' or 'zero'"
        )
    places = [_place(plan, level) for level in levels]
    if places != sorted(set(places)) or places[0] != 0 or places[-1] != plan.steps:
        raise ValueError(f"the levels do not lead from the start of {plan.solver} to its end: give both, in order")
    return [_piece(plan, i, k) for i, k in pairwise(places)]


def _place(plan: Plan, level: Level) -> int:
    for i, own in enumerate(plan.levels):
        if math.isclose(own.alpha, level.alpha, rel_tol=1e-9) and math.isclose(own.sigma, level.sigma, rel_tol=1e-9):
            return i
    raise ValueError(
        f"{plan.solver} has no level with alpha = {level.alpha:.6g}, sigma = {level.sigma:.6g}: take every m-th of "
        "its levels"
    )


def _piece(plan: Plan, i: int, k: int) -> Plan:
    first, last = plan.states[i], plan.states[k]
    number = {first: 0}
    lines = []
    for r in range(first + 1, last + 1):
        line = plan.lines[r - 1]
        beyond = [q for q in sources(line) if q not in number]
        if beyond:
            raise ValueError(
                f"{plan.solver} remembers {plan.names[beyond[0]]} across the level of {plan.names[first]}: parareal "
                "needs a one-step method, or a plan that starts anew there"
            )
        number[r] = len(number)
        step = line.step - i
        if isinstance(line, Lin):
            lines.append(replace(line, terms=tuple((number[q], c) for q, c in line.terms), step=step))
        elif isinstance(line, Eval):
            lines.append(replace(line, x=number[line.x], step=step))
        else:
            lines.append(replace(line, step=step))
    return replace(
        plan,
        lines=tuple(lines),
        levels=plan.levels[i : k + 1],
        states=tuple(number[r] for r in plan.states[i : k + 1]),
        outputs=(("x", number[last]),),
        conversions=(),
        inputs=(("x", 0),),
    )


@dataclass
class _Run:
    """A plan under way: stopped where it asks its model."""

    course: Generator[tuple[Any, Level], Any, Any]
    asked: tuple[Any, Level] | None = None
    result: Any = None
    answer: Any = field(default=None)

    def go(self, answer: Any = None) -> None:
        try:
            self.asked = self.course.send(answer)
        except StopIteration as stop:
            self.asked, self.result = None, stop.value


def side_by_side(
    plans: Sequence[Plan], starts: Sequence[Any], ask: Ask, lin: Callable[..., Any], draw: Callable[[Noise], Any]
) -> list[Any]:
    """The samples of several plans, run hand in hand: one batched call for the next evaluation of all of them."""
    runs = [_Run(_course(plan, x, lin, draw)) for plan, x in zip(plans, starts, strict=True)]
    for run in runs:
        run.go()
    while waiting := [run for run in runs if run.asked is not None]:
        answers = ask([run.asked[0] for run in waiting], [run.asked[1] for run in waiting])  # type: ignore[index]
        for run, answer in zip(waiting, answers, strict=True):
            run.go(answer)
    return [run.result for run in runs]


def _course(
    plan: Plan, x: Any, lin: Callable[..., Any], draw: Callable[[Noise], Any]
) -> Generator[tuple[Any, Level], Any, Any]:
    values = {0: x}
    for r, line in enumerate(plan.lines, 1):
        if isinstance(line, Lin):
            values[r] = lin([(c, values[q]) for q, c in line.terms])
        elif isinstance(line, Eval):
            values[r] = yield values[line.x], line.level
        else:
            values[r] = draw(line)
        for q in {*sources(line), r}:
            if plan.last_use[q] <= r:
                del values[q]
    return values[plan.outputs[0][1]]


def parareal_errors(fine: Plan, coarse: Plan, target: Any, iterations: int) -> np.ndarray:
    """The error of every state after ``0..iterations`` corrections on a Gaussian, ``(1 + iterations, N + 1, d)``.

    It is that factor of ``x_T - mean`` by which the state differs from the fine plan's, per eigen-direction, for a law
    of mean zero or not: means err by the same factors.

    Raises:
        ValueError: a target that is not Gaussian; as :func:`parareal`.
    """
    _check(fine, coarse)
    phi, gamma = (_factors(plan, coarse.levels, target) for plan in (fine, coarse))
    truth = _products(phi)
    errors = [_products(gamma) - truth]
    for _ in range(iterations):
        old, new = errors[-1], np.zeros_like(truth)
        for j, (f, g) in enumerate(zip(phi, gamma, strict=True)):
            new[j + 1] = g * new[j] + (f - g) * old[j]
        errors.append(new)
    return np.stack(errors)


def parareal_bound(fine: Plan, coarse: Plan, target: Any, iterations: int) -> np.ndarray:
    """Bounds of the largest error of any state and direction over that before the first correction, after
    ``0..iterations`` corrections; one is reached after as many as there are intervals: zero.

    Raises:
        ValueError: a coarse step that grows in some direction, where the bound does not hold.
    """
    phi, gamma = (_factors(plan, coarse.levels, target) for plan in (fine, coarse))
    if np.abs(gamma).max() > 1 + 1e-12:
        raise ValueError(
            f"a coarse step multiplies by {np.abs(gamma).max():.4g} and the bound is for at most 1: use a process and "
            "a law on which states shrink, such as dn.EDM()"
        )
    ratio, n = float(np.abs(phi - gamma).max()), len(phi)
    return np.array([ratio**k * math.comb(n - 1, k) for k in range(iterations + 1)])


def _factors(plan: Plan, levels: Sequence[Level], target: Any) -> np.ndarray:
    if not hasattr(target, "eigen"):
        raise ValueError(f"the theory needs a Gaussian, got {type(target).__name__}: use dn.Gaussian.fit(data)")
    mean, variances = target.eigen()
    return np.stack([affine(piece, mean, variances).rows[0] for piece in cut(plan, levels)])


def _products(factors: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((1, factors.shape[1])), np.cumprod(factors, axis=0)])
