"""The stochastic samplers of k-diffusion, coefficients of their draws included. Skipped without the folder of peers."""

from fractions import Fraction as F

import pytest
import torch
from peers import TOLERANCE, difference, distance, ours
from peers_authors import needed
from peers_stochastic import by_sigma
from test_same_sigma_codes import SIGMAS, sampling

needed()


def crowson(name, sigmas=(*SIGMAS, 0.0), path=True, **options):
    sample = getattr(sampling(), name)
    walk = torch.tensor(sigmas, dtype=torch.float64)
    return by_sigma(
        lambda model, x, noise: sample(model, x, walk, disable=True, noise_sampler=noise, **options), sigmas, path
    )


@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("r", [F(1, 2), F(1, 3), 1])
def test_dpmpp_sde(eta, r):
    theirs, grid = crowson("sample_dpmpp_sde", eta=eta, r=float(r))
    assert distance(theirs, ours("dpmpp_sde", grid, eta=eta, r=r)) < TOLERANCE


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_b09_dpmpp_sde_with_a_noise_sampler_that_draws_afresh(eta):
    theirs, grid = crowson("sample_dpmpp_sde", path=False, eta=eta)
    assert distance(theirs, ours("dpmpp_sde_independent", grid, eta=eta)) < TOLERANCE
    apart = difference(theirs, ours("dpmpp_sde", grid, eta=eta))
    # the end of the first step in the column of the draw of its node
    evaluations = 2 * (len(SIGMAS) - 1) + 1
    assert (apart.row, apart.column) == (2, 1 + evaluations)


def test_dpmpp_sde_is_not_of_one_path_of_the_reverse_sde():
    theirs, grid = crowson("sample_dpmpp_sde", eta=1.0)
    apart = difference(theirs, ours("sde_dpmpp_2s", grid))
    # the node is the same
    assert apart.row == 2


@pytest.mark.parametrize("eta", [0.3, 1.0, 1.7])
@pytest.mark.parametrize(
    "name, options, names",
    [
        ("sample_dpmpp_2m_sde", {}, "sde_dpmpp_2m"),
        ("sample_dpmpp_2m_sde", {"solver_type": "heun"}, "sde_dpmpp_2m_heun sa_p2_exact"),
        ("sample_dpmpp_3m_sde", {}, "sde_dpmpp_3m"),
    ],
)
def test_multistep(name, options, names, eta):
    theirs, grid = crowson(name, eta=eta, **options)
    for ours_ in names.split():
        assert distance(theirs, ours(ours_, grid, rate=eta)) < TOLERANCE, ours_


def test_b02_three_points_lack_a_factor_two():
    theirs, grid = crowson("sample_dpmpp_3m_sde")
    apart = difference(theirs, ours("sde_dpmpp_3m_corrected", grid))
    assert (apart.row, apart.column) == (3, 1)
