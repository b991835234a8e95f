"""From data to the laws that stand for them: to design on, to choose by, and never used before, to judge on.

The data are split in three, at random and once: half of them to design on, a quarter to choose among designs, a quarter
to judge the choice. Each part becomes trials of its own:

    design   two mixtures, one of few wide components and one of many narrow ones, and the points themselves
    choose   the points, a mixture, and two with a flatter and a steeper spectrum and other weights
    judge    the points, a mixture of another number of components, and that mixture with a steeper spectrum

Every law has a thousand trajectories: of few evaluations one in a hundred ends in another mode, and these few are most
of the error. Fits see those that are hard and as many others (:meth:`.trial.Trial.strata`); to judge, those that are
hard for the design and for its likely rivals are drawn more often, and count for less (:mod:`.sampling`).

Coordinates are principal ones, about the origin and not about the mean: a plan that is not exact for a constant
prediction must not be flattered. In more than 64 dimensions a law to design on lives in the leading 64, and a Gaussian
has the others; the points of the other parts keep all the directions that they span, in which alone they move.

Under guidance every mixture has components for each class, one of many narrow ones stands in for the points, and
trajectories are those of the guided denoiser from each class's marginal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Level, Plan
from ..targets.empirical import Empirical
from ..targets.mixture import Mixture
from .classes import Classes
from .perturbed import SPREAD, reweighted, tilted
from .sampling import stratified
from .trial import Trial, gaussian_part, gaussian_trial

__all__ = [
    "Law",
    "Split",
    "check_units",
    "chosen_by",
    "designed_on",
    "judged_on",
    "laws_to_judge",
    "of_spectrum",
    "paths_of",
    "split",
]

_LARGEST = 1000.0
PATHS = 768
"""Trajectories of a law; half as many under guidance, where each asks two denoisers."""
RANK = 64
"""Leading coordinates of a law to design on."""
POINTS = 320
"""Points of a law of points to design on."""
WORK = 200_000
"""Coordinates in all of a law of points to choose by or to judge on."""
TOLERANCE = 3e-4
"""Of trajectories' ends, relative: far below what a plan of few evaluations leaves."""
_MOST_CLASSES = 64


@dataclass(frozen=True, eq=False)
class Split:
    """Data in three parts, ``(n, d)`` each, the shape that a sample had, and the classes of each part or None."""

    design: np.ndarray
    choose: np.ndarray
    judge: np.ndarray
    shape: tuple[int, ...]
    classes: tuple[Classes | None, Classes | None, Classes | None] = (None, None, None)


@dataclass(frozen=True, eq=False)
class Law:
    """A law in the leading coordinates, or one for each class, and the variances of the others or None.

    Attributes:
        name: of its trials.
        target, rest: what it is.
        start: where trajectories start.
        seed: of those that are drawn.
    """

    name: str
    target: Any
    rest: Any
    start: Level
    seed: int

    def trial(self, paths: int, plans: Sequence[Plan] = ()) -> Trial:
        """So many of its trajectories, the hard ones more often: for ``plans``, or else for any."""
        parts = [stratified(self.target, self.start, paths, self.seed, TOLERANCE, plans)]
        if self.rest is not None:
            parts.append(gaussian_part(self.rest, self.start))
        return Trial(self.name, tuple(parts))


def split(data: Any, seed: int = 0, classes: Classes | None = None) -> Split:
    """Half, a quarter and a quarter of the data, at random.

    Args:
        data: ``(n, ...)``, at least 32 different samples; trailing axes are flattened.
        seed: of the shuffle.
        classes: of the samples, and the guidance.

    Raises:
        ValueError: too few samples, numbers that are not finite, data that do not vary; labels of another number, a
            class that is rare or alone.
    """
    array = np.asarray(data, dtype=np.float64)
    if array.ndim < 2 or len(array) < 32:
        raise ValueError(f"data of shape {array.shape} are too few to hold any back: give at least 32 samples")
    shape, array = array.shape[1:], array.reshape(len(array), -1)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"data hold {np.sum(~np.isfinite(array))} numbers that are not finite: remove them first")
    if not np.any(np.ptp(array, axis=0)):
        raise ValueError("all samples are the same: there is nothing to sample from")
    if (distinct := len({row.tobytes() for row in array})) < 32:
        raise ValueError(f"only {distinct} samples differ, too few to hold any back: give at least 32 different ones")
    order = np.random.default_rng(seed).permutation(len(array))
    half, most = len(array) // 2, 3 * len(array) // 4
    rows = [np.sort(part) for part in np.split(order, [half, most])]
    design, choose, judge = (array[part] for part in rows)
    if classes is None:
        return Split(design, choose, judge, shape)
    _check(classes, len(array), rows)
    mine, others, last = (classes.rows(part) for part in rows)
    return Split(design, choose, judge, shape, (mine, others, last))


