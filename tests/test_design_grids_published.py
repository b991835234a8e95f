"""Published grids against the network's table of betas that they were optimised for, and against each other."""

import json

import numpy as np
import pytest

import diffnum as dn
from diffnum.design.grids import (
    AYS_SD15,
    AYS_SDXL,
    AYS_SVD,
    GITS_CIFAR10,
    GITS_SD15,
    OSS_FLUX,
    OSS_WAN,
    TABLES,
    at_sigmas,
    at_times,
    interpolate,
)

# the betas of Stable Diffusion 1.5 and SDXL: linear in their square root
LATENT = dn.DDPM(tuple(np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2))


@pytest.mark.parametrize("table", [AYS_SD15, AYS_SDXL], ids=lambda t: t.name)
def test_levels_and_times_of_a_table_agree_to_a_time(table):
    for sigma, t in zip(table.sigmas, table.times, strict=True):
        # half a unit of the third digit, and a time to either side
        high, low = (LATENT.level(float(min(max(t + k, 0), 999))) for k in (1, -1))
        assert low.sigma / low.alpha - 5e-4 <= sigma <= high.sigma / high.alpha + 5e-4


def test_the_levels_of_gits_are_times_of_its_network():
    whole = [level.sigma / level.alpha for level in map(LATENT.level, (0.0, 999.0))]
    for n, table in GITS_SD15.items():
        assert table.steps == n
        assert table.sigmas[::n] == pytest.approx(whole[::-1], rel=2e-5)
    levels = {sigma for table in GITS_SD15.values() for sigma in table.sigmas}
    # all rows choose from the same 61
    assert len(levels) < 61


@pytest.mark.parametrize("table", TABLES, ids=lambda t: f"{t.name} {t.steps}")
def test_a_table_runs_and_survives_json(table):
    process = dn.Flow() if table in (OSS_FLUX, OSS_WAN) else dn.EDM(sigma_max=max(80.0, table.sigmas[0]))
    for end in dn.grid.ENDS:
        grid = at_sigmas(table, process, end=end)
        assert grid.steps == table.steps and grid.end == end
        plan = dn.compile("dpmpp_2m", grid)
        assert dn.Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
        clock = [process.clock(level) for level in grid]
        assert clock[:-1] == list(table.sigmas[:-1]) and clock[-1] == (0.0 if end == "zero" else table.sigmas[-1])


def test_a_table_for_other_numbers_of_steps_is_linear_in_the_logarithm():
    process = dn.EDM(sigma_max=700.0)
    for table in (AYS_SD15, AYS_SVD, GITS_CIFAR10):
        plain = at_sigmas(table, process, end="stop")
        for n in (2, 7, 20):
            got, want = at_sigmas(table, process, n, "stop"), interpolate(plain, n)
            np.testing.assert_allclose([x.lam for x in got], [x.lam for x in want], atol=1e-12)
            assert [x.sigma for x in at_sigmas(table, process, n)][:-1] == [x.sigma for x in got][:-1]
        assert at_sigmas(table, process, table.steps, "stop") == plain


def test_times_of_a_table_run_on_its_network_s_process():
    for end, last in (("zero", -1.0), ("stop", 0.0)):
        grid = at_times(AYS_SDXL, LATENT, end)
        assert [level.t for level in grid] == [*map(float, AYS_SDXL.times[:-1]), last]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: at_times(AYS_SVD, LATENT), "use at_sigmas"),
        (lambda: at_sigmas(AYS_SD15, dn.EDM(), 0), "integer >= 1"),
        (lambda: at_sigmas(AYS_SVD, dn.EDM()), "outside EDM"),
        (lambda: at_sigmas(AYS_SD15, LATENT), "outside"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, said):
    with pytest.raises(ValueError, match=said) as error:
        make()
    assert "\n" not in str(error.value)
