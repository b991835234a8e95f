"""Adams and other polynomial multistep samplers as their papers, or the code that made them known, write them.

See :mod:`theory.published` for what ``sigma`` means where ``alpha`` is not 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diffnum.plan import Level
from diffnum.trace import Evaluation, Form, Trace

from .published import ratio, step_with_data, step_with_noise, to_d

# constant-step Adams-Bashforth weights and what divides them
ADAMS: dict[int, tuple[tuple[int, ...], int]] = {
    1: ((1,), 1),
    2: ((3, -1), 2),
    3: ((23, -16, 5), 12),
    4: ((55, -59, 37, -9), 24),
}


def mix(weights: Sequence[Any], forms: Sequence[Form]) -> Form:
    """``sum weights[j] forms[j]``."""
    return sum((w * form for w, form in zip(weights, forms, strict=True)), Form())


def lagrange(nodes: Sequence[Any], a: Any, b: Any) -> list[Any]:
    """Integrals from ``a`` to ``b`` of the Lagrange polynomials of ``nodes``, for any kind of number."""
    found = []
    for j, node in enumerate(nodes):
        c: list[Any] = [1]
        for other in (*nodes[:j], *nodes[j + 1 :]):
            rise, fall = [0, *c], [*(-other * x for x in c), 0]
            c = [(p + q) / (node - other) for p, q in zip(rise, fall, strict=True)]
        found.append(sum(x * (b ** (k + 1) - a ** (k + 1)) / (k + 1) for k, x in enumerate(c)))
    return found


# --- in the noise ratio


def rho_ab(T: Trace, grid: Any, order: int = 2) -> None:
    """rhoAB-DEIS (Zhang & Chen 2023): ``x / alpha`` by variable-step Adams-Bashforth in ``kappa = sigma / alpha``."""
    past: list[tuple[Form, Any]] = []
    for s, t in T.steps(grid):
        past = [(T.evaluate(T.x, s).noise, ratio(s)), *past][:order]
        weights = lagrange([k for _, k in past], ratio(s), ratio(t))
        T.x = t.alpha * (1 / s.alpha * T.x + mix(weights, [e for e, _ in past]))


def ab_4(T: Trace, grid: Any) -> None:
    """Adams-Bashforth 4 with constant steps for ``dy/dkappa = eps``, ``y = x / alpha``, started with the classical
    Runge-Kutta method (Hairer, Norsett & Wanner 1993, III.1)."""
    past: list[Form] = []
    for i, (s, t) in enumerate(T.steps(grid)):
        y, d = T.x / s.alpha, ratio(t) - ratio(s)
        k1 = T.evaluate(T.x, s).noise
        past = [k1, *past][:4]
        if i > 2:
            T.x = t.alpha * (y + d / 24 * mix(ADAMS[4][0], past))
            continue
        m = T.clock_between(s, t, 0.5)
        k2 = T.evaluate(m.alpha * (y + d / 2 * k1), m).noise
        k3 = T.evaluate(m.alpha * (y + d / 2 * k2), m).noise
        k4 = T.evaluate(t.alpha * (y + d * k3), t).noise
        T.x = t.alpha * (y + d / 6 * mix((1, 2, 2, 1), (k1, k2, k3, k4)))


def _transfer(x: Form, s: Level, t: Level, weights: Sequence[int], over: int, noises: Sequence[Form]) -> Form:
    """PNDM's transfer, which is DDIM's step, with a weighted noise."""
    q = t.alpha / s.alpha
    return q * x + (t.sigma - q * s.sigma) / over * mix(weights, noises)


def f_pndm(T: Trace, grid: Any) -> None:
    """F-PNDM (Liu et al. 2022): three pseudo Runge-Kutta steps, nodes half-way in time, then Adams-Bashforth's."""
    past: list[Form] = []
    for i, (s, t) in enumerate(T.steps(grid)):
        e1 = T.evaluate(T.x, s).noise
        past = [e1, *past][:4]
        if i > 2:
            weights, over = ADAMS[4]
            T.x = _transfer(T.x, s, t, weights, over, past)
            continue
        m = T.clock_between(s, t, 0.5)
        e2 = T.evaluate(step_with_noise(T.x, s, m, e1), m).noise
        e3 = T.evaluate(step_with_noise(T.x, s, m, e2), m).noise
        e4 = T.evaluate(step_with_noise(T.x, s, t, e3), t).noise
        T.x = _transfer(T.x, s, t, (1, 2, 2, 1), 6, (e1, e2, e3, e4))