def _check(classes: Classes, n: int, rows: list[np.ndarray]) -> None:
    if classes.labels.shape != (n,):
        raise ValueError(f"labels of shape {classes.labels.shape} for {n} samples: give one for each")
    if not (math.isfinite(classes.scale) and classes.scale >= 0):
        raise ValueError(f"guidance = {classes.scale} is no scale: 1 is the class itself, use a number >= 0")
    names = np.unique(classes.labels)
    if not 2 <= len(names) <= _MOST_CLASSES:
        raise ValueError(f"there are {len(names)} classes: guidance is designed for 2 to {_MOST_CLASSES}")
    fewest = min(((classes.labels[part] == c).sum(), c) for part in rows for c in names)
    if fewest[0] < 8:
        raise ValueError(
            f"class {fewest[1]} has {fewest[0]} samples in a part held back: give 40 of each or leave it out"
        )


def designed_on(
    data: np.ndarray,
    start: Level,
    paths: int | None = None,
    components: int = 10,
    seed: int = 0,
    others: Any = None,
    classes: Classes | None = None,
) -> list[Trial]:
    """Trials to design on: mixtures of ``components`` and of three times as many Gaussians, and points.

    Args:
        paths: trajectories of each; :data:`PATHS` if None.
        others: variances of the directions beyond the leading ones (:func:`diffnum.design.rest.others`); None gives
            all of them what is left on average.
        classes: of the data, and the guidance; None for a sampler without.
    """
    y, rest = _leading(data)
    paths = paths or paths_of(classes)
    rest = rest if others is None else others
    rough = _mixture(y, components, 4, seed, classes)
    fine = _mixture(y, 3 * components, 8, seed, classes, 0.003 * float(y.var(axis=0).mean()))
    points = Empirical(y[:: -(-len(y) // POINTS)]) if classes is None else _narrow(y, seed, classes)
    laws = {"mixture": rough, "fine mixture": fine, "points": points}
    return [Law(name, law, rest, start, seed + 1 + i).trial(paths) for i, (name, law) in enumerate(laws.items())]


def chosen_by(
    data: np.ndarray,
    start: Level,
    paths: int | None = None,
    components: int = 12,
    seed: int = 0,
    classes: Classes | None = None,
) -> list[Trial]:
    """Trials to choose by."""
    z, rest = _leading(data)
    paths = paths or paths_of(classes)
    points = _points(data) if classes is None else _narrow(z, seed + 18, classes)
    alone = rest if classes is not None else None
    mixture = _mixture(z, components, 4, seed + 17, classes)
    flatter, steeper = (
        _mixture(tilted(z, power), components, 4, seed + 19, classes, spread=SPREAD) for power in (0.85, 1.1)
    )
    laws = [
        Law("other points", points, alone, start, seed + 11),
        Law("flatter, other weights", flatter, rest, start, seed + 13),
        Law("steeper, other weights", steeper, rest, start, seed + 14),
        Law("other mixture", mixture, rest, start, seed + 12),
    ]
    return [law.trial(paths) for law in laws]


def judged_on(
    data: np.ndarray,
    start: Level,
    paths: int | None = None,
    components: int = 16,
    seed: int = 0,
    classes: Classes | None = None,
) -> list[Trial]:
    """Trials to judge on: nothing else may look at them."""
    laws = laws_to_judge(data, start, components, seed, classes)
    return [law.trial(paths or paths_of(classes)) for law in laws]


def laws_to_judge(
    data: np.ndarray, start: Level, components: int = 16, seed: int = 0, classes: Classes | None = None
) -> list[Law]:
    """The laws of :func:`judged_on`, of which no trajectories are drawn yet."""
    z, rest = _leading(data)
    points = _points(data) if classes is None else _narrow(z, seed + 30, classes)
    alone = rest if classes is not None else None
    mixture = _mixture(z, components, 4, seed + 29, classes)
    shifted = _mixture(tilted(z, 1.2), components, 4, seed + 31, classes)
    return [
        Law("held-out points", points, alone, start, seed + 21),
        Law("held-out mixture", mixture, rest, start, seed + 22),
        Law("steeper spectrum", shifted, rest, start, seed + 23),
    ]


def of_spectrum(variances: Any, start: Level) -> tuple[list[Trial], list[Trial], list[Trial]]:
    """Trials of a Gaussian of which only the variances are known: to design on, to choose by and to judge on.

    A plan may cancel its error at given variances and nowhere else. It is therefore designed on three spectra,
    ``c``, ``c^1.15`` and ``c^0.87`` (of the same total), and judged on others, tilted and scaled.

    Raises:
        ValueError: variances that are negative, not finite or all zero.
    """
    c = np.asarray(variances, dtype=np.float64).ravel()
    if len(c) == 0 or not np.all(np.isfinite(c)) or c.min() < 0 or c.max() == 0:
        raise ValueError("the spectrum holds negative, infinite or no variances: give numbers >= 0, one of them > 0")
    c = c[c > 1e-12 * c.max()]

    def trial(name: str, power: float, scale: float = 1.0) -> Trial:
        tilted = (c / c.max()) ** power
        return gaussian_trial(name, scale * tilted * c.sum() / tilted.sum(), start)

    design = [trial("spectrum", 1.0), trial("steeper", 1.15), trial("flatter", 0.87)]
    choose = [trial("a little steeper", 1.07), trial("a little flatter", 0.93)]
    judge = [trial("steeper by 1.1", 1.1), trial("flatter by 0.9", 0.9), trial("of 1.2 the size", 1.0, 1.2)]
    return design, choose, judge


def paths_of(classes: Classes | None) -> int:
    """Trajectories of a law."""
    return PATHS if classes is None else PATHS // 2


def _mixture(
    y: np.ndarray,
    components: int,
    fewest: int,
    seed: int,
    classes: Classes | None,
    floor: float | None = None,
    spread: float = 0.0,
) -> Any:
    """Components of at least ``fewest`` points each; ``spread``: of weights, see :func:`.perturbed.reweighted`."""
    if classes is not None:
        return classes.laws(y, components, fewest, seed, floor, spread)
    return reweighted(Mixture.fit(y, min(components, len(y) // fewest), seed=seed, floor=floor), seed, spread)


def _narrow(y: np.ndarray, seed: int, classes: Classes) -> Any:
    """What stands in for points, among which guidance draws watersheds everywhere: narrow components, 8 points each."""
    return classes.laws(y, len(y), 8, seed, 0.003 * float(y.var(axis=0).mean()))


def _leading(data: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    return _coordinates(data, RANK)


def _points(data: np.ndarray) -> Empirical:
    """The law of so many samples, in all directions that they span, that it is followed in seconds."""
    n, d = data.shape
    step = -(-n // max(WORK // d, math.isqrt(WORK)))
    return Empirical(_coordinates(data[::step], n)[0])


def _coordinates(data: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Principal coordinates ``(n, r)``, and the variances of the other directions, if there are any.

    No ``d x d`` matrix is formed. The variances left out of a sample are shared by all directions left out.
    """
    n, d = data.shape
    if d <= rank:
        return data, None
    u, s, _ = np.linalg.svd(data, full_matrices=False)
    r = min(rank, int((s > 1e-10 * s[0]).sum()))
    left = float((s[r:] ** 2).sum()) / n
    return u[:, :r] * s[:r], np.full(d - r, left / (d - r)) if left > 1e-12 * float((s**2).sum()) / n else None


def check_units(data: np.ndarray, process: Any) -> None:
    """Refuse data that the strongest noise of ``process`` does not drown, which are in other units than its network's.

    Raises:
        ValueError: samples whose root mean square deviation is more than ``sigma / alpha`` at the first level, or than
            1000 where that is infinite; no samples.
    """
    if data.size == 0:
        raise ValueError(f"data of shape {data.shape} hold no samples: give at least 32")
    first = process.level(process.t_start)
    most = _LARGEST if first.pure_noise else first.sigma / first.alpha
    apart = data - data.mean(axis=0)
    # in units of the largest, whose square may not be a number
    unit = float(np.abs(apart).max()) or 1.0
    rms = unit * float(np.sqrt(np.mean(np.square(np.divide(apart, unit, out=apart), out=apart))))
    if not rms <= most:
        raise ValueError(
            f"samples that vary by {rms:.3g} are no data for {process.name}, which starts from noise of size "
            f"{most:.4g}: give them in the units that the network sees"
        )
