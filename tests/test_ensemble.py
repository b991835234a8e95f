"""The spread of ensembles: the closed product against exact moments, samples and the published behaviour."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.ensemble import calibrate, spread

VP = dn.VP()
MODES = np.array([0.05, 0.5, 1.0, 2.0])


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 40), st.floats(0, 1), st.sampled_from(["stop", "zero"]), st.sampled_from([VP, dn.EDM(), dn.Flow()])
)
def test_the_closed_product_is_the_exact_moment(n, eta, end, process):
    levels = dn.grid.uniform(process, n, end=end)
    if levels.levels[0].pure_noise and eta:
        return
    plan = dn.compile("ddim_eta", levels, eta=eta)
    exact = dn.moments(plan, dn.Gaussian(np.zeros(4), MODES), init="prior")[1]
    assert spread(levels, MODES, eta) == pytest.approx(exact, rel=1e-10, abs=1e-14)


def test_deterministic_spread_grows_to_the_variance_at_first_order():
    counts = [10, 20, 40, 80, 160, 320]
    found = np.array([spread(dn.grid.uniform(VP, n), [0.5])[0] for n in counts])
    stop = VP.level(VP.t_stop)
    deficit = stop.alpha**2 * 0.5 + stop.sigma**2 - found
    assert (np.diff(found) > 0).all()
    assert np.log2(deficit[-2] / deficit[-1]) == pytest.approx(1, abs=0.1)


def test_noise_narrows_ensembles_of_few_steps():
    for n in (5, 10, 50):
        levels = dn.grid.uniform(VP, n)
        assert spread(levels, [0.5], 1.0) < spread(levels, [0.5], 0.0)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("n", [3, 17, 60])
def test_calibration_finds_the_number_of_steps_again(n, eta):
    wanted = spread(dn.grid.uniform(VP, n), MODES, eta)
    found = calibrate(VP, MODES, wanted, eta, most=100)
    assert found.n == n and found.ratio == pytest.approx(1, abs=1e-12)
    assert found.spread == pytest.approx(wanted)


def test_what_cannot_be_reached_or_read_is_refused():
    with pytest.raises(ValueError, match=r"total variance of 9 is out of reach: up to 20 steps make"):
        calibrate(VP, [0.5], [9.0], most=20)
    with pytest.raises(ValueError, match="2 wanted variances for 1 modes"):
        calibrate(VP, [0.5], [0.1, 0.2])
    with pytest.raises(ValueError, match="all zero"):
        calibrate(VP, [0.5], [0.0])
    with pytest.raises(ValueError, match="eta = 2"):
        spread(dn.grid.uniform(VP, 3), [0.5], 2)
    with pytest.raises(ValueError, match="denoises once more"):
        spread(dn.grid.uniform(VP, 3, end="denoise"), [0.5])
    with pytest.raises(ValueError, match="variances must be"):
        spread(dn.grid.uniform(VP, 3), [-0.5])
    with pytest.raises(ValueError, match="most = 0"):
        calibrate(VP, [0.5], [0.4], most=0)
