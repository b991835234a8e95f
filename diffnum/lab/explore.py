"""Four pictures of one run, and knobs to turn: target, process, grid, sampler and budget.

:func:`draw` is a function of the five and of nothing else; :func:`explore` puts widgets around it in JupyterLab.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..budget import GRIDS, RANKED, MakeGrid, within
from ..figures import error_per_mode, error_vs_nfe, inks, style, trajectories
from ..figures.sheet import SOFT
from ..grid import log_snr
from ..noise import Counter
from ..plan import Level, Plan
from ..process import EDM, VE, VP, Cosine, Flow, SubVP
from ..read.distance import reference, w2
from ..read.moments import moments
from ..read.sample import sample
from ..solvers import ddim
from ..targets import Gaussian, Mixture, Product1D
from ..targets.mixture1d import Mixture1D
from ..trace import Solver
from .notebook import strips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Look", "draw", "explore", "heaps", "look", "picture", "processes", "show", "targets"]

BUDGETS = (3, 4, 6, 8, 12, 16, 24, 32)
PATHS, POINTS = 6, 24
_DPI = 96


@dataclass(frozen=True)
class Look:
    """What is seen of one run.

    Attributes:
        plan: what ran.
        paths: states in the plane of the two widest principal directions, each divided by the spread of all
            coordinates at its level, ``(steps + 1, 6, 2)``.
        exact: the exact flow from the same noise there, ``(points, 6, 2)``.
        cloud: data there, ``(n, 2)``.
        variances: of the data, by principal direction, ``(d,)``.
        modes: error in each of them, ``(d,)``: of the standard deviation on a Gaussian, where it is exact; elsewhere
            the root mean square distance from the ends of the exact flow, over 24 points.
        errors: by sampler, budgets and errors, two lists: the exact W2 distance on a Gaussian, elsewhere as ``modes``,
            over all directions.
        measure: what the errors are, in words.
        ends: where the run and where the exact flow ends, ``(2, points, d)``.
    """

    plan: Plan
    paths: np.ndarray
    exact: np.ndarray
    cloud: np.ndarray
    variances: np.ndarray
    modes: np.ndarray
    errors: Mapping[str, tuple[list[int], list[float]]]
    measure: str
    ends: np.ndarray

    @property
    def error(self) -> float:
        """Of the plan itself."""
        return dict(zip(*self.errors[self.plan.solver], strict=True))[self.plan.nfe]


def look(target: Any, process: Any, grid: MakeGrid, sampler: Solver, nfe: int) -> Look:
    """Run a sampler at a budget, and the exact flow beside it from the same noise.

    Args:
        target: an exact law: a Gaussian, whose errors need no samples, or any other with ``flow``.
        process: the noise process.
        grid: ``make(process, n, end=end)``, a function of :mod:`diffnum.grid`.
        sampler: of :data:`diffnum.solvers.ALL`.
        nfe: model evaluations, at most.

    Raises:
        ValueError: the combination is impossible: the budget is too small, the sampler is not defined at an end of the
            grid, the grid belongs to another process; or it draws noise on a law that is no Gaussian, where a path
            from one noise has no exact end.
    """
    exact = isinstance(target, Gaussian)
    if sampler.stochastic and not exact:
        raise ValueError(
            f"{sampler.name} draws noise, so that no exact end belongs to a start: choose a Gaussian target, "
            "where the error of its law is exact, or a sampler that draws none"
        )
    plan = within(sampler, process, nfe, grid)
    axes, variances = _principal(target)
    start, stop = plan.levels[0], plan.levels[-1]
    truth, x = _flow(target, process, start, stop)
    states = np.stack(sample(plan, target, x, noise=Counter(0), keep="states"))
    counts = sorted({*BUDGETS, plan.nfe})
    errors = {one.name: _errors(one, target, process, grid, counts) for one in dict.fromkeys((ddim, sampler))}
    return Look(
        plan,
        np.stack([_seen(y[:PATHS], level, target, axes) for y, level in zip(states, plan.levels, strict=True)]),
        np.stack([_seen(y[:PATHS], level, target, axes) for level, y in truth]),
        _seen(target.sample(300, 1), Level(0.0, 1.0, 0.0), target, axes),
        variances,
        _deviations(plan, target) if exact else _rms((states[-1] - truth[-1][1]) @ axes),
        errors,
        "exact $W_2$" if exact else "distance from the exact flow",
        np.stack([states[-1], truth[-1][1]]) / stop.alpha,
    )


def draw(
    target: Any, process: Any, grid: MakeGrid, sampler: Solver, nfe: int, shape: Sequence[int] | None = None
) -> Figure:
    """:func:`look` as a figure of four panels: paths, error by mode, error by budget, and where the runs end.

    Args:
        target, process, grid, sampler, nfe: as for :func:`look`.
        shape: ``(h, w, c)`` where points are images; else ends are dots in a plane.

    Raises:
        ValueError: as :func:`look`.
    """
    return picture(look(target, process, grid, sampler, nfe), shape)


def picture(seen: Look, shape: Sequence[int] | None = None) -> Figure:
    """The figure of a :class:`Look`; its panels are described in :func:`draw`."""
    name, noisy = seen.plan.solver, bool(seen.plan.draws)
    ink, below = inks(["exact", name, "ddim"]), "other exact images" if noisy else "the exact flow"
    from matplotlib.figure import Figure

    with style():
        # places are fixed: finding them anew takes longer than all the rest
        fixed: Any = "none"  # matplotlib's stubs do not know the word
        fig = Figure(figsize=(11.6, 8.0), layout=fixed)
        (paths, modes), (budget, ends) = fig.subplots(2, 2)
        fig.subplots_adjust(left=0.085, right=0.875, top=0.955, bottom=0.075, wspace=0.52, hspace=0.3)
        trajectories(paths, {name: seen.paths}, seen.exact, seen.cloud, ink)
        paths.set_title(f"six paths, {len(seen.plan.levels) - 1} steps" + ", noise drawn" * noisy)
        _legend(paths)
        said = "of the standard deviation" if seen.measure.startswith("exact") else "from the exact flow"
        error_per_mode(modes, seen.variances, {name: seen.modes}, ink, f"error {said}")
        modes.set_title("where the error is")
        error_vs_nfe(budget, seen.errors, {name}, ink, seen.measure)
        budget.plot(seen.plan.nfe, seen.error, "o", ms=13, mfc="none", mec=ink[name].colour, mew=1.6)
        budget.set_title(f"{seen.plan.nfe} evaluations: error {seen.error:.3g}")
        if shape:
            pairs = seen.ends[:, :12].reshape(2, 2, 6, -1).swapaxes(0, 1)
            strips(ends, pairs.reshape(4, 6, -1), shape, [""] * 6)
            ends.set_title(f"above {name}, below {below}")
        else:
            _dots(ends, seen)
    return fig


def _dots(ax: Any, seen: Look) -> None:
    ran, exact = seen.ends[..., :2]
    ax.plot(*np.stack([ran, exact], axis=1).T, color=SOFT, lw=0.8)
    ax.plot(*exact.T, "o", color="#222222", ms=4, label="exact flow")
    ax.plot(*ran.T, "o", color=inks(["exact", seen.plan.solver])[seen.plan.solver].colour, ms=4, label=seen.plan.solver)
    ax.set(title="where the runs end", xlabel="first coordinate", ylabel="second coordinate")
    _legend(ax)


def _legend(ax: Any) -> None:
    """In one row above all points."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.1 * (high - low))
    ax.legend(loc="upper left", ncols=3, fontsize=9, handlelength=1.4, columnspacing=1.2, borderaxespad=0.2)


