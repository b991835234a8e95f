"""Distances, coverage and copying: against closed forms, the definitions written out, and planted faults."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.images import (
    Dataset,
    copying,
    coverage,
    digits,
    expected_coverage,
    extractor,
    features,
    frechet_distance,
    gaussian_distance,
    kernel_distance,
)
from diffnum.read.distance import gaussian_w2

seeds = st.integers(0, 10_000)


def law(k: int, seed: int, turned: bool = True) -> dn.Gaussian:
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(k, k)))[0] if turned else None
    return dn.Gaussian(rng.normal(size=k) / 3, rng.uniform(0.2, 2.0, k), basis)


def covariance(g: dn.Gaussian) -> np.ndarray:
    basis = np.eye(g.dim) if g.basis is None else g.basis
    return basis * g.variances @ basis.T


@pytest.fixture(scope="module")
def seen():
    training, validation, test = digits()
    return features(training), training, validation, test


# --- distances ---


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 6), seeds)
def test_gaussians_with_common_axes_are_as_far_apart_as_the_readings_say(k, seed):
    one, other = law(k, seed, turned=False), law(k, seed + 1, turned=False)
    readings = gaussian_w2(one.mean, one.variances, other.mean, other.variances) ** 2
    assert gaussian_distance(one, other) == pytest.approx(readings, rel=1e-10)


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 6), seeds)
def test_the_frechet_distance_is_the_formula_with_matrix_roots_and_symmetric(k, seed):
    from scipy.linalg import sqrtm

    one, other = law(k, seed), law(k, seed + 1)
    root = sqrtm(covariance(one) @ covariance(other)).real
    formula = ((one.mean - other.mean) ** 2).sum() + np.trace(covariance(one) + covariance(other) - 2 * root)
    assert gaussian_distance(one, other) == pytest.approx(formula, rel=1e-7)
    assert gaussian_distance(other, one) == pytest.approx(formula, rel=1e-7)
    assert abs(gaussian_distance(one, one)) < 1e-12


def test_the_plain_distance_is_that_of_fitted_gaussians_and_no_turn_changes_it():
    rng, one, other = np.random.default_rng(0), law(5, 1), law(5, 2)
    a, b = one.sample(200, rng), other.sample(300, rng)
    fitted = [dn.Gaussian.fit(x, shrinkage=0.0) for x in (a, b)]
    unbiased = [
        dn.Gaussian(g.mean, g.variances * n / (n - 1), g.basis) for g, n in zip(fitted, (200, 300), strict=True)
    ]
    found = frechet_distance(a, b)
    assert found.plain == pytest.approx(gaussian_distance(*unbiased), rel=1e-10)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    again = frechet_distance(a @ turn + 3.0, b @ turn + 3.0)
    assert again.plain == pytest.approx(found.plain, rel=1e-9)
    assert again.value == pytest.approx(found.value, rel=1e-8)


def test_the_kernel_distance_is_its_definition():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(24, 3)), rng.normal(size=(30, 3)) + 0.5

    def kernel(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / 3 + 1) ** 3

    def mean(x, y, same):
        return np.mean([kernel(p, q) for i, p in enumerate(x) for j, q in enumerate(y) if not same or i != j])

    definition = mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)
    assert kernel_distance(a, b).plain == pytest.approx(definition, rel=1e-10)


def repeated(distance, truth, one, other, count):
    found = [distance(one.sample(160, 2 * k), other.sample(400, 2 * k + 1), seed=k) for k in range(count)]
    return found, np.mean([d.low <= truth <= d.high for d in found])


def test_the_jackknife_removes_the_bias_and_its_intervals_hold_the_truth():
    one, other = law(8, 3), law(8, 4)
    for second, truth in ((other, gaussian_distance(one, other)), (one, 0.0)):
        found, held = repeated(frechet_distance, truth, one, second, 12)
        values, plain = np.array([(d.value, d.plain) for d in found]).T
        error = values.std() / len(values) ** 0.5
        assert abs(values.mean() - truth) < 3 * error
        assert held >= 0.8
    assert plain.mean() > 5 * abs(values.mean())


def test_sets_with_every_class_in_its_share_need_the_classes():
    rng = np.random.default_rng(0)
    centres, labels = 4 * rng.normal(size=(10, 6)), np.arange(200) % 10

    def draw():
        return centres[labels] + rng.normal(size=(200, 6))

    pairs = [(draw(), draw()) for _ in range(8)]
    told = np.array([frechet_distance(*pair, classes=(labels, labels)).value for pair in pairs])
    untold = np.array([frechet_distance(*pair).value for pair in pairs])
    assert abs(told.mean()) < 3 * told.std() / 8**0.5
    assert untold.mean() < -10 * abs(told.mean())


# --- coverage ---


@settings(deadline=None, max_examples=8)
@given(st.integers(8, 14), st.integers(8, 14), st.integers(1, 5), seeds)
def test_coverage_is_its_definition_written_out(n, m, k, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 0.3

    real = [sorted(np.linalg.norm(x - p, axis=1))[k] for p in x]
    made = [sorted(np.linalg.norm(y - q, axis=1))[k] for q in y]
    inside = [[np.linalg.norm(q - p) <= r for q in y] for p, r in zip(x, real, strict=True)]
    reached = [any(np.linalg.norm(q - p) <= r for q, r in zip(y, made, strict=True)) for p in x]
    found = coverage(x, y, k)
    assert found.precision == np.mean(np.any(inside, axis=0))
    assert found.recall == np.mean(reached)
    assert found.density == pytest.approx(np.sum(inside) / (k * m))
    assert found.coverage == np.mean(np.any(inside, axis=1))


def test_two_sets_of_one_law_have_density_one_and_the_expected_coverage():
    rng = np.random.default_rng(0)
    found = [coverage(rng.normal(size=(40, 3)), rng.normal(size=(30, 3)), 4) for _ in range(150)]
    for name, expected in (("density", 1.0), ("coverage", expected_coverage(40, 30, 4))):
        values = np.array([getattr(c, name) for c in found])
        assert abs(values.mean() - expected) < 3.5 * values.std() / len(values) ** 0.5


def test_a_lost_mode_costs_coverage_and_recall_and_noise_costs_precision():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(150, 2)), rng.normal(size=(150, 2)) + 20])
    lost, far = coverage(real, rng.normal(size=(300, 2))), coverage(real, real + rng.normal(size=(300, 2)) * 4)
    assert lost.coverage < 0.55 and lost.recall < 0.55 and lost.precision > 0.9
    assert far.precision < 0.6 and far.density < 0.5


# --- copying ---


def test_planted_copies_are_found_and_new_images_are_not(seen):
    _, training, validation, test = seen
    rng = np.random.default_rng(0)
    fresh = copying(validation.data, training.data, test.data)
    assert not fresh.found
    for share in (0.15, 1.0):
        count = round(share * 200)
        which = rng.choice(len(training), count, replace=False)
        planted = validation.data.copy()
        planted[:count] = training.data[which] + 0.02 * rng.normal(size=(count, training.dim))
        found = copying(planted, training.data, test.data)
        assert found.found and found.share >= share
        np.testing.assert_array_equal(found.nearest[:count], which)
    assert "copies of training images found" in str(found) and found.z < -10


def test_both_probabilities_are_uniform_or_larger_without_copying():
    rng = np.random.default_rng(0)
    found = [copying(rng.normal(size=(60, 2)), rng.normal(size=(40, 2)), rng.normal(size=(80, 2))) for _ in range(200)]
    for name in ("shifted", "filled"):
        values = np.array([getattr(c, name) for c in found])
        for level in (0.05, 0.2):
            assert (values <= level).mean() <= level + 3 * (level * (1 - level) / 200) ** 0.5
            assert (values <= 4 * level).mean() > 0


def test_the_probability_of_the_corner_is_that_of_random_orders():
    rng, count, n, m = np.random.default_rng(0), 6, 60, 20
    training = np.zeros((1, 1))
    held_out = np.linspace(1.0, 2.0, n)[:, None]
    rank = int(0.05 * n)
    samples = np.where(np.arange(m) < count, 0.5, 3.0)[:, None]
    found = copying(samples, training, held_out)
    orders = [rng.permutation(n + m) for _ in range(20_000)]
    reached = np.mean([np.sum(np.flatnonzero(o < n)[rank - 1] > np.flatnonzero(o >= n)) >= count for o in orders])
    assert found.share == count / m
    assert found.filled == pytest.approx(reached, abs=4 * (reached / 20_000) ** 0.5)


# --- features ---


def test_the_classifier_names_digits_that_it_never_saw(seen):
    found, _, _, test = seen
    assert found.accuracy > 0.9
    assert np.mean(found.classes(test.data) == test.labels) > 0.93
    assert sum(p.numel() for p in found.classify.parameters()) < 20_000


def test_features_are_a_function_of_data_and_seed(seen):
    _, training, _, test = seen
    state = torch.get_rng_state()
    few = Dataset(training.data[:300], training.shape, "few", training.labels[:300])
    one, same, other = (features(few, seed, steps=5)(test.data) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1
    assert torch.equal(torch.get_rng_state(), state)


def test_rows_and_tensors_of_the_same_images_have_the_same_features(seen):
    found, _, _, test = seen
    images = torch.from_numpy(test.data[:9].reshape(9, 8, 8, 1).transpose(0, 3, 1, 2).copy())
    np.testing.assert_allclose(found(images), found(test.data[:9]), rtol=1e-12)
    one_by_one = np.concatenate([found(row[None]) for row in test.data[:9]])
    np.testing.assert_allclose(one_by_one, found(test.data[:9]), rtol=1e-9, atol=1e-9)


def test_planted_faults_raise_the_distance_of_digits(seen):
    found, training, validation, test = seen
    new = np.concatenate([validation.data, test.data])
    labels = np.concatenate([validation.labels, test.labels])
    reference = found(training.data)

    def distance(x, classes):
        return frechet_distance(found(x), reference, (classes, training.labels))

    sound = distance(new, labels)
    assert sound.low < 0 < sound.high
    noise = np.random.default_rng(0).normal(size=new.shape)
    faults = [distance(new + 0.6 * noise, labels), distance(new[labels != 3], labels[labels != 3])]
    for fault in faults:
        assert fault.low > 0 and fault.value > 3 * sound.high - 2 * sound.value


def test_textures_see_blur_grain_and_lost_colour():
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=(450, 16, 16, 3))
    clouds = gaussian_filter(noise, (0, 1, 1, 0)) + 0.5 * noise.mean(axis=(1, 2), keepdims=True) * 16
    whole = (clouds * (0.3, 0.2, 0.1)).clip(-1, 1).reshape(450, -1)
    found = features(Dataset(whole[:150], (16, 16, 3), "clouds"))
    reference, x = found(whole[150:300]), whole[300:]
    images = x.reshape(-1, 16, 16, 3)
    grey = np.broadcast_to(images.mean(-1, keepdims=True), images.shape)
    faults = {"blur": gaussian_filter(images, (0, 0.5, 0.5, 0)), "colour": 0.5 * images + 0.5 * grey}
    faults["grain"] = images + 0.05 * np.random.default_rng(0).normal(size=images.shape)
    sound = frechet_distance(found(x), reference)
    assert sound.low < 0
    for image in faults.values():
        assert frechet_distance(found(image.reshape(x.shape)), reference).low > sound.high


def test_a_network_of_ones_own_gives_its_own_features(tmp_path):
    from safetensors.torch import save_file

    def module():
        return torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.AdaptiveAvgPool2d(1))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        trained, fresh = module(), module()
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    rows = x.permute(0, 2, 3, 1).reshape(5, 64).double().numpy()
    found = extractor(fresh, (8, 8, 1), tmp_path / "weights.safetensors", name="mine")
    np.testing.assert_allclose(found(rows), trained(x).flatten(1).detach().numpy(), rtol=1e-5, atol=1e-7)
    bigger = extractor(lambda images: images.mean(dim=(2, 3)), (8, 8, 1), size=20)(rows)
    assert bigger.shape == (5, 1)


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("none.safetensors", lambda path: None, "is no file: these features need their weights"),
        ("weights.pt", lambda path: torch.save({"weight": torch.ones(1)}, path), "is a pickle, which can run code"),
        ("script.pt", lambda path: torch.jit.script(torch.nn.Linear(2, 2)).save(path), "is a pickle, which can run"),
        ("short.safetensors", lambda path: path.write_bytes(b"\x09" + bytes(12)), "is truncated or no safetensors"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_weights_that_are_missing_or_run_code_are_refused(tmp_path, name, write, said):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=said) as refusal:
        extractor(torch.nn.Linear(2, 2), (1, 2, 1), tmp_path / name)
    assert "\n" not in str(refusal.value)


WIDE = np.zeros((30, 3))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: frechet_distance(WIDE, np.zeros((30, 2))), "equally many columns"),
        (lambda: frechet_distance(np.zeros((30, 9)), np.zeros((30, 9))), "30 images are too few .* in 9 features"),
        (lambda: kernel_distance(WIDE[:9], WIDE), "9 images give no interval"),
        (lambda: kernel_distance(WIDE * np.nan, WIDE), "NaN or infinite"),
        (lambda: frechet_distance(WIDE, WIDE, (np.zeros(3), None)), r"classes have shape \(3,\) for 30 images"),
        (lambda: coverage(WIDE, WIDE[:4]), "k = 5 of 4 images"),
        (lambda: copying(WIDE, WIDE, WIDE[:9]), "9 held-out images for the quantile 0.05"),
        (lambda: extractor(len, (1, 2, 1), "w.safetensors"), "is no torch module and takes no weights"),
        (lambda: extractor(lambda x: 3, (1, 2, 1))(np.zeros((4, 2))), "returned int for 4 images"),
        (lambda: extractor(lambda x: x, (1, 2, 1))(np.zeros((4, 3))), r"features want \(n, 2\)"),
        (lambda: features(Dataset(WIDE, (1, 3, 1), "one", np.ones(30, int))), "give at least two, from 0 on"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
