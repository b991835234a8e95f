"""Mixtures against quadrature, dense algebra in extended precision and their own derivatives."""

from __future__ import annotations

import gc
import math
import weakref

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffnum.plan import PREDICTIONS, Level
from diffnum.targets import working
from diffnum.targets.gaussian import Gaussian
from diffnum.targets.mixture import Mixture

RNG = np.random.default_rng(7)
LEVELS = [(1.0, 1e-8), (0.9, 0.3), (0.6, 0.8), (1.0, 3.0), (0.01, 1.0), (1.0, 1e4), (0.0, 1.0)]
noises = st.floats(-8, 4).map(lambda e: 10.0**e)


def level(alpha, sigma):
    return Level(0.5, float(alpha), float(sigma))


def spd(k, d, rng=RNG):
    factors = rng.standard_normal((k, d, d)) / math.sqrt(d)
    return factors @ factors.swapaxes(1, 2) + 0.1 * np.eye(d)


WEIGHTS, MEANS, FULL = np.array([0.5, 0.2, 0.3]), 2 * RNG.standard_normal((3, 4)), spd(3, 4)
FACTORS, FLOORS = RNG.standard_normal((3, 4, 2)), np.array([0.2, 0.5, 1.0])
DIAGONALS = RNG.uniform(0.1, 1.0, (3, 4))
outer = FACTORS @ FACTORS.swapaxes(1, 2)
PAIRS = {
    "diagonal": (Mixture(WEIGHTS, MEANS, DIAGONALS), Mixture(WEIGHTS, MEANS, DIAGONALS[..., None] * np.eye(4))),
    "low rank": (
        Mixture.low_rank(WEIGHTS, MEANS, FACTORS, FLOORS),
        Mixture(WEIGHTS, MEANS, outer + FLOORS[:, None, None] * np.eye(4)),
    ),
    "low rank, varying": (
        Mixture.low_rank(WEIGHTS, MEANS, FACTORS, DIAGONALS),
        Mixture(WEIGHTS, MEANS, outer + DIAGONALS[..., None] * np.eye(4)),
    ),
}
FORMS = {"full": Mixture(WEIGHTS, MEANS, FULL), **{name: law for name, (law, _) in PAIRS.items()}}


def near(a, b, tol):
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=tol * (1e-30 + np.abs(b).max()))


def brute(law, factors, diagonals, x, alpha, sigma):
    """``(log p, D, score)`` at one point from ``F F^T + diag``, dense, in mpmath's precision."""
    d = law.dim
    terms, pulls, means = [], [], []
    for w, m, f, diagonal in zip(law.weights, law.means, factors, diagonals, strict=True):
        c = mpmath.matrix(f) * mpmath.matrix(f).T + mpmath.diag(list(diagonal))
        s = c * alpha**2 + mpmath.eye(d) * sigma**2
        r = mpmath.matrix(x) - mpmath.matrix(m) * alpha
        pull = mpmath.lu_solve(s, r)
        terms.append(mpmath.log(w) - ((r.T * pull)[0] + mpmath.log(mpmath.det(s)) + d * mpmath.log(2 * mpmath.pi)) / 2)
        pulls.append(pull)
        means.append(mpmath.matrix(m) + c * pull * alpha)
    top = max(terms)
    shares = [mpmath.exp(t - top) for t in terms]
    total = mpmath.fsum(shares)

    def blend(vectors):
        return [float(mpmath.fsum(s * v[i] for s, v in zip(shares, vectors, strict=True)) / total) for i in range(d)]

    return float(top + mpmath.log(total)), blend(means), [-p for p in blend(pulls)]


@pytest.mark.parametrize(("alpha", "sigma"), [(0.9, 0.3), (0.6, 0.8), (1.0, 3.0), (0.05, 1.0)])
def test_one_dimension_against_quadrature(alpha, sigma):
    law = Mixture([0.3, 0.7], [[-1.2], [0.9]], [[0.05], [0.4]])

    def density(y):
        return sum(
            w * mpmath.npdf(y, m[0], mpmath.sqrt(v[0]))
            for w, m, v in zip(law.weights, law.means, law.covariances.variances, strict=True)
        )

    x = 0.37
    panels = mpmath.linspace(-8, 8, 17)

    def moment(k):
        return mpmath.quad(lambda y: y**k * density(y) * mpmath.npdf(x, alpha * y, sigma), panels)

    mass, first, second = moment(0), moment(1), moment(2)
    at, point = level(alpha, sigma), np.array([x])
    assert law.log_prob(point, at) == pytest.approx(float(mpmath.log(mass)), rel=1e-11)
    assert law.denoise(point, at)[0] == pytest.approx(float(first / mass), rel=1e-11)
    assert law.posterior_cov(point, at)[0, 0] == pytest.approx(float(second / mass - (first / mass) ** 2), rel=1e-10)