# --- numbers ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _principal(target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Principal directions ``(d, k)`` and variances ``(k,)``, largest first."""
    if isinstance(target, Gaussian):
        _, variances = target.eigen()
        order = np.argsort(-variances, kind="stable")
        basis = np.eye(target.dim) if target.basis is None else target.basis
        return basis[:, order[: basis.shape[1]]], variances
    variances, basis = np.linalg.eigh(np.cov(target.sample(2000, 0).T))
    return basis[:, ::-1], variances[::-1]


@lru_cache(maxsize=64)
def _flow(target: Any, process: Any, start: Level, stop: Level) -> tuple[list[tuple[Level, np.ndarray]], np.ndarray]:
    """The exact flow of a few points at levels in between, and where they start."""
    x = target.sample(POINTS, 0, start)
    low, high = (process.at(-6.0) if start.pure_noise else start), stop
    inner = log_snr(process, 20, low, high).levels
    levels = [start, *inner] if start.pure_noise else list(inner)
    states, tolerance = [x], {} if isinstance(target, Gaussian | Product1D) else {"tol": 1e-4}
    for s, t in pairwise(levels):
        states.append(target.flow(states[-1], s, t, **tolerance))
    return list(zip(levels, states, strict=True)), x


def _seen(x: np.ndarray, level: Level, target: Any, axes: np.ndarray) -> np.ndarray:
    variances = _principal(target)[1]
    spread = math.sqrt(level.alpha**2 * float(np.mean(variances)) + level.sigma**2)
    return x @ axes[:, :2] / spread


def _rms(differences: np.ndarray) -> np.ndarray:
    return np.sqrt((differences**2).mean(axis=0))


def _deviations(plan: Plan, target: Gaussian) -> np.ndarray:
    (_, var), (_, wanted) = moments(plan, target), reference(plan, target)
    return np.sqrt(np.maximum(var, 0)) - np.sqrt(wanted)


