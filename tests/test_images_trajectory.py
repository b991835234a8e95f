"""Converged trajectories, the analytic jump and scores beside closed ones: on laws where all are exact."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.images import Dataset, apart, class_gaussians, converged, jump, jumped, preconditioned, saved, score_error
from diffnum.images.jump import Jumped

PROCESS = dn.Cosine(0.0)
START, STOP = PROCESS.at(-4.0), PROCESS.at(5.0)
RNG = np.random.default_rng(0)
LAW = dn.Gaussian(RNG.uniform(-0.5, 0.5, 16), np.geomspace(0.5, 0.01, 16), np.linalg.qr(RNG.normal(size=(16, 16)))[0])
OTHER = dn.Gaussian(-LAW.mean, LAW.variances[::-1].copy())
MIXED = dn.Conditional([LAW, OTHER])


class Closed:
    """A law as a network of images ``(n, 1, 4, 4)`` under labels, with the parts of one that are asked for."""

    conditions = ()
    process = PROCESS
    prediction = "data"
    module = SimpleNamespace(parameters=lambda: iter(()))

    def __init__(self, law):
        self.law = law

    def __call__(self, x, level):
        return self.law.denoise(x.flatten(1), level).reshape(x.shape)


def noise(n: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 1, 4, 4, generator=generator, dtype=torch.float64) * START.sigma


def make(level, n):
    return dn.compile("dpmpp_2m", dn.grid.log_snr(PROCESS, n, level, STOP, "zero"), "data")


def rows(x):
    return x.permute(0, 2, 3, 1).flatten(1)


def end(law, x, start=START):
    """The flow to ``STOP``, denoised there."""
    return law.denoise(law.flow(rows(x), start, STOP), STOP).reshape(x.shape)


@pytest.fixture(scope="module")
def followed():
    return converged(Closed(LAW), noise(), START, STOP, tol=1e-6)


def test_from_pure_noise_trajectories_end_where_the_flow_of_the_law_does():
    start, x = PROCESS.level(1.0), noise()
    found = converged(Closed(LAW), x, start, STOP, tol=1e-4)
    apart = (found.end - end(LAW, x, start)).square().mean().sqrt()
    assert apart <= found.error <= 1e-4 * found.end.square().mean().sqrt()


def test_converged_trajectories_of_a_gaussian_end_where_its_flow_does_and_say_how_closely(followed):
    off = float((followed.end - end(LAW, noise())).square().mean().sqrt())
    assert off < 3 * followed.error + 1e-12
    assert followed.error < 1e-6


def test_apart_is_the_error_of_the_run(followed):
    plan = make(START, 8)
    found = apart(followed, plan)
    each = (dn.sample(plan, Closed(LAW), noise()) - end(LAW, noise())).square().flatten(1).mean(1)
    assert found.rmse == pytest.approx(float(each.mean().sqrt()), rel=1e-4)
    assert found.psnr == pytest.approx(float((10 * torch.log10(4 / each)).mean()), abs=1e-3)
    assert found.worst == pytest.approx(float(each.max().sqrt()), rel=1e-4)


def test_more_steps_of_the_same_order_come_nearer_in_pixels_and_in_features(followed):
    from diffnum.images import extractor

    half = extractor(lambda x: x[:, :, :2].flatten(1), (4, 4, 1))
    coarse, fine = (apart(followed, make(START, n), half) for n in (6, 24))
    assert fine.rmse < coarse.rmse / 4 and fine.feature < coarse.feature / 4 and fine.psnr > coarse.psnr + 12


@pytest.mark.parametrize("ratio", [-3.0, -1.0, 2.0])
def test_the_jump_on_a_gaussian_is_its_trajectory_to_rounding(ratio):
    plan = make(PROCESS.at(ratio), 5)
    jumped_to = jump(LAW, noise(), START, plan)
    through = end(LAW, jumped_to, plan.start)
    torch.testing.assert_close(through, end(LAW, noise()), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(jump(LAW, noise(), START, make(START, 5)), noise(), rtol=1e-12, atol=1e-13)


def test_by_class_each_image_jumps_by_its_own_law_and_keeps_its_kind():
    plan, labels = make(PROCESS.at(-1.0), 5), np.array([1, 0, 1, 1, 0, 0])
    both = jump({0: LAW, 1: OTHER}, noise().float(), START, plan, labels)
    assert both.dtype == torch.float32
    for k, law in enumerate((LAW, OTHER)):
        alone = jump(law, noise().float()[labels == k], START, plan)
        torch.testing.assert_close(both[labels == k], alone)


def test_class_gaussians_are_the_fits_of_the_classes():
    x = np.concatenate([law.sample(40, 1) for law in (LAW, OTHER)]).clip(-1, 1)
    laws = class_gaussians(Dataset(x, (4, 4, 1), "two", np.repeat([0, 1], 40)))
    assert sorted(laws) == [0, 1]
    np.testing.assert_allclose(laws[1].mean, x[40:].mean(axis=0))


def test_on_a_gaussian_any_jump_helps_and_on_a_mixture_a_late_one_does_not(followed):
    levels = [PROCESS.at(-2.0), PROCESS.at(2.0)]
    found = jumped(LAW, followed, make, levels, (5, 10))
    assert (np.diff(found.rmse, axis=0) < 0).all() and (found.best == 2).all()
    bent = converged(Closed(MIXED), noise(), START, STOP, tol=1e-6)
    whole = dn.Gaussian.fit(MIXED.sample(4000, 0))
    mixed = jumped(whole, bent, make, levels, (10, 20))
    assert (mixed.rmse[2] > 3 * mixed.rmse[:2].max(axis=0)).all()


def test_the_calls_saved_are_those_that_the_plan_without_a_jump_needs_more():
    plain = 1 / np.array([4.0, 8.0, 16.0]) ** 2
    found = Jumped((START, STOP), (4, 8, 16), np.stack([plain, [plain[1], 1 / 144, 1.0]]))
    assert saved(found) == pytest.approx((4.0, 4.0, 0.0))
    assert saved(Jumped((START, STOP), (4, 8, 16), np.stack([plain, plain / 100])))[2] == np.inf


# --- scores ---


def surrogates():
    x = np.concatenate([law.sample(120, 1) for law in (LAW, OTHER)]) / 4
    data = Dataset(x.clip(-1, 1), (4, 4, 1), "two", np.repeat([0, 1], 120))
    held_out = Dataset(data.data[::6], data.shape, "some", data.labels[::6])
    return data, held_out


def test_a_law_leaves_nothing_of_its_own_score_unexplained():
    data, held_out = surrogates()
    laws = {
        "gaussian": dn.Gaussian.fit(data.data),
        "mixture": dn.Mixture.fit_labelled(data.data, data.labels),
        "by_heart": dn.Empirical(data.data),
    }
    for name, law in laws.items():
        found = score_error(Closed(law), data, held_out, (0.1, 1.0, 10.0))
        assert max(getattr(found, name)) < 1e-20
        others = [n for n in laws if n != name]
        assert all(getattr(found, n)[0] > 1e-4 for n in others)
        # at much noise all laws of one mean and covariance agree
        assert all(getattr(found, n)[2] < 0.01 * max(getattr(found, n)) for n in others)


def test_the_share_of_the_score_is_that_of_the_noise_prediction():
    data, held_out = surrogates()
    module = torch.nn.Linear(1, 1)
    module.config = SimpleNamespace(sample_size=4, in_channels=1)
    module.forward = lambda sample, timestep: SimpleNamespace(sample=torch.tanh(2 * sample))
    network = preconditioned(module, PROCESS, "data", 0.3)
    law, level = dn.Gaussian.fit(data.data), PROCESS.at(0.0)
    eps = np.random.default_rng([0, 1]).standard_normal(held_out.data.shape)
    x = float(level.alpha) * held_out.data + float(level.sigma) * eps
    images = torch.from_numpy(x.reshape(-1, 1, 4, 4))
    scored = preconditioned(module, PROCESS, "score", 0.3)(images, level).flatten(1).numpy()
    share = np.mean((scored - law.score(x, level)) ** 2) / np.mean(scored**2)
    assert score_error(network, data, held_out, (1.0,)).gaussian[0] == pytest.approx(share, rel=1e-5)


def test_linear_above_is_the_least_ratio_from_which_all_are_explained():
    from diffnum.images import ScoreError

    none = (0.0,) * 4
    found = ScoreError((0.1, 1.0, 2.0, 10.0), (0.001, 0.2, 0.005, 0.001), none, none, none)
    assert [found.linear_above(s) for s in (0.01, 0.002, 0.5, 1e-6)] == [2.0, 10.0, 0.1, np.inf]


# --- refusals ---


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda ref: apart(ref, make(PROCESS.at(-1.0), 4)), "give x= there"),
        (
            lambda ref: apart(ref, dn.compile("ddpm_ancestral", dn.grid.log_snr(PROCESS, 4, START, STOP), "data")),
            "draws",
        ),
        (lambda ref: apart(converged(Closed(LAW), noise(), START, STOP, 1e-2), make(START, 300)), "smaller tol"),
        (lambda ref: jump(LAW, noise(), STOP, make(START, 4)), "jump towards the data"),
        (lambda ref: jump({0: LAW}, noise(), START, make(START, 4)), "give labels="),
        (
            lambda ref: jump({0: LAW}, noise(), START, make(START, 4), np.full(6, 3)),
            "class 3 has no law: give one of 0",
        ),
        (lambda ref: class_gaussians(Dataset(np.zeros((2, 4)), (2, 2, 1), "plain")), "plain has no labels"),
    ],
)
def test_what_cannot_be_measured_is_refused(followed, call, said):
    with pytest.raises(ValueError, match=said):
        call(followed)
