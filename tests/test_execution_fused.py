"""Compiled lines, recorded runs and kernels against lines one by one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from execution_cases import KINDS, network, plan_of, plans, run, start, within_rounding
from hypothesis import given, settings
from torch.utils._python_dispatch import TorchDispatchMode

import diffnum as dn
from diffnum.lab.bench import read
from diffnum.lab.bench.steps import DTYPES
from diffnum.read import captured as whole
from diffnum.read import fused as fusing
from diffnum.read.fused import Group, groups, traffic
from diffnum.read.quickest import chosen

STEPS = Path(__file__).parent / "benchmarks" / "cpu" / "steps.csv"


@pytest.fixture(scope="module", autouse=True)
def written_out():
    """The functions that are given to the compiler, as they are: what they say is tested in no time."""
    fusing._function.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusing, "_compile", lambda function: function)
        patch.setattr(whole, "_compile", lambda function: function)
        yield
    fusing._function.cache_clear()


@pytest.fixture
def compiler(monkeypatch):
    """Compiled after all."""
    monkeypatch.setattr(fusing, "_compile", lambda f: torch.compile(f, fullgraph=True, dynamic=True))
    monkeypatch.setattr(whole, "_compile", torch.compile)
    fusing._function.cache_clear()
    yield
    fusing._function.cache_clear()


@pytest.mark.parametrize("name", KINDS)
def test_groups_cover_every_line_once(name):
    plan = plan_of(name)
    parts = groups(plan)
    registers = [r for g in parts for r in ([*g.draws, *(r for r, _ in g.lines)] if isinstance(g, Group) else [g])]
    assert sorted(registers) == list(range(1, len(plan.lines) + 1))
    for g in parts:
        if isinstance(g, Group):
            assert all(plan.last_use[r] <= g.end or r in g.kept for r, _ in g.lines)
    assert traffic(plan) <= dn.cost(plan).moved


def test_what_is_moved_is_what_is_needed_once():
    # DDIM reads its state and a prediction and writes a state; 2M as a noise prediction keeps a state and a prediction
    assert traffic(plan_of("ddim", 10)) == 30
    steps = [len(g.inputs) + len(g.kept) for g in groups(plan_of("dpmpp_2m", 10)) if isinstance(g, Group)]
    assert steps == [3] + 9 * [5]
    corrected = [g for g in groups(plan_of("unipc_3", 10)) if isinstance(g, Group)]
    # the corrected state, the stored prediction and the next prediction's state in one pass
    assert len(corrected[5].lines) == 3 and len(corrected[5].kept) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_a_fused_run_is_that_in_float64_within_its_rounding(name, dtype):
    x = start(3, 2, 5, dtype=dtype)
    before = x.clone()
    within_rounding(plan_of(name, 6, "data"), x, dn.fused)
    assert torch.equal(x, before)


@given(plan=plans())
@settings(max_examples=15, deadline=None)
def test_any_plan_is_fused_alike(plan):
    within_rounding(plan, start(2, 3), dn.fused)


@pytest.mark.parametrize("name", ["dpmpp_3m", "unipc_3", "heun"])
@pytest.mark.parametrize("keep", ["states", "denoised"])
def test_what_is_kept_of_a_fused_run_stays_as_it_was(name, keep):
    plan, x, held, copies = plan_of(name), start(2, 4, dtype=torch.float64), [], []

    def model(x, level):
        held.append(x.view(-1))
        copies.append(x.clone())
        return network(x, level)

    ours, theirs = (dn.sample(plan, model, x, keep=keep, execution=e) for e in (dn.fused, dn.eager))
    assert len(ours) == len(theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(h.view(c.shape), c) for h, c in zip(held, copies, strict=True))


def test_callbacks_and_pinned_states_and_partners_are_those_of_other_runs():
    x = start(2, 4, dtype=torch.float64)
    pinned = {2: start(2, 4, dtype=torch.float64, seed=1), 3: start(2, 4, dtype=torch.float64, seed=2)}
    seen = {}
    for execution in (dn.fused, dn.eager):
        told = seen.setdefault(execution, [])
        end = dn.sample(
            plan_of("unipc_3"), network, x, pinned=pinned, execution=execution,
            callback=lambda i, level, x, D, told=told: told.append((i, x.clone(), D.clone())),
        )  # fmt: skip
        told.append((7, end))
    torch.testing.assert_close(seen[dn.fused], seen[dn.eager], rtol=1e-11, atol=1e-11)
    there = plan_of("bdia")
    pair = run(there, x)
    back = run(dn.invert(there), pair, execution=dn.fused)[0]
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    stopped = dn.sample(there, network, x, callback=lambda i, level, x, D: i == 3, execution=dn.fused)
    torch.testing.assert_close(stopped, dn.sample(there, network, x, keep="states")[3], rtol=1e-11, atol=1e-11)


def test_gradients_go_through_a_fused_run():
    weight, x = torch.tensor(0.4, dtype=torch.float64, requires_grad=True), start(2, 3, dtype=torch.float64)
    slopes = [
        torch.autograd.grad(run(plan_of("dpmpp_3m"), x, lambda x, level: weight * x, execution=e)[0].sum(), weight)[0]
        for e in (dn.fused, dn.eager)
    ]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=0)


def test_results_take_the_place_of_registers_that_die():
    places = []
    real = fusing._function

    def noted(shape, at, wide):
        places.append(at)
        return real(shape, at, wide)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusing, "_function", noted)
        run(plan_of("ddim", 5), start(2, 3), execution=dn.fused)
    # never into x_T, then always into the last state
    assert not places[0] and [len(at) for at in places[1:]] == [1, 1, 1, 1]


def test_without_a_compiler_a_warning_says_so_and_numbers_are_the_same(monkeypatch):
    def broken(function):
        def call(*args):
            raise RuntimeError("no compiler\nat all\nand more lines")

        return call

    monkeypatch.setattr(fusing, "_compile", broken)
    fusing._function.cache_clear()
    plan, x = plan_of("heun", 3), start(2, 3)
    try:
        with pytest.warns(RuntimeWarning, match=r"cannot be compiled here.*no compiler at all\), so they run"):
            end = run(plan, x, execution=dn.fused)[0]
        torch.testing.assert_close(end, run(plan, x)[0], rtol=1e-6, atol=1e-6)
    finally:
        fusing._function.cache_clear()


def test_a_mode_that_watches_sees_operations_and_leaves_the_compiler_for_later(monkeypatch):
    asked = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            asked.append(func)
            return func(*args, **(kwargs or {}))

    compiled = []
    monkeypatch.setattr(fusing, "_compile", lambda function: compiled.append(function) or function)
    fusing._function.cache_clear()
    plan, x = plan_of("dpmpp_2m", 3), start(2, 3)
    try:
        with Watching():
            watched = run(plan, x, execution=dn.fused)[0]
        assert asked and not compiled
        assert torch.equal(run(plan, x, execution=dn.fused)[0], watched) and compiled
    finally:
        fusing._function.cache_clear()


def test_what_is_compiled_first_is_a_state_of_usual_size_whatever_is_run(monkeypatch):
    seen = []

    def recording(function):
        def call(numbers, *values):
            seen.append({value.numel() for value in values})
            return function(numbers, *values)

        return call

    monkeypatch.setattr(fusing, "_compile", recording)
    fusing._function.cache_clear()
    try:
        run(plan_of("dpmpp_2m", 2), start(2, 3), execution=dn.fused)
        assert seen[:2] == [{4096}, {6}]
    finally:
        fusing._function.cache_clear()


# --- whole runs ---


@pytest.mark.parametrize("name", KINDS)
def test_a_recorded_run_replays_with_other_numbers(name):
    def again(body):
        outputs = body()

        def replay():
            for out, new in zip(outputs, body(), strict=True):
                out.copy_(new)

        return outputs, replay

    plan = plan_of(name)
    recorded = whole._recorded(plan, network, start(2, 3), dn.eager, again)
    for seed in (1, 2):
        x, source = start(2, 3, seed=seed), dn.noise.Counter(seed) if plan.draws else None
        expected = dn.sample(plan, network, x, noise=source, outputs="all")
        assert all(torch.equal(a, b) for a, b in zip(recorded.all(x, source), expected, strict=True))
    with pytest.raises(ValueError, match=r"was recorded for \(2, 3\) torch.float32 on cpu"):
        recorded(start(4, 3))


def test_a_graph_is_refused_without_a_gpu():
    with pytest.raises(ValueError, match=r"recorded on a GPU and x is on cpu: pass x.cuda\(\), or .* dn.unrolled"):
        dn.captured(plan_of("ddim"), network, start(2, 3))
    with pytest.raises(ValueError, match=r"copies its coefficients from the host.*: use dn.eager"):
        dn.captured(plan_of("ddim"), network, start(2, 3), dn.fused)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_unrolled_run_is_that_in_float64_within_its_rounding(name, dtype):
    def sampled(plan, model, x, noise):
        return [dn.unrolled(plan, model)(x, noise)]

    within_rounding(plan_of(name, 6, "data"), start(3, 2, dtype=dtype), sampled=sampled)


def test_only_plans_of_numbers_are_unrolled():
    leaf = torch.tensor([10.0, 1.0, 0.1], dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match="is a tensor or a formula"):
        dn.unrolled(dn.compile("ddim", dn.grid.custom(dn.EDM(), sigmas=leaf)), network)


# --- with a compiler ---


def compiled(test):
    """Slow, and torch warns of its own as its compiler is loaded."""
    marks = (pytest.mark.full, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore::DeprecationWarning"))
    for mark in marks:
        test = mark(test)
    return test


@compiled
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_3", "sde_dpmpp_2m", "bdia"])
def test_compiled_lines_are_within_rounding_too(compiler, name):
    for dtype in (torch.float32, torch.bfloat16):
        for shape in ((3, 2, 5), (2, 40)):
            within_rounding(plan_of(name, 6, "data"), start(*shape, dtype=dtype), dn.fused)


@compiled
def test_what_ran_under_a_mode_compiles_later(compiler):
    from torch._inductor import metrics

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    metrics.reset()
    with Watching():
        run(plan_of("ddim", 5), start(4, 64), execution=dn.fused)
    assert metrics.generated_kernel_count == 0
    run(plan_of("ddim", 5), start(4, 64), execution=dn.fused)
    assert metrics.generated_kernel_count == 2


@compiled
def test_a_group_is_one_kernel_and_other_numbers_do_not_compile_again(compiler):
    from torch._inductor import metrics

    metrics.reset()
    torch._dynamo.utils.counters.clear()
    x = start(4, 64)
    run(plan_of("ddim", 5), x, execution=dn.fused)
    first = metrics.generated_kernel_count
    run(plan_of("ddim", 9), start(5, 33), execution=dn.fused)
    # one that allocates and one that writes in place
    assert first == 2 and metrics.generated_kernel_count == first


@compiled
def test_a_small_network_and_its_lines_compile_as_a_whole(compiler):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.SiLU(), torch.nn.Conv2d(4, 2, 3, padding=1))
    net.eval().requires_grad_(False)
    plan, x = plan_of("dpmpp_2m", 4, "data"), start(2, 2, 8, 8)
    model = lambda x, level: net(x) * float(level.sigma)  # noqa: E731
    torch.testing.assert_close(dn.unrolled(plan, model)(x), run(plan, x, model)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.full
def test_the_kernel_of_triton_adds_like_the_lines(tmp_path):
    pytest.importorskip("triton")
    code = (
        "import torch\n"
        "from diffnum.read.triton_kernel import add_up\n"
        "from diffnum.read.execute import linear\n"
        "for dtype in (torch.float32, torch.float16):\n"
        "    for k in range(1, 9):\n"
        "        terms = [(0.9 - 0.2 * i, torch.randn(1500).to(dtype)) for i in range(k)]\n"
        "        out = torch.empty(1500, dtype=dtype)\n"
        "        add_up(out, terms)\n"
        "        torch.testing.assert_close(out, linear(out)(terms), rtol=2 * torch.finfo(dtype).eps, atol=1e-6)\n"
    )
    root = str(Path(dn.__file__).parents[1])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", KINDS)
def test_on_a_gpu_every_execution_is_that_of_the_host(name):
    plan, x = plan_of(name, 6, "data"), start(3, 2, 5)
    model = lambda x, level: 0.5 * x  # noqa: E731
    expected = run(plan, x.double(), model)[0].float()
    for execution in (dn.eager, dn.fused, dn.triton_lines):
        torch.testing.assert_close(run(plan, x.cuda(), model, execution=execution)[0].cpu(), expected)
    source = dn.noise.Counter(3) if plan.draws else None
    torch.testing.assert_close(dn.captured(plan, model, x.cuda())(x.cuda(), source).cpu(), expected)


# --- the quickest ---


def measured():
    """Of every line of the table that times compiled lines: plan, state, their time relative to lines one by one."""
    for row in read(STEPS)[0]:
        if row["library"] == "diffnum fused":
            plan = dn.compile(row["sampler"], dn.grid.log_snr(dn.VP(), 10), row["prediction"])
            shape = tuple(map(int, row["shape"].split("x")))
            yield plan, torch.empty(shape, dtype=DTYPES[row["dtype"]]), float(row["time"])


def test_what_is_chosen_is_what_was_measured_to_be_quicker():
    told = [(chosen(plan, x), time) for plan, x, time in measured()]
    assert {way for way, _ in told} == {dn.eager, dn.fused}
    assert all(way is dn.fused for way, time in told if time < 0.9)
    assert all(way is dn.eager for way, time in told if time > 1.1)


def test_nothing_is_compiled_for_what_a_run_leaves_to_others():
    plan = plan_of("unipc_3", 10)
    large = torch.zeros(16, 2**18)
    assert chosen(plan, large) is dn.fused
    assert chosen(plan, large.to("meta")) is dn.eager
    assert chosen(plan, large.numpy()) is dn.eager


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_quickest_way_gives_the_same_samples(dtype):
    plan, x = plan_of("dpmpp_2m", 6), torch.randn(2, 2**17, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert chosen(plan, x) is (dn.fused if dtype is torch.bfloat16 else dn.eager)
    plain, quick = (dn.sample(plan, lambda x, level: 0.5 * x, x, execution=way) for way in (dn.eager, dn.quickest))
    torch.testing.assert_close(quick, plain, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)
