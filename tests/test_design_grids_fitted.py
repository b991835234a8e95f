"""The numbers of Beta sampling and of the two ramps, fitted: against brute force, the published ones and neighbours."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

import diffnum as dn
from diffnum.design.grids import RAMPS, Ramp, beta, fit_beta, fit_hyper, hyper

SPECTRUM = np.array([1.0, 0.1, 0.01])
LAW = dn.Gaussian(np.zeros(3), SPECTRUM)
VP = dn.VP()


def far(name):
    """The exact distance of a sampler's law from the Gaussian, as a judge of grids."""
    return lambda grid: dn.w2(dn.compile(name, grid), LAW)


def asked(judge, make):
    try:
        return judge(make())
    except ValueError:
        return math.inf


# --- Beta sampling ---


@pytest.mark.parametrize(
    ("name", "process", "end"),
    [("ddim", VP, "stop"), ("dpmpp_2m", VP, "zero"), ("ddim", dn.EDM(), "stop"), ("ddim", dn.Flow(), "zero")],
    ids=str,
)
def test_no_pair_is_better_than_the_fitted_one(name, process, end):
    judge = far(name)

    def error(a, b):
        return asked(judge, lambda: beta(process, 5, a, b, end=end))

    a, b = fit_beta(judge, process, 5, end=end)
    least = error(a, b)
    published = [error(same, same) for same in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    assert least < min(published)
    assert least <= min(error(p, q) for p, q in product(np.geomspace(0.25, 40, 16), repeat=2))
    assert least <= min(error(a * p, b * q) for p, q in product((0.9, 0.98, 1.02, 1.1), repeat=2))


def test_a_pair_is_recovered_from_the_grid_that_it_makes():
    wanted = np.array([level.lam for level in beta(VP, 6, 0.7, 1.9)])
    a, b = fit_beta(lambda grid: ((np.array([level.lam for level in grid]) - wanted) ** 2).sum(), VP, 6)
    assert (a, b) == pytest.approx((0.7, 1.9), rel=1e-4)


# --- two ramps ---


@given(st.floats(1.5, 12.0), st.sampled_from([(8, 5), (8, 6), (12, 9)]))
@settings(max_examples=20)
def test_ramps_that_are_cut_at_the_same_level_are_the_same_grid(rho, at):
    points, kept = at
    cut = hyper(VP, 5, Ramp(points, rho, kept), end="stop")[-1].lam

    def apart(log_rho):
        return hyper(VP, 5, Ramp(20, math.exp(log_rho), 14), end="stop")[-1].lam - cut

    if apart(-1.0) * apart(4.0) > 0:
        return
    other = hyper(VP, 5, Ramp(20, math.exp(brentq(apart, -1.0, 4.0, xtol=1e-14)), 14))
    mine = hyper(VP, 5, Ramp(points, rho, kept))
    np.testing.assert_allclose([x.lam for x in other][:-1], [x.lam for x in mine][:-1], atol=1e-8)


@pytest.mark.parametrize(("name", "end"), [("ddim", "zero"), ("dpmpp_2m", "zero"), ("dpmpp_2m", "stop")])
def test_brute_force_finds_no_ramp_that_is_better_than_the_fitted_one(name, end):
    judge = far(name)

    def error(ramp):
        return asked(judge, lambda: hyper(VP, 5, ramp, end=end))

    found = fit_hyper(judge, VP, 5, end=end)
    tried = [
        Ramp(8, float(rho), kept, float(rho_time))
        for kept, rho, rho_time in product(range(1, 8), np.geomspace(1, 20, 12), np.geomspace(0.5, 20, 12))
    ]
    assert error(found) <= min(map(error, tried))
    assert error(found) < min(map(error, RAMPS.values()))


def test_of_given_ramps_without_a_way_downhill_the_best_is_taken():
    judge = far("dpmpp_2m")
    ramps = [Ramp(8, rho, kept) for rho, kept in product((3.0, 5.0, 7.0), range(1, 8))]
    best = min(ramps, key=lambda ramp: judge(hyper(VP, 5, ramp)))
    assert fit_hyper(judge, VP, 5, ramps=ramps, polish=0) == best
    bent = fit_hyper(judge, VP, 5, ramps=[best])
    assert (bent.points, bent.kept) == (best.points, best.kept)
    assert judge(hyper(VP, 5, bent)) < judge(hyper(VP, 5, best))


def test_fits_on_a_law_serve_its_neighbours_better_than_the_published_numbers():
    """Of first order; a second one may meet one law by cancellation, and no other."""
    near = dn.Gaussian(np.zeros(3), 1.3 * SPECTRUM)
    judge = far("ddim")
    pair, ramp = fit_beta(judge, VP, 5), fit_hyper(judge, VP, 5)

    def error(grid):
        return dn.w2(dn.compile("ddim", grid), near)

    assert error(beta(VP, 5, *pair)) < error(beta(VP, 5))
    assert error(hyper(VP, 5, ramp)) < min(error(hyper(VP, 5, one)) for one in RAMPS.values())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fit_beta(lambda grid: math.nan, VP, 4), "likes none of the 64"),
        (lambda: fit_hyper(lambda grid: math.inf, VP, 4, ramps=[RAMPS[5]]), "likes none of the 1"),
        (lambda: fit_hyper(lambda grid: 1.0, VP, 4, ramps=[]), "likes none of the 0"),
        (lambda: fit_hyper(lambda grid: 1.0, dn.Flow(), 4), "alpha = 0"),
        (lambda: fit_beta(lambda grid: 1.0, VP, 0), "n = 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
