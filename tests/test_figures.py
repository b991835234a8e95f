"""Figures against the numbers they show: what is drawn, what is written beside it, and what stays as it was."""

import json
import math
import platform
import subprocess
import sys
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diffnum import figures
from diffnum.figures.labels import dodge, plain_ticks

NAMES = [f"sampler_{k}" for k in range(16)]
NFE = np.array([5, 8, 10, 20])
NUMBERS = {"nfe": NFE, "error": {"ddim": np.array([0.5, np.nan, np.inf, -0.25])}, "steps": 8, "grid": "log_snr"}
RERUN = "diffnum study digits --nfe 5,8,10,20 --out study"


def crowd(seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {name: (NFE, rng.uniform(0.5, 2) * NFE ** -rng.uniform(0.5, 3)) for name in NAMES}


def one_panel():
    fig, axes = figures.panels()
    return fig, axes[0, 0]


def words(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def notes(ax):
    """Window boxes of the names at the curves' ends, leaders not counted."""
    ax.figure.draw_without_rendering()
    return [matplotlib.text.Text.get_window_extent(text) for text in ax.texts]


def grey(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def drawn(ax, colour: str):
    return [line for line in ax.lines if line.get_color() == colour]


# --- saving


def test_numbers_beside_a_figure_are_those_given(tmp_path):
    fig, ax = one_panel()
    figures.error_vs_nfe(ax, {"ddim": (NFE, 1.0 / NFE)})
    tensor = torch.linspace(0, 1, 3, dtype=torch.float64, requires_grad=True)
    written = figures.save(fig, tmp_path / "deep" / "error.png", {**NUMBERS, "t": tensor}, RERUN, svg=True)
    assert [path.name for path in written] == ["error.png", "error.json", "error.svg"]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["error.json", "error.png", "error.svg"]
    for path in written:
        back = figures.read_numbers(path)
        np.testing.assert_array_equal(back["nfe"], NFE)
        np.testing.assert_array_equal(back["error"]["ddim"], NUMBERS["error"]["ddim"])
        np.testing.assert_array_equal(back["t"], tensor.detach().numpy())
        assert (back["steps"], back["grid"]) == (8, "log_snr")


def test_the_json_is_strict_and_says_how_it_was_made(tmp_path):
    fig, _ = one_panel()
    _, beside = figures.save(fig, tmp_path / "a.png", NUMBERS, RERUN)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads(beside.read_text(), parse_constant=refuse)
    assert found["rerun"] == RERUN
    assert found["made_with"]["torch"] == torch.__version__
    assert found["made_with"]["numpy"] == np.__version__
    assert platform.machine() in found["made_with"]["machine"]


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    written = []
    for name in "ab":
        fig, ax = one_panel()
        figures.error_vs_nfe(ax, crowd())
        written.append(figures.save(fig, tmp_path / f"{name}.png", NUMBERS, RERUN, svg=True))
    for first, second in zip(*written, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_a_figure_saved_twice_has_one_footer(tmp_path):
    fig, _ = one_panel()
    for command in ("another command", RERUN):
        figures.save(fig, tmp_path / "a.png", NUMBERS, command)
    (footer,) = fig.texts
    for part in ("diffnum", torch.__version__, np.__version__, platform.machine(), "cores", RERUN):
        assert part in footer.get_text()


def test_the_footer_is_below_everything_and_inside_the_picture(tmp_path):
    fig, ax = one_panel()
    figures.error_vs_nfe(ax, crowd())
    bare = tmp_path / "bare.png"
    with figures.style():
        fig.savefig(bare, bbox_inches="tight", pad_inches=0.12)
    written, _ = figures.save(fig, tmp_path / "a.png", NUMBERS, "diffnum study " + "a-long-folder/" * 40)
    fig.draw_without_rendering()
    (footer,) = fig.texts
    assert footer.get_window_extent().y1 <= ax.get_tightbbox().y0
    assert footer.get_window_extent().width <= fig.bbox.width
    assert footer.get_text().count("\n") > 3
    before, after = grey(bare), grey(written)
    assert (after[len(before) :] < 200).any()
    # white all round: nothing is cut off
    assert min(after[0].min(), after[-1].min(), after[:, 0].min(), after[:, -1].min()) == 255


@pytest.mark.parametrize(
    "name, numbers, message",
    [
        ("a.pdf", NUMBERS, r"a\.pdf does not end in \.png"),
        ("a.png", {}, r"a\.png has no numbers"),
        ("a.png", {"z": 1j}, "1j is no number that JSON can hold"),
        ("a.png", {"z": [object()]}, "is no number that JSON can hold"),
    ],
)
def test_refusals_write_nothing(tmp_path, name, numbers, message):
    fig, _ = one_panel()
    with pytest.raises(ValueError, match=message):
        figures.save(fig, tmp_path / name, numbers, RERUN)
    assert not list(tmp_path.iterdir())


def test_a_drawing_that_fails_leaves_no_half_file(tmp_path):
    fig, ax = one_panel()
    ax.set_title(r"$\no such formula$")
    with pytest.raises(ValueError, match="no such"):
        figures.save(fig, tmp_path / "a.png", NUMBERS, RERUN)
    assert not list(tmp_path.iterdir())


# --- style


def test_the_style_ends_with_its_block(tmp_path):
    before = dict(matplotlib.rcParams)
    with figures.style():
        assert matplotlib.rcParams["axes.spines.top"] is False
    with pytest.raises(RuntimeError), figures.style():
        raise RuntimeError
    fig, ax = one_panel()
    figures.error_vs_nfe(ax, crowd())
    figures.save(fig, tmp_path / "a.png", NUMBERS, RERUN, svg=True)
    assert dict(matplotlib.rcParams) == before


def test_the_style_does_not_depend_on_the_users():
    with figures.style():
        usual = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 40, "axes.facecolor": "black"}), figures.style():
        assert dict(matplotlib.rcParams) == usual


def test_figures_need_neither_pyplot_nor_matplotlib_at_import():
    script = (
        "import sys, diffnum.figures as f; assert 'matplotlib' not in sys.modules;"
        "fig, axes = f.panels(); f.spectrum(axes[0, 0], [3.0, 2.0]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_inks_are_distinct_and_their_letters_legible():
    made = figures.inks([str(k) for k in range(28)])
    assert len(set(made.values())) == 28

    def luminance(colour: str) -> float:
        parts = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    # contrast against white that the web guidelines ask of large text
    assert min(1.05 / (luminance(ink.dark) + 0.05) for ink in made.values()) > 3


# --- names at the ends of curves


@settings(max_examples=100)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 0.2))
def test_dodged_labels_stand_apart_and_in_order(wanted, height):
    wanted = sorted(wanted)
    placed = np.array(dodge(wanted, [height] * len(wanted)))
    assert (np.diff(placed) >= height * (1 - 1e-9)).all()
    if len(wanted) * height <= 1:
        assert placed[0] >= height / 2 - 1e-9 and placed[-1] <= 1 - height / 2 + 1e-9


@settings(max_examples=50)
@given(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=8))
def test_labels_that_stand_apart_stay(wanted):
    wanted = sorted(wanted)
    height = min([0.1, *np.diff(wanted)])
    np.testing.assert_allclose(dodge(wanted, [height] * len(wanted)), wanted, atol=1e-12)


