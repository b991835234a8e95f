"""Noise maps: the draws that explain a path, so that a stochastic sampler reproduces any image with any model.

A stochastic one-step sampler is ``x_t = mu(x_s) + nu z``. Given the states of a path, every draw is known,

    z = (x_t - mu(x_s)) / nu,

and the sampler that is given these draws walks the path again. Which path is a matter of choice. Edit-friendly
inversion (Huberman-Spiegelglas et al. 2024, section 3.2) noises the image independently for every level: its maps are
larger than standard normals and strongly coupled to the image, and survive a change of the model. CycleDiffusion (Wu &
De la Torre 2023) takes a path of the forward process, whose maps tend to standard normals as steps shrink: on any law,
with its exact denoiser ``D`` and DDPM's mean, they are

    z = zeta + sqrt(e^2h - 1) / tau_s (x0 - D(x_s)),    tau = sigma / alpha,

with ``zeta`` a standard normal independent of ``x0`` and all noisier states (``theory``: "Noise maps of a forward
path").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from ..noise import Counter, as_source
from ..plan import Level, Noise, Plan
from .steps import Step, evaluator, steps_of

__all__ = ["NoiseMaps", "forward_path", "forward_variance", "independent_path", "noise_maps", "shift", "variance"]


@dataclass(frozen=True, eq=False)
class NoiseMaps:
    """The draws of a path; a source of noise for its plan, ``dn.sample(plan, model, maps.x, noise=maps)``.

    Attributes:
        x: the state at ``plan.start``.
        draws: one per step, from noise to data, like ``x``; where a step draws several, all of them.
        names: the lines of the plan that they answer.
        nfe: model evaluations that it took.
    """

    x: Any
    draws: tuple[Any, ...]
    names: tuple[Noise, ...]
    nfe: int

    @cached_property
    def _known(self) -> dict[tuple[Level, Level, int], Any]:
        return {(n.s, n.t, n.j): draw for n, draw in zip(self.names, self.draws, strict=True)}

    def __call__(self, s: Level, t: Level, j: int, x: Any) -> Any:
        """The draw of a line.

        Raises:
            ValueError: a draw of another plan.
        """
        if (s, t, j) in self._known:
            return self._known[s, t, j]
        raise ValueError(
            f"these noise maps know no draw from t = {float(s.t):g} to {float(t.t):g}: run the plan they were made for"
        )


def independent_path(plan: Plan, x: Any, noise: Counter) -> tuple[Any, ...]:
    """States at the plan's levels of which each is ``x`` noised on its own, ``x`` itself last.

    From the last level ``n`` to level ``i`` the forward process adds ``sigma_i^2 - (alpha_i sigma_n / alpha_n)^2``.

    Args:
        x: at ``plan.stop``.
        noise: the draw of level ``i`` belongs to the interval from it to the last.
    """
    stop = plan.stop
    return (*(_noised(x, level, stop, noise) for level in plan.levels[:-1]), x)


def forward_path(plan: Plan, x: Any, noise: Counter) -> tuple[Any, ...]:
    """States of one path of the forward process from ``x`` at the last level; see :func:`independent_path`."""
    states = [x]
    for s, t in reversed(list(pairwise(plan.levels))):
        states.insert(0, _noised(states[0], s, t, noise))
    return tuple(states)


def _noised(x: Any, s: Level, t: Level, noise: Counter) -> Any:
    """A draw of the forward kernel from ``t`` to the noisier ``s``."""
    keep = s.alpha / t.alpha
    spread = math.sqrt(max(s.sigma**2 - (keep * t.sigma) ** 2, 0.0))
    return keep * x + spread * noise(Noise(s, t), x)


def noise_maps(plan: Plan, model: Any, states: Sequence[Any], noise: Any = None) -> NoiseMaps:
    """The draws with which ``plan`` walks through ``states``, for any model; replaying them gives the last state back.

    The states need not be those of the plan's own levels: with a plan on shifted levels the maps are those of a shifted
    schedule (Deutch et al. 2024, section 4.2), and its replay ends in the same last state.

    Each step starts from where the maps found so far lead, which is the given state but for rounding, so that rounding
    does not add up over the steps of the replay: a detail of the authors' code (Huberman-Spiegelglas et al. 2024).

    Args:
        plan: stochastic and one-step; the last draw of every step is added after the last evaluation.
        model: as for :func:`diffnum.sample`.
        states: ``n + 1`` of them, from noise to data.
        noise: source of the draws of a step before its last, which are kept as they are.

    Raises:
        ValueError: another number of states, or states of several shapes; a step without a draw, or whose
            evaluations see the last one; several draws in a step and no source.
    """
    steps = steps_of(plan)
    if len(states) != len(steps) + 1:
        raise ValueError(
            f"{len(states)} states were given for {len(steps)} steps: give one per level, from noise to data"
        )
    shapes = sorted({tuple(state.shape) for state in states})
    if len(shapes) > 1:
        raise ValueError(f"the states have shapes {shapes[0]} and {shapes[1]}: give those of one path")
    evaluate = evaluator(plan, model)
    given = as_source(noise)
    draws, names, x = [], [], states[0]
    for i, (step, after) in enumerate(zip(steps, states[1:], strict=True)):
        register, name = last_draw(step, i)
        answers: list[Any] = []

        def ask(x: Any, level: Level, answers: list[Any] = answers) -> Any:
            answers.append(evaluate(x, level))
            return answers[-1]

        known = {line: given(line, x) for _, line in step.draws if line != name} | {name: 0 * x}
        mean = step(x, ask, known.__getitem__)
        known[name] = (after - mean) * (1 / step.coefficient(register))
        draws += known.values()
        names += known
        again = iter(answers)
        x = step(x, lambda x, level, again=again: next(again), known.__getitem__)
    return NoiseMaps(states[0], tuple(draws), tuple(names), plan.nfe)


def last_draw(step: Step, i: int) -> tuple[int, Noise]:
    """The last draw of a step, if it alone decides where the step ends."""
    draws = step.draws
    if not draws or step.sees(draws[-1][0]) or step.coefficient(draws[-1][0]) == 0:
        raise ValueError(
            f"step {i} of {step.plan.solver} does not add a draw of noise at its end, so no draw explains where it "
            "goes: use a sampler such as ddpm_ancestral on a grid that stops at sigma > 0"
        )
    return draws[-1]


def variance(s: Level, t: Level, c: float) -> float:
    """Variance of an edit-friendly noise map of DDPM ancestral sampling from ``s`` to ``t`` on ``N(0, c)``,

        Var z = coth(h) (1 + (e^2h - 1) c / (c + tau_s^2)) > 1,    h = lam_t - lam_s,   tau = sigma / alpha

    (``theory``: "Variance of the noise maps of edit-friendly inversion on a Gaussian"): ``coth(h)`` times
    :func:`forward_variance`.

    Raises:
        ValueError: as :func:`forward_variance`.
    """
    return forward_variance(s, t, c) / math.tanh(t.lam - s.lam)


def forward_variance(s: Level, t: Level, c: float) -> float:
    """Variance of the noise map of a :func:`forward_path` from ``s`` to ``t`` on ``N(0, c)``,

        Var z = 1 + (e^2h - 1) c / (c + tau_s^2),    h = lam_t - lam_s,   tau = sigma / alpha,

    and, for any law of posterior covariance ``V``, ``Cov[z | x_s] = 1 + (e^2h - 1) V / tau_s^2``. Maps of one path are
    uncorrelated (``theory``: "Noise maps of a forward path").

    Raises:
        ValueError: a variance that is not positive; ``t`` not cleaner than ``s``, or clean, where DDPM draws nothing.
    """
    _check_step(s, t, c)
    before, after = (s.alpha / s.sigma) ** 2, (t.alpha / t.sigma) ** 2
    return 1 + c * (after - before) / (1 + c * before)


def _check_step(s: Level, t: Level, c: float) -> None:
    if not (0 < c < math.inf):
        raise ValueError(f"c = {c!r} is no variance: use a number > 0")
    if not s.lam < t.lam:
        raise ValueError(f"log-SNR {s.lam!r} to {t.lam!r} is no step of a sampler: give the noisier level first")
    if t.clean:
        raise ValueError("a step to sigma = 0 draws no noise: end it at sigma > 0")


def shift(process: Any, s: Level, t: Level, c: float) -> float:
    """The shift ``Delta`` in time at which edit-friendly noise maps have unit variance on ``N(0, c)``.

    The model is asked, and mean and size of the noise are taken, at the levels ``s'`` and ``t'`` that lie ``Delta``
    beyond ``s`` and ``t``, while the states keep their own noise (Deutch et al. 2024, section 4.2):

        (alpha_t - k' alpha_s)^2 c + sigma_t^2 + k'^2 sigma_s^2 = nu'^2,

    with ``k'`` what a step of DDPM from ``s'`` to ``t'`` multiplies its state by on this law, ``nu'^2`` what it adds.

    Raises:
        ValueError: no shift within the process does it; as :func:`forward_variance`.
    """
    from scipy.optimize import brentq

    _check_step(s, t, c)

    def excess(delta: float) -> float:
        keep, added = _ancestral(process.level(s.t + delta), process.level(t.t + delta), c)
        found = (t.alpha - keep * s.alpha) ** 2 * c + t.sigma**2 + (keep * s.sigma) ** 2
        return math.log(found / added)

    room = process.t_start - s.t
    if not room > 0 or excess(0.0) * excess(room) > 0:
        raise ValueError(
            f"no shift up to {room:.3g} gives noise maps from t = {float(s.t):g} to {float(t.t):g} unit variance: take "
            "a step that starts later"
        )
    return float(brentq(excess, 0.0, room, xtol=1e-14))  # type: ignore[arg-type]


def _ancestral(s: Level, t: Level, c: float) -> tuple[float, float]:
    """Factor of the mean and variance of a step of DDPM on ``N(0, c)``."""
    h = t.lam - s.lam
    grown = -math.expm1(-2 * h)
    gain = s.alpha * c / (s.alpha**2 * c + s.sigma**2)
    return t.sigma / s.sigma * math.exp(-h) + t.alpha * grown * gain, t.sigma**2 * grown
