"""Class-conditional families against the mixtures they are, and guidance against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnum.plan import PREDICTIONS, Level
from diffnum.targets.conditional import Conditional
from diffnum.targets.empirical import Empirical
from diffnum.targets.gaussian import Gaussian
from diffnum.targets.mixture import Mixture

RNG = np.random.default_rng(3)
WEIGHTS, MEANS, VARIANCES = np.array([0.2, 0.5, 0.3]), RNG.standard_normal((3, 2)), RNG.uniform(0.1, 1, (3, 2))
FAMILY = Conditional([Gaussian(m, v) for m, v in zip(MEANS, VARIANCES, strict=True)], WEIGHTS, ("cat", "dog", "owl"))
WHOLE = Mixture(WEIGHTS, MEANS, VARIANCES)


def level(alpha, sigma):
    return Level(0.5, float(alpha), float(sigma))


AT = level(0.8, 0.6)
X = WHOLE.sample(6, 1, AT)


def near(a, b, tol):
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=tol * (1e-30 + np.abs(b).max()))


@given(st.floats(-8, 4).map(lambda e: 10.0**e), st.sampled_from([1.0, 0.3, 0.0]))
def test_gaussian_classes_are_one_mixture(sigma, alpha):
    at = level(alpha, sigma)
    x = WHOLE.sample(5, 2, at)
    for quantity in PREDICTIONS:
        near(FAMILY.predict(x, at, quantity), WHOLE.predict(x, at, quantity), 1e-11)
    near(FAMILY.log_prob(x, at), WHOLE.log_prob(x, at), 1e-11)
    near(FAMILY.posterior_cov(x, at), WHOLE.posterior_cov(x, at), 1e-9)
    near(FAMILY.posterior(x, at), WHOLE.responsibilities(x, at), 1e-11)


def test_clean_data_and_ends():
    x = WHOLE.sample(5, 2)
    near(FAMILY.log_prob(x), WHOLE.log_prob(x), 1e-13)
    near(FAMILY.denoise(x, level(1.0, 0.0)), x, 1e-13)
    points = Conditional([Empirical(x[:2]), Empirical(x[2:])], [2, 3])
    near(points.denoise(x, level(1.0, 0.0)), x, 1e-14)
    near(points.denoise(x, AT), Empirical(x).denoise(x, AT), 1e-13)
    with pytest.raises(ValueError, match="density"):
        points.log_prob(x)


@pytest.mark.parametrize("quantity", PREDICTIONS)
def test_guidance_is_its_definition(quantity):
    free = FAMILY.predict(X, AT, quantity)
    bound = FAMILY.given("dog").predict(X, AT, quantity)
    near(FAMILY.guided(X, AT, "dog", 0.0, quantity), free, 1e-14)
    near(FAMILY.guided(X, AT, "dog", 1.0, quantity), bound, 1e-14)
    near(FAMILY.guided(X, AT, "dog", 3.5, quantity), free + 3.5 * (bound - free), 1e-13)


def test_guided_score_is_the_score_of_a_tilted_density():
    x = torch.tensor(X, requires_grad=True)
    tilted = FAMILY.log_prob(x, AT) + 2.5 * (FAMILY.given("owl").log_prob(x, AT) - FAMILY.log_prob(x, AT))
    (gradient,) = torch.autograd.grad(tilted.sum(), x)
    near(FAMILY.guided(X, AT, "owl", 2.5, "score"), gradient, 1e-12)


def test_the_posterior_is_bayes_rule():
    joint = [w * np.exp(FAMILY.given(c).log_prob(X, AT)) for w, c in zip(WEIGHTS, FAMILY.labels, strict=True)]
    near(FAMILY.posterior(X, AT).T, np.array(joint) / np.sum(joint, axis=0), 1e-13)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_one_label_per_row_is_each_row_alone(kind):
    family = Conditional(FAMILY.classes, WEIGHTS)
    x, labels = kind(X), [2, 0, 1, 1, 0, 2]
    together = family.guided(x, AT, kind(labels), 2.0)
    alone = [family.guided(x[i : i + 1], AT, label, 2.0)[0] for i, label in enumerate(labels)]
    for row, other in zip(together, alone, strict=True):
        near(row, other, 1e-13)


def test_torch_is_numpy_and_float32_is_float64_rounded():
    narrow = X.astype(np.float32)
    for ask in (FAMILY.denoise, FAMILY.velocity, FAMILY.log_prob, FAMILY.posterior, FAMILY.posterior_cov):
        wide = ask(narrow.astype(np.float64), AT)
        near(ask(torch.tensor(narrow).double(), AT), wide, 1e-13)
        for value in (ask(narrow, AT), ask(torch.tensor(narrow), AT).numpy()):
            assert value.dtype == np.float32
            near(value, wide, 2e-7)


def test_flow_is_the_mixtures():
    s, t = level(0.1, 1.0), level(1.0, 0.05)
    x = WHOLE.sample(4, 3, s)
    near(FAMILY.flow(x, s, t), WHOLE.flow(x, s, t), 1e-9)


@pytest.mark.parametrize("at", [None, AT])
def test_samples_have_the_moments_of_the_mixture(at):
    n = 40_000
    x = FAMILY.sample(n, 11, at)
    alpha, sigma = (1.0, 0.0) if at is None else (at.alpha, at.sigma)
    pure = level(0.0, 1.0)
    apart = x - alpha * WHOLE.denoise(np.zeros(2), pure)
    products = apart[:, :, None] * apart[:, None]
    cov = alpha**2 * WHOLE.posterior_cov(np.zeros(2), pure) + sigma**2 * np.eye(2)
    assert np.all(np.abs(apart.mean(0)) <= 4.5 * apart.std(0) / math.sqrt(n))
    assert np.all(np.abs(products.mean(0) - cov) <= 4.5 * products.std(0) / math.sqrt(n))


def test_fit_is_one_mixture_per_class():
    data, labels = RNG.standard_normal((60, 2)), np.repeat([4, 9, 7], [10, 20, 30])
    family = Conditional.fit(data, torch.tensor(labels), floor=0.3)
    assert family.labels == (4, 7, 9)
    near(family.weights, np.array([10, 30, 20]) / 60, 1e-14)
    whole = Mixture.fit_labelled(data, labels, floor=0.3)
    near(family.denoise(X, AT), whole.denoise(X, AT), 1e-12)
    near(family.given(9).means[0], data[labels == 9].mean(0), 1e-13)
    assert len(Conditional.fit(data, labels, components=2).given(4).weights) == 2


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Conditional([]), "0 classes"),
        (lambda: Conditional([Gaussian([0.0], [1.0]), Gaussian([0.0, 0.0], [1.0, 1.0])]), r"dimensions \[1, 2\]"),
        (lambda: Conditional(FAMILY.classes, [1.0, 1.0]), "each of the 3"),
        (lambda: Conditional(FAMILY.classes, None, ("a", "b")), "one name each"),
        (lambda: Conditional(FAMILY.classes, None, ("a", "b", "b")), "one name each"),
        (lambda: FAMILY.given("cow"), "cat, dog, owl"),
        (lambda: FAMILY.guided(X, AT, ["cat", "dog"], 2.0), "one label per row"),
        (lambda: Conditional.fit(RNG.standard_normal((4, 2)), [0, 0, 1]), "each of the 4"),
        (lambda: FAMILY.predict(X, AT, "x0"), "'x0' is unknown"),
    ],
)
def test_bad_input_is_refused_by_one_sentence(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)