def test_dodging_moves_labels_least():
    # two rivals for one place share the way; nobody else moves
    np.testing.assert_allclose(dodge([0.2, 0.5, 0.5, 0.9], [0.1] * 4), [0.2, 0.45, 0.55, 0.9])


@pytest.mark.parametrize("seed", range(3))
def test_no_name_overlaps_another_or_the_axes(seed):
    fig, ax = one_panel()
    figures.error_vs_nfe(ax, crowd(seed), label="W2")
    assert sorted(words(ax)) == sorted(NAMES)
    boxes = sorted(notes(ax), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 0.5 for low, high in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= ax.get_window_extent().x1
    assert max(box.x1 for box in boxes) <= fig.bbox.x1


# --- plots


def test_error_vs_nfe_draws_each_error_and_leaves_gaps():
    _, ax = one_panel()
    ink = figures.inks(NAMES)
    series = {"sampler_3": (NFE, [0.5, math.nan, 0.0, 0.1]), "sampler_7": ([4, 9], [0.3, 0.2])}
    figures.error_vs_nfe(ax, series, inks=ink, highlight=["sampler_3"])
    (line,) = drawn(ax, ink["sampler_3"].colour)
    np.testing.assert_array_equal(line.get_ydata(), [0.5, math.nan, math.nan, 0.1])
    assert not drawn(ax, ink["sampler_7"].colour)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["4", "5", "8", "9", "10", "20"]


def test_error_vs_nfe_draws_all_curves_and_names_those_asked_for():
    _, ax = one_panel()
    figures.error_vs_nfe(ax, crowd(), highlight=["sampler_3"], named=["sampler_3", "sampler_7"])
    assert sorted(words(ax)) == ["sampler_3", "sampler_7"]
    assert len(ax.lines) == len(NAMES)


def test_spectrum_shows_positive_variances_in_order_and_counts_the_others():
    _, ax = one_panel()
    figures.spectrum(ax, np.array([0.1, 0.0, 4.0, 1.0, 0.0]))
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 4.0], [2, 1.0], [3, 0.1]])
    assert words(ax) == ["2 of 5 are zero"]


