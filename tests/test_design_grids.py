"""Grids in closed form against gradients, exact errors and bounds that were found another way."""

import json
import math
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import diffnum as dn
from diffnum.design import Trajectories
from diffnum.design.grids import (
    RAMPS,
    Ramp,
    ays,
    ays_bound,
    band_changes,
    beta,
    by_gradient,
    commit_lams,
    gradient_grid,
    hyper,
    interpolate,
    interpolate_monotone,
    lower_bound_kl,
    lower_bound_w2,
    mmse,
    peak_lams,
    spectral_kl,
    spectral_w2,
    tangent,
    tangent_kl,
    tangent_w2,
)
from diffnum.read.distance import gaussian_kl
from diffnum.solvers import ddim, ddpm_ancestral, dpmpp_2m

EDM = dn.EDM()
START, STOP = EDM.at(-math.log(20.0)), EDM.at(-math.log(0.05))
SPECTRUM = np.array([1.0, 0.1, 0.01])
PROCESSES = [dn.EDM(), dn.VP(), dn.Flow(), dn.Cosine()]


def gaussian(spectrum):
    return dn.Gaussian(np.zeros(len(spectrum)), np.asarray(spectrum, dtype=float))


def lams(grid):
    return [level.lam for level in grid.levels]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
@pytest.mark.parametrize("end", ["stop", "zero"])
def test_on_the_tangent_law_ddim_keeps_cos_to_the_n_of_the_deviation(process, end):
    n, variance = 7, 0.3
    grid = tangent(process, n, variance, end=end)
    first, last = (math.atan2(x.sigma, x.alpha * math.sqrt(variance)) for x in (grid[0], grid[-1]))
    _, found = dn.moments(dn.compile("ddim", grid), gaussian([variance]))
    exact = grid[-1].alpha ** 2 * variance + grid[-1].sigma ** 2
    assert math.sqrt(found[0] / exact) == pytest.approx(math.cos((first - last) / n) ** n, rel=1e-12)


@pytest.mark.parametrize("distance", [dn.w2, dn.kl], ids=["w2", "kl"])
@pytest.mark.parametrize("process", [dn.EDM(), dn.VP(), dn.Flow()], ids=lambda p: p.name)
def test_the_tangent_law_is_a_zero_of_the_gradient(process, distance):
    variance, start, stop = 0.3, process.at(-3.0), process.at(3.0)
    law = tangent(process, 6, variance, start, stop)
    leaf = torch.tensor(lams(law)[1:-1], dtype=torch.float64, requires_grad=True)
    grid = dn.grid.through(process, [start, *map(process.at, leaf), stop])
    (slope,) = torch.autograd.grad(distance(dn.compile("ddim", grid), gaussian([variance])), leaf)
    away = torch.tensor(lams(dn.grid.log_snr(process, 6, start, stop))[1:-1], requires_grad=True)
    other = dn.grid.through(process, [start, *map(process.at, away), stop])
    (steep,) = torch.autograd.grad(distance(dn.compile("ddim", other), gaussian([variance])), away)
    assert slope.abs().max() < 1e-12 < 1e-3 < steep.abs().max()


def test_of_one_variance_the_law_of_a_spectrum_is_the_tangent_law():
    for law in (tangent_w2, tangent_kl):
        for end in ("stop", "zero"):
            got, want = law(dn.VP(), 6, [0.2], end=end), tangent(dn.VP(), 6, 0.2, end=end)
            np.testing.assert_allclose(lams(got)[:-1], lams(want)[:-1], atol=1e-4)


def steepness(make, n, distance):
    """Relative slope of the error as a grid is bent in log-SNR."""
    grid = make(EDM, n)
    leaf = torch.zeros((), dtype=torch.float64, requires_grad=True)
    bends = np.sin(np.pi * np.arange(1, n) / n) / 2
    moved = [EDM.at(leaf * bend + lam) for lam, bend in zip(lams(grid)[1:-1], bends, strict=True)]
    error = distance(dn.compile("ddim", dn.grid.through(EDM, [START, *moved, STOP])), gaussian(SPECTRUM))
    return torch.autograd.grad(error.log(), leaf)[0].abs().item()


