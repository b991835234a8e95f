"""Exact moments of many directions, in pieces and with rows gathered, are those of each direction and each draw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.read.moments import CHUNK, WORTH, affine
from diffnum.solvers import ALL

LEVELS = dn.grid.log_snr(dn.VP(), 9)
LARGE = dn.Gaussian.power_law(CHUNK + 1000)
# states alone; two and three registers that are read later; a pair of states
NAMES = ("ddpm_ancestral", "sde_dpmpp_2m", "er_sde_3", "reversible_shark")


@pytest.mark.parametrize("name", [*NAMES, "unipc_3"])
def test_moments_of_all_directions_are_those_of_each(name):
    plan = dn.compile(ALL[name], LEVELS)
    chosen = np.array([0, 1, CHUNK // 2 - 1, CHUNK // 2, CHUNK - 1, CHUNK, LARGE.dim - 1])
    few = dn.Gaussian(LARGE.mean[chosen], LARGE.variances[chosen])
    for all_, apart in zip(dn.moments(plan, LARGE), dn.moments(plan, few), strict=True):
        np.testing.assert_allclose(all_[chosen], apart, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gathered_rows_have_the_variance_of_all_draws(name):
    plan = dn.compile(ALL[name], LEVELS)
    mean, variances = LARGE.eigen()
    start = plan.start.alpha**2 * variances + plan.start.sigma**2
    rows = affine(plan, mean, variances).rows
    assert len(rows) * LARGE.dim > WORTH
    wanted = rows[0] ** 2 * start + (rows[1:] ** 2).sum(0)
    np.testing.assert_allclose(dn.moments(plan, LARGE)[1], wanted, rtol=1e-12)


def test_a_denoiser_that_errs_is_cut_like_its_law():
    plan, slopes = dn.compile("heun", LEVELS), np.linspace(-0.1, 0.1, LARGE.dim)

    def wrong(part):
        law = dn.Gaussian(LARGE.mean[part], LARGE.variances[part])
        return dn.targets.Mistaken(law, lambda level: 0.01 * level.sigma, lambda level: slopes[part])

    for all_, apart in zip(dn.moments(plan, wrong(slice(None))), dn.moments(plan, wrong(slice(-2, None))), strict=True):
        np.testing.assert_allclose(all_[-2:], apart, rtol=1e-13)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_forms_in_as_many_rows_have_the_same_covariances(data):
    from diffnum.read.moments import Affine, _gathered

    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count, most = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    lengths = [data.draw(st.integers(1, most)) for _ in range(count - 1)] + [most]
    forms = [
        Affine(rng.normal(size=5), rng.normal(size=(k, 5)) * data.draw(st.sampled_from([0, 1e-6, 1]))) for k in lengths
    ]

    def covariances(forms):
        rows = np.zeros((count, max(len(f.rows) for f in forms), 5))
        for i, form in enumerate(forms):
            rows[i, : len(form.rows)] = form.rows
        return np.einsum("ikd,jkd->ijd", rows, rows)

    made = _gathered(forms)
    before = covariances(forms)
    scale = np.sqrt(np.einsum("iid->id", before))
    assert all(len(form.rows) <= count for form in made)
    assert (abs(covariances(made) - before) <= 1e-13 * scale[:, None] * scale[None]).all()
