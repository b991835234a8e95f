"""The networks that come with the package: what their cards claim, on images that they never saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import diffnum as dn
from diffnum.images import (
    Dataset,
    available,
    card,
    checkpoints,
    denoising,
    digits,
    draw,
    pretrained,
    resized,
    sheet,
)
from diffnum.images.pretrained import FOLDER
from diffnum.process import Cosine


@pytest.fixture(scope="module")
def network():
    return pretrained("digits")


@pytest.fixture(scope="module")
def sets():
    return digits()


@pytest.fixture(scope="module")
def samples(network):
    """Ten of each class by 20 steps, as rows, with their classes."""
    labels = np.repeat(np.arange(10), 10)
    return draw(network, 100, seed=3, labels=labels).numpy().reshape(100, 64), labels


def nearest(rows: np.ndarray, others: np.ndarray) -> float:
    """Mean distance of ``rows`` to the nearest of ``others``."""
    squares = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
    return float(np.sqrt(squares.min(axis=1).clip(0)).mean())


def test_networks_are_small():
    assert available() == ("digits", "patches")
    assert sum(path.stat().st_size for path in FOLDER.glob("*")) < 6 * 2**20


@pytest.mark.parametrize("name", available())
def test_every_network_has_its_card(name):
    _, record = checkpoints.read(FOLDER / f"{name}.safetensors")
    text = card(name)
    parameters = sum(p.numel() for p in pretrained(name).module.parameters())
    assert f"{parameters:,} parameters" in text and f"{record['step']:,} " in text
    assert f"sigma_data = {record['sigma_data']:.4f}" in text


def test_the_three_sets_of_digits_share_no_image_and_miss_none(sets):
    rows = np.concatenate([data.data for data in sets])
    assert [len(data) for data in sets] == [1397, 200, 200]
    assert len(np.unique(rows, axis=0)) == 1797


def test_the_scale_of_the_network_is_that_of_its_training_images(sets):
    _, record = checkpoints.read(FOLDER / "digits.safetensors")
    assert record["sigma_data"] == np.sqrt(np.mean(sets[0].data ** 2))


@pytest.fixture(scope="module")
def table(network, sets):
    return denoising(network, sets[0], sets[2], (0.2, 0.5, 1.0))


def test_it_denoises_unseen_digits_better_than_the_best_gaussian_and_than_memory(table):
    assert np.all(np.array(table.network) < table.gaussian)
    assert np.all(np.array(table.network) < table.by_heart)


def test_no_denoiser_of_training_images_is_below_the_bound(table):
    assert np.all(np.array(table.bound) < table.network_seen)


def test_unseen_digits_are_denoised_nearly_as_well_as_seen_ones(table):
    np.testing.assert_allclose(table.network, table.network_seen, rtol=0.25)


@pytest.mark.parametrize("process", [dn.EDM(), dn.Flow()])
def test_every_process_draws_the_same_digit(network, process):
    def run(network):
        levels = dn.grid.log_snr(network.process, 12, network.process.at(-4.0), network.process.at(4.0), "zero")
        # exponential in log-SNR with the data prediction: the same formula on every process
        return draw(network, 2, dn.compile("ddim", levels, "data"), seed=1, labels=7)

    torch.testing.assert_close(run(pretrained("digits", process)), run(network), rtol=1e-3, atol=5e-3)


@pytest.mark.full
def test_samples_are_the_digits_that_were_asked_for(samples, sets):
    from sklearn.svm import SVC

    rows, labels = samples
    judge = SVC(C=10).fit(sets[0].data, sets[0].labels)
    assert np.mean(judge.predict(sets[2].data) == sets[2].labels) > 0.95
    assert np.mean(judge.predict(rows) == labels) > 0.9


@pytest.mark.full
def test_samples_lie_where_digits_lie_and_are_no_copies(samples, sets):
    rows, _ = samples
    training, validation, test = (data.data for data in sets)
    unseen = np.concatenate([validation, test])
    assert 0.75 < nearest(rows, unseen) / nearest(training, unseen) < 1.25
    assert nearest(rows, training) / nearest(test, training) > 0.75


@pytest.mark.full
def test_more_steps_of_every_sampler_come_to_the_same_digits(network):
    process = network.process
    ends = process.at(-4.0), process.at(4.0)

    def run(name: str, n: int) -> torch.Tensor:
        return draw(network, 8, dn.compile(name, dn.grid.log_snr(process, n, *ends, "zero"), "data"), 0, labels=4)

    exact = run("heun", 200)
    errors = {n: float((run("dpmpp_2m", n) - exact).square().mean().sqrt()) for n in (10, 20, 80)}
    assert errors[80] < errors[20] < errors[10]
    assert errors[80] < 0.02


def test_draw_is_seeded_and_hears_the_class(network):
    plan = dn.compile("ddim", dn.grid.log_snr(network.process, 4, network.process.at(-4.0), end="zero"), "data")
    one, same, other = (draw(network, 2, plan, seed, labels=1) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert not torch.equal(one, draw(network, 2, plan, 1, labels=[1, 8]))
    assert one.dtype == torch.float32


def test_the_default_plan_is_for_the_default_process():
    with pytest.raises(ValueError, match="give plan="):
        draw(pretrained("digits", dn.EDM()), 2)


def test_judging_refuses_what_it_cannot_compare(network, sets):
    with pytest.raises(ValueError, match="load it for 'data'"):
        denoising(pretrained("digits", prediction="noise"), sets[0], sets[2])
    with pytest.raises(ValueError, match="give one shape"):
        denoising(network, sets[0], resized(sets[2], 16))
    rest = sets[0].labels != 3
    without = Dataset(sets[0].data[rest], sets[0].shape, "no threes", sets[0].labels[rest])
    with pytest.raises(ValueError, match="class 3 is held out entirely"):
        denoising(network, without, sets[2], (1.0,))


def test_names_that_are_no_network_are_refused():
    for ask in (pretrained, card):
        with pytest.raises(ValueError, match="'faces' is no network of the package: use one of digits"):
            ask("faces")


@pytest.mark.parametrize("process", ["vp", 3, "", 0, Cosine])
def test_what_is_no_process_is_refused(process):
    with pytest.raises(ValueError, match=r"process = .* is no noise process: pass one, such as dn\.VP\(\)"):
        pretrained("digits", process=process)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_shows_every_image_once(tmp_path, channels):
    x = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, channels, 4, 4)
    sheet(x, tmp_path / "sheet.png", columns=3, side=8)
    seen = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert seen.shape == (20, 30) + (3,) * (channels == 3)
    greys = [
        np.unique(seen[2 + 10 * (i // 3) : 10 + 10 * (i // 3), 2 + 10 * (i % 3) : 10 + 10 * (i % 3)]) for i in range(5)
    ]
    np.testing.assert_array_equal(np.concatenate(greys), [0, 64, 128, 191, 255])


@pytest.fixture(scope="module")
def colour():
    """The network of patches, 64 patches of photographs that it never saw, and 1000 that it was trained on."""
    training, _, test = dn.images.photographs()
    return pretrained("patches"), rows_of(test, 64), rows_of(training, 1000)


def rows_of(data, n):
    return Dataset(data.data[:: len(data) // n][:n], data.shape, data.name)


@pytest.mark.full
def test_patches_are_denoised_better_than_by_heart_and_at_little_noise_than_by_the_best_gaussian(colour):
    network, test, training = colour
    found = denoising(network, training, test, (0.05, 0.1, 1.0))
    assert np.all(np.array(found.network) < found.by_heart)
    assert np.all(np.array(found.network[:2]) < found.gaussian[:2])
    assert np.all(np.array(found.network_seen) > found.bound)


@pytest.mark.full
def test_sampled_patches_have_the_palette_of_the_photographs(colour):
    network, _, training = colour
    x = draw(network, 32, seed=3).numpy()
    ours, theirs = x.transpose(0, 2, 3, 1).reshape(-1, 3), training.data.reshape(-1, 3)
    # 32 patches are few, nearly of one colour each
    error = theirs.reshape(1000, -1, 3).mean(1).std(0) / np.sqrt(32)
    assert np.all(np.abs(ours.mean(0) - theirs.mean(0)) < 4 * error)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.3)
