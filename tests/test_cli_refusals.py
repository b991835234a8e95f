"""What is wrong is said in one sentence with the value and the remedy, and before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest

import diffnum as dn
from diffnum.cli import run
from diffnum.lab.processes import Processes


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence on stderr with which a command of bad input ends."""
    code = run([str(word) for word in words])
    out, err = capsys.readouterr()
    assert code == 2 and not out.strip()
    assert err.startswith("diffnum: ") and err.count("\n") == 1
    return err


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A file with a plan of two evaluations."""
    dn.compile("ddim", dn.grid.log_snr(dn.VP(), 2)).save(tmp_path / "plan.json")
    return tmp_path / "plan.json"


@pytest.mark.parametrize("device", ["foo", "mps", "", "cuda:x"])
def test_a_device_that_is_none_is_refused_before_the_network_is_loaded(device, plan, monkeypatch, capsys):
    monkeypatch.setattr("diffnum.images.pretrained", lambda *_, **__: pytest.fail("the network was loaded first"))
    said = refused(capsys, "sample", plan, "--network", "digits", "--device", device, "--out", plan.parent / "d")
    assert f"--device {device!r}" in said and "use cpu or cuda" in said


def test_devices_of_processes_are_those_that_the_machine_has(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [Processes(1, 2, 1).device(word) for word in ("cpu", "cuda", "cuda:0")] == ["cpu", "cuda:1", "cuda:0"]
    with pytest.raises(ValueError, match="cuda:2 is beyond the 2 CUDA devices here"):
        Processes().device("cuda:2")
