"""Grids that others have optimised for their networks, as tables, with where each comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...grid import Grid, custom
from ...process import Process

__all__ = [
    "AYS_SD15", "AYS_SDXL", "AYS_SVD", "GITS_CIFAR10", "GITS_SD15", "OSS_FLUX", "OSS_WAN", "TABLES", "Table",
    "at_sigmas", "at_times",
]  # fmt: skip

_QUICKSTART = "research.nvidia.com/labs/toronto-ai/AlignYourSteps/howto.html"
_COMFY = "github.com/comfyanonymous/ComfyUI, comfy_extras"


@dataclass(frozen=True)
class Table:
    """A published grid.

    Attributes:
        name: of the method and the network it was optimised for.
        sigmas: noise levels as :func:`diffnum.grid.custom` reads them, ``sigma / alpha`` or flow matching's ``sigma``.
        times: the same as indices of a network's 1000 times, or empty. Rounded to whole ones, so they differ slightly.
        cite: a key of the bibliography.
        source: where the numbers stand.
    """

    name: str
    sigmas: tuple[float, ...]
    times: tuple[int, ...]
    cite: str
    source: str

    @property
    def steps(self) -> int:
        """Number of steps ``n``."""
        return len(self.sigmas) - 1


AYS_SD15 = Table(
    "AYS for Stable Diffusion 1.5",
    (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    (999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0),
    "sabour2024ays",
    _QUICKSTART,
)
AYS_SDXL = Table(
    "AYS for SDXL",
    (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    (999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0),
    "sabour2024ays",
    _QUICKSTART,
)
AYS_SVD = Table(
    "AYS for Stable Video Diffusion",
    (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
    (),
    "sabour2024ays",
    _QUICKSTART,
)
GITS_CIFAR10 = Table(
    "GITS for EDM on CIFAR-10",
    (80.0, 10.9836, 3.8811, 1.584, 0.5666, 0.1698, 0.002),
    (),
    "chen2024gits",
    "github.com/zju-pi/diff-sampler, gits-main/README.md, option t_steps",
)
OSS_FLUX = Table(
    "OSS for FLUX",
    (0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001),
    (),
    "pei2025oss",
    f"{_COMFY}/nodes_optimalsteps.py, NOISE_LEVELS; pull request 7584, named in github.com/bebebe666/OptimalSteps",
)
OSS_WAN = Table(
    "OSS for Wan 2.1",
    (
        1.0, 0.997, 0.995, 0.993, 0.991, 0.989, 0.987, 0.985, 0.98, 0.975, 0.973, 0.968, 0.96, 0.946, 0.927, 0.902,
        0.864, 0.776, 0.539, 0.208, 0.001,
    ),
    (),
    "pei2025oss",
    OSS_FLUX.source,
)  # fmt: skip


def _gits(*inner: float) -> Table:
    return Table(
        "GITS for Stable Diffusion 1.5, coefficient 1.15",
        (14.61464119, *inner, 0.02916753),
        (),
        "chen2024gits",
        f"{_COMFY}/nodes_gits.py, NOISE_LEVELS[1.15], by gits-main of github.com/zju-pi/diff-sampler",
    )


_GITS = (
    _gits(0.83188516),
    _gits(1.84880662, 0.59516323),
    _gits(5.85520077, 1.56271636, 0.52423614),
    _gits(5.85520077, 1.91321158, 0.83188516, 0.34370604),
    _gits(5.85520077, 2.45070267, 1.24153244, 0.59516323, 0.25053367),
    _gits(5.85520077, 2.84484982, 1.51179266, 0.803307, 0.41087446, 0.17026083),
    _gits(5.85520077, 2.84484982, 1.56271636, 0.89115214, 0.50118381, 0.25053367, 0.09824532),
    _gits(6.77309084, 3.07277966, 1.84880662, 1.12534678, 0.72133851, 0.43325692, 0.22545385, 0.09824532),
    _gits(6.77309084, 3.07277966, 1.91321158, 1.24153244, 0.803307, 0.52423614, 0.34370604, 0.19894916, 0.09824532),
    _gits(
        7.49001646, 4.86714602, 2.95596409, 1.91321158, 1.24153244, 0.803307, 0.52423614, 0.34370604, 0.19894916,
        0.09824532,
    ),
    _gits(
        7.49001646, 4.86714602, 3.07277966, 2.05039096, 1.36964464, 0.95350921, 0.69515091, 0.4783645, 0.32104823,
        0.19894916, 0.09824532,
    ),
)  # fmt: skip

GITS_SD15 = {table.steps: table for table in _GITS}
"""The rows for 2 to 12 steps, by their number; the source has up to 20."""

TABLES = (AYS_SD15, AYS_SDXL, AYS_SVD, GITS_CIFAR10, *_GITS, OSS_FLUX, OSS_WAN)
"""All of them."""


def at_sigmas(table: Table, process: Process, n: int | None = None, end: str = "zero") -> Grid:
    """A table's noise levels as a grid.

    Args:
        table: one of :data:`TABLES`.
        process: where they lie; flow matching for FLUX and Wan.
        n: number of steps where it is another than the table's: ``log sigma`` piecewise linear in the index.
        end: with ``"zero"`` the clean level takes the last one's place, as diffusers and ComfyUI do.

    Raises:
        ValueError: a level outside the process, such as the rounded 14.615 beyond a network's last time
            (:func:`at_times` has no such rounding).
    """
    sigmas = table.sigmas
    if n is not None and n != table.steps:
        if not (isinstance(n, int) and n >= 1):
            raise ValueError(f"n = {n!r} is no number of steps: use an integer >= 1")
        at = np.linspace(0, table.steps, n + 1)
        # the ends as they are, which exp(log) would not leave them
        inner = np.exp(np.interp(at, np.arange(table.steps + 1), np.log(sigmas)))[1:-1]
        sigmas = (sigmas[0], *inner.tolist(), sigmas[-1])
    return custom(process, sigmas=[*sigmas[:-1], 0.0] if end == "zero" else sigmas, end=end)


def at_times(table: Table, process: Process, end: str = "zero") -> Grid:
    """A table's times as a grid of a process whose ``t`` is the network's index, such as :class:`diffnum.DDPM`.

    Raises:
        ValueError: a table without times; times outside the process.
    """
    if not table.times:
        raise ValueError(f"{table.name} was published as noise levels only: use at_sigmas")
    times = [float(t) for t in table.times]
    return custom(process, times=[*times[:-1], process.t_clean] if end == "zero" else times, end=end)
