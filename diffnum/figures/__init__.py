"""One style for every figure, and figures that bring their numbers with them.

A figure is drawn inside :func:`style` on axes from :func:`panels` (or any matplotlib axes), and written by
:func:`save`: the picture, the numbers behind it as JSON beside it, and a grey footer with versions, machine and
the command that makes it again. Curves are named at their ends, not in a legend. The colours are those of
Okabe & Ito (2008), told apart by every common kind of colour vision, without the yellow that white paper swallows.
"""

from .plots import error_per_mode, error_vs_nfe, image_grid, order_fan, spectrum, trajectories
from .sheet import Ink, footer, inks, panels, read_numbers, save, style

__all__ = [
    "Ink",
    "error_per_mode",
    "error_vs_nfe",
    "footer",
    "image_grid",
    "inks",
    "order_fan",
    "panels",
    "read_numbers",
    "save",
    "spectrum",
    "style",
    "trajectories",
]
