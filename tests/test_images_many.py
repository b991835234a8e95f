"""Images drawn by their number: the same alone, in any batches, by any number of processes, and after a kill."""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import diffnum as dn
from diffnum.cli import run
from diffnum.images import Many, UNet, build, checkpoints, preconditioned, pretrained
from diffnum.lab.many import IMAGES, RECORD, draw_file, draw_many
from diffnum.lab.pictures import contact_sheet
from diffnum.lab.processes import Processes, launched

PROCESS = dn.VP()
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def network():
    module = build(UNet((8, 8, 1), width=16, multipliers=(1,), classes=3), seed=0)
    # an untrained network ends in zeros and would answer without looking
    torch.nn.init.normal_(module.conv_out.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return preconditioned(module, PROCESS, "data", sigma_data=0.8)


def plan(sampler: str = "dpmpp_2m", steps: int = 3) -> dn.Plan:
    return dn.compile(sampler, dn.grid.log_snr(PROCESS, steps))


def images(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoints.read(folder / IMAGES)[0]


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "ddpm_ancestral"])
def test_an_image_is_the_same_in_whatever_batch_it_is_drawn(network, sampler):
    job = Many(network, plan(sampler), 7, seed=5, classes="all")
    whole = job.draw(0, 7)
    for first, count in ((0, 3), (3, 3), (6, 1)):
        part = job.draw(first, count)
        torch.testing.assert_close(part.images, whole.images[first : first + count], rtol=1e-5, atol=1e-5)
        assert torch.equal(part.labels, whole.labels[first : first + count])
        assert torch.equal(job.start(first, count), job.start(0, 7)[first : first + count])
    assert whole.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert 0 < whole.network_seconds < whole.seconds
    assert not torch.allclose(Many(network, plan(sampler), 7, seed=6).draw(0, 7).images, whole.images)


def test_images_in_a_folder_are_those_drawn_by_number_and_are_drawn_once(network, tmp_path):
    job, said = Many(network, plan(), 8, classes=2), []
    record = draw_many(job, tmp_path / "out", 3, told={"command": "x"}, on_progress=lambda *pair: said.append(pair))
    drawn = [job.draw(first, count) for first, count in ((0, 3), (3, 3), (6, 2))]
    assert torch.equal(images(tmp_path / "out")["images"], torch.cat([d.images for d in drawn]))
    assert images(tmp_path / "out")["labels"].tolist() == [2] * 8
    assert said == [(3, 8), (6, 8), (8, 8), (8, 8)]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["images.png", IMAGES, RECORD]
    assert 0 < record["outside_network"] < 1
    assert record["plan"]["hash"] == job.plan.hash
    assert checkpoints.read(tmp_path / "out" / IMAGES)[1] == record
    before = (tmp_path / "out" / IMAGES).stat().st_mtime_ns
    assert draw_many(job, tmp_path / "out", 3) == record
    assert (tmp_path / "out" / IMAGES).stat().st_mtime_ns == before


def drawn_firsts(monkeypatch) -> list[int]:
    """A list that grows by the first number of every batch that is drawn."""
    firsts, draw = [], Many.draw
    monkeypatch.setattr(Many, "draw", lambda self, first, count: (firsts.append(first), draw(self, first, count))[1])
    return firsts


def test_what_was_drawn_before_an_interruption_is_not_drawn_again(network, tmp_path, monkeypatch):
    job = Many(network, plan("ddpm_ancestral"), 8)
    draw_many(job, tmp_path / "undisturbed", 2)

    def interrupt(done: int, of: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    firsts = drawn_firsts(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        draw_many(job, tmp_path / "out", 2, on_progress=interrupt)
    assert not (tmp_path / "out" / IMAGES).exists()
    # half of a batch that was being written
    (next((tmp_path / "out" / "parts").iterdir()) / "000000004.safetensors.part").write_bytes(b"\0" * 9)
    draw_many(job, tmp_path / "out", 2)
    assert firsts == [0, 2, 4, 6]
    assert torch.equal(images(tmp_path / "out")["images"], images(tmp_path / "undisturbed")["images"])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"n": 0}, "n = 0 draws nothing"),
        ({"classes": 3}, "classes = 3 is no class: use 'all' or a number from 0 to 2"),
        ({"classes": "each"}, "classes = 'each' is no class"),
        ({"plan": dn.compile("ddim", dn.grid.log_snr(PROCESS, 3), "noise")}, "the plan is for predictions of noise"),
        ({"seed": -1}, "seed"),
    ],
)
def test_images_that_cannot_be_drawn_are_refused(network, asked, said):
    with pytest.raises(ValueError, match=said):
        Many(**{"network": network, "plan": plan(), "n": 4, **asked})