def pndm(T: Trace, grid: Any, order: int = 4) -> None:
    """PNDM's multistep part, its orders ramped up instead of Runge-Kutta steps: iPNDM on any process."""
    past: list[Form] = []
    for s, t in T.steps(grid):
        past = [T.evaluate(T.x, s).noise, *past][:order]
        weights, over = ADAMS[len(past)]
        T.x = _transfer(T.x, s, t, weights, over, past)


def leapfrog(T: Trace, grid: Any) -> None:
    """Leapfrog in ``kappa`` on ``y = x / alpha``, ``y_t = y_r + (kappa_t - kappa_r) eps_s``, after a step of Euler."""
    before = None
    for s, t in T.steps(grid):
        y, k, e = T.x / s.alpha, ratio(s), T.evaluate(T.x, s).noise
        y_r, k_r = (y, k) if before is None else before
        T.x = t.alpha * (y_r + (ratio(t) - k_r) * e)
        before = y, k


def bdia(T: Trace, grid: Any, gamma: Any = 1) -> None:
    """BDIA-DDIM (Zhang et al. 2024): ``gamma (x_r - B) + F`` with DDIM steps from ``x_s``, ``F`` on to ``t`` and ``B``
    back to ``r``; the first step is DDIM."""
    before = None
    for s, t in T.steps(grid):
        x, e = T.x, T.evaluate(T.x, s).noise
        T.x = step_with_noise(x, s, t, e)
        if before is not None:
            x_r, r = before
            T.x = T.x + gamma * (x_r - step_with_noise(x, s, r, e))
        before = x, s


# --- in sigma, on (x - D) / sigma


def lms(T: Trace, grid: Any, order: int = 2) -> None:
    """k-diffusion's ``sample_lms``: variable-step Adams-Bashforth in ``sigma``."""
    past: list[tuple[Form, Any]] = []
    for s, t in T.steps(grid):
        past = [(to_d(T, T.x, s), s.sigma), *past][:order]
        weights = lagrange([sigma for _, sigma in past], s.sigma, t.sigma)
        T.x = T.x + mix(weights, [d for d, _ in past])


def ipndm(T: Trace, grid: Any, order: int = 4) -> None:
    """iPNDM (Zhang & Chen 2023; diff-sampler, ComfyUI): constant-step Adams-Bashforth weights, ramped up."""
    past: list[Form] = []
    for s, t in T.steps(grid):
        past = [to_d(T, T.x, s), *past][:order]
        weights, over = ADAMS[len(past)]
        T.x = T.x + ((t.sigma - s.sigma) / over) * mix(weights, past)


def ipndm_v(T: Trace, grid: Any, order: int = 3) -> None:
    """iPNDM-v (diff-sampler, ComfyUI), orders 1 to 3: weights meant for variable steps, kept with their parentheses."""
    past: list[tuple[Form, Any]] = []
    for s, t in T.steps(grid):
        h, d = t.sigma - s.sigma, to_d(T, T.x, s)
        new = d
        if past:
            d1, h1 = past[0]
            new = (2 + h / h1) / 2 * d - h / h1 / 2 * d1
        if len(past) == 2:
            (d1, h1), (d2, h2) = past
            temp = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
            new = new + temp * d - (1 + h1 / h2) * temp * d1 + (temp * h1 / h2) * d2
        T.x = T.x + h * new
        past = [(d, h), *past][: order - 1]


