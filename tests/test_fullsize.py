"""The notebooks that run at full size on a GPU run at small size on a CPU, by the same commands."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nbformat
import pytest
import torch

from diffnum.lab.fullsize import FULL, main, run_all
from diffnum.lab.runs import Notebook

FOLDER = Path(__file__).parents[1] / "notebooks"
IMAGES = sorted(path for number in FULL for path in FOLDER.glob(f"{number}-*.ipynb"))


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_a_notebook_on_images_can_be_asked_for_a_gpu_and_promises_a_table(path):
    notebook = Notebook.load(path)
    asked = {"device": "cuda", **FULL[path.name[:2]]}
    assert notebook.request(asked).injected == asked
    assert [name for name in notebook.artefacts if name.endswith(".csv")]
    assert notebook.results in notebook.artefacts


def test_without_cuda_the_full_size_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--store", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "finds no CUDA device here" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_notebook_without_a_device_is_refused(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]})]
    )
    nbformat.write(notebook, tmp_path / "12-bare.ipynb")
    with pytest.raises(ValueError, match="device"):
        run_all([tmp_path / "12-bare.ipynb"], "cpu", False, tmp_path / "runs", tmp_path / "out")


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_the_commands_of_the_full_size_pass_on_a_cpu_at_small_size(tmp_path, capsys):
    words = ["--device", "cpu", "--small", "--notebooks", str(FOLDER), "--store", str(tmp_path / "runs")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    made = [Path(line) for line in capsys.readouterr().out.splitlines()]
    for path in IMAGES:
        footer = json.loads((tmp_path / "out" / f"{path.stem}-cpu.json").read_text())
        assert footer["notebook"] == path.name
        assert footer["device"] == "cpu"
        assert footer["command"].endswith("-p device=cpu")
    for file in (file for file in made if file.suffix == ".csv"):
        assert len(list(csv.DictReader(file.read_text().splitlines()))) >= 3
    # nothing is computed twice
    before = [file.read_bytes() for file in made]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert [file.read_bytes() for file in made] == before
