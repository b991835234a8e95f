"""Draws named by seed, sample, interval and index: the bits against the published vectors, one chunk against many,
numpy against torch, and the normals against their law."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffnum.noise import Counter, as_source, box_muller, philox
from diffnum.noise.counter import draw
from diffnum.plan import Level, Lin, Noise, Plan

A = Level(1.0, 0.0, 1.0)
B = Level(0.5, 0.8, 0.6)
C = Level(0.25, 0.96, 0.28)
LINE = Noise(A, B)
words = st.integers(0, 2**32 - 1)

# Random123's kat_vectors, philox4x32 10: counter, key, result
PUBLISHED = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def normals(count: int, seed: int = 11, line: Noise = LINE) -> np.ndarray:
    return Counter(seed)(line, np.empty((count, 1)))[:, 0]


@pytest.mark.parametrize("counter, key, result", PUBLISHED)
def test_philox_equals_the_published_vectors_in_every_kind_of_integer(counter, key, result):
    assert philox(counter, key) == result
    arrays = philox([np.array([c], dtype=np.uint64) for c in counter], key)
    tensors = philox([torch.tensor([c]) for c in counter], key)
    assert tuple(int(w[0]) for w in arrays) == result
    assert tuple(int(w[0]) for w in tensors) == result


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(words, words, words, words), min_size=1, max_size=8), words, words)
def test_philox_bits_numpy_equal_torch_equal_python(counters, k, m):
    columns = list(zip(*counters, strict=True))
    by_numpy = philox([np.array(c, dtype=np.uint64) for c in columns], (k, m))
    by_torch = philox([torch.tensor(c) for c in columns], (k, m))
    by_python = list(zip(*(philox(c, (k, m)) for c in counters), strict=True))
    for n, t, p in zip(by_numpy, by_torch, by_python, strict=True):
        assert n.tolist() == t.tolist() == list(p)


def test_normals_are_the_radius_and_angle_of_their_uniforms():
    w = philox([np.arange(64, dtype=np.uint64).reshape(8, 8), 1, 2, 3], (4, 5))
    z = box_muller(w).reshape(8, 8, 2)
    u = ((w[0] * 2**20 + w[1] // 2**12).astype(float) + 0.5) / 2**52
    v = ((w[2] * 2**20 + w[3] // 2**12).astype(float) + 0.5) / 2**52
    np.testing.assert_allclose(np.exp(-(z**2).sum(-1) / 2), u, rtol=1e-13)
    turn = np.arctan2(z[..., 1], z[..., 0]) / (2 * np.pi) % 1
    np.testing.assert_allclose(turn, v, atol=1e-14)


def test_extreme_words_give_finite_normals():
    low, high = np.zeros((1, 1), dtype=np.uint64), np.full((1, 1), 2**32 - 1, dtype=np.uint64)
    z = [box_muller((a, a, b, b)) for a in (low, high) for b in (low, high)]
    assert np.isfinite(z).all()
    assert np.abs(z).max() == pytest.approx(math.sqrt(2 * 53 * math.log(2)))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**40),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.sampled_from([(), (1,), (5,), (2, 3), (2, 2, 3)]),
)
def test_chunks_of_a_batch_equal_the_batch(seed, first, cuts, shape):
    n = sum(cuts)
    whole = Counter(seed, first)(LINE, np.empty((n, *shape)))
    starts = np.cumsum([0, *cuts])
    by_offset = [Counter(seed, first)(LINE, whole[a:b], offset=a) for a, b in pairwise(starts)]
    by_first = [Counter(seed, first + a)(LINE, whole[a:b]) for a, b in pairwise(starts)]
    np.testing.assert_array_equal(np.concatenate(by_offset), whole)
    np.testing.assert_array_equal(np.concatenate(by_first), whole)


@pytest.mark.parametrize("kind", [np.empty, torch.empty])
def test_internal_chunks_equal_one_sample_at_a_time(kind):
    # 700 samples of 60 elements are two internal chunks
    whole = np.asarray(Counter(5)(LINE, kind((700, 60))))
    for i in (0, 545, 546, 547, 699):
        np.testing.assert_array_equal(np.asarray(Counter(5, first=i)(LINE, kind((1, 60))))[0], whole[i])


def test_elements_do_not_depend_on_the_shape_around_them():
    wide = Counter(5)(LINE, np.empty((3, 4, 6)))
    narrow = Counter(5)(LINE, np.empty((3, 11)))
    np.testing.assert_array_equal(wide.reshape(3, -1)[:, :11], narrow)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_torch_draws_equal_numpy_draws_cast_last(dtype):
    exact = Counter(9, first=2**33)(Noise(B, C, 3), np.empty((40, 7)))
    drawn = Counter(9, first=2**33)(Noise(B, C, 3), torch.empty((40, 7), dtype=dtype))
    assert drawn.dtype == dtype
    resolution = torch.finfo(dtype).eps
    np.testing.assert_allclose(drawn.double().numpy(), exact, rtol=resolution, atol=4 * torch.finfo(dtype).tiny + 2e-15)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_bits_and_normals_on_a_gpu_equal_those_on_the_host():
    counter = (torch.arange(4096), torch.tensor(17), torch.tensor(2**32 - 1), torch.tensor(3))
    for host, device in zip(philox(counter, (5, 6)), philox([c.cuda() for c in counter], (5, 6)), strict=True):
        assert torch.equal(host, device.cpu())
    host, device = (
        Counter(9)(LINE, torch.empty(300, 41).double()),
        Counter(9)(LINE, torch.empty(300, 41).double().cuda()),
    )
    torch.testing.assert_close(device.cpu(), host, rtol=1e-15, atol=4e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
def test_numpy_dtypes_are_casts_of_float64(dtype):
    exact = normals(100)
    drawn = Counter(11)(LINE, np.empty((100, 1), dtype=dtype))[:, 0]
    assert drawn.dtype == dtype
    np.testing.assert_array_equal(drawn, exact.astype(dtype))


def test_a_draw_leaves_no_state_behind():
    source = Counter(3)
    before = torch.get_rng_state()
    first = source(LINE, torch.empty(4, 5))
    source(Noise(B, C), torch.empty(4, 5))
    assert torch.equal(first, source(LINE, torch.empty(4, 5)))
    assert torch.equal(before, torch.get_rng_state())


def test_distinct_names_give_distinct_draws():
    x = np.empty((2, 8))
    nearby = Level(math.nextafter(0.5, 1), 0.8, 0.6)
    lines = [LINE, Noise(B, A), Noise(A, B, 1), Noise(A, B, 2), Noise(A, C), Noise(B, C), Noise(A, nearby), Noise(A, A)]
    seeds = [0, 1, 2**32, 2**63]
    drawn = [Counter(seed)(line, x) for seed in seeds for line in lines]
    drawn += [Counter(seed).initial(2, 8) for seed in seeds]
    values = np.concatenate([d.ravel() for d in drawn])
    assert len(np.unique(values)) == len(values)


def test_a_time_is_named_by_its_value():
    x = np.empty((2, 3))
    zero, minus_zero = Level(0.0, 1.0, 0.0), Level(-0.0, 1.0, 0.0)
    np.testing.assert_array_equal(Counter(1)(Noise(B, zero), x), Counter(1)(Noise(B, minus_zero), x))
    leaf = Level(torch.tensor(0.5, dtype=torch.float64, requires_grad=True), 0.8, 0.6)
    np.testing.assert_array_equal(Counter(1)(Noise(A, leaf), x), Counter(1)(Noise(A, B), x))
    other = Level(np.float64(0.5), 0.1, 0.9)
    np.testing.assert_array_equal(Counter(np.int64(1))(Noise(A, other, np.int64(0)), x), Counter(1)(LINE, x))


def test_moments_are_those_of_a_normal():
    n = 200_000
    z = normals(n)
    for power, expected, spread in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((z**power).mean() - expected) < 4 * math.sqrt(spread / n)


def test_distribution_is_normal_by_kolmogorov_smirnov():
    assert stats.kstest(normals(200_000), "norm").pvalue > 1e-3
    whole = Counter(4)(LINE, np.empty((50, 3000)))
    assert stats.kstest(whole.ravel(), "norm").pvalue > 1e-3


def test_tails_are_as_heavy_as_they_should_be():
    z, n = normals(1_000_000), 1_000_000
    for edge in (2.0, 3.0, 4.0):
        expected = n * 2 * stats.norm.sf(edge)
        assert abs((np.abs(z) > edge).sum() - expected) < 4 * math.sqrt(expected)


def test_draws_of_different_names_are_uncorrelated():
    n = 100_000
    lines = [LINE, Noise(B, A), Noise(B, C), Noise(A, C), Noise(A, B, 1), Noise(A, B, 2)]
    rows = [normals(n, line=line) for line in lines]
    rows += [normals(n, seed=12), Counter(11).initial(n, 1)[:, 0], np.roll(rows[0], 1)]
    rows += list(Counter(11)(LINE, np.empty((n, 4))).T[1:])
    for values in (np.array(rows), np.array(rows) ** 2):
        correlation = np.corrcoef(values) - np.eye(len(rows))
        assert np.abs(correlation).max() < 4.5 / math.sqrt(n)


def test_samples_are_uncorrelated():
    # 64 samples of 20000 elements: every pair within its error bar
    z = Counter(8)(LINE, np.empty((64, 20_000)))
    correlation = np.corrcoef(z) - np.eye(64)
    assert np.abs(correlation).max() < 5 / math.sqrt(20_000)


def test_initial_equals_its_chunks_and_scales_by_std():
    source = Counter(21, first=7)
    whole = source.initial(9, (3, 2), std=80.0)
    parts = [source.initial(4, (3, 2), 80.0), Counter(21, first=11).initial(5, (3, 2), 80.0)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(source.initial(5, (3, 2), 80.0, offset=4), whole[4:])
    np.testing.assert_array_equal(80.0 * source.initial(9, 6), whole.reshape(9, 6))
    single = source.initial(9, (3, 2), std=80.0, like=torch.empty(0))
    assert single.dtype == torch.float32 and single.shape == (9, 3, 2)
    np.testing.assert_allclose(single.numpy(), whole, rtol=1e-6)


def test_empty_batches_and_scalars_per_sample():
    assert Counter(1)(LINE, np.empty((0, 3))).shape == (0, 3)
    assert Counter(1)(LINE, torch.empty(5, 0)).shape == (5, 0)
    np.testing.assert_array_equal(Counter(1)(LINE, np.empty(5)), Counter(1)(LINE, np.empty((5, 1)))[:, 0])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Counter(-1), "seed = -1 "),
        (lambda: Counter(2**64), "seed = 18446744073709551616 "),
        (lambda: Counter(1.5), "seed = 1.5 "),
        (lambda: Counter(True), "seed = True "),
        (lambda: Counter(1, first=-3), "first = -3 "),
        (lambda: Counter(1)(LINE, np.empty(2), offset=-1), "offset = -1 "),
        (lambda: Counter(1)(Noise(A, B, -1), np.empty(2)), "j = -1 "),
        (lambda: Counter(1)(LINE, np.float64(0.0)), "give x a batch axis"),
        (lambda: Counter(1)(LINE, np.zeros(3, dtype=int)), "dtype int64"),
        (lambda: Counter(1)(LINE, torch.zeros(3, dtype=torch.complex64)), "dtype torch.complex64"),
        (lambda: Counter(1)(Noise(A, Level(math.nan, 1.0, 1.0)), np.empty(2)), "time nan"),
        (lambda: Counter(1)(Noise(A, Level("t", 1.0, 1.0)), np.empty(2)), "time 't'"),
    ],
)
def test_bad_names_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def plan_with(*lines) -> Plan:
    return Plan(lines=lines, levels=(A, B), states=(0, len(lines)), outputs=(("x", len(lines)),), solver="ancestral")


def test_a_counter_is_its_own_source():
    assert as_source(Counter(1)) == Counter(1)


def test_no_source_is_refused_exactly_for_plans_that_draw():
    drawing, quiet = plan_with(LINE, Lin(((0, 1.0), (1, 0.5)))), plan_with(Lin(((0, 1.0),)))
    with pytest.raises(ValueError, match=r"ancestral draws noise 1 time and .* noise=Counter\(seed\)"):
        as_source(None, drawing)
    with pytest.raises(ValueError, match=r"noise=Counter\(seed\)"):
        as_source(None)(LINE, np.empty(2))
    assert callable(as_source(None, quiet))


def test_a_function_is_called_with_levels_index_and_state():
    seen = []

    def f(s, t, j, x):
        seen.append((s, t, j))
        return np.ones_like(x)

    np.testing.assert_array_equal(as_source(f)(Noise(B, C, 2), np.zeros((2, 3))), np.ones((2, 3)))
    assert seen == [(B, C, 2)]


@pytest.mark.parametrize("wrong", [np.ones((1, 3)), np.ones((2, 3), dtype=np.float32), torch.ones(2, 3), 1.0])
def test_a_draw_that_is_not_like_the_state_is_refused(wrong):
    with pytest.raises(ValueError, match="return an array like x"):
        as_source(lambda s, t, j, x: wrong)(LINE, np.zeros((2, 3)))


def test_what_cannot_draw_is_no_source():
    with pytest.raises(TypeError, match="noise = 42 is no source"):
        as_source(42)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (700, 60), (2, 40001), (4, 0)])
@pytest.mark.parametrize("kind", [np.empty, torch.empty], ids=["numpy", "torch"])
def test_normals_made_in_pieces_have_the_bits_of_the_whole(kind, shape):
    first, scale, stream = 2**33 - 1, 1.7, (1, 2**32 - 1, 3, 2**31)
    like = kind(shape, dtype=np.float64 if kind is np.empty else torch.float64)

    def words_of(numbers):
        return np.array(numbers, dtype=np.uint64) if kind is np.empty else torch.tensor(numbers, dtype=torch.int64)

    samples = words_of(list(range(first, first + shape[0])))[:, None]
    blocks = words_of(list(range((shape[1] + 1) // 2)))[None]
    key = (stream[0], stream[1])
    words = philox((blocks, samples & (2**32 - 1), (samples >> 32) ^ stream[2], stream[3]), key)
    whole = scale * box_muller(words)[:, : shape[1]]
    made = draw(stream, first, shape, like, scale)
    np.testing.assert_array_equal(np.asarray(made), np.asarray(whole))
