"""What the tests of designs share: processes, a mixture, families of free plans."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import diffnum as dn
from diffnum.design import Free

PROCESSES = {"VP": dn.VP(), "VE": dn.VE(0.02, 80.0), "Flow": dn.Flow()}
MIXTURE = dn.Mixture([0.3, 0.7], [[1.0, -0.5, 0.2], [-0.8, 0.4, 0.0]], [[0.1, 0.02, 0.3], [0.05, 0.2, 0.01]])


def free(process, nfe=5, order=1, limit=3.0):
    return Free(process, process.level(process.t_start), limit, nfe, order)


def begun(family, seed=0, size=0.3):
    first = max(family.start.lam, -4.0)
    theta = family.vector(np.linspace(first, family.limit, family.nfe + 1)[1:-1])
    return theta + size * np.random.default_rng(seed).standard_normal(len(theta))


def random_numbers(family):
    return st.lists(st.floats(-2, 2), min_size=family.size, max_size=family.size)
