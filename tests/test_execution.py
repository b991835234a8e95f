"""Executions of a plan against each other: the same numbers, nobody's memory written, as much of it as predicted."""

import weakref

import numpy as np
import pytest
import torch
from execution_cases import KINDS, network, plan_of, plans, run, start, within_rounding
from hypothesis import given, settings
from hypothesis import strategies as st
from selection import samplers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import diffnum as dn
from diffnum.plan import Level, Lin, Plan
from diffnum.read import buffers
from diffnum.read.execute import eager, fresh, linear

# --- the same numbers ---


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_buffers_written_again_give_the_bits_of_fresh_ones(name, dtype):
    x, plan = start(3, 2, 5, dtype=dtype), plan_of(name)
    before = x.clone()
    ours, theirs = run(plan, x), run(plan, x, execution=fresh)
    assert len(ours) == len(plan.outputs) and torch.equal(x, before)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == dtype and torch.equal(one, other)


@given(plan=plans(), kept=st.lists(st.booleans(), min_size=14, max_size=14), odd=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_any_plan_runs_alike_whoever_keeps_what(plan, kept, odd):
    x, memory = start(2, 3), []

    def model(x, level):
        # its input, a view of it, a new tensor, or new values of its own kind
        answer = [lambda: x, lambda: x.flip(0), lambda: x.view(-1).view(x.shape), lambda: torch.sin(x)][odd]()
        if kept[len(memory) % 14]:
            memory.append((x[:1], x[:1].clone()))
        return answer

    ours, theirs = run(plan, x, model), run(plan, x, model, execution=fresh)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert all(torch.equal(part, copy) or part.isnan().any() for part, copy in memory)


# --- nobody's memory is written ---


class Keeper:
    """A model that holds on to what it was given, in every way that there is."""

    def __init__(self, how):
        self.how, self.held, self.copies = how, [], []

    def __call__(self, x, level):
        self.copies.append(x.clone())
        self.held.append(self.how(x))
        return 0.3 * x

    def unchanged(self):
        pairs = zip(self.held, self.copies, strict=True)
        return all(torch.equal(torch.as_tensor(held).reshape(copy.shape), copy) for held, copy in pairs)


HOLDING = {
    "tensor": lambda x: x,
    "view": lambda x: x.view(-1),
    "detached": lambda x: x.detach(),
    "data": lambda x: x.data,
    "numpy": lambda x: x.numpy(),
    "dlpack": lambda x: torch.from_dlpack(x),
    "capsule": lambda x: torch.utils.dlpack.to_dlpack(x),
    "storage": lambda x: x.untyped_storage(),
    "memory": lambda x: np.asarray(memoryview(x.numpy())),
}


@pytest.mark.parametrize("how", HOLDING)
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_3", "heun"])
def test_what_a_model_keeps_stays_as_it_was(name, how):
    keeper = Keeper(HOLDING[how])
    run(plan_of(name), start(2, 8), keeper)
    if how == "capsule":
        keeper.held = [torch.utils.dlpack.from_dlpack(c) for c in keeper.held]
    if how == "storage":
        keeper.held = [torch.empty(0).set_(s) for s in keeper.held]
    assert len(keeper.held) > 5 and keeper.unchanged()


def test_what_a_graph_keeps_stays_as_it_was():
    weight = torch.full((4,), 0.7, requires_grad=True)
    graphs, inputs = [], []

    def model(x, level):
        # the graph saves its input for the gradient of the weight, and the answer shows no graph
        y = weight * x
        graphs.append(y.sum())
        inputs.append(x.clone())
        return y.detach()

    run(plan_of("dpmpp_3m"), start(2, 4), model)
    for graph, x in zip(graphs, inputs, strict=True):
        assert torch.equal(torch.autograd.grad(graph, weight)[0], x.sum(0))


@pytest.mark.parametrize("keep", ["states", "denoised"])
@pytest.mark.parametrize("model", [network, lambda x, level: x, lambda x, level: x[...]], ids=["new", "input", "view"])
def test_what_a_run_keeps_stays_as_it_was(keep, model):
    plan, x = plan_of("unipc_3"), start(2, 4)
    for one, other in zip(*(dn.sample(plan, model, x, keep=keep, execution=e) for e in (eager, fresh)), strict=True):
        assert torch.equal(one, other)


def test_a_buffer_that_a_model_keeps_is_read_and_not_written():
    answer = start(2, 4, seed=1)
    before = answer.clone()
    one, other = (run(plan_of("dpmpp_3m"), start(2, 4), lambda x, level: answer, execution=e) for e in (eager, fresh))
    assert torch.equal(answer, before) and torch.equal(one[0], other[0])


def test_callbacks_pinned_states_and_partners_are_not_written():
    x, given = start(2, 4), {2: start(2, 4, seed=1), 3: start(2, 4, seed=2)}
    copies, seen = {i: v.clone() for i, v in given.items()}, []
    plan = plan_of("dpmpp_3m")
    dn.sample(plan, network, x, pinned=given, callback=lambda i, level, x, D: seen.append((x, x.clone(), D, D.clone())))
    assert all(torch.equal(given[i], copies[i]) for i in given)
    assert all(torch.equal(a, b) and torch.equal(c, d) for a, b, c, d in seen)
    there = plan_of("bdia")
    pair = run(there, x)
    kept = [value.clone() for value in pair]
    run(dn.invert(there), pair)
    assert all(torch.equal(a, b) for a, b in zip(pair, kept, strict=True))


def test_a_stopped_run_gives_the_state_reached():
    plan, x = plan_of("heun"), start(2, 4)
    states = dn.sample(plan, network, x, keep="states")
    stopped = dn.sample(plan, network, x, callback=lambda i, level, x, D: i == 3)
    assert torch.equal(stopped, states[3])


def test_expanded_transposed_and_empty_states_run_alike():
    for x in (torch.ones(1).expand(3, 4), start(4, 3).T, start(2, 3, 4, 4).to(memory_format=torch.channels_last),
              torch.empty(0, 3), start(1)):  # fmt: skip
        for dtype in (torch.float32, torch.bfloat16):
            one, other = (run(plan_of("dpmpp_2m"), x.to(dtype), execution=e)[0] for e in (eager, fresh))
            assert one.shape == x.shape and torch.equal(one, other)


# --- gradients ---


@pytest.mark.parametrize("name", ["dpmpp_3m", "heun", "sde_dpmpp_2m"])
def test_gradients_are_those_of_fresh_buffers(name):
    plan, weight = plan_of(name), torch.tensor(0.4, dtype=torch.float64)

    def gradients(execution, of_x):
        w, x = weight.clone().requires_grad_(), start(2, 3, dtype=torch.float64).requires_grad_(of_x)
        end = run(plan, x, lambda x, level: torch.tanh(w * x), execution=execution)[0]
        return torch.autograd.grad((end**2).sum(), [w, x] if of_x else [w])

    for of_x in (True, False):
        for one, other in zip(gradients(eager, of_x), gradients(fresh, of_x), strict=True):
            assert torch.equal(one, other)


def test_transforms_of_functions_go_through_a_run():
    plan, x = plan_of("dpmpp_2m"), start(4, dtype=torch.float64)
    f = lambda x: dn.sample(plan, network, x)  # noqa: E731
    by_rows = torch.stack([f(row) for row in x.diag()])
    assert torch.allclose(torch.func.vmap(f)(x.diag()), by_rows, rtol=1e-14)
    jacobian, tangent = torch.func.jacrev(f)(x), torch.ones_like(x)
    assert torch.allclose(torch.func.jvp(f, (x,), (tangent,))[1], jacobian @ tangent, rtol=1e-12)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(torch.ones_like(x), tangent)
        by_weight = dn.sample(plan, lambda x, level: network(x, level) * dual, x)
        assert torch.autograd.forward_ad.unpack_dual(by_weight).tangent is not None


def test_coefficients_that_are_tensors_run_alike_and_keep_the_dtype():
    leaf = torch.tensor([10.0, 3.0, 1.0, 0.3, 0.1], dtype=torch.float64, requires_grad=True)
    x = start(2, 3)
    ends = {}
    for execution in (eager, fresh):
        plan = dn.compile("dpmpp_2m", dn.grid.custom(dn.EDM(), sigmas=leaf))
        end = dn.sample(plan, lambda x, level: torch.sin(x) * level.sigma, x, execution=execution)
        ends[execution] = end, torch.autograd.grad(end.double().square().sum(), leaf)[0]
    assert ends[eager][0].dtype == torch.float32
    assert torch.equal(ends[eager][0], ends[fresh][0]) and torch.equal(ends[eager][1], ends[fresh][1])
    pixels = torch.linspace(0.5, 1.5, 3, dtype=torch.float64)
    plan = Plan((Lin(((0, pixels), (0, 1.0))),), (Level(1.0, 0.5, 0.5), Level(0.5, 0.8, 0.2)), (0, 1), (("x", 1),))
    assert torch.equal(dn.sample(plan, network, x), ((1 + pixels) * x.double()).float())


# --- sixteen bits ---


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@given(coefficients=st.lists(st.floats(-2, 2), min_size=1, max_size=6), size=st.integers(1, 300))
@settings(max_examples=20, deadline=None)
def test_a_line_of_sixteen_bits_is_rounded_once(dtype, coefficients, size):
    values = [start(size, dtype=dtype, seed=i) for i in range(len(coefficients))]
    terms = list(zip(coefficients, values, strict=True))
    exact = sum(c * v.double() for c, v in terms)
    scale = sum(abs(c) * v.double().abs() for c, v in terms)
    memory = buffers.Buffers(values[0], 2)
    task = buffers.Task(0, memory.take(), range(len(values))[::-1], coefficients[::-1], values[::-1])
    memory.write([task])
    for total in (task.out, linear(values[0])(terms)):
        assert total.dtype == dtype
        half = torch.finfo(dtype).eps / 2
        error = (total.double() - exact).abs()
        assert (error <= half * exact.abs() + 8 * 2.0**-24 * scale + torch.finfo(dtype).smallest_normal * half).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_a_run_is_that_in_float64_within_its_rounding(name, dtype):
    within_rounding(plan_of(name, 8, "data"), start(4, 16, dtype=dtype), eager)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_blocks_make_no_difference(monkeypatch, name, dtype):
    x, plan = start(3, 50, dtype=dtype), plan_of(name)
    whole = run(plan, x)
    monkeypatch.setitem(buffers._WIDE, "cpu", 7)
    monkeypatch.setattr(buffers, "_BLOCK", 11)
    assert all(torch.equal(a, b) for a, b in zip(run(plan, x), whole, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(run(plan, x, execution=fresh), whole, strict=True))


# --- memory ---


class Allocated(TorchDispatchMode):
    """Counts the tensors of one size that live, by their storage, and notes the most."""

    def __init__(self, nbytes):
        super().__init__()
        self.nbytes, self.alive, self.peak = nbytes, {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, torch.Tensor) and t.untyped_storage().nbytes() == self.nbytes:
                storage = t.untyped_storage()
                if storage._cdata not in known | set(self.alive):
                    self.alive[storage._cdata] = True
                    weakref.finalize(storage, self.alive.pop, storage._cdata)
        self.peak = max(self.peak, len(self.alive))
        return out


def peak_of(plan, execution=eager, dtype=torch.float32):
    x = start(3, 5, dtype=dtype)
    with Allocated(x.untyped_storage().nbytes()) as memory:
        # a source that allocates its draw and nothing else; Counter makes its numbers in wider ones
        dn.sample(plan, network, x, noise=lambda s, t, j, x: torch.ones_like(x), execution=execution)
    return memory.peak


@pytest.mark.parametrize("name", samplers())
def test_a_run_holds_the_registers_that_cost_predicts(name):
    plan = plan_of(name, 6, "data")
    assert peak_of(plan) == dn.cost(plan).live


def test_a_run_of_many_steps_allocates_no_more_than_one_of_ten():
    few, many = (plan_of("dpmpp_3m", n) for n in (10, 200))
    assert peak_of(few) == peak_of(many) == dn.cost(many).live


@given(plan=plans())
@settings(max_examples=30, deadline=None)
def test_any_plan_holds_the_registers_that_cost_predicts(plan):
    assert peak_of(plan) == dn.cost(plan).live


def test_without_the_private_count_runs_are_fresh_and_alike(monkeypatch):
    plan, x = plan_of("dpmpp_2m"), start(2, 4)
    expected = run(plan, x)[0]
    buffers.countable.cache_clear()
    monkeypatch.delattr(torch._C, "_storage_Use_Count")
    try:
        assert not buffers.countable() and torch.equal(run(plan, x)[0], expected)
    finally:
        buffers.countable.cache_clear()


def test_a_state_on_disk_runs_like_one_in_memory(tmp_path):
    law = dn.Mixture([0.5, 0.5], np.eye(2), [np.eye(2), 0.1 * np.eye(2)])
    plan, x = dn.compile("dpmpp_2m", dn.grid.log_snr(dn.VP(), 4)), np.random.default_rng(0).standard_normal((2**15, 2))
    np.save(tmp_path / "x.npy", x)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.array_equal(dn.sample(plan, law, on_disk), dn.sample(plan, law, x))
    inverse = dn.invert(dn.compile("bdia", dn.grid.log_snr(dn.VP(), 4)))
    both = [dn.sample(inverse, law, (one, one), outputs="all") for one in (x, on_disk)]
    assert all(np.array_equal(a, b) for a, b in zip(*both, strict=True))