@pytest.mark.parametrize(("law", "distance"), [(tangent_w2, dn.w2), (tangent_kl, dn.kl)], ids=["w2", "kl"])
def test_the_law_of_a_spectrum_becomes_stationary_with_many_steps_and_equal_ones_do_not(law, distance):
    coarse, fine = (steepness(lambda p, n: law(p, n, SPECTRUM, START, STOP), n, distance) for n in (16, 64))
    assert fine < coarse / 2.5
    coarse, fine = (steepness(lambda p, n: dn.grid.log_snr(p, n, START, STOP), n, distance) for n in (16, 64))
    assert fine > coarse / 1.1


def test_gradients_find_the_tangent_law_from_elsewhere():
    law = tangent(EDM, 4, 0.3, START, STOP)

    def judge(grid):
        return dn.w2(dn.compile("ddim", grid), gaussian([0.3]))

    found = by_gradient(judge, EDM, 4, [dn.grid.log_snr(EDM, 4, START, STOP)], START, STOP)
    np.testing.assert_allclose(lams(found), lams(law), atol=1e-5)


@pytest.mark.parametrize(
    ("spectral", "distance", "bound", "law"),
    [(spectral_w2, dn.w2, lower_bound_w2, tangent_w2), (spectral_kl, dn.kl, lower_bound_kl, tangent_kl)],
    ids=["w2", "kl"],
)
def test_the_spectral_optimum_lies_between_the_bound_for_all_grids_and_the_law_of_many_steps(
    spectral, distance, bound, law
):
    def error(grid):
        return distance(dn.compile("ddim", grid), gaussian(SPECTRUM))

    best = error(spectral(ddim, EDM, 4, SPECTRUM, START, STOP))
    coarse, fine = (bound(EDM, 4, SPECTRUM, START, STOP, cells=cells) for cells in (64, 256))
    assert coarse < fine < best <= error(law(EDM, 4, SPECTRUM, START, STOP))
    # the shortfall of the bound is of the order of a cell
    assert best - fine < 0.35 * (best - coarse)


@given(st.lists(st.floats(-2.9, 2.9), min_size=3, max_size=3, unique=True), st.sampled_from([[0.3], [1.0, 0.02]]))
@settings(max_examples=15, deadline=None)
def test_no_grid_is_below_the_bound(inner, spectrum):
    try:
        grid = dn.grid.custom(EDM, lams=[-3.0, *sorted(inner), 3.0])
        plan = dn.compile("ddim", grid)
    except ValueError:  # levels too close for float64
        return
    bounds = {"w2": (dn.w2, lower_bound_w2), "kl": (dn.kl, lower_bound_kl)}
    for distance, bound in bounds.values():
        assert distance(plan, gaussian(spectrum)) >= bound(EDM, 4, spectrum, grid[0], grid[-1], cells=60)


def test_the_bound_for_all_grids_holds_for_a_last_step_to_the_clean_level():
    process = dn.Flow()
    grid = tangent_w2(process, 5, SPECTRUM, end="zero")
    error = dn.w2(dn.compile("ddim", grid), gaussian(SPECTRUM))
    assert 0.9 * error < lower_bound_w2(process, 5, SPECTRUM, end="zero", cells=200) < error


def test_first_order_optima_carry_over_to_another_spectrum_and_cancellations_of_second_order_do_not():
    def error(sampler, grid, factor):
        return dn.w2(dn.compile(sampler, grid), gaussian(SPECTRUM * factor))

    law = tangent_w2(dn.VP(), 5, SPECTRUM)
    losses = {}
    for sampler in (ddim, dpmpp_2m):
        grid = spectral_w2(sampler, dn.VP(), 5, SPECTRUM)
        assert error(sampler, grid, 1) <= error(sampler, law, 1)
        losses[sampler.name] = error(sampler, grid, 1.5) / error(sampler, grid, 1)
    assert losses["ddim"] < 1.3 and losses["dpmpp_2m"] > 1e3