def test_two_dimensions_against_quadrature():
    law = Mixture([0.6, 0.4], [[-0.5, 0.4], [0.8, -0.3]], spd(2, 2))
    x, alpha, sigma = np.array([0.3, -0.6]), 0.7, 0.7
    grid, weight = np.polynomial.legendre.leggauss(160)
    grid, weight = 8 * grid, 8 * weight
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    mass = np.outer(weight, weight).ravel() * np.exp(-((x - alpha * points) ** 2).sum(-1) / (2 * sigma**2))
    mass *= sum(
        w * stats.multivariate_normal(m, c).pdf(points)
        for w, m, c in zip(law.weights, law.means, spectral_dense(law), strict=True)
    )
    mean = mass @ points / mass.sum()
    cov = (points - mean).T @ (mass[:, None] * (points - mean)) / mass.sum()
    at = level(alpha, sigma)
    near(law.denoise(x, at), mean, 1e-11)
    near(law.posterior_cov(x, at), cov, 1e-11)
    near(law.log_prob(x, at), np.log(mass.sum() / (2 * math.pi * sigma**2)), 1e-11)


def spectral_dense(law):
    c = law.covariances
    return (c.basis * c.spectrum[:, None]) @ c.basis.swapaxes(1, 2)


@given(noises, st.sampled_from(PREDICTIONS))
def test_one_component_is_the_gaussian(sigma, quantity):
    law = Mixture([2.0], MEANS[:1], FULL[:1])
    spectrum, basis = np.linalg.eigh(FULL[0])
    gaussian = Gaussian(MEANS[0], spectrum, basis)
    at = level(1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma))
    x = law.sample(4, 1, at)
    near(law.predict(x, at, quantity), gaussian.predict(x, at, quantity), 1e-12)
    near(law.log_prob(x, at), gaussian.log_prob(x, at), 1e-12)
    near(law.posterior_cov(x, at), gaussian.posterior_cov(x, at), 1e-12)


@pytest.mark.parametrize("form", PAIRS)
@settings(max_examples=40)
@given(sigma=noises, alpha=st.sampled_from([1.0, 0.3, 1e-6, 0.0]))
def test_every_form_is_the_full_one(form, sigma, alpha):
    law, full = PAIRS[form]
    at = level(alpha, sigma)
    x = full.sample(5, 3, at)
    for quantity in PREDICTIONS:
        value = law.predict(x, at, quantity)
        assert np.all(np.isfinite(value))
        near(value, full.predict(x, at, quantity), 1e-10)
    near(law.log_prob(x, at), full.log_prob(x, at), 1e-11)
    near(law.posterior_cov(x, at), full.posterior_cov(x, at), 1e-9)
    near(law.responsibilities(x, at).sum(-1), np.ones(5), 1e-14)
    assert law.rms == pytest.approx(full.rms, rel=1e-13)


SINGULAR_DIAGONAL = np.array([[0.0, 0.5, 0.2, 0.7], [0.0, 0.0, 0.3, 0.1], [0.4, 0.4, 0.0, 0.3]])
NONE, ZERO = np.zeros((3, 4, 1)), np.zeros((3, 4))
SINGULAR = {  # the law, and the factors and diagonals that define it
    "diagonal": (Mixture(WEIGHTS, MEANS, SINGULAR_DIAGONAL), NONE, SINGULAR_DIAGONAL),
    "full": (Mixture(WEIGHTS, MEANS, outer), FACTORS, ZERO),
    "low rank": (Mixture.low_rank(WEIGHTS, MEANS, FACTORS, np.zeros(3)), FACTORS, ZERO),
    "low rank, varying": (
        Mixture.low_rank(WEIGHTS, MEANS, FACTORS[..., :1], SINGULAR_DIAGONAL),
        FACTORS[..., :1],
        SINGULAR_DIAGONAL,
    ),
    "low rank, constant coordinate": (
        Mixture.low_rank(WEIGHTS, MEANS, FACTORS * [[0.0], [1.0], [1.0], [1.0]], DIAGONALS * [0.0, 1.0, 1.0, 1.0]),
        FACTORS * [[0.0], [1.0], [1.0], [1.0]],
        DIAGONALS * [0.0, 1.0, 1.0, 1.0],
    ),
}


