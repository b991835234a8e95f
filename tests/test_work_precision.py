"""Work against precision: errors against exact distances, budgets kept, winners against the least, pictures against
their numbers."""

from functools import partial

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum import figures
from diffnum.figures import work_precision as draw
from diffnum.lab import precision
from diffnum.lab.precision import Course, longest, spectra, sweep, two_modes

PROCESS = dn.VP()
START, STOP = PROCESS.at(-2.0), PROCESS.at(2.0)
GRID = partial(dn.grid.log_snr, PROCESS, start=START, stop=STOP)
ALL = dn.solvers.ALL
FEW = [ALL[name] for name in ("ddim", "dpmpp_1", "dpmpp_2m", "heun", "rk4", "unipc_3", "exp_ab4_rk", "ddpm_ancestral")]


@pytest.fixture(scope="module")
def found() -> precision.Sweep:
    courses = {
        "Gaussian": Course.of(spectra((1.0, 2.0), 4), START, STOP, unit=0.5),
        "two modes": Course.of(two_modes((0.8, 0.3, 0.1)), START, STOP, points=4),
    }
    return sweep(FEW, GRID, (3, 8, 20), courses)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "heun", "unipc_3"])
def test_the_error_on_a_gaussian_is_the_wasserstein_distance(name):
    target, plan = dn.Gaussian.power_law(8), dn.compile(name, GRID(12))
    error = Course.of(target, START, STOP).error(plan)
    assert np.linalg.norm(error) == pytest.approx(dn.w2(plan, target), rel=1e-9)


def test_the_error_of_points_is_their_distance_from_the_exact_flow_in_units():
    target, plan = two_modes((0.5, 0.2)), dn.compile("dpmpp_2m", GRID(9))
    x = target.sample(5, 3, START)
    apart = dn.sample(plan, target, x) - target.flow(x, START, STOP)
    error = Course.of(target, START, STOP, points=5, seed=3, unit=0.25).error(plan)
    np.testing.assert_allclose(error, np.sqrt((apart**2).mean(axis=0)) / 0.25, rtol=1e-12)


def test_spectra_side_by_side_do_not_meet():
    plan = dn.compile("dpmpp_2m", GRID(7))
    together = Course.of(spectra((0.5, 3.0), 6), START, STOP).error(plan)
    alone = [Course.of(dn.Gaussian.power_law(6, p), START, STOP).error(plan) for p in (0.5, 3.0)]
    np.testing.assert_array_equal(together, np.concatenate(alone))


@given(st.floats(0.02, 3), st.floats(0.05, 0.95))
def test_two_modes_are_centred_and_of_one_spread(width, share):
    (law,) = two_modes((width,), share, 0.7).laws
    assert law.mean == pytest.approx(0, abs=1e-12)
    assert law.std == pytest.approx(0.7)
    assert 2 * law.stds[0] / (law.means[1] - law.means[0]) == pytest.approx(width)


@pytest.mark.parametrize("name", [*(s.name for s in FEW), "dpmpp_singlestep_3", "luan_ostermann5", "plms", "bdf2"])
def test_a_plan_is_the_longest_within_its_budget(name):
    solver, budgets = ALL[name], (1, 2, 3, 5, 8, 17, 40)
    for budget, plan in zip(budgets, longest(solver, GRID, budgets), strict=True):
        if solver.steps_for is not None:
            assert plan.nfe == budget
            continue
        fitting = [n for n in range(1, budget + 1) if dn.compile(solver, GRID(n)).nfe <= budget]
        assert (plan.steps if plan else None) == (max(fitting) if fitting else None)


def test_draws_are_left_out_and_missing_plans_are_infinite(found):
    assert found.names == ("ddim", "dpmpp_1", "dpmpp_2m", "heun", "rk4", "unipc_3", "exp_ab4_rk")
    missing = np.isnan(found.nfe)
    assert [name for name, absent in zip(found.names, missing[:, 0], strict=True) if absent] == ["rk4", "exp_ab4_rk"]
    assert not missing[:, 1:].any()
    for errors in found.errors.values():
        assert (np.isinf(errors).all(axis=-1) == missing).all()
    assert (found.nfe[~missing] <= np.broadcast_to(found.budgets, found.nfe.shape)[~missing]).all()


def test_a_plan_that_blows_up_has_an_infinite_error():
    target = dn.Gaussian.power_law(2)

    @dn.solver(order=1)
    def explodes(T, grid):
        for _ in T.steps(grid):
            T.x = 1e200 * T.x

    assert np.isinf(Course.of(target, START, STOP).error(dn.compile(explodes, GRID(4)))).all()


def test_rows_families_and_parts_agree(found):
    errors = found.rms("two modes", slice(1, 3))
    columns = found.errors["two modes"][..., 1:]
    np.testing.assert_allclose(errors, np.sqrt((columns**2).mean(axis=-1)))
    parts = found.by_family(errors)
    assert sum(len(part) for part in parts.values()) == len(found.samplers)
    np.testing.assert_array_equal(parts["exponential one-step"], errors[:2])
    few = found.only(("heun", "ddim"))
    np.testing.assert_array_equal(few.rms("two modes", slice(1, 3)), errors[[3, 0]])
    assert found.table(errors, ("heun",), (8,)).split() == ["heun", f"{found.of('heun', errors)[1]:.1e}"]