def _errors(
    sampler: Solver, target: Any, process: Any, grid: MakeGrid, budgets: Sequence[int]
) -> tuple[list[int], list[float]]:
    """Numbers of evaluations and errors at budgets, without those at which there is no plan."""
    found: dict[int, float] = {}
    for budget in budgets:
        try:
            plan = within(sampler, process, budget, grid)
        except ValueError:
            continue
        if plan.nfe not in found:
            found[plan.nfe] = _error(plan, target, process)
    return list(found), list(found.values())


def _error(plan: Plan, target: Any, process: Any) -> float:
    if isinstance(target, Gaussian):
        return w2(plan, target)
    truth, x = _flow(target, process, plan.levels[0], plan.levels[-1])
    return float(np.sqrt(((sample(plan, target, x) - truth[-1][1]) ** 2).sum(axis=1).mean()))


# --- knobs -----------------------------------------------------------------------------------------------------------


def targets() -> dict[str, tuple[Any, tuple[int, int, int] | None]]:
    """Laws to choose from, with the shape of their images: the digits as one Gaussian and as ten, and two dimensions.

    Fitting them takes about a second.
    """
    from ..images import load

    digits = load("digits")
    return {
        "digits, one Gaussian": (Gaussian.fit(digits.data), digits.shape),
        "digits, a Gaussian for each": (Mixture.fit_labelled(digits.data, digits.labels), digits.shape),
        "noise of a power law": (Gaussian.power_law(64), digits.shape),
        "six heaps in a plane": (heaps(), None),
    }


def heaps() -> Product1D:
    """Six heaps in a plane: two on one axis by three on the other, with an exact flow."""
    two = np.array([[0.35, 0.65], [-1.2, 0.8], [0.2, 0.3]])
    three = np.array([[0.3, 0.4, 0.3], [-1.4, 0.0, 1.4], [0.15, 0.2, 0.15]])
    return Product1D([Mixture1D(*two), Mixture1D(*three)])


def processes() -> dict[str, Any]:
    """Noise processes to choose from."""
    made = (VP(), Cosine(), SubVP(), VE(), EDM(), Flow())
    return {process.name: process for process in made}


def explore(
    laws: Mapping[str, tuple[Any, tuple[int, int, int] | None]] | None = None,
    samplers: Sequence[Solver] = RANKED,
    sampler: Solver = ddim,
    nfe: int = 8,
) -> Any:
    """Widgets for :func:`draw`; a combination that is impossible shows the sentence that says why.

    Args:
        laws: name to target and shape of its images; None for :func:`targets`.
        samplers: to choose from.
        sampler, nfe: chosen at first.

    Returns:
        An ipywidgets box, shown by JupyterLab as the last value of a cell.
    """
    import ipywidgets as widgets

    def choice(says: str, options: Mapping[str, Any] | Sequence[tuple[str, Any]], value: Any) -> Any:
        pairs = list(options.items()) if isinstance(options, Mapping) else options
        return widgets.Dropdown(options=pairs, value=value, description=says)

    laws, clocks = laws or targets(), processes()
    knobs: dict[str, Any] = {
        "law": choice("target", laws, next(iter(laws.values()))),
        "process": choice("process", clocks, next(iter(clocks.values()))),
        "grid": choice("grid", GRIDS, log_snr),
        "sampler": choice("sampler", [(one.name, one) for one in samplers], sampler),
        "nfe": widgets.IntSlider(nfe, 1, 40, description="budget", continuous_update=False),
    }
    # an image and a sentence, and no captured output: the page does not jump, and no kernel is asked for its streams
    image, sentence = widgets.Image(format="png"), widgets.Label()

    def turned(_: Any = None) -> None:
        try:
            image.value, sentence.value = _png(_drawn(**{name: knob.value for name, knob in knobs.items()})), ""
        except ValueError as refusal:
            sentence.value = f"{refusal}."
        image.layout.visibility = "hidden" if sentence.value else "visible"

    for knob in knobs.values():
        knob.observe(turned, "value")
    turned()
    row = widgets.HBox(list(knobs.values()), layout={"flex_flow": "row wrap"})
    return widgets.VBox([row, sentence, image])


def show(law: tuple[Any, Sequence[int] | None], process: Any, grid: MakeGrid, sampler: Solver, nfe: int) -> None:
    """Display what :func:`draw` makes, or print the sentence by which it refuses.

    Args:
        law: the target and the shape of its images.
        process, grid, sampler, nfe: as for :func:`draw`.
    """
    from IPython.display import Image, display

    try:
        fig = _drawn(law, process, grid, sampler, nfe)
    except ValueError as refusal:
        print(refusal)
        return
    display(Image(_png(fig), alt="; ".join(ax.get_title(loc="left") for ax in fig.axes)))


def _drawn(law: tuple[Any, Sequence[int] | None], process: Any, grid: MakeGrid, sampler: Solver, nfe: int) -> Figure:
    return draw(law[0], process, grid, sampler, nfe, law[1])


def _png(fig: Figure) -> bytes:
    buffer = BytesIO()
    with style():
        fig.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
