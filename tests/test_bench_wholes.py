"""Runs that take the network along: what they run, where, and what is left out."""

from __future__ import annotations

import importlib.util
import math
import subprocess
from dataclasses import asdict, replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

import diffnum as dn
from diffnum.lab.bench import end_to_end, libraries, network_table, networks, wholes
from diffnum.lab.bench.__main__ import main
from diffnum.lab.bench.cases import CASES
from diffnum.lab.bench.libraries import Draws, by_kernel, levels
from diffnum.lab.bench.network import Stored
from diffnum.lab.bench.steps import STEPS
from diffnum.plan import Eval
from diffnum.read import captured as whole
from diffnum.read import triton_lines as kernels

ROOT = Path(__file__).parents[1]
NAME, BATCH = "digits 8x8", 1
X = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def plan_of(name):
    return dn.compile(name, levels(STEPS), wholes.PREDICTION)


@pytest.fixture
def plainly(monkeypatch):
    """Our plans are run line by line alone: no compiler takes its seconds."""
    monkeypatch.setattr(libraries, "WAYS", {"diffnum": {}})


@pytest.fixture
def with_triton(monkeypatch):
    """As if triton were installed; on a CPU none of it is asked for."""
    real = importlib.util.find_spec

    def found(name, *rest):
        return ModuleSpec("triton", None) if name == "triton" else real(name, *rest)

    for module in (importlib.util, wholes, kernels):
        monkeypatch.setattr(module, "find_spec", found)


@pytest.fixture
def unrolled(monkeypatch):
    """The compiled run in the place of all others, and uncompiled."""
    monkeypatch.setattr(whole, "_compile", lambda function: function)
    monkeypatch.setattr(networks, "wholes", lambda device, batch: wholes.wholes("cuda", batch)[-1:])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bare_plan_asks_the_network_as_often_at_the_same_levels_and_nothing_else(case):
    plan = plan_of(case.ours)
    bare = wholes.bare(plan)
    assert all(isinstance(line, Eval) for line in bare.lines) and len(bare.states) == len(bare.levels)

    def asked(plan):
        found = []
        noise = dn.noise.Counter(0) if plan.draws else None
        dn.sample(plan, lambda x, level: found.append((level, x)) or 0.5 * x, X, noise=noise)
        return found

    assert [level for level, _ in asked(bare)] == [level for level, _ in asked(plan)]
    # one after another, so that no compiler may leave one out
    assert all(torch.equal(x, X * 0.5**i) for i, (_, x) in enumerate(asked(bare)))


def test_a_cpu_has_no_runs_that_take_the_network_along():
    assert wholes.wholes("cpu", 1) == () and by_kernel(CASES[0], STEPS, Draws(X)) == []


def test_what_runs_on_a_gpu_depends_on_triton_and_on_the_batch(with_triton):
    one, many = ([way.name for way in wholes.wholes("cuda", batch)] for batch in (1, 16))
    assert set(one) - set(many) == {"diffnum unrolled"}
    assert many == ["diffnum captured", "diffnum captured triton"]


def test_without_triton_nothing_asks_for_its_kernel(monkeypatch):
    for module in (importlib.util, wholes):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert [way.name for way in wholes.wholes("cuda", 16)] == ["diffnum captured"]
    assert by_kernel(CASES[0], STEPS, Draws(X), "cuda") == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_lines_by_the_kernel_are_those_of_the_other_ways(case, with_triton):
    for subject in by_kernel(case, STEPS, Draws(X), "cuda"):
        plan = dn.compile(case.ours, levels(STEPS), subject.prediction)
        network, draws = Stored(X), Draws(X)
        noise = (lambda s, t, j, x, draws=draws: draws(x.dtype)) if plan.draws else None
        expected = dn.sample(plan, lambda x, level, network=network: network(x), X, noise=noise)
        assert torch.equal(subject.run(Stored(X), X), expected)


def test_graphs_are_refused_on_a_cpu(with_triton):
    for way in wholes.wholes("cuda", 16):
        for make in (way.run, way.again):
            with pytest.raises(ValueError, match="a CUDA graph is recorded on a GPU and x is on cpu"):
                make(plan_of("ddim"), lambda x, level: x, X)


def test_the_unrolled_way_is_the_run(unrolled):
    (way,) = networks.wholes("cuda", 1)
    model, plan = (lambda x, level: x / (1 + level.sigma)), plan_of("dpmpp_2m")
    torch.testing.assert_close(way.run(plan, model, X)(X), dn.sample(plan, model, X))
    bare = wholes.bare(plan)
    torch.testing.assert_close(way.again(bare, model, X)(), dn.sample(bare, model, X))


def test_a_run_as_one_piece_stands_beside_the_others(unrolled, plainly):
    rows = end_to_end(NAME, BATCH, turns=1, libraries=[])
    found = {(r.library, r.prediction): r for r in rows}
    assert set(found) == {("diffnum", "noise"), ("diffnum", "data"), ("diffnum unrolled", "noise")}
    assert all(found["diffnum", p].run == found["diffnum", p].to_ours == 1 for p in ("noise", "data"))
    piece = found["diffnum unrolled", "noise"]
    assert math.isnan(piece.adapter) and piece.run > 0 and piece.outside < 1
    # outside / total, relative to ours, is the time outside over that of the run
    own = found["diffnum", "noise"]
    assert piece.outside / own.outside == pytest.approx(piece.to_ours / piece.run)


def test_what_cannot_run_says_so_and_is_left_out(monkeypatch, plainly):
    def fails(plan, model, x):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(networks, "wholes", lambda device, batch: (wholes.Whole("diffnum captured", fails, fails),))
    sentence = r"diffnum captured cannot run here \(RuntimeError: operation not permitted .*capturing\) and is left out"
    with pytest.warns(RuntimeWarning, match=sentence):
        rows = end_to_end(NAME, BATCH, turns=1, libraries=[])
    assert [r.library for r in rows] == ["diffnum", "diffnum"]


def test_a_gpu_table_has_the_time_of_the_run_beside_the_share():
    row = networks.NetworkRow(NAME, BATCH, "diffnum", "noise", "cpu", 0.25, 1.0, 0.5, 0.5, 1)
    host, device = (
        network_table([{name: str(value) for name, value in asdict(replace(row, device=d)).items()}])
        for d in ("cpu", "cuda")
    )
    assert host.splitlines()[:2] == device.splitlines()[:2]
    assert host.endswith("| 25 % |") and device.endswith("| 25 % / 0.5 |")


def test_without_diffusers_networks_are_refused_before_anything_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    assert main(["--out", str(tmp_path / "out")]) == 2
    assert "diffusers, which is not installed" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("module", ["bench", "fullsize"])
def test_make_gpu_runs_what_is_for_a_gpu(module):
    ran = subprocess.run(["make", "-n", "gpu"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"-m diffnum.lab.{module} --device cuda" in ran
    if module == "bench":
        assert "--out tests/benchmarks/cuda" in ran and "--parts" not in ran


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_every_way_runs_small_networks():
    rows = end_to_end(NAME, 16, "cuda", turns=1, libraries=[])
    assert {r.library for r in rows} >= {"diffnum", "diffnum captured"} and all(r.run > 0 for r in rows)