def gradient_estimation(T: Trace, grid: Any, gamma: Any = 2) -> None:
    """Gradient estimation (Permenter & Yuan 2024; ComfyUI): ``x + dsigma (d + (gamma - 1) (d - d_))``."""
    old = None
    for s, t in T.steps(grid):
        d, dt = to_d(T, T.x, s), t.sigma - s.sigma
        T.x = T.x + dt * d if old is None else T.x + dt * d + dt * (gamma - 1) * (d - old)
        old = d


def ghvb(T: Trace, grid: Any, order: int = 2, beta: Any = 1) -> None:
    """Generalised heavy ball (Wizadwongsa et al. 2023) of order 2 or 3, in ``kappa`` on ``x / alpha``:

    ``v <- (1 - b) v + b eps``, ``y + dkappa / b`` times ``((2 + b) v - (2 - b) v_1) / 2`` or
    ``((18 + 5 b) v - (24 - 8 b) v_1 + (6 - b) v_2) / 12``; the first ``v`` is ``eps``, orders are ramped up.
    """
    past: list[Form] = []
    rows = {1: ((beta,), 1), 2: ((2 + beta, beta - 2), 2), 3: ((18 + 5 * beta, 8 * beta - 24, 6 - beta), 12)}
    for s, t in T.steps(grid):
        e = T.evaluate(T.x, s).noise
        v = (1 - beta) * past[0] + beta * e if past else e
        past = [v, *past][:order]
        weights, over = rows[len(past)]
        T.x = t.alpha * (1 / s.alpha * T.x + (ratio(t) - ratio(s)) / (over * beta) * mix(weights, past))


# --- extrapolated predictions


def half(r: Any) -> Any:
    """Half the ratio of this step to the last, by which a linear extrapolation reaches the middle of the step."""
    return r / 2


def nothing(r: Any) -> int:
    """No extrapolation."""
    return 0


def ucgm(T: Trace, grid: Any, kappa: Callable[[Any], Any] = half) -> None:
    """UCGM's first-order sampler (Sun et al. 2025): ``alpha_t D~ + sigma_t eps~``, where ``q~ = q + kappa (q - q_)``.

    ``kappa``, a constant between 0.2 and 0.6 in the paper, may depend on the ratio of steps in the clock. Their code
    extrapolates from the third step on, this from the second.
    """
    past = None
    for s, t in T.steps(grid):
        e, dc = T.evaluate(T.x, s), T.dt(s, t)
        D, z = e.data, e.noise
        T.x = t.alpha * D + t.sigma * z
        if past is not None:
            D1, z1, dc1 = past
            T.x = T.x + (t.alpha * kappa(dc / dc1)) * (D - D1) + (t.sigma * kappa(dc / dc1)) * (z - z1)
        past = D, z, dc


Reading = tuple[Callable[[Evaluation], Form], Callable[..., Any], Callable[..., Form]]

READINGS: dict[str, Reading] = {
    "noise": (lambda e: e.noise, lambda T, s, t: ratio(t) - ratio(s), lambda T, s, t, q: step_with_noise(T.x, s, t, q)),
    "data": (lambda e: e.data, lambda T, s, t: T.h(s, t), lambda T, s, t, q: step_with_data(T.x, s, t, q)),
    "slope": (lambda e: e.slope, lambda T, s, t: T.dt(s, t), lambda T, s, t, q: T.x + T.dt(s, t) * q),
}
"""What is extrapolated, the length of a step in the variable it is integrated in, and the first-order step."""


def d_ode(T: Trace, grid: Any, read: str = "noise", lam: Callable[[Any], Any] = half) -> None:
    """D-ODE solver (Kim et al. 2024) on a first-order step: its prediction ``q`` is replaced by ``q + lam (q - q_)``.

    ``read`` is one of :data:`READINGS`; ``lam``, learnt in the paper, is a function of the ratio of steps.
    """
    prediction, length, step = READINGS[read]
    past = None
    for s, t in T.steps(grid):
        q, size = prediction(T.evaluate(T.x, s)), length(T, s, t)
        T.x = step(T, s, t, q if past is None else q + lam(size / past[1]) * (q - past[0]))
        past = q, size
