"""Step doubling against two half steps, and its order proved."""

from __future__ import annotations

import numpy as np
import pytest

from diffnum.adaptive import doubling, extrapolated
from diffnum.grid import Grid
from diffnum.order import prove
from diffnum.process import EDM
from diffnum.read.sample import sample
from diffnum.solvers import ALL
from diffnum.trace import compile
from diffnum.witness import Run, nonlinear


@pytest.mark.parametrize(
    "name, order", [("ddim", 2), ("euler", 2), ("dpm_solver_2", 3), pytest.param("rk4", 5, marks=pytest.mark.full)]
)
def test_extrapolation_gains_an_order(name, order):
    better = extrapolated(ALL[name])
    proof = prove(better, seeds=(1,))
    assert (proof.order, proof.cold) == (better.order, better.cold) == (order, order)


def test_doubling_is_two_half_steps_and_their_difference_from_one():
    process, x = EDM(), Run.of(nonlinear(), EDM().at(-3.0)).x
    levels = [process.at(lam) for lam in (-1.0, -0.5, 0.0)]
    whole = compile(extrapolated(ALL["heun"]), Grid((levels[0], levels[2]), (1.0,), process))
    one = sample(compile(ALL["heun"], Grid((levels[0], levels[2]), (1.0,), process)), nonlinear(), x)
    two = sample(compile(ALL["heun"], Grid(tuple(levels), (0.5, 0.5), process)), nonlinear(), x)
    assert np.allclose(sample(whole, nonlinear(), x), two + (two - one) / 3, atol=1e-13)
    assert whole.nfe == 5


@pytest.mark.parametrize(
    "name, words", [("dpmpp_2m", "one-step"), ("euler_maruyama", "draws noise"), ("unipc_2", "one-step")]
)
def test_doubling_refuses_what_it_cannot_double(name, words):
    with pytest.raises(ValueError, match=words):
        doubling(ALL[name])