def test_classes_of_a_network_without_any_are_refused():
    bare = preconditioned(build(UNet((8, 8, 1), width=16, multipliers=(1,)), seed=0), PROCESS)
    assert Many(bare, plan(), 2).labels(0, 2).tolist() == [-1, -1]
    with pytest.raises(ValueError, match="a network that knows none"):
        Many(bare, plan(), 2, classes=1)


def test_a_folder_of_other_images_or_of_strangers_is_refused(network, tmp_path):
    draw_many(Many(network, plan("ddim"), 2), tmp_path / "out", 2)
    with pytest.raises(ValueError, match="holds 2 other images, by ddim"):
        draw_many(Many(network, plan("ddim"), 2, seed=1), tmp_path / "out", 2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(ValueError, match=r"holds thesis\.txt, which is none of ours"):
        draw_many(Many(network, plan(), 2), tmp_path / "mine")
    for draw in (draw_many, draw_file):
        with pytest.raises(ValueError, match="batch = 0 is no number of images"):
            draw(Many(network, plan(), 2), tmp_path / "new", 0)


def test_values_that_are_not_finite_are_refused_and_no_record_is_written(network, tmp_path):
    module = copy.deepcopy(network.module)
    torch.nn.init.constant_(module.conv_out.bias, math.nan)
    lost = preconditioned(module, PROCESS)
    for draw in (draw_many, draw_file):
        with pytest.raises(ValueError, match="128 values of the images are not finite"):
            draw(Many(lost, plan(), 2), tmp_path / "out")
    assert not (tmp_path / "out" / RECORD).exists()


def test_one_process_is_alone_and_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with launched() as alone:
        assert alone == Processes(0, 1, 0)
        alone.wait()
    assert alone.device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Processes(3, 4, 1).device("cuda") == "cuda:1"
    with pytest.raises(ValueError, match="process 2 on this machine finds 2 CUDA devices"):
        Processes(2, 4, 2).device("cuda")


# --- one file ---


def test_a_file_holds_the_images_of_the_folder(network, tmp_path):
    job, said = Many(network, plan("ddpm_ancestral"), 7, seed=2, classes="all"), []
    record = draw_many(job, tmp_path / "out", 3)
    for name in ("new/x.npy", "x.png"):
        again = draw_file(job, tmp_path / name, 3, on_progress=lambda *pair: said.append(pair))
        timed = {"seconds_per_image", "images_per_second", "outside_network"}
        assert again.keys() == record.keys() and all(again[key] == record[key] for key in record.keys() - timed)
    expected = images(tmp_path / "out")["images"].permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "x.npy"), expected)
    picture = contact_sheet(expected.reshape(7, -1), (8, 8, 1))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png")), np.asarray(picture))
    assert said == [(3, 7), (6, 7), (7, 7)] * 2
    assert {path.name for path in tmp_path.iterdir()} == {"out", "new", "x.png"}


# --- the command, by real processes ---


def command(processes: int, file: Path, out: Path, n: int = 24, batch: int = 4) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    words = ["sample", str(file), "--network", "digits", "-n", str(n), "--batch", str(batch), "--classes", "all"]
    return [sys.executable, *(launcher if processes > 1 else []), "-m", "diffnum", *words, "--out", str(out)]


@pytest.fixture
def saved(tmp_path) -> Path:
    plan("ddpm_ancestral", 4).save(tmp_path / "plan.json")
    return tmp_path / "plan.json"