def test_error_per_mode_sorts_by_variance_and_drops_signs():
    _, ax = one_panel()
    ink = figures.inks(["ddim"])
    figures.error_per_mode(ax, [1.0, 4.0, 0.0], {"ddim": [-0.2, 0.3, 0.05]}, inks=ink)
    (line,) = drawn(ax, ink["ddim"].colour)
    np.testing.assert_array_equal(line.get_xydata(), [[1, 0.3], [2, 0.2], [3, 0.05]])
    assert sorted(words(ax)) == ["ddim", "standard deviation\nof the data"]


def test_error_per_mode_leaves_no_room_to_rounding():
    _, ax = one_panel()
    figures.error_per_mode(ax, [4.0, 1.0, 0.0], {"ddim": [0.3, 0.2, 1e-16]})
    low, high = ax.get_ylim()
    assert low == pytest.approx(2e-5) and 2 < high < 10
    (name,) = [text for text in ax.texts if text.get_text() == "ddim"]
    assert name.xy == (3, low)


@pytest.mark.parametrize(
    "low, high", [(0.05, 0.19), (0.12, 0.16), (0.004, 0.3), (1e-6, 1.0), (0.98, 3.0), (1e-30, 1.0)]
)
def test_three_numbers_at_least_are_on_a_logarithmic_axis(low, high):
    _, ax = one_panel()
    ax.set(yscale="log", ylim=(low, high))
    plain_ticks(ax.yaxis)
    said = [float(tick.get_text()) for tick in ax.get_yticklabels()]
    assert 3 <= len(said) <= 9 and said == sorted(said) and low <= said[0] and said[-1] <= high
    np.testing.assert_allclose(said, ax.get_yticks(), rtol=1e-12)


def test_trajectories_draw_every_sample_of_every_solver():
    _, ax = one_panel()
    rng = np.random.default_rng(0)
    paths = {name: rng.normal(size=(5, 3, 2)) for name in ("ddim", "heun")}
    ink = figures.inks(paths)
    figures.trajectories(ax, paths, exact=rng.normal(size=(50, 3, 2)), cloud=rng.normal(size=(40, 2)))
    for name, points in paths.items():
        shown = np.stack([line.get_xydata() for line in drawn(ax, ink[name].colour)], axis=1)
        np.testing.assert_array_equal(shown, points)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["data", "exact flow", "ddim", "heun"]