@pytest.mark.parametrize("end", ["stop", "zero", "denoise"])
def test_spectral_optima_of_stochastic_samplers_beat_hand_made_grids_also_from_pure_noise(end):
    process = dn.Flow()

    def error(grid):
        return dn.w2(dn.compile(ddpm_ancestral, grid), gaussian(SPECTRUM))

    grid = spectral_w2(ddpm_ancestral, process, 4, SPECTRUM, stop=process.at(3.0), end=end)
    assert grid[0].pure_noise and grid.end == end
    assert error(grid) < 0.95 * error(dn.grid.uniform(process, 4, stop=process.at(3.0), end=end))


@cache
def known():
    target = dn.Mixture([0.4, 0.6], [[-1.0, 0.2], [0.8, -0.3]], np.full((2, 2), 0.02))
    return Trajectories.draw(target, START, 12, seed=1)


def test_a_grid_by_gradient_suits_its_sampler_and_beats_every_start():
    for sampler in (ddim, dpmpp_2m):
        hand = [f(EDM, 4, START, STOP) for f in (dn.grid.log_snr, dn.grid.karras)]
        grid = gradient_grid(sampler, EDM, 4, known(), STOP, starts=hand, steps=6)
        least = min(known().error(dn.compile(sampler, other)) for other in hand)
        assert known().error(dn.compile(sampler, grid)) < 0.97 * least
        assert grid[0] == START and grid[-1] == STOP


def test_ends_and_policies_are_those_asked_for_and_grids_survive_json(tmp_path):
    made = []
    for process in PROCESSES:
        start, stop = process.at(-3.0), process.at(3.0)
        for end in ("stop", "zero", "denoise", "half"):
            to = None if end == "zero" else stop
            made += [
                tangent(process, 4, 0.3, start, to, end),
                tangent_kl(process, 4, SPECTRUM, start, to, end),
                beta(process, 4, start=start, stop=stop, end=end),
                hyper(process, 4, RAMPS[5], start, stop, end),
                ays(process, 4, mmse(gaussian(SPECTRUM)), start, stop, end, candidates=40),
                interpolate(dn.grid.log_snr(process, 6, start, stop, end), 4),
                interpolate_monotone(dn.grid.uniform(process, 6, start, stop, end), 4),
            ]
            assert all(grid.end == end and grid.steps == 4 and grid[0] == start for grid in made[-7:])
    for grid in made:
        plan = dn.compile("ddim", grid)
        again = dn.Plan.from_json(json.loads(json.dumps(plan.to_json())))
        assert again == plan and again.levels == grid.levels


def test_one_step_to_the_clean_level_has_nothing_to_choose():
    for process in PROCESSES:
        plain = dn.grid.uniform(process, 1, end="zero")
        makers = (tangent, beta, lambda p, n, end: hyper(p, n, RAMPS[5], p.at(-3.0), end=end))
        for make in makers:
            grid = make(process, 1, end="zero")
            assert grid.steps == 1 and grid[-1] == plain[-1]


def test_beta_quantiles_are_uniform_for_one_and_one_and_mirror_themselves_for_equal_numbers():
    for process in PROCESSES:
        grid = beta(process, 9, 1.0, 1.0)
        np.testing.assert_allclose([x.t for x in grid], [x.t for x in dn.grid.uniform(process, 9)], rtol=1e-13)
    for a, b in ((0.6, 0.6), (0.6, 0.8)):
        t = np.array([x.t for x in beta(dn.VP(), 9, a, b, stop=0.0)])
        assert (abs(t + t[::-1] - 1).max() < 1e-13) == (a == b)
        np.testing.assert_allclose(stats.beta(a, b).cdf(t), np.linspace(1, 0, 10), atol=1e-12)


