"""Pictures of gradients and likelihoods draw what they were given, and say what they say in numbers."""

import numpy as np
import pytest

from diffnum import figures
from diffnum.figures.gradients import gradient_error, likelihood_error, memory_over_steps

NS = [10, 20, 40, 80]
ERRORS = {"adjoint": [1e-1, 2.5e-2, 6e-3, 1.5e-3], "reversal": [1e-15, 0.0, 2e-15, 3e-15]}


def axes():
    return figures.panels()[1][0, 0]


def curves(ax):
    return [line.get_ydata() for line in ax.lines if line.get_marker() not in ("None", "", None)]


def test_errors_are_drawn_and_zeros_lie_at_the_foot():
    with figures.style():
        ax = axes()
        gradient_error(ax, NS, ERRORS, {"adjoint": 2})
    drawn = curves(ax)
    np.testing.assert_array_equal(drawn[0], ERRORS["adjoint"])
    assert drawn[1][1] == 1e-17
    (guide,) = [line.get_ydata() for line in ax.lines if line.get_linewidth() == 0.8]
    np.testing.assert_allclose(guide, 1.5e-3 * (80 / np.array(NS)) ** 2)
    assert {t.get_text() for t in ax.texts} == {"rounding", "adjoint, order 2", "reversal"}


def test_memory_says_how_it_grows():
    with figures.style():
        ax = axes()
        memory_over_steps(ax, NS, {"graph": [2**20 * n for n in NS], "reversal": [2**20] * 4})
    np.testing.assert_array_equal(curves(ax), [NS, [1.0] * 4])
    assert {t.get_text() for t in ax.texts} == {"graph, × 8", "reversal, × 1"}


def test_probes_are_levels_beside_errors():
    with figures.style():
        ax = axes()
        likelihood_error(ax, NS, {"heun": ERRORS["adjoint"]}, {"heun": 2}, {"1 probe": 0.3})
    assert [line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 2] == [0.3]
    assert {t.get_text() for t in ax.texts} == {"heun, order 2", "1 probe"}


def test_a_claim_without_errors_is_refused():
    with figures.style(), pytest.raises(ValueError, match=r"claimed holds \[other\]"):
        gradient_error(axes(), NS, ERRORS, {"other": 1})
    with figures.style(), pytest.raises(ValueError, match=r"claimed holds \[other\]"):
        likelihood_error(axes(), NS, ERRORS, {"other": 1})
