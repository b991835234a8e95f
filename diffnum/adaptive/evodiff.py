"""EVODiff: two-step data prediction whose weights are projections of the model's own values (Li et al. 2025).

With ``m`` the model's data predictions, ``gain = alpha_t - (sigma_t / sigma_s) alpha_s``, ``x_e`` the first-order step,
``r`` the ratio of the last two log-SNR steps, ``proj(a, b) = <a, b> / <b, b>`` per sample and channel cut to [-2, 2]:

    D1 = m_s - rho1 m_p,    x_u = x_e + gain D1 / (2 r1),      rho1 = (1 - w) base + w proj(m_s, m_p)
    D2 = m_u - rho2 m_s,    rho2 = (1 - w) base + w proj(m_u, m_s)
    x_t = x_e + gain / (2 zeta) (r (1 - eta) D2 - (eta / r) D1)

with the weights of the authors' code, which is all that is public; they are sigmoids that do not tend to those of a
second-order method. Frozen, with ``rho = 1 + O(h)``, the method is of order one, and with neutral weights (``rho = 1``,
``r1 = r``, no corrector) it is DPM-Solver++(2M): both are proved of :func:`frozen_evodiff`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..grid import Grid
from ..plan import Eval, Level, Lin, Plan
from ..prediction import convert
from ..solvers.coords import transfer
from ..trace import Form, Solver, Trace
from .record import Record

__all__ = ["Evolved", "evodiff", "frozen_evodiff"]


@dataclass(frozen=True)
class Evolved:
    """What :func:`evodiff` returns.

    Attributes:
        x: the sample.
        plan: the frozen plan; its coefficients are arrays over the batch, so it has no JSON.
        weights: ``(rho1, r1 / r, rho2, eta, zeta)`` of every corrected step.
        nfe: model evaluations.
    """

    x: Any
    plan: Plan
    weights: tuple[tuple[Any, ...], ...]
    nfe: int


def evodiff(model: Any, grid: Grid, x_T: Any, prediction: str = "data", last: str = "published") -> Evolved:
    """EVODiff as in the authors' code: one model evaluation a step.

    Args:
        grid: at least two steps, between finite log-SNRs. The code is for EDM; on other processes ``t`` is the
            process's label and ``sigma / alpha`` its ``kappa``.
        x_T: ``(batch, dim)``, or ``(batch, channels, ...)`` with weights for each channel.
        last: the last step: "published" scales the state by ``1 - sqrt(sigma_t sigma_s)``, so that the result does not
            tend to the flow's however many steps are taken, unless ``stop`` tends to zero noise; "first_order" is
            ``x_e``.

    Raises:
        ValueError: fewer than two steps; an end where log-SNR is infinite.
    """
    levels = grid.levels
    if len(levels) < 3:
        raise ValueError(f"EVODiff looks one step back and has no method for {len(levels) - 1} step: use at least 2")
    if levels[0].pure_noise or levels[-1].clean:
        raise ValueError("EVODiff needs finite log-SNRs: start at alpha > 0 and stop at sigma > 0")
    if last not in ("published", "first_order"):
        raise ValueError(f"last = {last!r} is no last step: use 'published' or 'first_order'")
    walk = _Evolution(Record(model, prediction, x_T), len(levels) - 1, levels[0].t, levels[-1].t, last == "published")
    for i in range(len(levels) - 1):
        walk.step(i, levels[i], levels[i + 1], grid.h[i], grid.h[i - 1] if i else None)
    out = walk.states[-1]
    plan = walk.record.frozen(
        walk.states,
        levels,
        out,
        solver="evodiff",
        process=grid.process.to_json(),
        end="stop",
        prior=grid.process.prior(levels[0]),
    )
    return Evolved(walk.record.values[out], plan, tuple(walk.weights), walk.record.calls)


class _Evolution:
    def __init__(self, record: Record, steps: int, t_start: Any, t_stop: Any, scaled: bool) -> None:
        self.record, self.steps, self.t_start, self.t_stop, self.scaled = record, steps, t_start, t_stop, scaled
        self.states: list[int] = [0]
        self.weights: list[tuple[Any, ...]] = []
        self.seen: list[int] = []
        self.last: tuple[Level, Level] | None = None

    def data(self, x: int, level: Level, step: int) -> int:
        """The register of the data prediction at register ``x``."""
        record = self.record
        native = record.add(Eval(x, level, record.prediction, "D"), step)
        if record.prediction == "data":
            return native
        a, b = convert(level, record.prediction, "data")
        return record.add(Lin(((x, a), (native, b)), "D"), step)

    def pin(self, form: Form, name: str, step: int) -> int:
        return self.record.add(Lin(form.terms, name), step)

    def step(self, i: int, s: Level, t: Level, h: Any, before: Any) -> None:
        x = _form(self.states[-1])
        if not i:
            self.seen.append(self.data(self.states[-1], s, 0))
        euler, gain = transfer(x, s, t, _form(self.seen[-1])), t.alpha - t.sigma / s.sigma * s.alpha
        if not i:
            new = euler
        elif i == self.steps - 1:
            new = _last(euler, gain, s, t, *self.seen[-2:]) if self.scaled else euler
        else:
            new = self.corrected(i, s, t, euler, gain, before / h)
        self.states.append(self.pin(new, "x", i))
        if not i and self.steps > 1:
            self.seen.append(self.data(self.states[-1], t, i + 1))
        self.last = (s, t)
        self.record.settle([self.states[-1], *self.seen[-2:]])

    def corrected(self, i: int, s: Level, t: Level, euler: Form, gain: float, r: float) -> Form:
        assert self.last is not None
        value, (m1, m0) = self.record.values, self.seen[-2:]
        w = _weight(t.t, self.t_start, self.t_stop)
        base = math.sqrt(t.sigma / s.sigma / (s.sigma / self.last[0].sigma))
        rho1 = (1 - w) * base + w * _projection(value[m0], value[m1])
        D1 = self.pin(_form(m0) - _form(m1) * rho1, "D1", i)
        share = _clip(_sigmoid(0.25 * abs(rho1)), 0.25, 1.5)
        u = self.pin(_probe(euler, gain, _form(D1), r * share), "u", i)
        mt = self.data(u, t, i)
        rho2 = (1 - w) * base + w * _projection(value[mt], value[m0])
        D2 = self.pin(_form(mt) - _form(m0) * rho2, "D2", i)
        eta = 0.5 * _sigmoid(abs(0.5 * _projection(r * value[D2] + value[D1] / r, r * value[D2] - value[D1] / r)))
        residual = gain / (2 * share * r) * (value[D1] - r * (1 - eta) * value[D2] + eta / r * value[D1])
        zeta = _projection(residual, value[D1]) / gain
        zeta = _sigmoid((abs(zeta) - 0.5) * self.trust(s, t, gain, m0, m1))
        self.weights.append((rho1, share, rho2, eta, zeta))
        self.seen.append(mt)
        return _correct(euler, gain, _form(D1), _form(D2), r, eta, zeta)

    def trust(self, s: Level, t: Level, gain: float, m0: int, m1: int) -> Any:
        """1, and from 21 steps on minus a sigmoid, as in the code."""
        if self.steps <= 20:
            return 1.0
        rate = (self.record.values[m0] - self.record.values[m1]) * (t.sigma / gain)
        return -_sigmoid(_projection(self.record.values[m0], rate) * (2 - (t.sigma / s.sigma) ** 2))


def frozen_evodiff(rho: Any = 0, share: Any = 1, eta: Any = None, zeta: Any = 1) -> Solver:
    """EVODiff with given weights, for proofs: ``rho1 = rho2 = 1 + rho h``, ``r1 = share r``.

    The first step is of first order. Without ``eta`` there is no corrector. The last step of the code, which scales the
    state by ``1 - sqrt(sigma_t sigma_s)``, is not in it.
    """

    def build(T: Trace, grid: Any) -> None:
        before, ahead = None, None
        for i, (s, t) in enumerate(T.steps(grid)):
            h = T.h(s, t)
            D = T.denoise(T.x, s) if ahead is None else ahead
            euler, gain, ahead = transfer(T.x, s, t, D), t.alpha - t.sigma / s.sigma * s.alpha, None
            if before is None:
                T.x, before = euler, (D, h)
                continue
            r, scale = before[1] / h, 1 + rho * h
            D1 = D - before[0] * scale
            u = _probe(euler, gain, D1, r * share)
            if eta is not None and i < len(grid.levels) - 2:
                ahead = T.denoise(u, t)
                u = _correct(euler, gain, D1, ahead - D * scale, r, eta, zeta)
            T.x, before = u, (D, h)

    neutral = rho == 0 and share == 1 and eta is None
    order = 2 if neutral else 1
    note = "" if neutral else "weights that do not tend to those of DPM-Solver++(2M) leave order one"
    return Solver(build, order, order, "li2025evodiff", "code", "data-dependent", note, name="evodiff_frozen")


def _probe(euler: Form, gain: Any, D1: Form, radius: Any) -> Form:
    return euler + D1 * (gain / (2 * radius))


def _correct(euler: Form, gain: Any, D1: Form, D2: Form, r: Any, eta: Any, zeta: Any) -> Form:
    return euler + D2 * (gain * r * (1 - eta) / (2 * zeta)) - D1 * (gain * eta / r / (2 * zeta))


def _last(euler: Form, gain: float, s: Level, t: Level, m1: int, m0: int) -> Form:
    """The code's last step: ``(1 - sqrt(sigma_t sigma_s)) x_e + gain (m_s - rho m_p) / 2``."""
    q = t.sigma / s.sigma
    rho = 1 - 0.5 * math.sqrt(q if q < 0.5 else q - 0.5)
    return euler * (1 - math.sqrt(t.sigma * s.sigma)) + (_form(m0) - _form(m1) * rho) * (0.5 * gain)


def _form(register: int) -> Form:
    return Form(((register, 1.0),))


def _weight(t: Any, t_start: Any, t_stop: Any) -> float:
    """``w = (1 - t_n^2) / 2`` of the time scaled to about [0, 1]."""
    return 0.5 * (1 - ((t + t_stop) / (t_start + t_stop)) ** 2)


def _projection(a: Any, b: Any) -> Any:
    """``<a, b> / <b, b>`` of each sample and channel, cut to [-2, 2]; zero where ``b`` is."""
    square = _dot(b, b)
    return _clip(_dot(a, b) / (square + (square == 0)), -2, 2)


def _dot(a: Any, b: Any) -> Any:
    """Inner products over all axes but the batch and, of images, the channels."""
    lead = a.shape[:2] if len(a.shape) > 2 else a.shape[:1]
    total = (a * b).reshape(*lead, -1).sum(-1)
    return total.reshape(*lead, *[1] * (len(a.shape) - len(lead)))


def _clip(a: Any, low: float, high: float) -> Any:
    return a.clamp(low, high) if hasattr(a, "clamp") else np.clip(a, low, high)


def _sigmoid(a: Any) -> Any:
    return a.sigmoid() if hasattr(a, "sigmoid") else 1 / (1 + np.exp(-a))