def test_predictions_of_a_band_change_most_where_its_noise_is_twice_its_signal():
    """Not where they are equal, which is when a band is said to commit: half a log of two earlier."""
    grid = dn.grid.log_snr(EDM, 6000, EDM.at(-4.0), EDM.at(5.0))
    changes = band_changes(grid, SPECTRUM)
    middles = np.array(lams(grid))[:-1] + grid.h[0] / 2
    np.testing.assert_allclose(middles[changes.argmax(0)], peak_lams(SPECTRUM), atol=2 * grid.h[0])
    np.testing.assert_allclose(commit_lams(SPECTRUM) - peak_lams(SPECTRUM), math.log(2) / 2, rtol=1e-15)


def test_changes_of_a_band_are_those_of_predictions_along_the_flow():
    grid = dn.grid.uniform(dn.VP(), 5)
    target = gaussian(SPECTRUM)
    x = target.sample(20000, 0, grid[0])
    seen = [target.denoise(target.flow(x, grid[0], level), level) for level in grid]
    np.testing.assert_allclose((np.diff(seen, axis=0) ** 2).mean(1), band_changes(grid, SPECTRUM), rtol=0.05)


def integral(c, level):
    """Of ``mmse`` over the signal-to-noise ratio, in closed form."""
    return float(np.log1p(c * math.exp(2 * level.lam)).sum())


def test_the_bound_of_align_your_steps_is_rectangles_less_the_integral_of_mutual_information():
    grid = dn.grid.karras(dn.VP(), 6, dn.VP().at(-3.0), dn.VP().at(3.0))
    curve = mmse(gaussian(SPECTRUM))
    q = [math.exp(2 * lam) for lam in lams(grid)]
    rectangles = sum(curve(grid[i]) * (q[i + 1] - q[i]) for i in range(6)) / 2
    exact = rectangles - (integral(SPECTRUM, grid[-1]) - integral(SPECTRUM, grid[0])) / 2
    assert ays_bound(grid, curve) == pytest.approx(exact, rel=1e-9)


def test_frozen_predictions_differ_by_the_difference_of_their_errors():
    """What makes the bound a sum of rectangles: ``E |D_s - D_u|^2 = mmse(u) - mmse(s)``, on a mixture."""
    target = dn.Mixture([0.5, 0.5], [[-1.0], [1.0]], [[0.05], [0.2]])
    u, s = EDM.at(0.0), EDM.at(1.0)
    rng = np.random.default_rng(3)
    y = target.sample(200000, rng, s)
    noisier = y + math.sqrt(u.sigma**2 - s.sigma**2) * rng.standard_normal(y.shape)
    moved = ((target.denoise(y, s) - target.denoise(noisier, u)) ** 2).mean()
    curve = mmse(target, 200000, seed=4)
    assert moved == pytest.approx(curve(u) - curve(s), rel=0.02)


@pytest.mark.parametrize("n", [3, 8])
def test_the_bound_of_align_your_steps_is_above_the_divergence_of_its_sampler(n):
    target = gaussian(SPECTRUM)
    grid = ays(EDM, n, mmse(target), START, STOP)
    mean, variance = dn.moments(dn.compile(ddpm_ancestral, grid), target)
    exact = STOP.alpha**2 * SPECTRUM + STOP.sigma**2
    assert 0 < gaussian_kl(0 * mean, exact, mean, variance) < ays_bound(grid, mmse(target))


def test_on_a_falling_spectrum_the_least_bound_lessens_divergence_and_adds_to_w2():
    target = dn.Gaussian.power_law(64)
    bounded, equal = ays(EDM, 8, mmse(target), START, STOP), dn.grid.log_snr(EDM, 8, START, STOP)
    plans = [dn.compile(ddpm_ancestral, grid) for grid in (bounded, equal)]
    assert dn.kl(plans[0], target) < 0.7 * dn.kl(plans[1], target)
    assert dn.w2(plans[0], target) > 1.3 * dn.w2(plans[1], target)


def test_no_move_of_a_level_lowers_the_least_bound():
    curve = mmse(gaussian(SPECTRUM))
    grid = ays(EDM, 5, curve, START, STOP, candidates=60)
    least = ays_bound(grid, curve)
    assert least < min(ays_bound(f(EDM, 5, START, STOP), curve) for f in (dn.grid.log_snr, dn.grid.karras))
    for i in range(1, 5):
        for step in (-1e-3, 1e-3):
            moved = lams(grid)
            moved[i] += step
            assert ays_bound(dn.grid.custom(EDM, lams=moved), curve) > least


