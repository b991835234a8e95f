"""Gradients of the run itself: by torch's graph, over checkpoints, and by reversal with nothing stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gradient_cases import (
    BOTTOM,
    TOP,
    Affine,
    apart,
    both_ways,
    convolutional,
    coupled,
    coupled_noisy,
    dense,
    grid,
    loss,
    name,
    two_step,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum import gradients, witness

GAUSSIAN = witness.gaussian()
ROWS = 100
SAMPLERS = [
    "ddim",
    "dpmpp_2m",
    "dpmpp_3m_corrected",
    "unipc_3",
    "rk4",
    "ddpm_ancestral",
    "sde_dpmpp_2m",
    coupled,
    coupled_noisy,
    two_step,
]


def normals(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("prediction", [pytest.param("data", marks=pytest.mark.full), "velocity"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=name)
def test_checkpoints_give_the_graphs_gradient_to_the_last_bit(sampler, prediction):
    model, parameters = dense()
    plan = dn.compile(sampler, grid(7), prediction)
    noise = dn.noise.Counter(3) if plan.draws else None
    x = normals(5, 4)
    whole = gradients.backprop(plan, model, x, loss, parameters, noise)
    for segment in (None, 1, 3, 1000):
        found = gradients.checkpointed(plan, model, x, loss, parameters, noise, segment)
        assert apart(found, whole) < 1e-14
        assert torch.equal(found.output, whole.output)


@settings(max_examples=12)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from(["ddim", "dpmpp_3m_corrected", "heun"]))
def test_checkpoints_anywhere_count_their_calls(steps, segment, sampler):
    model, parameters = dense(4)
    calls = []
    plan = dn.compile(sampler, grid(steps), "velocity")
    found = gradients.checkpointed(
        plan, lambda x, level: calls.append(1) or model(x, level), normals(2, 4), loss, parameters, segment=segment
    )
    assert found.evaluations == len(calls) <= plan.nfe * (3 - 1 / segment)
    assert found.vjps == plan.nfe
    assert apart(found, gradients.backprop(plan, model, normals(2, 4), loss, parameters)) < 1e-13


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", "ddpm_ancestral", coupled], ids=name)
def test_the_graphs_gradient_is_that_of_differences(sampler):
    model, parameters = convolutional()
    plan = dn.compile(sampler, grid(3), "velocity")
    noise = dn.noise.Counter(5) if plan.draws else None
    x = normals(2, 2, 4, 4)
    found = gradients.checkpointed(plan, model, x, loss, parameters, noise)
    e = 1e-5
    for tensor, gradient in zip([x, *parameters], [found.x, *found.parameters], strict=True):
        way = normals(*tensor.shape, seed=1)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor += sign * e * way
                ends.append(float(loss(dn.sample(plan, model, x, noise))))
                tensor -= sign * e * way
        assert abs((ends[0] - ends[1]) / (2 * e) - float((gradient * way).sum())) < 1e-6 * (1 + abs(ends[0]))


@pytest.mark.parametrize("network", [dense, convolutional])
@pytest.mark.parametrize("sampler", [coupled, two_step])
@pytest.mark.parametrize("prediction", ["data", "velocity"])
def test_reversal_gives_the_discrete_gradient_to_rounding(sampler, network, prediction):
    model, parameters = network()
    x = normals(3, 2, 5, 5) if network is convolutional else normals(5, 4)
    plan = dn.compile(sampler, grid(12), prediction)
    whole = gradients.backprop(plan, model, x, loss, parameters)
    found = gradients.reversal(plan, model, x, loss, parameters)
    # the inverse of these runs grows, and what it loses is seen in the start found again
    lost = float((found.returned - x).abs().max())
    assert lost < 1e-11
    assert apart(found, whole) < 1e-13 + 100 * lost
    assert found.evaluations == 2 * plan.nfe
    assert found.vjps == plan.nfe


def test_reversal_replays_the_draws_of_a_stochastic_sampler():
    model, parameters = dense()
    plan, noise = dn.compile(coupled_noisy, grid(8), "velocity"), dn.noise.Counter(4)
    x = normals(3, 4)
    whole = gradients.backprop(plan, model, x, loss, parameters, noise)
    found = gradients.reversal(plan, model, x, loss, parameters, noise)
    assert apart(found, whole) < 1e-12
    other = gradients.reversal(plan, model, x, loss, parameters, dn.noise.Counter(5))
    assert apart(other, whole) > 1e-3
    with pytest.raises(ValueError, match="was given no source"):
        gradients.reversal(plan, model, x, loss, parameters)


@pytest.mark.parametrize("method", [gradients.backprop, gradients.checkpointed, gradients.reversal])
def test_states_given_beside_the_start_have_gradients_of_their_own(method):
    model, parameters = dense()
    plan = dn.compile(coupled, grid(4), "velocity")
    x, y = normals(3, 4), normals(3, 4, seed=1)
    pair = method(plan, model, (x, y), loss, parameters)
    alone = method(plan, model, x, loss, parameters)
    both = method(plan, model, (x, x), loss, parameters)
    assert float((sum(both.x) - alone.x).abs().max()) < 1e-12
    leaf = y.clone().requires_grad_()
    (truth,) = torch.autograd.grad(loss(dn.sample(plan, model, (x, leaf))), leaf)
    assert float((pair.x[1] - truth).abs().max()) < 1e-12


def test_an_inverse_is_differentiated_as_any_plan():
    model, parameters = dense()
    back = dn.invert(dn.compile(coupled, grid(5), "velocity"))
    x = normals(3, 4)
    assert (
        apart(
            gradients.reversal(back, model, x, loss, parameters), gradients.backprop(back, model, x, loss, parameters)
        )
        < 1e-11
    )


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", "rk4", "ddpm_ancestral"])
def test_on_a_gaussian_the_gradient_in_the_start_is_the_exact_affine_form(sampler):
    """A plan's output is ``constant + rows x_T`` in every direction, which :mod:`diffnum.read.moments` has exactly."""
    from diffnum.read.moments import affine

    plan = dn.compile(sampler, grid(9), "noise")
    x = torch.tensor(GAUSSIAN.sample(4, 0, TOP))
    found = gradients.checkpointed(plan, GAUSSIAN, x, loss, noise=dn.noise.Counter(1) if plan.draws else None)
    slope = np.cos(found.output.numpy()) + 2 * found.output.numpy() / 3
    assert np.abs(found.x.numpy() - slope * affine(plan, *GAUSSIAN.eigen()).rows[0]).max() < 1e-13


