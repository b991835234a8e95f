"""Runs there and back: marks are measured, lines predicted, and both end at the top of the picture."""

import numpy as np
import pytest

from diffnum import figures
from diffnum.figures.there_and_back import lost_at, there_and_back

NS = [8, 16, 32, 64]
MISSED = {"holds": [1e-16, 2e-16, 3e-16, 4e-16], "grows": [1e-13, 1e-9, 1e-1, 1e15]}
PREDICTED = {"holds": ([8, 64], [1e-16, 4e-16]), "grows": (NS, [1e-13, 1e-9, 1e-1, 1e15])}


def drawn(missed, predicted):
    with figures.style():
        _, axes = figures.panels()
        there_and_back(axes[0, 0], NS, missed, predicted)
    return axes[0, 0]


def test_a_start_is_lost_at_the_first_error_of_its_size():
    assert lost_at(NS, MISSED["grows"]) == 64 and lost_at(NS, MISSED["holds"]) is None
    assert lost_at(NS, [1e-3, np.nan, 1e-3, 1e-3]) == 16 and lost_at(NS, MISSED["grows"], size=0.05) == 32


def test_marks_are_measured_and_lines_are_predicted_up_to_the_top():
    ax = drawn(MISSED, PREDICTED)
    lines = [line for line in ax.lines if line.get_linestyle() == "-"]
    marks = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert [list(line.get_xdata()) for line in marks] == [NS, NS]
    np.testing.assert_array_equal(marks[0].get_ydata(), MISSED["holds"])
    np.testing.assert_array_equal(marks[1].get_ydata(), [*MISSED["grows"][:3], np.nan])
    np.testing.assert_array_equal(lines[0].get_ydata(), PREDICTED["holds"][1])
    x, y = lines[1].get_data()
    assert y[-1] == ax.get_ylim()[1] and 32 < x[-1] < 64
    # straight on logarithmic axes
    slope = np.log(1e16) / np.log(2)
    assert np.log(y[-1] / 1e-1) / np.log(x[-1] / 32) == pytest.approx(slope)
    assert {text.get_text() for text in ax.texts} >= set(MISSED)


def test_a_name_without_its_prediction_is_refused():
    with pytest.raises(ValueError, match=r"\[alone\] are in one only"):
        drawn({**MISSED, "alone": [1.0] * 4}, PREDICTED)
