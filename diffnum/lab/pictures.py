"""The pictures of a study: curves with their numbers beside them, and sheets of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import figures
from ..figures.agreement import agreement, leaders
from ..figures.labels import plain_ticks
from ..images import to_images
from ..noise import Counter
from ..num import sqrt
from ..plan import Level
from ..read.moments import moments
from ..read.sample import sample
from ..study import Entry
from .network import NetworkStudy
from .result import Study, many
from .surrogate import draw

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Picture", "contact_sheet", "draw_all", "write_images"]

SHEET = 36  # images on a sheet
STRIP = 12  # images in a comparison from the same noise
WALKERS = 6  # paths in a plot of trajectories
BETWEEN = 6  # points of the exact flow per step of a plan
NAMED = 6  # samplers named at the largest budget, whatever won elsewhere
RANKS = (1, 5, 20)  # principal directions followed in time
FLOW = 1e-6  # tolerance of exact paths that are only looked at


Walk = list[tuple[Level, np.ndarray]]


@dataclass(frozen=True)
class Picture:
    """One picture of the report.

    Attributes:
        path: the PNG.
        title, caption: words beside it.
        columns: for sheets of images the number of columns, 0 for a plot.
    """

    path: Path
    title: str
    caption: str = ""
    columns: int = 0


def contact_sheet(x: Any, shape: tuple[int, int, int], columns: int | None = None, width: int = 720) -> Image:
    """Images side by side as one picture.

    Small images are enlarged, smoothly: the eye reads an 8x8 digit in soft greys, not in 64 tiles.

    Args:
        x: rows of ``(n, d)``, values in ``[-1, 1]``.
        shape: ``(h, w, c)`` of one image.
        columns: in a row; by default a square.
        width: about that of the result, where the images are not larger already.
    """
    from PIL import Image

    images = to_images(x, shape)
    n, h, w, c = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    scale = max(1, width // (columns * w))
    gap = max(2, round(0.08 * max(h, w) * scale))
    rows = -(-n // columns)
    size = (columns * (w * scale + gap) - gap, rows * (h * scale + gap) - gap)
    canvas = Image.new("L" if c == 1 else "RGB", size, "white")
    for k, image in enumerate(images):
        tile = Image.fromarray(image[..., 0] if c == 1 else image)
        place = (k % columns * (w * scale + gap), k // columns * (h * scale + gap))
        canvas.paste(tile.resize((w * scale, h * scale), Image.Resampling.BICUBIC), place)
    return canvas


def write_images(out: Path, x: np.ndarray, shape: tuple[int, int, int]) -> None:
    """Write images whole or not at all: a contact sheet where ``out`` ends in ``.png``, an array ``(n, h, w, c)`` where
    it ends in ``.npy``."""
    part = out.with_name(out.name + ".part")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            if out.suffix.lower() == ".npy":
                np.save(file, x.reshape(-1, *shape))
            else:
                contact_sheet(x, shape).save(file, format="PNG")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def draw_all(study: Study, folder: Path, advance: Callable[[int, int], None]) -> dict[str, list[Picture]]:
    """Draw every picture of the report into ``folder``; by section."""
    folder.mkdir(parents=True, exist_ok=True)
    sections: dict[str, Callable[[Study, Path], Iterator[Picture]]] = {
        "data": _data,
        "network": _network,
        "errors": _errors,
        "modes": _modes,
        "paths": _paths,
        "strips": _strips,
        "sheets": _sheets,
    }
    made: dict[str, list[Picture]] = {}
    for k, (name, section) in enumerate(sections.items()):
        advance(k, len(sections))
        with figures.style():
            made[name] = list(section(study, folder))
    advance(len(sections), len(sections))
    return made


def _data(study: Study, folder: Path) -> Iterator[Picture]:
    shown = study.dataset.data[_spread(len(study.dataset), SHEET)]
    yield _sheet(study, folder / "data.png", shown, "real images", f"{len(shown)} of {len(study.dataset)}")
    drawn = study.surrogate.mixture.sample(SHEET, study.seed)
    yield _sheet(study, folder / "mixture.png", drawn, "the mixture", "drawn exactly")
    fig, axes = figures.panels(size=(8.6, 3.9))
    variances = np.sort(study.surrogate.gaussian.eigen()[1])[::-1]
    figures.spectrum(axes[0, 0], variances)
    figures.save(fig, folder / "spectrum.png", {"variances": variances}, study.command)
    yield Picture(folder / "spectrum.png", "Spectrum")


def _errors(study: Study, folder: Path) -> Iterator[Picture]:
    for by, text in (("w2", "W₂ on the Gaussian"), ("path", "path error on the mixture")):
        series: dict[str, tuple[list[int], list[float]]] = {}
        for budget in sorted(study.ranking.budgets):
            for entry in study.ranking.best(budget, by):
                budgets, error = series.setdefault(entry.sampler, ([], []))
                budgets.append(budget)
                error.append(getattr(entry, by))
        if not series:
            continue
        winners = {entry.sampler for entry in study.winners(by)}
        last = study.ranking.best(max(study.ranking.budgets), by)[:NAMED]
        named = winners | {entry.sampler for entry in last}
        fig, axes = figures.panels(size=(8.6, 5.4))
        figures.error_vs_nfe(axes[0, 0], series, winners, _inks(study), text, named)
        plain_ticks(axes[0, 0].yaxis)
        axes[0, 0].set_xlabel("budget of model evaluations (NFE)")
        numbers = {name: {"budget": budgets, "error": error} for name, (budgets, error) in series.items()}
        figures.save(fig, folder / f"{by}.png", numbers, study.command)
        yield Picture(folder / f"{by}.png", text[0].upper() + text[1:])


def _network(study: Study, folder: Path) -> Iterator[Picture]:
    network = study.network
    if isinstance(network, str):
        return
    budgets = [budget for budget in network.budgets if (study.by, budget) in network.checks]
    fig, axes = figures.panels(-(-len(budgets) // 2), 2, size=(9.4, 3.3 * -(-len(budgets) // 2)))
    numbers: dict[str, Any] = {}
    for ax, budget in zip(axes.flat, budgets, strict=False):
        _agreement(ax, study, network, budget, numbers)
    for ax in axes[:, 1]:
        ax.set_ylabel("")  # that of the first column, where names of dots would end
    for ax in axes.flat[len(budgets) :]:
        ax.set_visible(False)
    figures.save(fig, folder / "network.png", numbers, study.command)
    caption = (
        "Each sampler's best plan by the prediction: its predicted error and its error on the network. Named are the "
        "three that the prediction puts first, and the best on the network."
    )
    yield Picture(folder / "network.png", "Predicted and measured", caption)
    trajectories = network.trajectories
    for budget in budgets:
        entry = network.recommended(study.by, budget).entry
        images = trajectories.images(trajectories.outputs(entry.plan))[:STRIP]
        path = folder / f"network-{budget}.png"
        yield _sheet(study, path, images, f"{entry.nfe} evaluations", entry.sampler, STRIP)
    if budgets:
        last = network.recommended(study.by, budgets[-1]).entry.plan.start
        images = trajectories.images(trajectories.ends(last))[:STRIP]
        yield _sheet(study, folder / "network-converged.png", images, "converged", "", STRIP)


def _agreement(ax: Any, study: Study, network: NetworkStudy, budget: int, numbers: dict[str, Any]) -> None:
    checks = network.checks[study.by, budget]
    names = [check.entry.sampler for check in checks]
    predicted = [getattr(check.entry, study.by) for check in checks]
    measured = [check.error for check in checks]
    label = "W₂ on the Gaussian" if study.by == "w2" else "path error on the mixture"
    agreement(ax, names, predicted, measured, leaders(names, predicted, measured), _inks(study), label)
    rho = network.spearman(study.by, budget)
    ax.set_title(f"{budget} evaluations" + (f", ρ = {rho.value:.2f}" if rho else ""))
    numbers[str(budget)] = {"sampler": names, "predicted": predicted, "measured": measured}


def _modes(study: Study, folder: Path) -> Iterator[Picture]:
    gaussian = study.surrogate.gaussian
    mean, variances = gaussian.eigen()
    same: dict[str, list[Entry]] = {}
    for entry in study.winners("w2"):
        same.setdefault(entry.plan.hash, []).append(entry)
    curves: dict[str, Any] = {}
    for entries in same.values():
        m, v = moments(entries[0].plan, gaussian, init="prior")
        name = f"{entries[0].sampler} at {many([entry.budget for entry in entries])}"
        curves[name] = sqrt((m - mean) ** 2 + (sqrt(v) - sqrt(variances)) ** 2)
    fig, axes = figures.panels(size=(8.6, 4.8))
    figures.error_per_mode(axes[0, 0], variances, curves, label="error in this direction")
    figures.save(fig, folder / "modes.png", {"variances": variances} | curves, study.command)
    yield Picture(folder / "modes.png", "Error by principal direction")


def _paths(study: Study, folder: Path) -> Iterator[Picture]:
    entries = _deterministic(study)
    entries = [entries[k] for k in sorted({0, len(entries) // 2})] if entries else []
    flows: dict[Level, Walk | None] = {}
    for entry in entries:
        if entry.plan.start not in flows:
            flows[entry.plan.start] = _flow(study, entry, WALKERS)
    if entries and len(study.surrogate.gaussian.variances) > 1:
        yield _plane(study, folder, entries, flows)
    for entry in entries[:1]:
        yield _course(study, folder, entry, flows[entry.plan.start])


def _plane(study: Study, folder: Path, entries: list[Entry], flows: dict[Level, Walk | None]) -> Picture:
    fig, axes = figures.panels(1, len(entries), size=(8.6 if len(entries) > 1 else 5.6, 4.4))
    numbers: dict[str, Any] = {}
    cloud = _coordinates(study, study.dataset.data[_spread(len(study.dataset), 500)])[:, :2]
    for ax, entry in zip(axes[0], entries, strict=True):
        walks = {"path": _walk(study, entry, WALKERS), "exact": flows[entry.plan.start]}
        lines = {name: np.stack([x[:, :2] for _, x in walk]) for name, walk in walks.items() if walk}
        figures.trajectories(ax, {entry.sampler: lines["path"]}, lines.get("exact"), cloud, _inks(study))
        ax.set_title(f"{entry.sampler}, {entry.nfe} evaluations")
        ax.get_legend().remove()
        numbers[f"{entry.sampler} at {entry.budget}"] = lines
    figures.save(fig, folder / "plane.png", numbers, study.command)
    caption = (
        "From noise to images, in the plane of the two leading principal directions: dots and coloured lines are "
        "winners by path, the thin line is the exact flow of the same noise, pale dots are the images. Coordinates are "
        "divided by √(α² + σ²)."
    )
    return Picture(folder / "plane.png", "Trajectories", caption)


def _course(study: Study, folder: Path, entry: Entry, flow: Walk | None) -> Picture:
    ranks = [k for k in RANKS if k <= len(study.surrogate.gaussian.variances)]
    walks = {"path": _walk(study, entry, WALKERS), "exact": flow}
    fig, axes = figures.panels(1, len(ranks), size=(8.6, 3.6))
    numbers: dict[str, Any] = {}
    for ax, k in zip(axes[0], ranks, strict=True):
        lines = {name: _against_noise(walk, k - 1) for name, walk in walks.items() if walk}
        figures.trajectories(ax, {entry.sampler: lines["path"]}, lines.get("exact"), inks=_inks(study))
        ax.get_legend().remove()
        ax.set(xlim=(1.04, -0.04), xticks=(1, 0.5, 0), xlabel="noise left", ylabel="")
        ax.set_title(f"direction {k}")
        numbers[f"direction {k}"] = lines
    axes[0, 0].set_ylabel("coordinate")
    figures.save(fig, folder / "course.png", numbers, study.command)
    caption = (
        f"{entry.sampler} with {entry.nfe} evaluations beside the exact flow, direction by direction, against "
        "σ / √(α² + σ²). Large directions are decided while there is much noise, small ones at the end: outlines "
        "first, details later."
    )
    return Picture(folder / "course.png", "Trajectories, direction by direction", caption)


def _against_noise(walk: Walk, k: int) -> np.ndarray:
    """``(points, walkers, 2)``: the noise's share of the standard deviation, and coordinate ``k``."""
    shares = [level.sigma / math.hypot(level.alpha, level.sigma) for level, _ in walk]
    return np.stack([np.stack([np.full(len(x), r), x[:, k]], axis=-1) for r, (_, x) in zip(shares, walk, strict=True)])


