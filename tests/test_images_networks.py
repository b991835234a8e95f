"""Preconditioned networks: against Karras' table, the exact denoiser, and themselves on other processes."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.images import DiT, UNet, build, count, preconditioned, target_pair

PROCESSES = (dn.Cosine(0.0), dn.VP(), dn.EDM(), dn.Flow(), dn.SubVP(), dn.VE(0.002))
PREDICTIONS = ("data", "noise", "velocity", "score")
RAW = ("edm", "data", "noise", "velocity")
ratios = st.floats(-5, 4).map(math.exp)


class Sines(torch.nn.Module):
    """A smooth function of everything it is given, in place of a network; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(sample_size=4, in_channels=1, num_class_embeds=None)
        self.asked: list = []

    def forward(self, sample, timestep, class_labels=None):
        self.asked.append((sample, timestep, class_labels))
        return SimpleNamespace(sample=torch.sin(2 * sample + timestep.to(sample).view(-1, 1, 1, 1)))


class Told(torch.nn.Module):
    """Answers with what it is set to."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(sample_size=4, in_channels=1)
        self.answer = None

    def forward(self, sample, timestep):
        return SimpleNamespace(sample=self.answer)


def images(seed: int = 0, n: int = 3) -> torch.Tensor:
    return torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at(process, ratio: float):
    return process.at(-math.log(ratio))


@settings(deadline=None, max_examples=30)
@given(ratios, st.floats(0.2, 2.0))
def test_edm_is_table_1_of_karras(sigma, d):
    module = Sines()
    x = images() * sigma
    D = preconditioned(module, dn.VE(0.002), "data", d)(x, at(dn.VE(0.002), sigma))
    seen, told, _ = module.asked[0]
    c_skip, c_out = d**2 / (sigma**2 + d**2), sigma * d / math.sqrt(sigma**2 + d**2)
    c_in, c_noise = 1 / math.sqrt(sigma**2 + d**2), math.log(sigma) / 4
    torch.testing.assert_close(seen, c_in * x)
    np.testing.assert_allclose(told.numpy(), 16 * c_noise, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(D, c_skip * x + c_out * torch.sin(2 * c_in * x + told[0]))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(RAW), st.sampled_from(PREDICTIONS), st.sampled_from(PROCESSES), ratios, st.floats(0.2, 2.0))
def test_the_exact_output_gives_the_exact_prediction(raw, prediction, process, ratio, d):
    level, x0, eps, module = at(process, ratio), images(1), images(2), Told()
    p0, p1 = target_pair(raw, level.alpha, level.sigma, d)
    module.answer = p0 * x0 + p1 * eps
    quantities = {"data": x0, "noise": eps, "score": -eps / level.sigma, "velocity": level.v[0] * x0 + level.v[1] * eps}
    found = preconditioned(module, process, prediction, d, raw)(level.alpha * x0 + level.sigma * eps, level)
    torch.testing.assert_close(found, quantities[prediction], rtol=1e-9, atol=1e-9 * (1 + ratio + 1 / ratio))


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(("edm", "velocity")), st.sampled_from(PROCESSES), ratios)
def test_the_denoiser_does_not_depend_on_the_process(raw, process, ratio):
    module, x = Sines(), images()
    one, other = at(dn.EDM(), ratio), at(process, ratio)
    D = preconditioned(module, dn.EDM(), "data", 0.7, raw)(x * one.alpha, one)
    torch.testing.assert_close(
        preconditioned(module, process, "data", 0.7, raw)(x * float(other.alpha), other), D, rtol=1e-6, atol=1e-6
    )


@settings(deadline=None, max_examples=40)
@given(ratios, ratios, st.floats(0.1, 3.0))
def test_the_target_has_mean_square_one_at_every_level(alpha, sigma, d):
    p0, p1 = target_pair("edm", alpha, sigma, d)
    assert p0**2 * d**2 + p1**2 == pytest.approx(1, rel=1e-12)


@given(st.floats(0, math.pi / 2))
def test_with_unit_data_the_target_is_minus_the_velocity(angle):
    alpha, sigma = math.cos(angle), math.sin(angle)
    edm, v = target_pair("edm", alpha, sigma, 1.0), target_pair("velocity", alpha, sigma, 1.0)
    np.testing.assert_allclose(edm, np.negative(v), atol=1e-15)


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
@pytest.mark.parametrize("process", [dn.Cosine(0.0), dn.Flow()])
def test_both_ends_are_reached(process, prediction):
    network = preconditioned(Sines(), process, prediction, 0.7)
    for t in (0.0, 1.0):
        level = process.level(t)
        assert level.pure_noise or level.clean
        assert torch.isfinite(network(images(), level)).all()
    x, clean = images(), process.level(0.0)
    torch.testing.assert_close(preconditioned(Sines(), process, "data", 0.7)(x, clean), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_dtype_of_the_state_is_kept(dtype):
    x = images().to(dtype)
    assert preconditioned(Sines(), dn.EDM(), "data")(x, at(dn.EDM(), 1.0)).dtype == dtype


def test_the_null_class_is_asked_until_another_is_named():
    module = Sines()
    module.config.num_class_embeds = 11
    network, level = preconditioned(module, dn.EDM()), at(dn.EDM(), 1.0)
    network(images(), level)
    network.given(class_labels=torch.tensor([1, 2, 3]))(images(), level)
    network.given(class_labels=torch.tensor([1, 2, 3])).at([images(), images()], [level, level])
    assert [labels.tolist() for _, _, labels in module.asked] == [[10], [1, 2, 3], [1, 2, 3, 1, 2, 3]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"raw": "score"}, "raw = 'score' is unknown"),
        ({"prediction": "flow"}, "prediction = 'flow' is unknown"),
        ({"sigma_data": 0.0}, "sigma_data = 0.0 is no scale"),
        ({"sigma_data": math.inf}, "sigma_data = inf is no scale"),
    ],
)
def test_preconditioning_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        preconditioned(Sines(), dn.EDM(), **options)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: UNet((9, 8, 1)), "multiple of 2, or fewer multipliers"),
        (lambda: UNet((8, 8, 0)), "cannot be halved"),
        (lambda: UNet((8, 8, 1), width=20), "use a multiple of 8"),
        (lambda: UNet((8, 8, 1), width=8), "from 16 on"),
        (lambda: UNet((8, 8, 1), attention=(True,)), "1 entries for 2 levels"),
        (lambda: UNet((8, 8, 1), classes=-1), "classes = -1"),
        (lambda: UNet((8, 8, 1), dropout=1.0), "dropout = 1.0 is no share"),
        (lambda: DiT((8, 6, 1)), "not a square"),
        (lambda: DiT((8, 8, 1), patch=3), "whole 3x3 patches"),
        (lambda: DiT((8, 8, 1), heads=3, head_dim=3), "not a multiple of 4"),
    ],
)
def test_configurations_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- the modules of diffusers ---

SMALL = (UNet((8, 8, 1), 16, (1, 2), classes=3), DiT((8, 8, 1), 2, 2, 8, 2, classes=3))


@pytest.mark.parametrize("config", SMALL, ids=["unet", "dit"])
def test_an_untrained_network_is_the_denoiser_that_knows_the_scale_alone(config):
    d, level, process = 0.8, at(dn.Cosine(0.0), 1.5), dn.Cosine(0.0)
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    scale = dn.Gaussian(np.zeros(64), np.full(64, d**2))
    D = preconditioned(build(config), process, "data", d)(x, level)
    torch.testing.assert_close(D.detach(), scale.denoise(x.reshape(2, 64), level).reshape(x.shape).float())


def stirred(config, seed: int = 0):
    """A network whose last layers are not zero."""
    module = build(config, seed)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
    return module.requires_grad_(False)


@pytest.mark.parametrize("config", SMALL, ids=["unet", "dit"])
def test_networks_hear_level_and_class(config):
    network, process = preconditioned(stirred(config), dn.Cosine(0.0), "velocity", 0.8), dn.Cosine(0.0)
    x = torch.randn(3, *network.shape, generator=torch.Generator().manual_seed(0))
    level = at(process, 1.0)
    labels = torch.tensor([0, 2, 3])
    each = network.given(class_labels=labels)(x, level)
    for i, label in enumerate(labels):
        alone = network.given(class_labels=label[None])(x, level)[i]
        torch.testing.assert_close(each[i], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(each[2], network(x, level)[2], rtol=1e-4, atol=1e-5)
    assert (each[0] - network(x, level)[0]).abs().max() > 1e-3
    assert (network(x, at(process, 1.2)) - network(x, level)).abs().max() > 1e-4


@pytest.mark.parametrize("config", SMALL, ids=["unet", "dit"])
def test_weights_come_from_the_seed_and_leave_the_global_generator_alone(config):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (build(config, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


def test_a_transformer_in_training_draws_no_labels():
    module, x = stirred(SMALL[1]).train(), torch.zeros(40, 1, 8, 8)
    given = {"timestep": torch.zeros(40), "class_labels": torch.full((40,), 1)}
    out = module(x, **given).sample
    torch.testing.assert_close(out, out[:1].expand_as(out), rtol=1e-4, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize(
    "config, millions",
    [
        (UNet((8, 8, 1), 16, (1, 2)), 0.2),
        (UNet((8, 8, 1), 32, (1, 2), classes=10), 0.7),
        (UNet((32, 32, 3), 64, (1, 2, 2), 2), 6),
        (UNet((64, 64, 3), 256, (1, 2, 2), 2), 100),
        (DiT((8, 8, 1), 1, 4, 12, 4), 0.2),
        (DiT((32, 32, 3), 2, 6, 64, 8, classes=10), 20),
        (DiT((32, 32, 3), 2, 10, 64, 14, classes=10), 100),
    ],
)
def test_configurations_reach_from_a_fifth_of_a_million_parameters_to_a_hundred(config, millions):
    assert 0.7 < count(config) / (millions * 1e6) < 1.4