@pytest.mark.parametrize("form", SINGULAR)
@pytest.mark.parametrize(("alpha", "sigma"), LEVELS)
def test_singular_covariances_against_dense_algebra_at_fifty_digits(form, alpha, sigma):
    law, *dense = SINGULAR[form]
    at = level(alpha, sigma)
    x = law.sample(6, 2, at)
    # what rounding x itself does to the noise it holds, and to the squared noise in the exponent
    noise = 1e-15 * np.abs(x).max() / sigma + 1e-14
    with mpmath.workdps(50):
        truth = [brute(law, *dense, row, mpmath.mpf(alpha), mpmath.mpf(sigma)) for row in x]
    log_p, data, score = (np.array(part) for part in zip(*truth, strict=True))
    np.testing.assert_allclose(law.log_prob(x, at), log_p, rtol=1e-13, atol=30 * noise)
    np.testing.assert_allclose(law.denoise(x, at), data, rtol=0, atol=1e-13 * (1 + np.abs(x).max()) * (1 + sigma))
    np.testing.assert_allclose(law.noise_prediction(x, at), -sigma * score, rtol=0, atol=10 * noise)


@pytest.mark.parametrize("form", ["low rank", "low rank, varying", "low rank, constant coordinate"])
@pytest.mark.parametrize("sigma", [1e-8, 1e-5])
def test_noise_outside_the_support_leaves_the_score_inside_it_alone(form, sigma):
    _, factors, diagonals = SINGULAR[form]
    diagonal = 0.0 * diagonals[:1, 0] if form == "low rank" else diagonals[:1]
    law = Mixture.low_rank([1.0], MEANS[:1], factors[:1], diagonal)
    x = law.sample(6, 2, level(1.0, sigma))
    with mpmath.workdps(50):
        truth = [brute(law, factors[:1], diagonals[:1], row, mpmath.mpf(1), mpmath.mpf(sigma))[2] for row in x]
        inside = [(mpmath.matrix(factors[0]).T * mpmath.matrix(row)).T for row in truth]
    # the score outside is of size 1 / sigma, and its own rounding shows inside
    expected = np.array([[float(c) for c in row] for row in inside])
    np.testing.assert_allclose(
        law.score(x, level(1.0, sigma)) @ factors[0], expected, rtol=0, atol=1e-14 / sigma + 1e-9
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("alpha", "sigma"), [(0.9, 0.3), (0.3, 1.0), (1.0, 1e-3), (1.0, 50.0)])
def test_score_is_the_gradient_of_log_prob_and_posterior_cov_the_jacobian_of_the_denoiser(form, alpha, sigma):
    law, at = FORMS[form], level(alpha, sigma)
    x = torch.tensor(law.sample(3, 5, at), requires_grad=True)
    (gradient,) = torch.autograd.grad(law.log_prob(x, at).sum(), x)
    near(law.score(x, at).detach(), gradient, 1e-12)
    jacobian = torch.autograd.functional.jacobian(lambda y: law.denoise(y, at).sum(0), x).movedim(1, 0)
    near(law.posterior_cov(x, at).detach(), sigma**2 / alpha * jacobian, 1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("alpha", "sigma"), LEVELS)
def test_torch_is_numpy_and_float32_is_float64_rounded(form, alpha, sigma):
    law, at = FORMS[form], level(alpha, sigma)
    x = law.sample(6, 5, at).astype(np.float32).reshape(2, 3, 4)
    for ask in (law.denoise, law.velocity, law.score, law.log_prob, law.posterior_cov):
        wide = ask(x.astype(np.float64), at)
        assert wide.dtype == np.float64 and wide.shape[:2] == (2, 3)
        near(ask(torch.tensor(x).double(), at), wide, 1e-11)
        for narrow in (ask(x, at), ask(torch.tensor(x), at).numpy()):
            assert narrow.dtype == np.float32
            near(narrow, wide, 2e-7)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_reach_the_level(form):
    law = FORMS[form]
    x = torch.tensor(law.sample(3, 5, level(0.8, 0.6)))
    sigma = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)

    def denoise(s):
        return law.denoise(x, Level(0.5, 0.8, s, lam=-torch.log(s), v=(-s, 0.8))).sum()

    assert torch.autograd.gradcheck(denoise, sigma)


