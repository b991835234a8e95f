"""The benchmark counts what it says: traffic of functions whose traffic is known, ideals of plans, tables of files."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from selection import samplers

import diffnum as dn
from diffnum.lab.bench import StepRow, Traffic, ideals, least, libraries, measure, of_step, read, step_table, write
from diffnum.lab.bench.__main__ import PARTS, main
from diffnum.lab.bench.cases import CASES, named
from diffnum.lab.bench.clock import Clock, seconds
from diffnum.lab.bench.libraries import Draws, levels, quiet, subjects
from diffnum.lab.bench.network import Enough, Stored, outputs_like
from diffnum.lab.bench.oracle import answers, denoisers
from diffnum.lab.bench.steps import STEPS, counted
from diffnum.lab.bench.tables import markdown, network_table, oracle_table
from diffnum.lab.bench.traffic import compiled_regions
from diffnum.plan import Eval, Level, Lin, Plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "tests" / "benchmarks" / "cpu"
X, Y, Z = (torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(s)) for s in range(3))
N = X.numel()
SCALARS = torch.tensor([0.5, 2.0])

# torch's own, as its compiler is loaded
loads_a_compiler = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")


@pytest.fixture
def plainly(monkeypatch):
    """Our plans are run line by line alone: no compiler takes its seconds."""
    monkeypatch.setattr(libraries, "WAYS", {"diffnum": {}})


# what it is: (function, kernels, tensors read, written, operations on small tensors, numbers given to Python)
KNOWN = {
    "a sum": (lambda: X + Y, 1, 2, 1, 0, 0),
    "a sum of products": (lambda: 0.5 * X + 2.0 * Y, 3, 4, 3, 0, 0),
    "one tensor read twice": (lambda: X * X, 1, 1, 1, 0, 0),
    "in place": (lambda: Z.clone().mul_(0.5).add_(Y, alpha=2.0), 3, 4, 3, 0, 0),
    "into a buffer": (lambda: torch.mul(X, 0.5, out=Z), 1, 1, 1, 0, 0),
    "a copy": (lambda: Z.copy_(X), 1, 1, 1, 0, 0),
    "a fill": (lambda: Z.fill_(1.0), 1, 0, 1, 0, 0),
    "an allocation": (lambda: torch.empty_like(X), 0, 0, 0, 0, 0),
    "zeros": (lambda: torch.zeros_like(X), 1, 0, 1, 0, 0),
    "draws": (lambda: torch.randn_like(X), 1, 0, 1, 0, 0),
    "views": (lambda: X.reshape(2, -1).t().unsqueeze(0).expand(3, -1, -1)[..., 0], 0, 0, 0, 0, 0),
    "a stack": (lambda: torch.stack([X, Y]), 1, 2, 2, 0, 0),
    "a broadcast, read once": (lambda: X.expand(3, *X.shape) * 2.0, 1, 1, 3, 0, 0),
    "half of the bytes": (lambda: X.to(torch.bfloat16), 1, 1, 0.5, 0, 0),
    "a scalar tensor": (lambda: X * SCALARS[0].exp(), 1, 1, 1, 2, 0),
    "scalar work alone": (lambda: (SCALARS * 2.0).sum(), 0, 0, 0, 2, 0),
    "a number for Python": (lambda: X * float(SCALARS[0]), 1, 1, 1, 2, 1),
    "a branch on a value": (lambda: X + 1.0 if SCALARS[0] > 0 else X, 1, 1, 1, 3, 1),
    "a list": (lambda: torch._foreach_add([X, Y], 1.0), 1, 2, 2, 0, 0),
    "a reduction": (lambda: X.sum(), 1, 1, 0, 0, 0),
}


@pytest.mark.parametrize("run, kernels, read_, written, scalar, host", KNOWN.values(), ids=KNOWN)
def test_traffic_of_a_function_is_the_known_one(run, kernels, read_, written, scalar, host):
    with Traffic(N) as traffic:
        run()
    found = traffic.total
    assert (found.kernels, found.scalar, found.host) == (kernels, scalar, host)
    assert (found.read / X.nbytes, found.written / X.nbytes) == (read_, written)
    assert traffic.alive == 0


@given(st.integers(1, 5), st.integers(1, 4))
def test_blocks_are_parts_of_a_kernel_and_a_buffer_in_the_cache_is_nothing(blocks, terms):
    size = 1500
    values = [torch.ones(blocks * size) for _ in range(terms)]
    out, buffer = torch.empty(blocks * size), torch.empty(size)
    with Traffic(blocks * size if blocks > 1 else 2 * size) as traffic:
        for i in range(0, blocks * size, size):
            buffer.zero_()
            for value in values:
                buffer.add_(value[i : i + size], alpha=0.5)
            out[i : i + size].copy_(buffer)
    found = traffic.total
    assert (found.scalar, found.host) == (0, 0)
    whole = blocks > 1
    assert found.kernels == pytest.approx((terms + 1) * whole)
    assert found.moved == (terms + 1) * whole * out.nbytes


@given(st.integers(1, 6), st.booleans())
def test_traffic_of_a_combination_grows_as_its_terms(k, in_place):
    values = [X + i for i in range(k)]
    with Traffic(N) as traffic:
        total = values[0] * 0.5
        for value in values[1:]:
            total = total.add_(value, alpha=0.5) if in_place else total + 0.5 * value
    found = traffic.total
    assert found.kernels == (k if in_place else 2 * k - 1)
    assert found.moved == X.nbytes * (2 + (k - 1) * (3 if in_place else 5))
    # the old sum, the product and the new sum
    assert traffic.peak == X.nbytes * (1 if in_place or k == 1 else 3)
    assert traffic.alive == X.nbytes


def test_pieces_add_up_and_a_pause_counts_memory_alone():
    with Traffic(N) as traffic:
        X + Y
        traffic.mark()
        with traffic.paused():
            kept = X.clone()
        kept.view(-1)
    assert [piece.kernels for piece in traffic.pieces] == [1, 0] and traffic.total == sum(
        traffic.pieces[1:], traffic.pieces[0]
    )
    assert traffic.alive == traffic.peak == X.nbytes


def test_a_state_of_one_number_is_refused():
    with pytest.raises(ValueError, match="full = 1"):
        Traffic(1)


# --- the ideal ---


@pytest.mark.parametrize("sampler", samplers(lambda s: not s.stochastic and s.order <= 3))
def test_passes_of_all_pieces_are_what_cost_moves(sampler):
    plan = dn.compile(sampler, dn.grid.log_snr(dn.VP(), 5, stop=0.05))
    pieces = ideals(plan)
    assert len(pieces) == plan.nfe + 1
    assert sum(p.passes for p in pieces) == dn.cost(plan).moved
    assert all(p.moved <= p.passes for p in pieces)


def test_the_ideal_of_a_plan_written_by_hand():
    high, low = Level(1.0, 0.5, 1.0), Level(0.0, 1.0, 0.1)
    lines = (
        Eval(0, high),  # 1
        Lin(((0, 1.0), (1, 2.0))),  # 2, used here and by the next call alone
        Lin(((2, 1.0), (1, 1.0))),  # 3, kept for the output
        Eval(2, low),  # 4
        Lin(((3, 1.0), (4, 1.0))),  # 5
    )
    plan = Plan(lines, (high, low), (0, 5), (("x", 5),))
    before, first, second = ideals(plan)
    assert before.moved == 0
    assert (first.read, first.written, first.lines, first.passes) == (2, 2, 2, 6)
    assert (second.read, second.written, second.lines, second.passes) == (2, 1, 1, 3)
    assert of_step(plan, 0) == first + second


@pytest.mark.parametrize(
    "name, data, noise",
    [("ddim", 3, 3), ("dpmpp_2m", 4, 5), ("dpmpp_3m", 5, 6), ("unipc_2", 5, 6), ("unipc_3", 6, 7)],
)
def test_ideals_of_published_samplers_by_hand(name, data, noise):
    """UniPC 2 on data reads ``u, D, D', D''`` and writes the next ``u``; on noise it reads the noise in the place of
    ``D``, and keeps ``D``."""
    found = [least(dn.solvers.ALL[name], levels(STEPS), p, 4) for p in ("data", "noise")]
    assert [ideal.moved for ideal in found] == [data, noise]


def test_a_step_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="step = 8 is none of the 8 steps"):
        of_step(dn.compile("ddim", levels(8)), 8)


# --- what is run ---


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_step_does_nothing_but_its_lines(case, plainly):
    for subject in subjects(case, STEPS, Draws(X), libraries=[]):
        ideal = least(dn.solvers.ALL[case.ours], levels(STEPS), subject.prediction, 4)
        found = counted(subject, X, outputs_like(X), -(-dn.compile(case.ours, levels(STEPS)).nfe // STEPS))
        assert (found.step.scalar, found.step.host) == (0, 0)
        assert found.step.moved >= X.nbytes * ideal.moved


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_scheduler_that_is_timed_walks_as_our_plan_in_its_place(case):
    diffusers = pytest.importorskip("diffusers")
    theirs = case.theirs["diffusers"]
    with quiet():
        scheduler = getattr(diffusers, theirs.name)(**theirs.settings)
        scheduler.set_timesteps(STEPS)
    # the state of some of theirs is x / alpha
    divided = theirs.name in ("HeunDiscreteScheduler", "EulerAncestralDiscreteScheduler")
    start = {"diffusers": (1 + scheduler.sigmas[0] ** 2) ** 0.5 if divided else 1.0, "diffnum scheduler": 1.0}
    ends = {}
    for library, factor in start.items():
        (subject,) = (s for s in subjects(case, STEPS, Draws(X), libraries=["diffusers"]) if s.library == library)
        ends[library] = subject.run(Stored(X), X * factor)
    scale = float(ends["diffusers"].abs().max())
    assert float((ends["diffusers"] - ends["diffnum scheduler"]).abs().max()) < 1e-4 * scale


def test_the_stored_network_takes_marks_ends_and_refuses():
    network = Stored(X, last=2)
    assert torch.equal(network(X), network.outputs[0]) and torch.equal(network(Y), network.outputs[1])
    with pytest.raises(Enough):
        network(X)
    assert [lap.wall >= 0 for lap in network.steps(0, 2, 1)] == [True, True] and len(network.steps(0, 1, 2)) == 1
    with pytest.raises(ValueError, match="was given"):
        Stored(X)(X[:1])


def test_a_clock_measures_what_it_runs():
    calls = []
    assert Clock().time(lambda: calls.append(sum(range(20000)))).cpu > 0 and len(calls) == 1
    assert seconds(lambda: calls.append(1), repeats=2, at_least=0.0).wall >= 0 and len(calls) == 5


# --- tables ---


def test_a_table_is_what_was_written_with_its_footer(tmp_path, plainly):
    rows = measure(named("DDIM")[0], (1, 1, 2, 2), turns=1, libraries=[])
    assert {(r.library, r.prediction, r.time) for r in rows} == {("diffnum", "noise", 1.0), ("diffnum", "data", 1.0)}
    write(tmp_path / "steps.csv", rows, ["commit: none", "command: this"])
    found, foot = read(tmp_path / "steps.csv")
    assert foot == ["commit: none", "command: this"]
    for row, back in zip(rows, found, strict=True):
        for name, value in asdict(row).items():
            assert (
                float(back[name]) == pytest.approx(value, rel=1e-3)
                if isinstance(value, float)
                else back[name] == str(value)
            )
    table = step_table(found)
    assert "DDIM" in table and f"1 / {rows[0].kernels:.0f} / " in table
    assert table in markdown(tmp_path) and "commit: none" in markdown(tmp_path)
    # a table of a run of its own says so, and only what differs
    answers = RESULTS / "oracle.csv"
    rest = [line for line in answers.read_text().splitlines() if not line.startswith("#")]
    (tmp_path / "oracle.csv").write_text("\n".join([*rest, "# commit: another", "# command: this"]) + "\n")
    assert markdown(tmp_path).count("- commit: another") == markdown(tmp_path).count("- commit: none") == 1
    assert markdown(tmp_path).count("- command: this") == 1


def test_nothing_is_written_without_rows_or_read_without_a_footer(tmp_path):
    with pytest.raises(ValueError, match="no rows"):
        write(tmp_path / "a.csv", [], ["commit: none"])
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no footer"):
        read(tmp_path / "b.csv")
    with pytest.raises(ValueError, match=r"no steps\.csv"):
        markdown(tmp_path)


def test_the_committed_results_name_machine_commit_and_command_and_have_every_case():
    parts = {path.stem: read(path) for path in RESULTS.glob("*.csv")}
    assert {"steps", "networks", "oracle"} <= set(parts) <= set(PARTS)
    for rows, foot in parts.values():
        assert rows and {line.partition(":")[0] for line in foot} >= {"machine", "commit", "command", "libraries"}
    steps, _ = read(RESULTS / "steps.csv")
    measured = {(r["case"], r["shape"], r["dtype"]) for r in steps if r["library"] == "diffnum"}
    assert measured >= {(case.name, "16x4x64x64", dtype) for case in CASES for dtype in ("float32", "bfloat16")}
    assert {shape for _, shape, _ in measured} == {"16x4x64x64", "64x3x256x256"}
    assert {r["library"] for r in steps} >= {"diffnum", "diffusers", "k-diffusion", "azula"}
    assert list(steps[0]) == list(StepRow.__dataclass_fields__)


def test_the_readme_shows_the_committed_results():
    readme = (ROOT / "README.md").read_text()
    assert markdown(RESULTS) in readme


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--cases", "Euler 9"], "'Euler 9' is no case"),
        (["--parts", "speed"], "part 'speed' is unknown"),
        (["--shapes", "16x"], "shapes = '16x' are none"),
        (["--shapes", "4x0"], "shapes = '4x0' are none"),
        (["--dtypes", "int8", "--shapes", "1x1x2x2"], "dtype 'int8' is unknown"),
        (["--turns", "0", "--shapes", "1x1x2x2"], "turns = 0"),
        (["--device", "tpu"], "device 'tpu' is not here"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(words, sentence, tmp_path, capsys):
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_library_that_is_not_here_is_refused():
    with pytest.raises(ValueError, match="'fairseq' is not here"):
        subjects(CASES[0], STEPS, Draws(X), libraries=["fairseq"])


# --- all of it ---


def fused(c, o, x, y):
    total = c[0] * x + c[1] * y
    o.copy_(total)
    y.copy_(total + x)


@pytest.mark.full
@loads_a_compiler
def test_a_compiled_region_reads_its_inputs_and_writes_what_it_changes_once():
    x, y, o = (torch.zeros(5000) for _ in range(3))
    run = torch.compile(fused, fullgraph=True)
    with compiled_regions() as made:
        if made is None:
            pytest.skip("this torch cannot tell compiled regions")
        run(SCALARS, o, x, y)
        with Traffic(5000) as traffic:
            run(SCALARS, o, x, y)
        assert made() == len(traffic.regions) == 1
    found = traffic.total
    # o is only written, y read and written
    assert (found.kernels, found.read, found.written) == (1, 2 * x.nbytes, 2 * x.nbytes)
    assert (found.scalar, found.host, traffic.peak) == (0, 0, 0)
    with Traffic(5000) as uncompiled:
        fused(SCALARS, o, x, y)
    assert uncompiled.total.kernels == 6


@pytest.mark.full
@loads_a_compiler
def test_the_smallest_suite_writes_four_tables_and_a_figure(tmp_path, capsys):
    words = ["--shapes", "2x2x8x8", "--turns", "1", "--small", "--out", str(tmp_path)]
    assert main(words) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "forms.csv",
        "networks.csv",
        "oracle.csv",
        "steps.csv",
        "steps.json",
        "steps.png",
    ]
    steps = read(tmp_path / "steps.csv")[0]
    assert {r["case"] for r in steps} == {case.name for case in CASES}
    assert all(float(r["time"]) > 0 and float(r["to_ideal"]) > 0 for r in steps)
    networks, oracle = (
        list(csv.DictReader((tmp_path / f"{n}.csv").read_text().splitlines())) for n in ("networks", "oracle")
    )
    assert networks and oracle
    shown = capsys.readouterr().out
    assert step_table([r for r in steps if r["dtype"] == "bfloat16"]) in shown
    assert network_table(read(tmp_path / "networks.csv")[0]) in shown
    assert oracle_table(read(tmp_path / "oracle.csv")[0]) in shown


@pytest.mark.full
def test_denoisers_reach_a_share_of_the_rate_between_nothing_and_all():
    found = [*denoisers(small=True), *answers(small=True)]
    assert all(0 < float(row.share) < 1.5 for row in found if row.question == "denoiser")
    assert all(row.seconds > 0 and row.products > 0 for row in found)


@pytest.mark.full
@loads_a_compiler
def test_the_committed_kernels_and_traffic_are_those_of_the_code():
    rows, _ = read(RESULTS / "steps.csv")
    for case in CASES:
        for new in measure(case, (2, 2, 8, 8), turns=1, libraries=[]):
            kept = [
                r
                for r in rows
                if (r["case"], r["library"], r["prediction"]) == (case.name, new.library, new.prediction)
            ]
            kept = [r for r in kept if r["dtype"] == "float32" and r["shape"] == "16x4x64x64"]
            found = [number for r in kept for number in (float(r["kernels"]), float(r["moved"]))]
            assert found == pytest.approx([new.kernels, new.moved], rel=1e-3)
