"""Training: the same after a kill as without one, and checkpoints that are refused when they are not whole."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import diffnum as dn
from diffnum.images import Dataset, DiT, Training, UNet, build, checkpoints, held_out_loss, load_network, train
from diffnum.images.training import _batch_index

ROOT = Path(__file__).parents[1]
CONFIG = UNet((4, 4, 1), 16, (1,), 1, (False,), classes=2, dropout=0.2)
SHORT = Training(steps=8, batch=6, warmup=3, save_every=2, flip=True, rate=5e-3)


def two_classes(n: int = 14) -> Dataset:
    labels = np.arange(n) % 2
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (n, 16))
    return Dataset(np.where(labels, 0.6, -0.6)[:, None] + noise, (4, 4, 1), "dark and light", labels)


def run(folder, training=SHORT, **options):
    return train(CONFIG, two_classes(), folder, training, quiet=True, pictures=False, **options)


def losses(folder: Path, name: str = "loss.csv") -> list[list[str]]:
    with (folder / name).open() as opened:
        return list(csv.reader(opened))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, held_out=two_classes(6))
    return folder


def same_files(one: Path, other: Path) -> None:
    for name in ("last.safetensors", "network.safetensors"):
        (a, record), (b, again) = checkpoints.read(one / name), checkpoints.read(other / name)
        assert record == again and set(a) == set(b)
        assert all(torch.equal(a[k], b[k]) for k in a), name


@pytest.mark.parametrize("until", [2, 5])
def test_a_run_that_stopped_goes_on_as_if_it_had_not(whole, tmp_path, until):
    run(tmp_path, until=until)
    run(tmp_path)
    assert losses(tmp_path) == losses(whole)
    same_files(tmp_path, whole)


def test_rows_of_a_killed_run_after_its_last_checkpoint_are_dropped(whole, tmp_path):
    run(tmp_path, until=4)
    with (tmp_path / "loss.csv").open("a") as opened:
        opened.write("5,0.1,0.2\n6,0.1,0.2\n")
    run(tmp_path)
    assert losses(tmp_path) == losses(whole)


def test_a_finished_run_is_not_trained_further(whole, tmp_path):
    before = (whole / "loss.csv").read_text()
    network = run(whole)
    assert (whole / "loss.csv").read_text() == before
    x, level = torch.ones(2, 1, 4, 4), network.process.at(0.0)
    assert torch.equal(network(x, level), load_network(whole / "network.safetensors")(x, level))


def test_losses_are_written_for_every_step_and_held_out_ones_for_every_checkpoint(whole):
    rows = losses(whole)
    assert rows[0] == ["step", "loss", "gradient"] and [int(r[0]) for r in rows[1:]] == list(range(1, 9))
    held_out = losses(whole, "held_out.csv")
    assert [int(r[0]) for r in held_out[1:]] == [2, 4, 6, 8]
    network = load_network(whole / "network.safetensors")
    d = checkpoints.read(whole / "network.safetensors")[1]["sigma_data"]
    assert float(held_out[-1][1]) == held_out_loss(network, two_classes(6), d, SHORT)


def test_the_first_loss_is_that_of_a_network_that_says_nothing(tmp_path):
    # F = 0 against a target of mean square 1
    run(tmp_path, replace(SHORT, batch=2000, save_every=1), until=1)
    assert float(losses(tmp_path)[1][1]) == pytest.approx(1.0, abs=0.05)


def test_without_memory_the_average_is_the_network_itself(tmp_path):
    run(tmp_path, replace(SHORT, ema=0.0, steps=2))
    state, _ = checkpoints.read(tmp_path / "last.safetensors")
    average, _ = checkpoints.read(tmp_path / "network.safetensors")
    assert average and all(torch.equal(average[k], state[f"module.{k}"]) for k in average)


def test_the_first_step_of_warm_up_moves_every_weight_by_its_share_of_the_rate(tmp_path):
    # Adam's first step is the sign of the gradient times the rate, here 0.01 / 4
    run(tmp_path, replace(SHORT, rate=0.01, warmup=4, weight_decay=0.0, ema=0.0, save_every=1), until=1)
    after, _ = checkpoints.read(tmp_path / "network.safetensors")
    moved = after["conv_out.weight"] - build(CONFIG, SHORT.seed).state_dict()["conv_out.weight"]
    torch.testing.assert_close(moved.abs(), torch.full_like(moved, 0.0025), rtol=1e-3, atol=0)


def test_every_image_is_seen_once_in_every_pass():
    seen = np.concatenate([_batch_index(14, 6, step, seed=3) for step in range(7)])
    passes = seen.reshape(3, 14)
    assert all(sorted(p) == list(range(14)) for p in passes)
    assert not np.array_equal(passes[0], passes[1])


def test_bfloat16_keeps_weights_in_float32(tmp_path):
    network = run(tmp_path, replace(SHORT, bf16=True, steps=2))
    assert {p.dtype for p in network.module.parameters()} == {torch.float32}


@pytest.mark.parametrize("raw", ["data", "noise", "velocity"])
def test_other_outputs_are_trained_and_loaded_alike(tmp_path, raw):
    network = run(tmp_path, replace(SHORT, raw=raw, steps=2))
    x, level = torch.ones(2, 1, 4, 4), network.process.at(0.0)
    assert torch.equal(network(x, level), load_network(tmp_path / "network.safetensors")(x, level))


@pytest.mark.full
def test_a_transformer_that_stopped_goes_on_as_if_it_had_not(tmp_path):
    config = DiT((4, 4, 1), 2, 2, 8, 2, classes=2, dropout=0.2)
    for folder, stops in (("whole", [None]), ("stopped", [3, 5, None])):
        for until in stops:
            train(config, two_classes(), tmp_path / folder, SHORT, quiet=True, pictures=False, until=until)
    assert losses(tmp_path / "whole") == losses(tmp_path / "stopped")
    same_files(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.full
def test_a_run_killed_at_any_moment_goes_on_as_if_it_had_not(tmp_path):
    longer = replace(SHORT, steps=120, save_every=10)
    run(tmp_path / "whole", longer)
    code = (
        "import torch; torch.set_num_threads(1); import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path; from dataclasses import replace\n"
        "import test_images_training as t\n"
        "t.run(Path(sys.argv[1]), replace(t.SHORT, steps=120, save_every=10))"
    )
    folder = tmp_path / "killed"
    for after in (1, 3):
        process = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT, env={**os.environ})
        rows = folder / "loss.csv"
        while process.poll() is None and not (rows.exists() and len(rows.read_text().splitlines()) > 20 * after):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run(folder, longer)
    assert losses(folder) == losses(tmp_path / "whole")
    same_files(folder, tmp_path / "whole")


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_trained_network_denoises_better_than_the_best_gaussian(tmp_path):
    # no class is ever told: the law is of two humps, the best linear denoiser knows one
    training = Training(steps=400, batch=32, warmup=50, save_every=400, rate=3e-3, ema=0.98, null=1.0)
    data, held_out = two_classes(200), replace(two_classes(100), labels=None)
    network = train(replace(CONFIG, dropout=0.0), data, tmp_path, training, quiet=True)
    table = dn.images.denoising(network, replace(data, labels=None), held_out, (0.5, 1.0))
    assert np.all(np.array(table.network) < table.gaussian)
    assert np.all(np.array(table.bound) < table.network_seen)
    assert (tmp_path / "samples.png").exists()


# --- refusals ---


def test_a_folder_with_another_run_is_refused(whole):
    with pytest.raises(ValueError, match=r"holds a run with rate = 0.005, not 0.001"):
        run(whole, replace(SHORT, rate=1e-3))


@pytest.mark.parametrize("name", ["last.safetensors", "network.safetensors"])
@pytest.mark.parametrize("length", [0, 6, 200, -1])
def test_a_truncated_checkpoint_is_refused(whole, tmp_path, name, length):
    path = tmp_path / name
    path.write_bytes((whole / name).read_bytes()[:length])
    with pytest.raises(ValueError, match="truncated or no safetensors"):
        load_network(path) if name.startswith("network") else run(tmp_path)


@pytest.mark.parametrize("old", [True, False])
def test_a_pickle_is_refused_and_not_run(tmp_path, old):
    path = tmp_path / "network.safetensors"
    torch.save({"weight": torch.ones(2)}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(ValueError, match="is a pickle, which can run code when read"):
        load_network(path)


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path):
    path, first = tmp_path / "a.safetensors", set()
    for padding in range(0, 264, 8):
        checkpoints.write(path, {"a": torch.ones(2)}, {"text": "x" * padding})
        assert checkpoints.read(path)[1] == {"text": "x" * padding}
        first.add(path.read_bytes()[0])
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(ValueError, match="truncated or no safetensors"):
            checkpoints.read(path)
    assert 0x80 in first


def changed(whole: Path, to: Path, name: str, change) -> Path:
    tensors, record = checkpoints.read(whole / name)
    change(tensors, record)
    checkpoints.write(to / name, tensors, record)
    return to / name


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t, r: t.update({"conv_out.bias": torch.zeros(2)}), r"shape \(2,\) where the network has \(1,\)"),
        (lambda t, r: t.pop("conv_out.bias"), "lacks conv_out.bias"),
        (lambda t, r: t.update(extra=torch.zeros(1)), "tensor too many, extra"),
        (lambda t, r: r["config"].update(width=24), "where the network has"),
    ],
)
def test_a_network_of_another_configuration_is_refused(whole, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_network(changed(whole, tmp_path, "network.safetensors", change))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t, r: t.pop("exp_avg.conv_out.bias"), "no fitting exp_avg of conv_out.bias"),
        (lambda t, r: t.update({"exp_avg_sq.conv_out.bias": torch.zeros(3)}), "no fitting exp_avg_sq"),
        (lambda t, r: t.pop("average.conv_out.bias"), "lacks conv_out.bias"),
    ],
)
def test_a_run_with_missing_state_is_refused(whole, tmp_path, change, message):
    changed(whole, tmp_path, "last.safetensors", change)
    with pytest.raises(ValueError, match=message):
        run(tmp_path)


def test_files_that_are_no_checkpoint_are_refused(whole, tmp_path):
    with pytest.raises(ValueError, match="is no file"):
        load_network(tmp_path / "nothing.safetensors")
    with pytest.raises(ValueError, match="is a checkpoint to go on from"):
        load_network(whole / "last.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no record of diffnum"):
        load_network(tmp_path / "other.safetensors")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    wild = replace(SHORT, rate=1e30, warmup=0, steps=50)
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) at step .*: lower rate"):
        run(tmp_path, wild)
    if (tmp_path / "last.safetensors").exists():
        tensors, _ = checkpoints.read(tmp_path / "last.safetensors")
        assert tensors


def test_data_that_do_not_fit_are_refused(tmp_path):
    data = two_classes()
    with pytest.raises(ValueError, match="the network is for"):
        train(replace(CONFIG, shape=(8, 8, 1)), data, tmp_path, SHORT)
    with pytest.raises(ValueError, match="no labels for 2 classes"):
        train(CONFIG, replace(data, labels=None), tmp_path, SHORT)
    with pytest.raises(ValueError, match="labels from 0 to 1 for 1 classes"):
        train(replace(CONFIG, classes=1), data, tmp_path, SHORT)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"steps": 0}, {"batch": -1}, {"ema": 1.0}, {"null": 2.0}, {"rate": float("nan")}])
def test_settings_that_train_nothing_are_refused(options):
    with pytest.raises(ValueError, match="use "):
        Training(**options)


def test_a_half_written_checkpoint_replaces_nothing(whole, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    checkpoints.write(path, {"a": torch.ones(2)}, {"step": 1})
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        checkpoints.write(path, {"a": torch.zeros(2)}, {"step": 2})
    tensors, record = checkpoints.read(path)
    assert torch.equal(tensors["a"], torch.ones(2)) and record == {"step": 1}