@pytest.mark.parametrize("name", ["full", "diagonal", "low rank"])
def test_extended_precision_continues_float64(name):
    law = FORMS[name]
    x = law.sample(2, 5, level(0.8, 0.6))
    with mpmath.workdps(40):
        alpha, sigma = mpmath.mpf("0.8"), mpmath.mpf("0.6")
        at = Level(0.5, alpha, sigma, lam=mpmath.log(alpha / sigma))
        points = np.vectorize(mpmath.mpf, otypes=[object])(x)
        noise, data = law.noise_prediction(points, at), law.denoise(points, at)
        near(data.astype(float), law.denoise(x, level(0.8, 0.6)), 1e-13)
        near(law.log_prob(points, at).astype(float), law.log_prob(x, level(0.8, 0.6)), 1e-13)
        gap = np.abs(alpha * data + sigma * noise - points).max()
    # the basis is orthogonal to rounding only; a diagonal one exactly
    assert gap < (1e-38 if name == "diagonal" else 1e-14)


def test_extended_precision_is_refused_where_it_is_not_there():
    with pytest.raises(ValueError, match="extended precision"):
        FORMS["low rank, varying"].denoise(np.full((1, 4), mpmath.mpf(1)), level(0.8, 0.6))


@pytest.mark.parametrize("form", FORMS)
def test_ends(form):
    law = FORMS[form]
    x = law.sample(5, 1)
    near(law.denoise(x, level(0.0, 1.0)), np.tile(law.weights @ law.means, (5, 1)), 1e-14)
    near(law.noise_prediction(x, level(0.0, 1.0)), x, 1e-14)
    near(law.denoise(0.5 * x, level(0.5, 0.0)), x, 1e-13)
    assert not np.any(law.noise_prediction(x, level(1.0, 0.0)))
    near(law.velocity(x, Level(0.0, 1.0, 0.0, v=(-1.0, 1.0))), -x, 1e-13)
    near(law.score(x, level(1.0, 0.0)), law.score(x, level(1.0, 1e-12)), 1e-10)
    near(law.log_prob(x), law.log_prob(x, level(1.0, 1e-12)), 1e-10)


@pytest.mark.parametrize("form", SINGULAR)
def test_clean_singular_laws_pull_to_the_support_and_have_no_density(form):
    law = SINGULAR[form][0]
    x = law.sample(20, 1)
    near(law.denoise(0.5 * x, level(0.5, 0.0)), x, 1e-12)
    assert np.all(np.isfinite(law.responsibilities(x, level(1.0, 0.0))))
    assert np.abs(law.posterior_cov(x, level(1.0, 0.0))).max() < 1e-12
    for ask in (law.log_prob, law.score):
        with pytest.raises(ValueError, match="sigma = 0"):
            ask(x, level(1.0, 0.0))


@pytest.mark.parametrize("form", FORMS)
def test_rows_do_not_see_each_other(form, monkeypatch):
    law, at = FORMS[form], level(0.8, 0.6)
    x = law.sample(11, 1, at)
    whole = [ask(x, at) for ask in (law.denoise, law.log_prob, law.posterior_cov, law.responsibilities)]
    monkeypatch.setitem(working._BUDGET, "cpu", 3 * law.covariances.width)
    pieces = [ask(x, at) for ask in (law.denoise, law.log_prob, law.posterior_cov, law.responsibilities)]
    for a, b in zip(whole, pieces, strict=True):
        near(b, a, 1e-13)
    near(law.denoise(torch.tensor(x), at), whole[0], 1e-13)
    assert law.denoise(x[:0], at).shape == (0, 4)


@pytest.mark.parametrize("form", [*FORMS, *(f"singular {name}" for name in SINGULAR)])
@pytest.mark.parametrize("at", [None, level(0.6, 0.8)])
def test_samples_have_the_moments_of_the_law(form, at):
    law = SINGULAR[form.removeprefix("singular ")][0] if form.startswith("singular") else FORMS[form]
    n = 40_000
    x = law.sample(n, 11, at)
    alpha, sigma = (1.0, 0.0) if at is None else (at.alpha, at.sigma)
    # at alpha = 0 the posterior is the data law
    pure = level(0.0, 1.0)
    mean = alpha * law.denoise(np.zeros(4), pure)
    cov = alpha**2 * law.posterior_cov(np.zeros(4), pure) + sigma**2 * np.eye(4)
    apart = x - mean
    products = apart[:, :, None] * apart[:, None]
    assert np.all(np.abs(apart.mean(0)) <= 4.5 * apart.std(0) / math.sqrt(n))
    assert np.all(np.abs(products.mean(0) - cov) <= 4.5 * products.std(0) / math.sqrt(n))
    assert np.array_equal(x, law.sample(n, np.random.default_rng(11), at))


