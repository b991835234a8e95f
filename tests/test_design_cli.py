"""``diffnum design``: what it writes is what it says, and bad input is one sentence."""

from __future__ import annotations

import gc
import json
import tracemalloc
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

import diffnum as dn
from diffnum.cli import run
from diffnum.figures import read_numbers
from diffnum.lab.samples import classes_of, convention_of, samples


@pytest.fixture(scope="module")
def designed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("design")
    np.save(folder / "spectrum.npy", 1.0 / np.arange(1, 12) ** 2)
    words = ["design", str(folder / "spectrum.npy"), "--nfe", "2", "--out", str(folder / "plan.json"), "--jobs", "1"]
    return folder, words


def test_json_plan_and_picture_say_the_same(designed, capsys):
    folder, words = designed
    code = run([*words, "--json"])
    said = json.loads(capsys.readouterr().out)
    plan = dn.Plan.load(folder / "plan.json")
    assert said["plan"] == plan.hash
    assert plan.nfe == said["nfe"] == 2
    assert code == (0 if said["better"] else 1)
    shown = read_numbers(folder / "plan.figure.png")
    assert np.allclose(np.asarray(shown["weights"]).sum(axis=1), 1)
    for verdict in said["verdicts"]:
        assert shown["gains"][verdict["surrogate"]][0] == pytest.approx(verdict["gain"])
        assert verdict["gain"] == pytest.approx(1 - verdict["error"] / verdict["hand_made_error"])
    assert np.allclose(sorted(shown["log_snr"]["designed"]), said["log_snr"][:-1])


def test_the_table_names_every_law_and_says_what_is_no_gain(designed, capsys, monkeypatch):
    _, words = designed
    monkeypatch.setenv("COLUMNS", "160")
    code = run(words)
    said = capsys.readouterr().out
    assert all(name in said for name in ("steeper by 1.1", "flatter by 0.9", "of 1.2 the size"))
    assert ("no gain" in said or "not better" in said) == (code == 1)