@pytest.mark.parametrize(
    "shape, columns", [((7, 4, 6), None), ((5, 4, 6, 3), 2), ((1, 8, 8, 1), None), ((60, 2, 2), 9)]
)
def test_an_image_grid_holds_every_picture(shape, columns):
    _, ax = one_panel()
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    figures.image_grid(ax, images, columns)
    canvas = ax.images[0].get_array()
    h, w = shape[1:3]
    colour = images.reshape(shape[0], h, w, -1) * np.ones(3, np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (h, w), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    places = [np.argwhere((windows == image).all(axis=(2, 3, 4))) for image in colour]
    assert all(len(place) >= 1 for place in places)
    if columns:
        assert canvas.shape[1] == columns * (w + 1) - 1


@pytest.mark.parametrize("images", [np.zeros((0, 8, 8), np.uint8), np.zeros((2, 8, 8)), np.zeros((2, 64), np.uint8)])
def test_what_is_no_stack_of_images_is_refused(images):
    with pytest.raises(ValueError, match="is no stack of images: use images"):
        figures.image_grid(one_panel()[1], images)


def test_order_fan_draws_the_claim_through_the_last_point():
    _, ax = one_panel()
    ns = np.array([8, 16, 32, 64])
    errors = {"ddim": 0.8 / ns, "heun": 3.0 / ns**2 * (1 + 2 / ns), "liar": [1.0, 0.5, 0.25, math.nan]}
    claimed = {"ddim": 1, "heun": 2, "liar": 2}
    ink = figures.inks(errors)
    figures.order_fan(ax, ns, errors, claimed, inks=ink)
    for name, p in claimed.items():
        curve, claim = (np.array(line.get_ydata()) for line in drawn(ax, ink[name].colour))
        np.testing.assert_array_equal(curve, errors[name])
        last = np.flatnonzero(np.isfinite(curve))[-1]
        assert claim[last] == pytest.approx(curve[last])
        np.testing.assert_allclose(claim[:-1] / claim[1:], 2.0**p)
    assert {"ddim, order 1", "heun, order 2", "liar, order 2", "1", "2"} == set(words(ax))


def test_slope_triangles_have_the_slope_they_name():
    _, ax = one_panel()
    ns = np.array([8, 16, 32, 64])
    figures.order_fan(ax, ns, {str(p): 1.0 / ns**p for p in (1, 2, 3)}, {str(p): p for p in (1, 2, 3)})
    assert len(ax.patches) == 3
    for p, patch in zip((1, 2, 3), sorted(ax.patches, key=lambda one: -one.get_xy()[:, 1].max()), strict=True):
        (left, high), (_, low), (right, _) = patch.get_xy()[:3]
        assert math.log(high / low) / math.log(right / left) == pytest.approx(p)
        assert low < 1.0 / right**p and high < 1.0 / left**p


def test_a_slope_triangle_stands_above_its_curve_where_another_passes_below():
    _, ax = one_panel()
    ns = np.array([6, 15, 31, 65, 132])
    errors = {"two": 1.0 / ns**2, "three": 6.0 / ns**3}
    figures.order_fan(ax, ns, errors, {"two": 2, "three": 3})
    above, below = sorted(ax.patches, key=lambda one: -one.get_xy()[:, 1].max())
    (left, high), (right, _), (_, low) = above.get_xy()[:3]
    assert math.log(high / low) / math.log(right / left) == pytest.approx(2)
    assert low > 1.0 / right**2 and high > 1.0 / left**2
    assert below.get_xy()[:, 1].max() < 6.0 / below.get_xy()[0, 0] ** 3


def test_what_cannot_be_drawn_is_refused():
    _, ax = one_panel()
    with pytest.raises(ValueError, match=r"none of \[ddim\] has a positive finite error"):
        figures.error_vs_nfe(ax, {"ddim": ([5], [math.nan])})
    with pytest.raises(ValueError, match=r"none of \[\] has a positive"):
        figures.error_vs_nfe(ax, {})
    with pytest.raises(ValueError, match=r"none of \[a, b\] has"):
        figures.order_fan(ax, [8, 16], {"a": [0.0, math.inf], "b": [0.0, 0.0]}, {"a": 1, "b": 2})
    with pytest.raises(ValueError, match="digits has no positive variance among 3"):
        figures.spectrum(ax, {"digits": [0.0, 0.0, 0.0]})


def test_one_budget_is_enough_for_a_figure(tmp_path):
    fig, ax = one_panel()
    figures.error_vs_nfe(ax, {"ddim": ([5], [0.3]), "heun": ([5], [math.nan])})
    figures.save(fig, tmp_path / "a.png", NUMBERS, RERUN)
    assert words(ax) == ["ddim"]