def test_winners_are_of_least_error_equals_by_order_and_leads_are_between_families(found):
    blocks = [slice(0, 4), slice(4, 8)]
    names, lead = found.regions("Gaussian", blocks)
    assert names.shape == lead.shape == (2, 3)
    assert "dpmpp_1" not in names  # the same method as ddim, which stands before it
    for i, block in enumerate(blocks):
        errors = found.rms("Gaussian", block)
        for j, name in enumerate(names[i]):
            least = found.of(name, errors)[j]
            assert least <= errors[:, j].min() * (1 + 1e-9)
            others = [errors[k, j] for k, s in enumerate(found.samplers) if s.family != ALL[name].family]
            assert lead[i, j] == pytest.approx(min(others) / least)


def test_bad_questions_are_refused(found):
    with pytest.raises(ValueError, match=r"budgets = \[8, 8\] do not increase"):
        sweep(FEW, GRID, (8, 8), {})
    with pytest.raises(ValueError, match="no sampler has a plan of 3 evaluations or fewer"):
        sweep([ALL["rk4"]], GRID, (2, 3), {})
    with pytest.raises(ValueError, match="'euler' was not run"):
        found.only(["euler"])
    with pytest.raises(ValueError, match="points = 0 is no number of points"):
        Course.of(two_modes((0.5,)), START, STOP, points=0)


# --- pictures


def test_work_precision_draws_every_member_and_the_least():
    _, axes = figures.panels()
    ax = axes[0, 0]
    families = {"a": np.array([[0.5, 0.1, 0.2], [0.3, 0.4, np.inf]]), "b": np.array([[np.inf, 0.6, 1e-3]])}
    ink = figures.inks(families)
    draw.work_precision(ax, (4, 8, 16), families, ink)
    coloured = {line.get_color(): line for line in ax.lines if line.get_marker() != "None"}
    np.testing.assert_array_equal(coloured[ink["a"].colour].get_ydata(), [0.3, 0.1, 0.2])
    np.testing.assert_array_equal(coloured[ink["b"].colour].get_ydata(), [np.nan, 0.6, 1e-3])
    assert len(ax.lines) == 3 + 2
    assert sorted(text.get_text() for text in ax.texts) == ["a", "b"]
    with pytest.raises(ValueError, match=r"none of \[c\]"):
        draw.work_precision(ax, (4,), {"c": np.array([[np.inf]])})


def test_ratios_are_quotients():
    _, axes = figures.panels()
    draw.ratios(axes[0, 0], (4, 8), {"a": ([0.4, np.inf], [0.1, 0.1])}, "quotient")
    np.testing.assert_allclose(axes[0, 0].lines[0].get_ydata(), [4.0, np.nan])


@settings(max_examples=50)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=4, max_size=4), min_size=1, max_size=4))
def test_areas_are_a_partition_into_connected_patches_of_equals(table):
    table = np.array(table, dtype=object)
    patches = draw.areas(table)
    cells = [cell for _, patch in patches for cell in patch]
    assert sorted(cells) == [(int(i), int(j)) for i, j in np.ndindex(*table.shape)]
    home = {cell: k for k, (_, patch) in enumerate(patches) for cell in patch}
    assert all(table[cell] == name for name, patch in patches for cell in patch)
    for i, j in cells:
        for near in ((i + 1, j), (i, j + 1)):
            if near in home:
                assert (home[near] == home[i, j]) == (table[near] == table[i, j])


def test_a_map_has_a_colour_per_family_and_names_inside_their_patches():
    fig, axes = figures.panels(1, 1, (7.0, 3.0))
    ax = axes[0, 0]
    families = {"ddim": "one", "exp_ab6_noise": "two", "dpmpp_3m_corrected": "two", "ab2": "three"}
    ink = figures.inks(["one", "two", "three", "absent"])
    table = [["ddim", "ddim", "exp_ab6_noise"], ["dpmpp_3m_corrected", "exp_ab6_noise", "exp_ab6_noise"], ["ab2"] * 3]
    close = np.zeros((3, 3), dtype=bool)
    close[2, 0] = True
    draw.winner_map(ax, (4, 8, 16), ("x", "y", "z"), table, families, ink, close)
    shades = ax.images[0].get_array()
    np.testing.assert_array_equal(shades[0, 2], shades[1, 0])  # two samplers of one family
    assert not np.allclose(shades[0, 0], shades[0, 2])
    assert shades[2, 0].sum() > shades[2, 1].sum()  # pale
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two", "three"]
    fig.draw_without_rendering()
    assert {text.get_text().replace("\n", "") for text in ax.texts} >= {"ddim", "exp_ab6_noise", "ab2"}
    patches = draw.areas(table)
    for text in ax.texts:
        box = matplotlib.text.Text.get_window_extent(text).transformed(ax.transData.inverted())
        name = text.get_text().replace("\n", "")
        inside = {cell for entry, patch in patches if entry == name for cell in patch}
        corners = {(int(y), int(x)) for x in (box.x0, box.x1) for y in (box.y0, box.y1)}
        assert corners <= inside


def test_a_map_of_another_shape_is_refused():
    _, axes = figures.panels()
    with pytest.raises(ValueError, match=r"winners has shape \(1, 2\): give one name for each of 1 x 3"):
        draw.winner_map(axes[0, 0], (1, 2, 3), ("x",), [["a", "a"]], {"a": "f"}, figures.inks(["f"]))