def test_where_laws_describe_few_dimensions_the_network_is_to_be_asked(tmp_path, capsys, monkeypatch):
    made = dn.design.design(None, 2, spectrum=[1.0, 0.1])
    monkeypatch.setattr(dn.design, "design", lambda *asked, **more: made)
    monkeypatch.setenv("COLUMNS", "160")
    for width, told in ((64, False), (65, True)):
        np.save(tmp_path / "data.npy", RNG.standard_normal((40, width)))
        words = ["design", str(tmp_path / "data.npy"), "--nfe", "2", "--out", str(tmp_path / "plan.json")]
        run(words)
        assert ("64 of 65 dimensions" in capsys.readouterr().out) == told
        run([*words, "--json"])
        assert bool(json.loads(capsys.readouterr().out)["cautions"]) == told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["digits", "--out", "plan.txt"], "ends in none of .json"),
        (["digits", "--process", "none"], "--process 'none' is unknown"),
        (["digits", "--for", "nowhere"], "nowhere holds no scheduler"),
        (["digits", "--nfe", "1"], "nfe"),
        (["digits", "--size", "x"], "--size 'x'"),
    ],
)
def test_bad_input_is_one_sentence(words, said, capsys):
    assert run(["design", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("diffnum: ")
    assert said in error
    assert len(error.strip().splitlines()) == 1


def test_arrays_are_spectra_latents_or_images(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"spectrum": np.ones(5), "latents": 3 * rng.standard_normal((40, 4, 8, 8)), "images": np.zeros((40, 6, 6))}
    arrays["images"][:, 0, 0] = np.linspace(-1, 1, 40)
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    assert np.shape(samples(tmp_path / "spectrum.npy")[1]) == (5,)
    assert np.array_equal(np.asarray(samples(tmp_path / "latents.npy")[0]), arrays["latents"])
    assert np.shape(samples(tmp_path / "latents.npy", limit=10)[0]) == (10, 4, 8, 8)
    assert np.shape(samples(tmp_path / "images.npy")[0]) == (40, 6, 6)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "both.npz", latents=arrays["latents"], labels=labels)
    assert np.array_equal(np.asarray(samples(tmp_path / "both.npz")[0]), arrays["latents"])
    assert np.array_equal(classes_of(tmp_path / "both.npz", limit=10), labels[::4])


RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((64, 6))


@pytest.mark.parametrize(
    ("array", "more", "said"),
    [
        (np.ones((64, 6)), [], "all samples are the same"),
        (np.repeat(ROWS[:2], 32, 0), [], "only 2 samples differ"),
        (ROWS[:10], [], "too few to hold any back"),
        (np.zeros((0, 8, 8)), [], "data of shape (0, 8, 8) hold no samples: give at least 32"),
        (np.zeros((64, 0)), [], "hold no samples"),
        (np.full((40, 4), np.nan), [], "not finite"),
        (1e4 * ROWS, [], "are no data for VP, which starts from noise of size 152.2"),
        (1e4 * ROWS, ["--process", "flow"], "no data for Flow, which starts from noise of size 1000"),
        (1e200 * ROWS, [], "no data for VP"),
        (np.float64(3.0), [], "holds float64 of shape ()"),
        (ROWS > 0, [], "holds bool of shape (64, 6): save samples as floats"),
        (ROWS + 1j, [], "holds complex128"),
        ((99 * ROWS).astype(np.int64), [], "holds int64"),
        (np.array([1.0, -0.1]), [], "the spectrum holds negative"),
        (ROWS, ["--limit", "0"], "--limit 0 leaves no data set"),
        (ROWS, ["--size", "4"], "leave --size out"),
        (ROWS, ["--guidance", "2"], "guidance needs classes"),
        (ROWS, ["--nfe", "200"], "--nfe"),
        (ROWS, ["--seed", "-1"], "--seed"),
        (ROWS, ["--for", "folder", "--process", "ve"], "leave --process ve out"),
        ({"a": ROWS, "b": ROWS}, [], "holds the arrays a, b: save one"),
        ({"a": ROWS, "labels": np.ones(3)}, ["--guidance", "2"], "labels of shape (3,) for 64 samples"),
        ("no array", [], "cannot be read as an array"),
    ],
)
def test_arrays_that_no_design_is_for_are_refused_in_one_sentence(array, more, said, tmp_path, capsys):
    path = tmp_path / ("data.npz" if isinstance(array, dict) else "data.npy")
    if isinstance(array, str):
        path.write_text(array)
    else:
        np.savez(path, **array) if isinstance(array, dict) else np.save(path, array)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(["design", str(path), "--out", str(tmp_path / "plan.json"), *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith("diffnum: ") and said in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "plan.json").exists()


def test_a_saved_pipeline_gives_process_and_prediction(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDPMScheduler(prediction_type="v_prediction")
    scheduler.save_pretrained(tmp_path / "scheduler")
    read = convention_of(tmp_path)
    assert read.prediction == "velocity"
    alpha = float(scheduler.alphas_cumprod[500] ** 0.5)
    assert read.process.alpha(500.0 + read.process.t_clean * 0) == pytest.approx(alpha, abs=2e-3)
    for text, said in (("{", "is no JSON"), ("[1]", "holds a JSON list")):
        (tmp_path / "scheduler" / "scheduler_config.json").write_text(text)
        with pytest.raises(ValueError, match=said):
            convention_of(tmp_path)


@pytest.fixture
def latents(tmp_path):
    """64 smooth fields of 6400 numbers, and a folder with a flow pipeline whose network takes them."""
    diffusers = pytest.importorskip("diffusers")
    import torch

    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(40), np.fft.fftfreq(40)))
    waves = np.fft.fft2(rng.standard_normal((64, 4, 40, 40))) / np.maximum(frequency, 1 / 40)
    fields = np.fft.ifft2(waves).real
    np.save(tmp_path / "latents.npy", np.float32(fields / fields.std()))
    down, up = ("DownBlock2D", "DownBlock2D"), ("UpBlock2D", "UpBlock2D")
    torch.manual_seed(0)
    net = diffusers.UNet2DModel(
        40, 4, 4, down_block_types=down, up_block_types=up, block_out_channels=(8, 16), norm_num_groups=4
    )
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    diffusers.DDPMPipeline(net, theirs).save_pretrained(tmp_path / "pipeline")
    return tmp_path


@contextmanager
def _collector_of_users():
    """Tests collect cycles late, and scipy's solvers of differential equations are cycles that hold arrays."""
    ours = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*ours)
    gc.unfreeze()


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_latents_of_6400_dimensions_are_designed_for_a_flow_pipeline_that_runs_the_plan(latents, capsys):
    diffusers = pytest.importorskip("diffusers")
    import torch

    from diffnum.interop.diffusers import PlanScheduler

    words = ["--for", str(latents / "pipeline"), "--nfe", "4", "--jobs", "1", "--json", "--out"]
    # a first run loads modules, which are memory too
    np.save(latents / "small.npy", np.random.default_rng(0).standard_normal((64, 80)))
    run(["design", str(latents / "small.npy"), *words, str(latents / "small.json")])
    capsys.readouterr()
    with _collector_of_users():
        tracemalloc.start()
        run(["design", str(latents / "latents.npy"), *words, str(latents / "plan.json")])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 6400**2 * 8 / 4
    said = json.loads(capsys.readouterr().out)
    for verdict in said["verdicts"]:
        assert verdict["low"] <= verdict["gain"] <= verdict["high"]
        assert verdict["better"] == (verdict["low"] > 0)
    plan = dn.Plan.load(latents / "plan.json")
    assert plan.start.pure_noise and plan.prediction == "velocity" and plan.nfe == 4
    network = dn.models.from_diffusers(latents / "pipeline", local_files_only=True)
    x = torch.randn(2, 4, 40, 40, generator=torch.Generator().manual_seed(1))
    expected = dn.sample(plan, network, x)
    pipe = diffusers.DiffusionPipeline.from_pretrained(latents / "pipeline", local_files_only=True)
    pipe.scheduler = PlanScheduler.from_config(pipe.scheduler.config, plan=plan)
    pipe.scheduler.set_timesteps(4)
    with torch.no_grad():
        for t in pipe.scheduler.timesteps:
            x = pipe.scheduler.step(pipe.unet(x, t).sample, t, x).prev_sample
    assert torch.allclose(x, expected, atol=1e-5 * float(expected.abs().max()))
