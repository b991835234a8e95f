"""Mixtures of more components and dimensions than memory holds at once are the same mixtures."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mixture import FORMS, level, near

from diffnum.plan import PREDICTIONS
from diffnum.targets import mixture
from diffnum.targets.covariances import Diagonal, Spectral
from diffnum.targets.mixture import Mixture
from diffnum.targets.working import softmax


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, deadline=None)
@given(
    entries=st.integers(1, 11),
    sigma=st.floats(-8, 4).map(lambda e: 10.0**e),
    alpha=st.sampled_from([1.0, 0.3, 0.0]),
    kind=st.sampled_from([np.asarray, torch.tensor]),
)
def test_components_in_any_pieces_are_all_of_them(form, entries, sigma, alpha, kind):
    law, at = FORMS[form], level(alpha, sigma)
    x = kind(law.sample(5, 3, at))
    whole = [*(law.predict(x, at, quantity) for quantity in PREDICTIONS), law.log_prob(x, at)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(mixture.ENTRIES, "cpu", entries)
        assert law._cut(x) is not None
        pieces = [*(law.predict(x, at, quantity) for quantity in PREDICTIONS), law.log_prob(x, at)]
    for a, b in zip(whole, pieces, strict=True):
        near(b, a, 1e-12)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    sigma=st.floats(-8, 4).map(lambda e: 10.0**e),
    alpha=st.sampled_from([1.0, 0.3, 0.0]),
    away=st.sampled_from([0.0, 1e3]),
    kind=st.sampled_from([np.asarray, torch.tensor]),
)
@pytest.mark.parametrize("form", ["diagonal", "low rank", "full", "full, without variance in one direction"])
def test_products_are_what_differences_say(form, seed, sigma, alpha, away, kind):
    rng, at = np.random.default_rng(seed), level(alpha, sigma)
    weights, means, variances = (
        rng.uniform(0.1, 1, 7),
        away + rng.normal(size=(7, 5)),
        10.0 ** rng.uniform(-4, 0.5, (7, 5)),
    )
    factors = rng.normal(size=(7, 5, 2))
    if form == "diagonal":
        law = Mixture(weights, means, variances)
    elif form == "low rank":
        law = Mixture.low_rank(weights, means, factors, variances[:, 0])
    else:
        basis = np.linalg.qr(rng.normal(size=(7, 5, 5)))[0]
        variances[2, 0] *= form == "full"
        law = Mixture(weights, means, Spectral(basis, variances, np.zeros(7)))
    x = kind(law.sample(6, 3, at))
    plain = [law.predict(x, at, quantity) for quantity in PREDICTIONS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "_LARGE", 0)
        products = [law.predict(x, at, quantity) for quantity in PREDICTIONS]
    for a, b in zip(plain, products, strict=True):
        # shares err by 4e-12
        near(b, a, 1e-11)


@pytest.mark.parametrize("dim", [4, 100, 3000])
@pytest.mark.parametrize("form", ["diagonal", "low rank"])
def test_products_give_way_before_shares_are_wrong(form, dim):
    rng = np.random.default_rng(dim)
    variances, factors = np.full((3, dim), 1e-10), 1e-5 * rng.normal(size=(3, dim, 2))
    law = Diagonal(variances) if form == "diagonal" else Spectral.low_rank(factors, variances[:, 0])
    means, step = rng.normal(size=(3, dim)), rng.normal(size=dim) / dim**0.5
    errors = []
    for sigma in 10.0 ** np.arange(1, -7, -0.25):
        # two components that share the points, and one that is far away
        near_by = np.stack([means[0], means[0] + sigma * step, means[2]])
        x = means[0] + sigma * rng.normal(size=(50, dim))
        if (by := law.products(x, near_by, 1.0, sigma)) is not None:
            pair = [softmax(-one.quad / 2)[0] for one in (by, law.solve(x, near_by, 1.0, sigma))]
            errors.append(np.abs(pair[0] - pair[1]).max())
    assert 4 < len(errors) < 28
    assert max(errors) < 4e-12


def test_gradients_pass_through_products(monkeypatch):
    rng, at = np.random.default_rng(0), level(0.8, 0.3)
    law = Mixture(np.ones(3), rng.normal(size=(3, 4)), rng.uniform(0.1, 1, (3, 4)))
    x = torch.tensor(law.sample(3, 1, at), requires_grad=True)
    (plain,) = torch.autograd.grad(law.denoise(x, at).square().sum(), x)
    monkeypatch.setattr(mixture, "_LARGE", 0)
    (products,) = torch.autograd.grad(law.denoise(x, at).square().sum(), x)
    torch.testing.assert_close(products, plain, rtol=1e-11, atol=1e-12)


def test_gradients_pass_through_pieces(monkeypatch):
    law, at = next(iter(FORMS.values())), level(0.8, 0.3)
    x = torch.tensor(law.sample(3, 1, at), requires_grad=True)
    (whole,) = torch.autograd.grad(law.denoise(x, at).square().sum(), x)
    monkeypatch.setitem(mixture.ENTRIES, "cpu", 4)
    (pieces,) = torch.autograd.grad(law.denoise(x, at).square().sum(), x)
    torch.testing.assert_close(pieces, whole, rtol=1e-11, atol=1e-12)


def test_low_rank_is_never_expanded():
    dim, rank, count = 20_000, 3, 4
    rng = np.random.default_rng(0)
    factors, means = rng.normal(size=(count, dim, rank)) / dim**0.5, rng.normal(size=(count, dim))
    tracemalloc.start()
    law = Mixture.low_rank(np.ones(count), means, factors, 0.1 * np.ones(count))
    at = level(0.8, 0.6)
    x = law.sample(3, 0, at)
    value = law.denoise(x, at)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(law.covariances, Spectral) and peak < 8 * dim * 40 * count
    # one component is far nearer than the others, and answers alone
    k = int(law.responsibilities(x[:1], at).argmax())
    joint = 0.64 * (factors[k].T @ factors[k]) + (0.064 + 0.36) * np.eye(rank)
    r = x[0] - 0.8 * means[k]
    solved = (r - 0.64 * factors[k] @ np.linalg.solve(joint, factors[k].T @ r)) / (0.064 + 0.36)
    expected = means[k] + 0.8 * (factors[k] @ (factors[k].T @ solved) + 0.1 * solved)
    near(value[0], expected, 1e-11)
