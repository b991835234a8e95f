"""What notebooks share: figures appear as pictures with a description, strips have their labels, slopes are slopes."""

import IPython.display
import numpy as np
import pytest
from matplotlib.figure import Figure

from diffnum.figures import read_numbers
from diffnum.lab import notebook


@pytest.fixture
def shown(monkeypatch):
    pictures = []
    monkeypatch.setattr(IPython.display, "display", pictures.append)
    return pictures


def test_a_figure_is_shown_once_as_a_png_with_its_titles_for_a_description(shown):
    with notebook.figure(2) as (left, right):
        left.set_title("one")
        right.set_title("two")
    (picture,) = shown
    assert picture.data.startswith(b"\x89PNG")
    assert picture.alt == "one; two"


def test_a_figure_that_fails_shows_nothing(shown):
    with pytest.raises(ZeroDivisionError), notebook.figure() as ax:
        ax.plot([1, 1 / 0])
    assert not shown


def test_doublings_of_a_power_are_its_exponent():
    steps = 2.0 ** np.arange(3, 8)
    assert notebook.doublings(7 * steps**-2.5).split() == ["2.5"] * 4


def test_labels_of_strips_stand_above_the_middle_of_their_columns():
    ax = Figure().subplots()
    notebook.strips(ax, np.zeros((2, 3, 20)), (4, 5, 1), ["a", "b", "c"])
    # columns of 5 pixels with gaps of 1; the first pixel has its centre at 0
    assert [round(text.get_position()[0], 6) for text in ax.texts] == [2.0, 8.0, 14.0]


def test_theory_and_dots_of_one_name_share_a_colour():
    ax = Figure().subplots()
    notebook.theory_and_dots(ax, [0, 1], {"a": [0, 1], "b": [1, 0]}, [0.5], {"a": [0.5], "b": [0.5]})
    lines, dots = ax.get_lines()[::2], ax.get_lines()[1::2]
    assert [line.get_color() for line in lines] == [dot.get_color() for dot in dots]
    assert lines[0].get_color() != lines[1].get_color()


def test_a_figure_on_request_is_written_with_its_numbers(shown, tmp_path):
    with notebook.figure(to=tmp_path / "a.png", numbers={"y": [1.0, 2.0]}, rerun="again") as ax:
        ax.plot([1, 2])
    assert len(shown) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.png", "a.svg"]
    np.testing.assert_array_equal(read_numbers(tmp_path / "a.png")["y"], [1.0, 2.0])


def test_a_palette_makes_a_smaller_picture_of_the_same_size(shown):
    for colours in (None, 64):
        with notebook.figure(colours=colours) as ax:
            ax.plot(np.random.default_rng(0).normal(size=(30, 40)))
    whole, small = (picture.data for picture in shown)
    assert len(small) < len(whole)
    assert small[16:24] == whole[16:24]  # width and height