def test_fit_finds_separated_components():
    truth = Mixture([0.7, 0.3], [[-4.0, 0.0], [4.0, 1.0]], spd(2, 2))
    law = Mixture.fit(truth.sample(4000, 1), components=2, seed=0, floor=1e-6)
    order = np.argsort(law.means[:, 0])
    np.testing.assert_allclose(law.weights[order], truth.weights, atol=0.03)
    np.testing.assert_allclose(law.means[order], truth.means, atol=0.1)
    np.testing.assert_allclose(spectral_dense(law)[order], spectral_dense(truth), atol=0.15)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_fit_of_fewer_points_than_dimensions_is_a_density(covariance):
    data = RNG.standard_normal((12, 30))
    law = Mixture.fit(torch.tensor(data), components=3, covariance=covariance)
    assert not law.singular
    assert np.all(np.isfinite(law.log_prob(data)))
    np.testing.assert_array_equal(law.means, Mixture.fit(data, components=3, covariance=covariance).means)


def test_fit_labelled_has_the_moments_of_each_class():
    data, labels = RNG.standard_normal((60, 3)), np.repeat([4, 9, 7], [10, 20, 30])
    law = Mixture.fit_labelled(data, labels, floor=0.5)
    near(law.weights, np.array([10, 30, 20]) / 60, 1e-14)
    for k, label in enumerate([4, 7, 9]):
        group = data[labels == label]
        near(law.means[k], group.mean(0), 1e-12)
        near(spectral_dense(law)[k], np.cov(group.T, bias=True) + 0.5 * np.eye(3), 1e-12)


def test_copies_on_a_device_serve_every_caller_and_die_with_their_owner():
    law = Mixture(WEIGHTS, MEANS, FULL)
    x = torch.tensor(law.sample(2, 1))
    with torch.inference_mode():
        law.denoise(x, level(0.8, 0.6))
    leaf = x.clone().requires_grad_()
    law.denoise(leaf, level(0.8, 0.6)).sum().backward()
    assert torch.isfinite(leaf.grad).all()
    assert isinstance(law.means, np.ndarray) and not law.means.flags.writeable
    before, gone = len(working._COPIES), weakref.ref(law)
    del law
    gc.collect()
    assert gone() is None and len(working._COPIES) < before


ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Mixture([0.5, -0.5], ONES, ONES), "positive"),
        (lambda: Mixture([0.5, 0.0], ONES, ONES), "positive"),
        (lambda: Mixture([1.0], ONES, ONES), "one weight for each of the 2"),
        (lambda: Mixture([0.5, 0.5], [[np.nan] * 3] * 2, ONES), "not finite"),
        (lambda: Mixture([0.5, 0.5], np.ones(3), ONES), "2 axes"),
        (lambda: Mixture([0.5, 0.5], ONES, -ONES), "variance -1"),
        (lambda: Mixture([0.5, 0.5], ONES, np.ones((2, 4))), r"give \(2, 3\) variances"),
        (lambda: Mixture([0.5, 0.5], ONES, [-np.eye(3)] * 2), "negative|eigenvalue"),
        (lambda: Mixture([0.5, 0.5], ONES, [np.triu(np.ones((3, 3)))] * 2), "symmetric"),
        (lambda: Mixture.low_rank([0.5, 0.5], ONES, np.ones((2, 4, 1)), np.ones(2)), "factors"),
        (lambda: Mixture.low_rank([0.5, 0.5], ONES, np.ones((2, 3, 1)), -np.ones(2)), "non-negative"),
        (lambda: Mixture.fit(np.ones((50, 2))), "all equal"),
        (lambda: Mixture.fit(RNG.standard_normal((5, 2)), components=6), "1 to 5"),
        (lambda: Mixture.fit(RNG.standard_normal((5, 2)), covariance="tied"), "'full' or 'diag'"),
        (lambda: Mixture.fit(RNG.standard_normal((5, 2)), 1, floor=0.0), "floor"),
        (lambda: Mixture.fit(np.array([[1.0, np.inf], [0.0, 1.0]])), "not finite"),
        (lambda: Mixture.fit_labelled(RNG.standard_normal((5, 2)), [1, 2]), "one for each of the 5"),
        (lambda: Mixture.join([1, 1], [FORMS["full"], FORMS["diagonal"]]), "do not join"),
        (lambda: FORMS["full"].denoise(np.zeros((2, 5)), level(1, 1)), "dimension 4"),
        (lambda: FORMS["full"].predict(np.zeros((2, 4)), level(1, 1), "eps"), "'eps' is unknown"),
    ],
)
def test_bad_input_is_refused_by_one_sentence(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)