def test_a_condition_has_the_gradient_of_the_mean_that_it_shifts():
    weight = normals(2, 4)
    model = Affine(*(np.array(a) for a in GAUSSIAN.eigen()), weight=weight)
    model.condition = normals(2, seed=2).requires_grad_()
    x = torch.tensor(GAUSSIAN.sample(4, 0, TOP))
    truth = torch.autograd.grad(loss(model.flow(x, TOP, BOTTOM)), [model.condition, model.mean])
    assert float((truth[0] - weight @ truth[1]).abs().max()) < 1e-13
    for method in (gradients.backprop, gradients.checkpointed):
        plan = dn.compile("rk4", grid(64), "noise")
        condition, mean = method(plan, model, x, loss, [model.condition, model.mean]).parameters
        assert float((condition - weight @ mean).abs().max()) < 1e-12
        assert float((condition - truth[0]).abs().max()) < 1e-4


COUNTS = (10, 20, 40, 80)


def peaks(build, counts):
    model, parameters = dense(64)
    x = normals(ROWS, 4)
    return [gradients.peak_bytes(lambda n=n: build(n, model, x, parameters))[1] for n in counts]


def reversed_(sampler, n, *args):
    return gradients.reversal(dn.compile(sampler, grid(n), "velocity"), *args)


def adjoint(sampler, n, *args):
    return gradients.adjoint(*both_ways(sampler, n, "velocity"), *args)


SLOW = [(reversed_, coupled), (adjoint, "rk4")]


@pytest.mark.parametrize("counts", [(5, 15), pytest.param(COUNTS, marks=pytest.mark.full)], ids=name)
@pytest.mark.parametrize(
    ("method", "sampler"),
    [(reversed_, two_step), (adjoint, "ddim"), *(pytest.param(*c, marks=pytest.mark.full) for c in SLOW)],
    ids=name,
)
def test_memory_of_reversal_and_adjoint_is_the_same_for_any_number_of_steps(method, sampler, counts):
    assert len(set(peaks(lambda n, model, x, p: method(sampler, n, model, x, loss, p), counts))) == 1


@pytest.mark.full
def test_memory_of_the_graph_grows_with_steps_and_of_checkpoints_with_their_root():
    whole = peaks(lambda n, model, x, p: gradients.backprop(dn.compile("ddim", grid(n)), model, x, loss, p), COUNTS)
    steps = np.diff(whole) / [10, 20, 40]
    assert np.ptp(steps) < 0.02 * steps[0]
    state = ROWS * 4 * 8
    few, each = (
        peaks(
            lambda n, model, x, p, k=k: gradients.checkpointed(
                dn.compile("ddim", grid(n)), model, x, loss, p, segment=k
            ),
            COUNTS,
        )
        for k in (None, 1)
    )
    assert np.allclose(np.diff(each) / state, [10, 20, 40], atol=1)
    # k inputs and n/k boundaries: 3 + 3, 4 + 5, 6 + 6, 8 + 10
    assert np.all(np.diff(few) <= state * np.array([4, 4, 8]))
    assert few[-1] < each[-1] < whole[-1] / 10


