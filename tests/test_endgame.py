"""The last level: none, half and full denoising after an exact flow, against the exact end of the flow."""

import numpy as np
import pytest

import diffnum as dn

PROCESSES = [dn.EDM(), dn.VP(), dn.Flow()]


def end_error(process, sigma_ratio, variance, end):
    """Largest error at the data of an exact flow down to ``sigma / alpha = sigma_ratio`` followed by ``end``."""
    target = dn.Gaussian(np.array([0.4]), np.array([variance]))
    start = process.at(0.0)
    levels = dn.grid.custom(process, lams=[0.0, -np.log(sigma_ratio)], end=end)
    plan = dn.compile("ddim", levels)
    x = target.sample(7, 0, start)
    exact = target.flow(x, start, plan.stop)
    out = dn.sample(plan, target, x, pinned={1: exact})
    return np.abs(out - target.flow(x, start, process.level(process.t_clean))).max()


def slope(process, variance, end):
    ratios = np.array([0.04, 0.02, 0.01])
    errors = [end_error(process, r, variance, end) for r in ratios]
    return np.polyfit(np.log(ratios), np.log(errors), 1)[0]


@pytest.mark.parametrize("process", [dn.EDM(), dn.VP()], ids=lambda p: p.name)
def test_half_a_step_is_of_order_four_where_none_and_a_full_one_are_of_order_two(process):
    assert slope(process, 0.5, "stop") == pytest.approx(2, abs=0.05)
    assert slope(process, 0.5, "denoise") == pytest.approx(2, abs=0.05)
    assert slope(process, 0.5, "half") == pytest.approx(4, abs=0.05)


def test_without_a_denoising_step_flow_matching_errs_at_first_order_by_its_scale():
    # alpha = 1 - sigma shrinks the image by a factor of first order; both denoising ends undo it
    assert slope(dn.Flow(), 0.5, "stop") == pytest.approx(1, abs=0.05)
    assert slope(dn.Flow(), 0.5, "half") == pytest.approx(4, abs=0.25)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
def test_half_and_full_cross_where_the_variance_is_an_eighth_of_the_noise(process):
    """With ``f = c / (c + r^2)``, ``r = sigma / alpha``, the flow multiplies ``x / alpha`` by ``sqrt(f)``, the ends by
    ``(1 + f) / 2`` and ``f``: equal errors where ``1 + 3 f = 4 sqrt(f)``, so at ``f = 1/9``, ``c = r^2 / 8``."""
    ratio = 0.1
    crossover = ratio**2 / 8
    half, full = (end_error(process, ratio, crossover, end) for end in ("half", "denoise"))
    assert half == pytest.approx(full, rel=1e-9)
    for factor, winner in ((1.1, "half"), (0.9, "denoise")):
        errors = {end: end_error(process, ratio, factor * crossover, end) for end in ("half", "denoise")}
        assert min(errors, key=errors.get) == winner


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
def test_a_singular_direction_wants_the_full_step(process):
    full, half, none = (end_error(process, 0.05, 0.0, end) for end in ("denoise", "half", "stop"))
    assert full < 1e-12 < half < none