def _walk(study: Study, entry: Entry, n: int) -> Walk:
    """States of a plan, in principal coordinates over ``hypot(alpha, sigma)``."""
    plan, mixture = entry.plan, study.surrogate.mixture
    x = Counter(study.seed).initial(n, study.surrogate.dim, std=plan.prior)
    states = sample(plan, mixture, x, keep="states")
    walk = [(level, _coordinates(study, state, level)) for level, state in zip(plan.levels, states, strict=True)]
    if plan.end == "denoise":
        clean = _clean(study)
        walk.append((clean, _coordinates(study, sample(plan, mixture, x), clean)))
    return walk


def _flow(study: Study, entry: Entry, n: int) -> Walk | None:
    """Points of the exact flow from the noise of :func:`_walk`; None where it cannot be verified, which should not cost
    the user the rest of the study."""
    x = Counter(study.seed).initial(n, study.surrogate.dim, std=entry.plan.prior)
    levels = _refined(study, entry.plan.levels)
    walk = [(levels[0], _coordinates(study, x, levels[0]))]
    try:
        for s, t in pairwise(levels):
            x = study.surrogate.mixture.flow(x, s, t, tol=FLOW)
            walk.append((t, _coordinates(study, x, t)))
    except ValueError:
        return None
    return walk


def _refined(study: Study, levels: Sequence[Level]) -> list[Level]:
    """``levels`` with others between them, equally spaced in log-SNR where that is finite."""
    seen = [levels[0]]
    for s, t in pairwise(levels):
        if math.isfinite(s.lam) and math.isfinite(t.lam):
            seen += [study.process.at(s.lam + k / BETWEEN * (t.lam - s.lam)) for k in range(1, BETWEEN)]
        seen.append(t)
    return seen


