"""The laws and noise levels that the tests of laws and of their products share."""

from __future__ import annotations

import pytest

from diffnum.plan import Level
from diffnum.targets import Atoms1D, Laplace1D, Mixture1D, Uniform1D

MIXTURE = Mixture1D([0.3, 0.5, 0.2], [-1.0, 0.2, 2.0], [0.3, 0.5, 0.2])
ATOMS = Atoms1D([-1.0, 0.5, 0.7], [0.2, 0.5, 0.3])
UNIFORM = Uniform1D(-1.0, 2.0)
LAPLACE = Laplace1D(0.3, 0.7)
LAWS = {"mixture": MIXTURE, "atoms": ATOMS, "uniform": UNIFORM, "laplace": LAPLACE}

LEVELS = [Level(0.5, a, s) for a, s in [(0.6, 0.8), (0.995, 0.1), (1.0, 1e-3), (1e-6, 1.0), (1.0, 80.0), (0.0, 1.0)]]
S, T = LEVELS[:2]
CLEAN, PURE = Level(0.0, 1.0, 0.0), Level(1.0, 0.0, 1.0)

each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