@pytest.mark.full
@pytest.mark.timeout(600)
def test_two_processes_draw_the_images_of_one(saved, tmp_path):
    for processes in (1, 2):
        done = subprocess.run(
            command(processes, saved, tmp_path / str(processes)), cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("24 images of digits by ddpm_ancestral") == 1
        assert f"by {processes} process" in done.stdout
    one, two = images(tmp_path / "1"), images(tmp_path / "2")
    assert torch.equal(one["images"], two["images"])
    assert one["labels"].tolist() == two["labels"].tolist() == [i % 10 for i in range(24)]
    records = [json.loads((tmp_path / name / RECORD).read_text()) for name in "12"]
    assert [r["processes"] for r in records] == [1, 2]
    assert records[0]["address"] == records[1]["address"]


@pytest.mark.full
@pytest.mark.timeout(600)
def test_processes_that_are_killed_leave_what_they_finished(saved, tmp_path, monkeypatch):
    out, parts = tmp_path / "out", tmp_path / "out" / "parts"
    running = subprocess.Popen(
        command(2, saved, out, n=800, batch=10), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    while len(list(parts.rglob("*.safetensors"))) < 5:
        assert running.poll() is None
        time.sleep(0.05)
    # the launcher starts its workers in sessions of their own
    workers = [int(pid) for pid in _children(running.pid)]
    for pid in (*workers, running.pid):
        os.kill(pid, signal.SIGKILL)
    running.wait()
    kept = {int(path.stem) for path in parts.rglob("*.safetensors")}
    assert 5 <= len(kept) < 80
    firsts = drawn_firsts(monkeypatch)
    job = Many(pretrained("digits"), dn.Plan.load(saved), 800, classes="all")
    draw_many(job, out, 10)
    assert set(firsts) == set(range(0, 800, 10)) - kept
    again = job.draw(min(kept), 10)
    assert torch.equal(images(out)["images"][min(kept) : min(kept) + 10], again.images)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--network", "mona"], "--network 'mona' is no file and none of digits"),
        (["--network", "digits", "--data", "digits"], "leave one of them out"),
        (["--network", "digits", "--device", "cuda"], "finds 0 CUDA devices"),
        (["--classes", "3"], "--classes 3 is for a network"),
        (["--network", "digits", "--classes", "12"], "classes = 12 is no class"),
    ],
)
def test_the_command_refuses_in_one_sentence(tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plan().save(tmp_path / "plan.json")
    assert run(["sample", str(tmp_path / "plan.json"), *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["x.png", "x.npy"])
def test_the_command_writes_a_file_where_it_is_asked_for_one(name, tmp_path, capsys):
    plan().save(tmp_path / "plan.json")
    out = tmp_path / "new" / name
    words = ["sample", str(tmp_path / "plan.json"), "--network", "digits", "-n", "4", "--batch", "3", "--out"]
    assert run([*words, str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"4 images of digits by dpmpp_2m, 3 evaluations each: {out}\n")
    assert run([*words, str(tmp_path / "folder"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert list(out.parent.iterdir()) == [out] and record["out"] == str(tmp_path / "folder")
    draw_file(Many(pretrained("digits"), plan(), 4), tmp_path / name, 3)
    assert out.read_bytes() == (tmp_path / name).read_bytes()
    drawn = images(tmp_path / "folder")["images"].permute(0, 2, 3, 1).numpy()
    assert name == "x.png" or np.array_equal(np.load(out), drawn)


@pytest.mark.parametrize(
    ("name", "processes", "said"),
    [
        ("x.jpg", 1, "ends in none of .png, .npy"),
        ("x.safetensors", 1, "ends in none of .png, .npy"),
        ("folder.png", 1, "is a folder: name a file"),
        ("x.png", 2, "is a file, which 2 processes cannot share: name a folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_network_is_loaded(
    name, processes, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("diffnum.images.pretrained", lambda *_, **__: pytest.fail("the network was loaded first"))
    monkeypatch.setattr("diffnum.lab.processes.launched", lambda: nullcontext(Processes(0, processes, 0)))
    plan().save(tmp_path / "plan.json")
    (tmp_path / "folder.png").mkdir()
    out = tmp_path / name
    assert run(["sample", str(tmp_path / "plan.json"), "--network", "digits", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"--out {str(out)!r} {said}" in error and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"plan.json", "folder.png"}


# --- weights of another network ---


def test_weights_of_another_shape_or_configuration_are_refused():
    small, wide, deep = (
        build(UNet((8, 8, 1), width=width, multipliers=multipliers))
        for width, multipliers in ((16, (1,)), (24, (1,)), (16, (1, 2)))
    )
    for other, said in ((wide, "of shape .* where the network has"), (deep, "a network of another configuration")):
        with pytest.raises(ValueError, match=said):
            checkpoints.restore("network.safetensors", small, other.state_dict())
