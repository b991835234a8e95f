"""Error-controlled reverse SDEs and norm-dependent Langevin steps: against the plans that they freeze and the laws that
they should have, by samples with error bars."""

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.adaptive import gotta_go_fast, gotta_go_fast_each, langevin_by_norms
from diffnum.noise import Brownian, Counter
from diffnum.witness import nonlinear

VP = dn.VP()
GAUSSIAN = dn.Gaussian(np.array([0.3, 0.0]), np.array([0.4, 1.5]))


def start(n, seed=0):
    return GAUSSIAN.sample(n, seed, VP.level(1.0))


def counted(target):
    calls = []

    def model(x, level):
        calls.append(level)
        return target.denoise(x, level)

    return model, calls


@pytest.mark.parametrize("noise", [Brownian(3), Counter(3)], ids=["path", "fresh"])
@pytest.mark.parametrize("process", [VP, dn.EDM()], ids=lambda p: p.name)
def test_the_frozen_plan_gives_the_sample_bit_by_bit(noise, process):
    x = GAUSSIAN.sample(6, 0, process.level(process.t_start))
    model, calls = counted(GAUSSIAN)
    run = gotta_go_fast(model, process, x, noise, rtol=0.1, atol=0.05)
    np.testing.assert_array_equal(dn.sample(run.plan, GAUSSIAN, x, noise=noise), run.x)
    assert run.nfe == len(calls) == 2 * (len(run.errors) + run.rejected)
    assert max(run.errors) <= 1 and run.plan.nfe == 2 * len(run.errors)


def test_a_denoised_end_is_the_frozen_plans():
    x = start(4)
    run = gotta_go_fast(GAUSSIAN, VP, x, Brownian(1), rtol=0.2, atol=0.1, end="denoise", prediction="noise")
    np.testing.assert_allclose(dn.sample(run.plan, GAUSSIAN, x, noise=Brownian(1)), run.x, atol=1e-13)
    assert run.nfe == 2 * (len(run.errors) + run.rejected) + 1


def test_a_smaller_tolerance_costs_more_and_freezes_a_better_law():
    runs = [gotta_go_fast(GAUSSIAN, VP, start(8), Brownian(3), rtol=tol, atol=tol / 2) for tol in (0.2, 0.05, 0.0125)]
    errors = [dn.w2(run.plan, GAUSSIAN) for run in runs]
    assert [run.nfe for run in runs] == sorted(run.nfe for run in runs)
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 10


def test_on_one_path_the_law_is_right():
    """Mean and variance within four and a half standard errors of the exact ones, which the frozen plan is near."""
    n, target, stop = 4000, dn.Gaussian(np.array([0.3]), np.array([0.4])), VP.at(1.0)
    x = target.sample(n, 0, VP.level(1.0))
    run = gotta_go_fast(target, VP, x, Brownian(5), rtol=0.2, atol=0.2, stop=stop)
    variance = stop.alpha**2 * 0.4 + stop.sigma**2
    assert run.rejected
    assert run.x.mean() == pytest.approx(stop.alpha * 0.3, abs=4.5 * np.sqrt(variance / n))
    assert run.x.var() == pytest.approx(variance, rel=4.5 * np.sqrt(2 / n) + 0.01)


def test_each_sample_alone_is_its_own_run_whatever_its_company():
    x, options = start(3), dict(rtol=0.2, atol=0.1)
    runs = gotta_go_fast_each(GAUSSIAN, VP, x, Brownian(7), **options)
    for i, run in enumerate(runs):
        alone = gotta_go_fast(GAUSSIAN, VP, x[i : i + 1], Brownian(7, first=i), **options)
        np.testing.assert_array_equal(run.x, alone.x)
    assert len({len(run.errors) for run in runs}) > 1
    with pytest.raises(ValueError, match="not keyed by sample"):
        gotta_go_fast_each(GAUSSIAN, VP, x, lambda s, t, j, x: x)


def test_torch_freezes_what_numpy_runs():
    """Steps themselves may part: a path read one rounding further on is another number in the last digits."""
    x = start(4)
    run = gotta_go_fast(GAUSSIAN, VP, torch.as_tensor(x), Brownian(2), rtol=0.1)
    np.testing.assert_allclose(run.x.numpy(), dn.sample(run.plan, GAUSSIAN, x, noise=Brownian(2)), atol=1e-9)


def test_norm_dependent_steps_leave_the_plan_that_they_made():
    x = start(16)
    grid = dn.grid.log_snr(VP, 10, end="zero")
    run = langevin_by_norms(GAUSSIAN, grid, x, Counter(1))
    np.testing.assert_allclose(dn.sample(run.plan, GAUSSIAN, x, noise=Counter(1)), run.x, atol=1e-12)
    assert run.nfe == run.plan.nfe == 19 and run.sizes[-1] == 0


def test_norms_of_whitened_data_in_many_dimensions_give_the_fixed_step():
    """For N(0, I) the score is -x and |z| = |x| up to one over the root of twice the dimension."""
    dim = 4096
    white = dn.Gaussian(np.zeros(dim), np.ones(dim))
    grid = dn.grid.log_snr(VP, 40, stop=VP.at(0.0))
    run = langevin_by_norms(white, grid, white.sample(8, 0, grid.levels[0]), Counter(1), snr=0.02)
    # e / sigma^2 = 2 (snr |z| / |sigma score|)^2, with |sigma score| = sigma |x|
    expected = [2 * (0.02 / level.sigma) ** 2 for level in grid.levels[1:]]
    assert run.sizes == pytest.approx(expected, rel=0.1)


def test_the_bias_of_norm_dependent_steps_is_seen_by_samples():
    """Empirical: the variance at the end is off by more than five standard errors, however many steps."""
    n, target = 20_000, dn.Gaussian(np.zeros(1), np.array([0.5]))
    grid = dn.grid.log_snr(VP, 64, stop=VP.at(1.0))
    run = langevin_by_norms(target, grid, target.sample(n, 0, grid.levels[0]), Counter(4), snr=0.5)
    stop = grid.levels[-1]
    variance = stop.alpha**2 * 0.5 + stop.sigma**2
    assert abs(run.x.var() / variance - 1) > 5 * np.sqrt(2 / n)
    assert run.x.var() == pytest.approx(dn.moments(run.plan, target)[1][0], rel=4.5 * np.sqrt(2 / n))


def test_a_non_linear_law_runs():
    target = nonlinear()
    run = gotta_go_fast(target, VP, target.sample(4, 0, VP.level(1.0)), Brownian(1), rtol=0.1, stop=VP.at(2.0))
    assert np.isfinite(run.x).all()


def test_bad_input_is_refused():
    x = start(2)
    with pytest.raises(ValueError, match="rtol = -1"):
        gotta_go_fast(GAUSSIAN, VP, x, Brownian(1), rtol=-1)
    with pytest.raises(ValueError, match="no error at all"):
        gotta_go_fast(GAUSSIAN, VP, x, Brownian(1), rtol=0, atol=0)
    with pytest.raises(ValueError, match="infinite at alpha = 0"):
        gotta_go_fast(GAUSSIAN, dn.Flow(), x, Brownian(1))
    with pytest.raises(ValueError, match="fell to"):
        gotta_go_fast(lambda x, level: x * np.nan, VP, x, Brownian(1))
    with pytest.raises(ValueError, match="snr = 0"):
        langevin_by_norms(GAUSSIAN, dn.grid.log_snr(VP, 3), x, Counter(1), snr=0)