def test_a_run_holds_what_it_needs_and_no_more():
    model, _ = dense(8)
    x = normals(ROWS, 4)

    def held(n, **options):
        plan = dn.compile("dpmpp_2m", grid(n))
        with torch.no_grad():
            return gradients.peak_bytes(lambda: dn.sample(plan, model, x, **options))[1]

    assert held(10) == held(40)
    state = ROWS * 4 * 8
    assert held(40, keep="states") - held(10, keep="states") == 30 * state
    assert held(40, keep="denoised") - held(10, keep="denoised") == 30 * state


def test_the_peak_counts_storages_once_until_they_are_freed():
    def run():
        a = torch.zeros(1000, dtype=torch.float64)
        b = a.reshape(10, 100) + 1
        del a
        return b.T, torch.zeros(500, dtype=torch.float64)

    assert gradients.peak_bytes(run)[1] == 16000
    weights = torch.randn(1000)
    assert gradients.peak_bytes(lambda: weights.view(10, 100))[1] in (0, 4000)


def test_the_peak_of_a_graph_is_what_torch_says_it_saves():
    model, parameters = dense(32)
    plan, x, saved = dn.compile("ddim", grid(20), "velocity"), normals(200, 4), {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        output = dn.sample(plan, model, x.clone().requires_grad_())
    own = {p.untyped_storage().data_ptr() for p in parameters}
    total = sum(size for key, size in saved.items() if key not in own)
    _, held = gradients.peak_bytes(lambda: gradients.backprop(plan, model, x, loss, parameters))
    assert output.requires_grad
    assert total <= held < 1.6 * total


def test_a_table_of_methods_says_what_each_is_off_by():
    model, parameters = dense()
    plan, x = dn.compile(coupled, grid(6), "velocity"), normals(4, 4)
    whole = gradients.backprop(plan, model, x, loss, parameters)
    table = gradients.compare(
        {
            "graph": lambda: gradients.backprop(plan, model, x, loss, parameters),
            "reversal": lambda: gradients.reversal(plan, model, x, loss, parameters),
            "adjoint": lambda: gradients.adjoint(*both_ways("ddim", 6, "velocity"), model, x, loss, parameters),
        },
        x,
        whole.x,
        whole.parameters,
    )
    assert table["graph"].error == table["graph"].parameter_error == 0
    assert table["reversal"].error < 1e-12 < 1e-3 < table["adjoint"].error
    assert table["reversal"].bytes < table["graph"].bytes
    assert table["reversal"].drift < 1e-12 < table["adjoint"].drift
    assert [line.split()[0] for line in str(table).splitlines()] == ["method", "graph", "reversal", "adjoint"]


def test_bad_input_is_refused():
    x, plan = normals(2, 4), dn.compile("ddim", grid(3), "noise")

    def refused(match, *args, method=gradients.checkpointed, **options):
        with pytest.raises(ValueError, match=match):
            method(*args, **options)

    for method in (gradients.backprop, gradients.checkpointed):
        refused("x is a ndarray", plan, GAUSSIAN, x.numpy(), loss, method=method)
        refused("x is a torch.int64 tensor", plan, GAUSSIAN, x.long(), loss, method=method)
        refused("returned a ndarray for a Tensor", plan, lambda y, _: y.detach().numpy(), x, loss, method=method)
        refused("compute .* with torch", plan, lambda y, _: y.detach() * 0, x, lambda y: y.sum(), method=method)
        refused("tensor without axes", plan, GAUSSIAN, x, lambda y: y, method=method)
        refused("parameter 0 is no torch tensor that requires", plan, GAUSSIAN, x, loss, [x], method=method)
        stochastic = dn.compile("ddpm_ancestral", grid(3), "noise")
        refused("draws noise 3 times and was given no source", stochastic, GAUSSIAN, x, loss, method=method)
        refused("1 states were given|2 states were given", plan, GAUSSIAN, (x, x), loss, method=method)
    refused("another draw", stochastic, GAUSSIAN, x, loss, noise=lambda s, t, j, y: torch.randn_like(y))
    refused("segment = 0", plan, GAUSSIAN, x, loss, segment=0)
    refused("ddim cannot be undone exactly", plan, GAUSSIAN, x, loss, method=gradients.reversal)
