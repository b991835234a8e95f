"""Growth of errors in exact inverses: what is predicted of a plan against perturbations that are run, and rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.noise import Counter
from diffnum.solvers import reversible, reversible_pairs
from diffnum.solvers.coords import RATIO

VP = dn.VP()
NAMES = [*reversible.__all__, *reversible_pairs.__all__]
LAW = dn.Gaussian(np.array([0.5, -1.0, 0.3]), np.array([0.1, 0.6, 2.5]))
CURVED = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])


def levels(n, reach=3.0):
    return dn.grid.log_snr(VP, n, start=VP.at(-reach), stop=VP.at(reach))


def source(plan):
    return Counter(1) if plan.draws else None


def missed(plan, x, model=LAW):
    """What comes back of a run there and back less what it started from."""
    ends = dn.sample(plan, model, x, source(plan), outputs="all")
    return dn.sample(dn.invert(plan), model, ends, source(plan)) - x


LESS_SIMPLE = {"reversible_heun": 4e-14, "belm_data": 2e-14}


# --- against runs ---


@pytest.mark.parametrize("name", NAMES)
def test_a_perturbation_of_the_outputs_is_carried_as_far_as_is_predicted(name):
    """The spectral norm is attained by some direction of the pair, and exceeded by none."""
    plan = dn.compile(name, levels(9), "noise")
    inverse = dn.invert(plan)
    x = LAW.sample(1, 0, plan.start)
    ends = dn.sample(plan, LAW, x, source(plan), outputs="all")
    starts = dn.sample(inverse, LAW, ends, source(plan), outputs="all")
    columns = []
    for k in range(len(ends)):
        moved = [end + (1e-2 if i == k else 0.0) for i, end in enumerate(ends)]
        back = dn.sample(inverse, LAW, moved, source(plan), outputs="all")
        columns.append([(b - a)[0] * 1e2 for a, b in zip(starts, back, strict=True)])
    carried = np.linalg.norm(np.array(columns).transpose(2, 1, 0), 2, axis=(1, 2))
    np.testing.assert_allclose(dn.growth(plan, LAW).factor, carried, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "rate"),
    [
        ("bdia", {"gamma": 0.8}, -math.log(0.8)),
        ("bdia", {"gamma": 1.0}, 0.0),
        ("edict", {"p": 0.93}, -2 * math.log(0.93)),
        ("edict_plain", {"p": 0.8}, -2 * math.log(0.8)),
        ("reversible_midpoint", {"zeta": 0.9}, -math.log(0.9)),
        ("reversible_euler", {"zeta": 0.8, "coords": RATIO}, -math.log(0.8)),
        ("reversible_heun", {}, 0.0),
        ("leapfrog", {}, 0.0),
    ],
)
def test_growth_a_step_is_that_of_the_second_root(name, options, rate):
    """Where more steps make each shorter, so that what the model does to the pair over the run stays what it is."""
    plans = (dn.compile(name, levels(n, 0.5), **options) for n in (60, 120))
    first, second = (float(dn.growth(plan, LAW).factor.max()) for plan in plans)
    assert math.log(second / first) / 60 == pytest.approx(rate, abs=1e-3)


def test_growth_of_belm_is_the_square_of_its_first_step_over_its_last():
    """Steps of ``sigma`` that fall tenfold, in a model that does nothing to the state."""
    still = dn.Gaussian(np.zeros(1), np.array([1e12]))
    sizes = np.linspace(10.0, 1.0, 40)
    sigmas = 2.0 - 1e-3 * np.concatenate([[0.0], np.cumsum(sizes)])
    plan = dn.compile("belm", dn.grid.custom(dn.EDM(), sigmas=sigmas.tolist()), "noise")
    # the pair's difference grows by a hundred, and the state by the sum of all differences
    assert 100 < dn.growth(plan, still).factor[0] < 200


LONG = {"reversible_rk4", "reversible_shark", "reversible_midpoint", "bdia_dpmpp"}


# a thousand steps of the one take minutes, and those of the other pass the largest number
SHORT = {"reversible_shark", "bdia_half"}
RUNS = [
    pytest.param(name, n, marks=pytest.mark.full if name in LONG or n == 1000 else ())
    for name in NAMES
    for n in (10, 100, 1000)
    if n < 1000 or name not in SHORT
]


@pytest.mark.parametrize(("name", "n"), RUNS)
def test_rounding_of_a_run_there_and_back_is_what_is_predicted(name, n):
    """Within a factor of three, whether that is 1e-16 or all digits and more."""
    plan = dn.compile(name, levels(n), "noise")
    found = np.sqrt((missed(plan, LAW.sample(100, 0, plan.start)) ** 2).mean(0))
    ratio = found / (2.0**-53 * dn.growth(plan, LAW).rounding)
    assert (ratio > 1 / 3).all() and (ratio < 3).all()


@pytest.mark.parametrize(
    ("name", "bound"),
    [("bdia", 2e-14), *(pytest.param(n, b, marks=pytest.mark.full) for n, b in LESS_SIMPLE.items())],
)
@pytest.mark.parametrize("n", [10, 100, 1000])
def test_without_growth_a_thousand_steps_come_back_at_rounding(name, bound, n):
    plan = dn.compile(name, levels(n), "velocity")
    assert np.abs(missed(plan, CURVED.sample(20, 0, plan.start), CURVED)).max() < bound


@pytest.mark.parametrize("prediction", ["data", "velocity", "score"])
def test_the_prediction_changes_the_rounding_little(prediction):
    """And the growth, which belongs to the method, not at all."""
    one, two = (dn.growth(dn.compile("edict", levels(20), kind), LAW) for kind in ("noise", prediction))
    np.testing.assert_allclose(one.factor, two.factor, rtol=1e-9)
    assert (np.abs(np.log10(one.rounding / two.rounding)) < 1.5).all()


def test_single_precision_loses_as_many_digits():
    plan = dn.compile("edict_plain", levels(40), "noise")
    x = torch.as_tensor(LAW.sample(100, 0, plan.start), dtype=torch.float32)
    found = np.sqrt((missed(plan, x).numpy() ** 2).mean(0))
    ratio = found / (2.0**-24 * dn.growth(plan, LAW).rounding)
    assert (ratio > 1 / 4).all() and (ratio < 4).all()


def test_an_error_made_on_the_way_grows_by_what_is_left_of_the_way():
    growth = dn.growth(dn.compile("bdia_half", levels(30), "noise"), LAW)
    assert growth.from_level.shape == (31, 3)
    # the outputs hold the state before the last beside the last
    assert (np.diff(np.log2(growth.from_level[10:-1].max(axis=1))) > 0.9).all()
    assert (growth.factor >= growth.from_level[-1]).all()
    np.testing.assert_allclose(growth.from_level[0], 1.0)


# --- refusals ---


def test_what_has_no_growth_is_refused():
    with pytest.raises(ValueError, match="cannot be undone exactly"):
        dn.growth(dn.compile("ddim", levels(3)), LAW)
    with pytest.raises(ValueError, match=r"got Mixture: use dn\.Gaussian"):
        dn.growth(dn.compile("bdia", levels(3)), CURVED)


def test_a_growth_beyond_all_numbers_is_infinite():
    growth = dn.growth(dn.compile("bdia_half", levels(1100), "noise"), LAW)
    assert np.isinf(growth.rounding).all() and np.isinf(growth.factor).all()