def test_two_ramps_are_a_karras_grid_cut_and_spread_anew():
    process = dn.VP()
    ramp = Ramp(8, 5.0, 6)
    grid = hyper(process, 6, ramp, process.level(1.0), process.level(1e-3), "stop")
    whole = dn.grid.karras(process, 7, process.level(1.0), process.level(1e-3), rho=5.0)
    assert grid[0] == whole[0] and grid[-1] == whole[6]
    np.testing.assert_allclose(np.diff([level.t ** (1 / 1.2) for level in grid], 2), 0, atol=1e-15)
    # the whole ramp spread with its own exponent is itself, where the clock is the ratio
    same = hyper(EDM, 7, Ramp(8, 7.0, 7, rho_time=7.0), START, STOP, "stop")
    np.testing.assert_allclose(lams(same), lams(dn.grid.karras(EDM, 7, START, STOP)), atol=1e-12)


def test_two_step_data_prediction_keeps_its_order_on_two_ramps():
    target, errors = gaussian([0.3]), []
    for n in (160, 320, 640):
        grid = hyper(EDM, n, RAMPS[6], EDM.at(-2.0), EDM.at(2.0), "stop")
        errors.append(dn.w2(dn.compile(dpmpp_2m, grid), target))
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert slopes == pytest.approx(2, abs=0.15)


def test_interpolation_keeps_ends_and_the_grid_itself_and_halves_steps():
    for make in (interpolate, interpolate_monotone):
        for process in PROCESSES:
            grid = dn.grid.uniform(process, 5, end="zero")
            assert make(grid, 5) == grid
            fine = make(grid, 9)
            assert fine[0] == grid[0] and fine[-1] == grid[-1] and fine.end == "zero"
        whole = dn.grid.karras(EDM, 4, START, STOP)
        np.testing.assert_allclose(lams(make(whole, 8))[::2], lams(whole), rtol=1e-14)
    np.testing.assert_allclose(lams(interpolate(whole, 8))[1::2], np.convolve(lams(whole), [0.5, 0.5], "valid"))
    straight = dn.grid.log_snr(EDM, 4, START, STOP)
    np.testing.assert_allclose(lams(interpolate_monotone(straight, 7)), lams(dn.grid.log_snr(EDM, 7, START, STOP)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: tangent(EDM, 4, 0.0), "variances > 0"),
        (lambda: tangent(EDM, 4, stop=0.1, end="zero"), "no meaning"),
        (lambda: tangent_w2(EDM, 4, [[1.0]]), "list of variances"),
        (lambda: beta(EDM, 4, a=-1.0), "positive"),
        (lambda: ays(dn.Flow(), 4, mmse(gaussian([1.0]))), "alpha = 0"),
        (lambda: ays_bound(dn.grid.uniform(EDM, 4, end="zero"), mmse(gaussian([1.0]))), "infinite"),
        (lambda: hyper(EDM, 5, Ramp(8, 5.0, 8)), "no inner point"),
        (lambda: hyper(dn.Flow(), 5, RAMPS[5]), "alpha = 0"),
        (lambda: interpolate(dn.grid.uniform(dn.Flow(), 2, end="zero"), 3), "two levels between"),
        (lambda: lower_bound_w2(EDM, 4, [1.0], end="denoise"), "use 'stop' or 'zero'"),
        (lambda: by_gradient(lambda grid: 1, EDM, 4, [dn.grid.uniform(EDM, 3)]), "give one with 4"),
        (lambda: by_gradient(lambda grid: 1, EDM, 4, []), "none of the 0 starts"),
        (lambda: gradient_grid(ddpm_ancestral, EDM, 4, known(), STOP), "draws noise"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, said):
    with pytest.raises(ValueError, match=said) as error:
        make()
    assert "\n" not in str(error.value)
