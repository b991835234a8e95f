"""Gauss-Seidel-Jacobi iteration of autoregressive flows against the sequential inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnum.parallel import AffineFlow, convergence_ranking, gs_jacobi, initial_guessing, jacobian_ranking, zeros

RNG = np.random.default_rng(4)
N, T, C = 3, 12, 2


def before(x: Any) -> Any:
    """The token before each, and zero before the first."""
    if isinstance(x, np.ndarray):
        return np.concatenate([0 * x[:, :1], x[:, :-1]], axis=1)
    return torch.cat([0 * x[:, :1], x[:, :-1]], 1)


# sums in the order of tokens: the same bits for any number of them
FLOW = AffineFlow(lambda x: 0.5 * np.tanh(before(x)), lambda x: 0.3 * np.sin(before(np.cumsum(x, axis=1))))


def sequential(flow: Any, z: np.ndarray) -> np.ndarray:
    x = z.copy()
    for t in range(1, z.shape[1]):
        x[:, t] = flow(z[:, : t + 1], x[:, : t + 1])[:, t]
    return x


@given(n=st.integers(1, 4), tokens=st.integers(1, 9), segments=st.integers(1, 9), seed=st.integers(0, 99))
def test_any_segments_give_the_sequential_inverse_to_the_last_bit(n, tokens, segments, seed):
    z = np.random.default_rng(seed).standard_normal((n, tokens, C))
    found = gs_jacobi(FLOW, z, min(segments, tokens))
    assert np.array_equal(found.x, sequential(FLOW, z)) and found.met
    assert len(found.rounds) == min(segments, tokens)
    assert all(r <= -(-tokens // len(found.rounds)) for r in found.rounds)


def test_after_k_rounds_the_first_k_tokens_are_exact():
    z = RNG.standard_normal((N, T, C))
    truth = sequential(FLOW, z)
    for k in range(1, T + 1):
        x = gs_jacobi(FLOW, z, iterations=k, start=0 * z + 100.0).x
        assert np.array_equal(x[:, :k], truth[:, :k])
        assert k == T or not np.array_equal(x, truth)


def test_encoding_undoes_the_inverse():
    z = RNG.standard_normal((N, T, C))
    assert np.abs(FLOW.encode(gs_jacobi(FLOW, z).x) - z).max() < 1e-13


def test_a_segment_of_one_token_takes_one_round_and_one_segment_few():
    z = RNG.standard_normal((N, T, C))
    assert gs_jacobi(FLOW, z, T).rounds == (1,) * T
    few = gs_jacobi(FLOW, z, 1, tol=1e-4)
    assert few.iterations < T and few.met
    assert np.abs(few.x - sequential(FLOW, z)).max() < 1e-2


def test_rounds_are_cut_short_when_asked():
    z = RNG.standard_normal((N, T, C))
    found = gs_jacobi(FLOW, z, 3, iterations=2)
    assert found.rounds == (2, 2, 2) and not found.met
    assert [len(r) for r in found.residuals] == [2, 2, 2]


def linear(seed: int = 0, size: float = 0.4) -> tuple[AffineFlow, np.ndarray, np.ndarray]:
    """``s`` constant, ``u = W x`` along the tokens."""
    rng = np.random.default_rng(seed)
    W = size * np.tril(rng.standard_normal((T, T)), -1)
    scale = 0.3 * rng.standard_normal((1, T, C))
    flow = AffineFlow(
        lambda x: scale[:, : x.shape[1]] + 0 * x,
        lambda x: np.einsum("ts,nsc->ntc", W[: x.shape[1], : x.shape[1]], x),
    )
    return flow, W, scale


def test_the_error_of_a_linear_flow_is_the_power_of_a_nilpotent_matrix():
    flow, W, scale = linear()
    z = RNG.standard_normal((N, T, C))
    truth = np.einsum("ts,nsc->ntc", np.linalg.inv(np.eye(T) - W), z * np.exp(scale))
    for k in range(1, T + 1):
        expected = np.einsum("ts,nsc->ntc", np.linalg.matrix_power(W, k), z - truth)
        found = gs_jacobi(flow, z, iterations=k)
        assert np.abs(found.x - truth - expected).max() < 1e-12
    assert np.all(np.linalg.matrix_power(W, T) == 0)


@pytest.mark.parametrize("segments", [2, 3, 4])
def test_of_segments_it_is_the_power_of_each_block(segments):
    flow, W, scale = linear()
    z = RNG.standard_normal((N, T, C))
    k, width = 2, T // segments
    x = z.copy()
    for a in range(0, T, width):
        b = a + width
        known = z[:, a:b] * np.exp(scale[:, a:b]) + np.einsum("ts,nsc->ntc", W[a:b, :a], x[:, :a])
        block = W[a:b, a:b]
        exact = np.einsum("ts,nsc->ntc", np.linalg.inv(np.eye(width) - block), known)
        error = np.einsum("ts,nsc->ntc", np.linalg.matrix_power(block, k), z[:, a:b] - exact)
        x[:, a:b] = exact + error
    assert np.abs(gs_jacobi(flow, z, segments, iterations=k).x - x).max() < 1e-12


# --- overflow ---


def steep() -> tuple[AffineFlow, torch.Tensor, torch.Tensor]:
    """Scales that shrink the next token of small ones: data in [0, 1] and latents of some ten."""
    x = torch.linspace(0.1, 0.9, T, dtype=torch.float32).repeat(2, 1)[..., None]
    flow = AffineFlow(lambda x: before(6 * x - 6), torch.zeros_like)
    return flow, flow.encode(x), x


def test_a_first_guess_far_off_overflows_and_segments_cure_it():
    flow, z, x = steep()
    assert float(z.abs().max()) > 30
    jacobi = gs_jacobi(flow, z, 1, iterations=4)
    assert not torch.isfinite(jacobi.x).all() and not jacobi.met
    cured = gs_jacobi(flow, z, T, iterations=4)
    assert torch.isfinite(cured.x).all() and cured.met
    assert float((cured.x - x).abs().max()) < 1e-4


def test_even_so_jacobi_is_exact_after_as_many_rounds_as_tokens():
    flow, z, x = steep()
    assert float((gs_jacobi(flow, z, 1).x - x).abs().max()) < 1e-4


def test_what_overflows_pollutes_a_product_with_zeros_but_not_a_segment_before_it():
    W = torch.tril(torch.ones(T, T), -1)
    flow = AffineFlow(
        lambda x: 0 * before(x), lambda x: 0.1 * torch.einsum("ts,nsc->ntc", W[: x.shape[1], : x.shape[1]], x)
    )
    z = torch.ones(2, T, C)
    start = z.clone()
    start[:, -1] = float("inf")
    # zero times infinity: the last token reaches the first through the mask
    assert torch.isnan(gs_jacobi(flow, z, 1, iterations=1, start=start).x).all()
    parts = gs_jacobi(flow, z, 4, start=start)
    assert torch.isfinite(parts.x[:, : T - T // 4]).all()


# --- metrics ---


def test_the_guessing_metric_is_zero_where_one_round_is_exact():
    z = RNG.standard_normal((N, T, C))
    constant = AffineFlow(lambda x: 0 * x + 0.4, lambda x: 0 * x)
    assert initial_guessing(constant, gs_jacobi(constant, z).x) < 1e-12
    flow, W, _ = linear()
    x = gs_jacobi(flow, z).x
    # one round from z errs by W (z - x)
    expected = np.linalg.norm(np.einsum("ts,nsc->ntc", W, z - x).mean(0), 2)
    assert initial_guessing(flow, x) == pytest.approx(expected, rel=1e-9)


def test_the_guessing_metric_prefers_zeros_where_latents_are_large():
    flow, z, x = steep()
    assert initial_guessing(flow, x, zeros) < 2 < initial_guessing(flow, x) == float("inf")
    assert torch.equal(zeros(z)[:, :1], z[:, :1]) and not zeros(z)[:, 1:].any()
    assert torch.isfinite(gs_jacobi(flow, z, 1, iterations=3, start=zeros(z)).x).all()


@pytest.mark.parametrize("ranking", [convergence_ranking, jacobian_ranking])
def test_blocks_rank_by_the_rounds_they_need(ranking):
    z = RNG.standard_normal((N, T, C))
    ranks, rounds = [], []
    for size in (0.01, 0.05, 0.2, 0.5):
        flow, W, _ = linear(size=size)
        x = gs_jacobi(flow, z).x
        ranks.append(ranking(flow, x, np.zeros((C, C)), W))
        rounds.append(gs_jacobi(flow, z, tol=1e-6).iterations)
    assert ranks == sorted(ranks) and rounds == sorted(rounds) and rounds[0] < rounds[-1]
    # without scales both are the norm of u's weights
    assert ranks[-1] == pytest.approx(np.linalg.norm(W, 2), rel=1e-12)


def test_the_published_factor_of_the_scales_is_not_that_of_the_derivative():
    """With ``z exp(s) = x - u`` the derivative along ``s`` is ``x - u``; the authors' code has ``x exp(-s)``."""
    flow = AffineFlow(lambda x: 0.7 * before(x), lambda x: 0 * x)
    x = RNG.uniform(0.5, 1.0, (N, T, C))
    z, h = flow.encode(x), 1e-6
    change = (z * np.exp(flow.s(x) + h) - z * np.exp(flow.s(x) - h)) / (2 * h)
    one, none = np.eye(C), np.zeros((C, C))
    assert jacobian_ranking(flow, x, one, none) == pytest.approx(np.linalg.norm(change.mean(0), 2), rel=1e-8)
    assert abs(convergence_ranking(flow, x, one, none) / jacobian_ranking(flow, x, one, none) - 1) > 0.2


def test_settings_that_mean_nothing_are_refused():
    z = RNG.standard_normal((N, T, C))
    with pytest.raises(ValueError, match="segments = 13 do not cut 12 tokens: give a whole number from 1 to 12"):
        gs_jacobi(FLOW, z, 13)
    with pytest.raises(ValueError, match="tol = -1 is no tolerance"):
        gs_jacobi(FLOW, z, tol=-1)
    with pytest.raises(ValueError, match="iterations = 0 is no number of rounds"):
        gs_jacobi(FLOW, z, iterations=0)
    with pytest.raises(ValueError, match="the first guess has shape"):
        gs_jacobi(FLOW, z, start=z[:1])
    with pytest.raises(ValueError, match="F returned shape"):
        gs_jacobi(lambda z, x: x[:1], z)
