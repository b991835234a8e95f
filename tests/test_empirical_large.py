"""The ideal denoiser of many points: products in any pieces and either precision against distances by differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.plan import Level
from diffnum.targets import empirical
from diffnum.targets.empirical import Empirical
from diffnum.targets.online import LEAST, weights_of

SIGMAS = st.floats(-10, 4).map(lambda e: 10.0**e)
ALPHAS = st.sampled_from([1.0, 0.3, 1e-6, 0.0])


def at(alpha, sigma):
    return Level(0.5, float(alpha), float(sigma))


def by_differences(data, x, level):
    """``(log density up to a constant, posterior mean)``, the definition."""
    logits = -((x[:, None] - level.alpha * data) ** 2).sum(-1) / (2 * level.sigma**2)
    top = logits.max(1, keepdims=True)
    powers = np.exp(logits - top)
    return (top[:, 0] + np.log(powers.sum(1))), powers @ data / powers.sum(1, keepdims=True)


@given(st.lists(st.floats(-1e5, 0), min_size=1, max_size=9), st.sampled_from([np.float64, np.float32]))
def test_no_weight_is_subnormal_and_those_that_matter_are_exponentials(logits, kind):
    logits = np.array(logits, dtype=kind)
    for given_ in (logits, torch.tensor(logits)):
        found = np.asarray(weights_of(given_ + 0, LEAST[logits.itemsize]))
        assert found.dtype == kind
        assert found.min() >= np.finfo(kind).tiny
        assert np.allclose(found, np.exp(logits.astype(float)), rtol=1e-5 if kind is np.float32 else 1e-13, atol=1e-34)


@pytest.fixture
def products(monkeypatch):
    """No problem is too small for products, and few rows are taken at once."""
    monkeypatch.setattr(empirical, "_FEW", 150)


def clustered(seed, n=60, dim=5):
    """Points of which some are doubled, some a billionth apart and most far from each other and from zero."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, dim)) + 3
    data[1] = data[0]
    data[2:14] = data[14] + 1e-9 * rng.normal(size=(12, dim))
    data[15:30] = data[30] + 1e-3 * rng.normal(size=(15, dim))
    return data


@settings(max_examples=40, deadline=None)
@given(
    sigma=SIGMAS,
    alpha=ALPHAS,
    chunk=st.integers(1, 70),
    seed=st.integers(0, 20),
    kind=st.sampled_from(["numpy", "torch"]),
)
def test_products_in_any_pieces_are_differences(sigma, alpha, chunk, seed, kind):
    data, level = clustered(seed), at(alpha, sigma)
    law = Empirical(data, chunk=chunk)
    x = law.sample(7, seed, level)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(empirical, "_FEW", 150)
        asked = x if kind == "numpy" else torch.tensor(x)
        mean, density = (np.asarray(a) for a in (law.denoise(asked, level), law.log_prob(asked, level)))
    total, wanted = by_differences(data, x, level)
    # a weight is known as far as x and the points are: a difference of 1e-16 of either moves its exponent
    slack = 1e-11 + 1e-15 * min(1.0, 1e-9 * alpha / sigma) / sigma
    np.testing.assert_allclose(mean, wanted, rtol=0, atol=slack * 10)
    shift = np.log(len(data)) + 5 / 2 * np.log(2 * np.pi * sigma**2)
    np.testing.assert_allclose(density + shift, total, rtol=1e-11, atol=1e-11 + 1e-14 * (alpha + sigma) / sigma)


@settings(max_examples=40, deadline=None)
@given(sigma=SIGMAS, alpha=ALPHAS, chunk=st.integers(1, 300), kind=st.sampled_from(["numpy", "torch"]))
def test_single_precision_is_double_to_its_rounding(sigma, alpha, chunk, kind):
    rng = np.random.default_rng(3)
    data = rng.normal(size=(200, 40)) * np.linspace(0.1, 1, 40) + 2
    level = at(alpha, sigma)
    rough, exact = Empirical(data, chunk, "single"), Empirical(data)
    x = exact.sample(6, 1, level)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(empirical, "_FEW", 150)
        found = np.asarray(rough.denoise(x if kind == "numpy" else torch.tensor(x), level))
    np.testing.assert_allclose(found, exact.denoise(x, level), rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", empirical.PRECISIONS)
@pytest.mark.parametrize("sigma", [1e-3, 0.05, 0.5, 30.0])
def test_gradients_pass_through_products(precision, sigma, products):
    data = clustered(1)
    law, level = Empirical(data, 17, precision), at(0.8, sigma)
    x = torch.tensor(law.sample(4, 3, level), requires_grad=True)
    (gradient,) = torch.autograd.grad(law.denoise(x, level).sum(), x)
    exact = level.alpha / sigma**2 * torch.tensor(law.posterior_cov(x.detach().numpy(), level)).sum(1)
    tol = 1e-7 if precision == "double" else 1e-3
    torch.testing.assert_close(gradient, exact, rtol=tol, atol=tol)


def test_large_images_need_no_more_memory_than_the_chunk():
    import tracemalloc

    rng = np.random.default_rng(0)
    law = Empirical(rng.normal(size=(3000, 256)), chunk=128)
    level = dn.VP().at(0.0)
    x = law.sample(64, 0, level)
    law.denoise(x[:1], level)
    tracemalloc.start()
    law.denoise(x, level)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a few arrays of rows by chunk and of rows by dimensions; all logits alone would be 1.5 MB
    assert peak < 8 * (6 * 64 * 128 + 8 * 64 * 256) < 8 * 64 * 3000


def test_unknown_precisions_are_refused():
    with pytest.raises(ValueError, match="precision = 'half' is unknown"):
        Empirical(np.ones((2, 2)), precision="half")