def _strips(study: Study, folder: Path) -> Iterator[Picture]:
    entries = _deterministic(study)
    if entries:
        worst = study.ranking.best(entries[0].budget, "path")[-1]
        yield _strip(study, folder / "strip-last.png", worst, f"{worst.sampler} comes last")
    for entry in entries:
        yield _strip(study, folder / f"strip-{entry.budget}.png", entry, entry.sampler)
    for entry in entries[-1:]:
        start = entry.plan.start
        x = Counter(study.seed).initial(STRIP, study.surrogate.dim, std=entry.plan.prior)
        try:
            exact = study.surrogate.mixture.flow(x, start, _clean(study), tol=FLOW)
        except ValueError:
            return
        yield _sheet(study, folder / "strip-exact.png", exact, "exact flow", "", STRIP)


def _strip(study: Study, path: Path, entry: Entry, caption: str) -> Picture:
    made = draw(entry.plan, study.surrogate, STRIP, study.seed)
    return _sheet(study, path, made, f"{entry.nfe} evaluations", caption, STRIP)


def _sheets(study: Study, folder: Path) -> Iterator[Picture]:
    for entry in study.winners():
        made = draw(entry.plan, study.surrogate, SHEET, study.seed)
        title = f"{entry.nfe} evaluations"
        yield _sheet(study, folder / f"samples-{entry.budget}.png", made, title, entry.sampler)


def _sheet(
    study: Study, path: Path, x: np.ndarray, title: str, caption: str = "", columns: int | None = None
) -> Picture:
    columns = columns or math.ceil(math.sqrt(len(x)))
    contact_sheet(x, study.surrogate.shape, columns, 1200 if columns > 6 else 720).save(path)
    np.save(path.with_suffix(".npy"), np.asarray(x, dtype=np.float32))
    return Picture(path, title, caption, columns)


def _deterministic(study: Study) -> list[Entry]:
    return [entry for entry in study.winners("path") if not entry.plan.draws]


def _inks(study: Study) -> dict[str, figures.Ink]:
    return figures.inks(sorted({entry.sampler for entry in study.ranking.all}))


def _clean(study: Study) -> Level:
    return Level(study.process.t_clean, 1.0, 0.0)


def _coordinates(study: Study, x: np.ndarray, level: Level | None = None) -> np.ndarray:
    """Principal coordinates, in units that do not grow with the noise level."""
    return study.surrogate.gaussian.modes(x if level is None else x / math.hypot(level.alpha, level.sigma))


def _spread(n: int, count: int) -> np.ndarray:
    """``count`` indices evenly spaced below ``n``."""
    return np.arange(min(n, count)) * n // min(n, count)
