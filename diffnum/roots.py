"""The root condition: whether the error of one step stays bounded over many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .plan import Plan, interpret
from .series import Series, rational

__all__ = ["pair_rows", "principal", "reads_last_state", "root_condition", "state_rows"]


Row = dict[tuple[int, int], Any]
_ONE = Series(0, (rational(1),))


def state_rows(plan: Plan, number: Callable[[Any], Any] | None = None) -> list[dict[int, Any]]:
    """Every state as a combination of earlier ones where ``D = 0``, in ``u = x / sigma`` as ``h`` tends to 0.

    Args:
        plan: one without partner states, see :func:`pair_rows`.
        number: of the leading coefficient of a series, default a float.

    Returns:
        One row a step, from how many states back, 0 for the one that the step begins with, to the coefficient; terms
        that vanish are left out.
    """
    return [{back: c for (back, _), c in rows[0].items()} for rows in pair_rows(plan, number)]


def pair_rows(plan: Plan, number: Callable[[Any], Any] | None = None) -> list[list[Row]]:
    """:func:`state_rows` of plans whose state goes along with partners: a row of each for every step, the state's
    first, over ``(back, k)`` with ``k = 0`` the state."""
    return [_of_last_pair(rows) for rows in _as_written(plan, number)]


def _of_last_pair(rows: list[Row]) -> list[Row]:
    """Rows in which a partner that was made of the new state is what that state is made of."""
    found: list[Row] = []
    for row in rows:
        whole: Row = {}
        for (back, k), c in row.items():
            for at, a in found[k].items() if back < 0 else (((back, k), 1),):
                whole[at] = whole.get(at, 0) + c * a
        found.append(whole)
    return found


def _as_written(plan: Plan, number: Callable[[Any], Any] | None) -> list[list[Row]]:
    """:func:`pair_rows` with ``back = -1`` for the new state."""
    kind = number or float
    families = (plan.states, *plan.partners)
    place = {r: (i, k) for k, rows in enumerate(families) for i, r in enumerate(rows)}
    unit: dict[int, Mapping[int, Any]] = {r: {r: 1} for r in place}
    scale = [_head(level.sigma) for level in plan.levels]
    found: list[list[Row]] = [[{} for _ in families] for _ in range(plan.steps)]

    def combine(terms: Sequence[tuple[Any, Mapping[int, Any]]]) -> Mapping[int, Any]:
        out: dict[int, Any] = {}
        for c, value in terms:
            for r, a in value.items():
                out[r] = out.get(r, 0) + kind(_head(c)) * a
        return out

    def visit(r: int, line: Any, value: Mapping[int, Any]) -> Mapping[int, Any]:
        if r in unit and place[r][0]:
            i, k = place[r]
            for q, a in value.items():
                j, of = place[q]
                whole = a * kind(scale[j] / scale[i])
                if whole != 0:
                    found[i - 1][k][i - 1 - j, of] = whole
        return unit.get(r, value)

    interpret(plan, unit[0], combine, lambda x, level, quantity: {}, lambda line: {}, visit)
    return found


def reads_last_state(plan: Plan) -> bool:
    """Whether a state reads no other state than the last one, at every step, and a pair the last pair, in one way at
    every step: on random steps, a one-step method as far as zero-stability goes, so that it is stable for every step
    ratio or for none."""
    steps = pair_rows(plan)
    if any(back for rows in steps for row in rows for back, _ in row):
        return False
    if not plan.partners:
        return True
    first = steps[0]
    return all(
        row.keys() == known.keys() and all(abs(row[at] - known[at]) < 1e-9 for at in row)
        for rows in steps
        for row, known in zip(rows, first, strict=True)
    )


def principal(plan: Plan) -> tuple[Any, Any] | None:
    """Shares of the errors that a step makes, in a state and then in its partner, in what the pair carries on.

    With ``V`` the matrix of a step where ``D = 0``, ``w V = w`` and ``w_1 + w_2 = 1``, that is ``w`` times both errors;
    the rest alternates or dies out. A partner made of the new state, with a factor ``c``, has ``c`` times its error
    besides. None where the steps are not alike, where more partners go along or where both states move on their own.
    """
    if len(plan.partners) != 1 or not reads_last_state(plan):
        return None
    written = _as_written(plan, _as_in_series)[0]
    now, then = _of_last_pair(written)
    stays, taken = now.get((0, 0), 0), then.get((0, 0), 0)
    whole = 1 - stays + taken
    if whole == 0:
        return None
    w, v = taken / whole, (1 - stays) / whole
    return w + written[1].get((-1, 0), 0) * v, v


def _as_in_series(c: Any) -> Any:
    return (_ONE * c)[0]


def root_condition(plan: Plan, first: int | None = None, period: int = 1, bound: float = 1e4) -> bool:
    """Zero-stability: with ``D = 0`` a state is a bounded combination of earlier ones.

    Every state is replaced by its own unit; if state ``i + 1`` reads only state ``i`` (in ``u = x / sigma``,
    with coefficient 1) the method is zero-stable for every step ratio. Otherwise the powers of the product of
    companion matrices along the plan's own step ratios, up to the millionth, are bounded by ``bound``: a spurious
    root beyond the unit circle and a double root on it are not. A step of the start-up, or the last one, may drop
    what the others carry on, and a product with it would be bounded whatever they do: so they are left out. With
    partner states the entries of the companion matrices are matrices.

    Args:
        plan: a plan of so many steps that some are left.
        first: the first step after the start-up; default the depth of the plan.
        period: how many steps the plan's ratios take to repeat; as many whole periods as there are enter.
        bound: of every entry.

    Raises:
        ValueError: no whole period between the start-up and the last step.
    """
    import numpy as np

    steps = pair_rows(plan)
    if not plan.partners and all(set(row) <= {(0, 0)} for row, *_ in steps):
        return all(abs(sum(row.values()) - 1) < 1e-9 for row, *_ in steps)
    first = plan.depth if first is None else first
    usual = steps[first:-1]
    usual = usual[len(usual) % period :]
    if not usual:
        raise ValueError(f"{len(steps)} steps hold no period of {period} from step {first} to the last: take more")
    m = 1 + len(plan.partners)
    width = m * (1 + max((back for rows in usual for row in rows for back, _ in row), default=0))
    product = np.eye(width)
    for rows in usual:
        companion = np.eye(width, k=-m)
        companion[:m] = 0
        for k, row in enumerate(rows):
            for (back, of), c in row.items():
                companion[k, m * back + of] = c
        product = companion @ product
    for _ in range(20):
        if not np.abs(product).max() < bound:
            return False
        product = product @ product
    return bool(np.abs(product).max() < bound)


def _head(c: Any) -> Any:
    return c[0] if isinstance(c, Series) else c
