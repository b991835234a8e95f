"""One path for every grid: increments and areas of parts against those of the whole, their law, and refinement."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import diffnum as dn
from diffnum.noise import Brownian, Counter
from diffnum.noise.brownian import DEPTH
from diffnum.plan import Noise

PROCESS = dn.EDM()
SMALL = np.empty((3, 2))
marks = st.lists(st.integers(-4300, 6000), min_size=3, max_size=5, unique=True)
lams = marks.map(lambda found: [k / 1000 for k in sorted(found)])
rates = st.sampled_from([1.0, -1.0, 0.5])


def level(lam):
    return PROCESS.at(lam)


def clock(b, lam):
    return math.exp(2 * b.rate * lam)


@settings(deadline=None, max_examples=25)
@given(lams, rates, st.integers(0, 2**64 - 1))
def test_increments_of_parts_add_up_to_that_of_the_whole(at, rate, seed):
    b = Brownian(seed, rate=rate)
    parts = [b.increment(level(s), level(t), SMALL) for s, t in pairwise(at)]
    whole = b.increment(level(at[0]), level(at[-1]), SMALL)
    # a clock read in the last place moves the path by its steepness inside a leaf
    scale = math.sqrt(max(clock(b, at[0]), clock(b, at[-1])))
    np.testing.assert_allclose(sum(parts), whole, atol=1e-10 * scale)


@settings(deadline=None, max_examples=25)
@given(lams, rates, st.integers(0, 1000))
def test_areas_of_parts_join_as_integrals_do(at, rate, seed):
    b = Brownian(seed, rate=rate)
    s, m, t = level(at[0]), level(at[1]), level(at[2])
    cs, cm, ct = (clock(b, lam) for lam in at[:3])

    def integral(u, v, length):
        w, area = b(Noise(u, v, 0), SMALL), b(Noise(u, v, 1), SMALL)
        return length**1.5 * (w / 2 + area / math.sqrt(12))

    first, second = abs(cm - cs), abs(ct - cm)
    joined = integral(s, m, first) + integral(m, t, second) + second * b.increment(s, m, SMALL)
    np.testing.assert_allclose(integral(s, t, first + second), joined, atol=1e-9 * max(cs, ct) ** 1.5)


def test_increments_and_areas_are_independent_standard_normals():
    """Intervals inside a leaf's octave, across octaves, from pure noise and towards noise."""
    b, x = Brownian(5), np.empty((8_000, 1))
    pure = dn.Flow().level(1.0)
    ends = [(pure, level(-3.0)), (level(-3.0), level(-0.7)), (level(-0.7), level(-0.69)), (level(-0.69), level(2.5))]
    lines = [Noise(s, t, j) for s, t in [*ends, (level(1.0), level(0.3))] for j in (0, 1)]
    draws = np.concatenate([b(line, x) for line in lines], axis=1)
    for z in draws.T:
        assert stats.kstest(z, "norm").pvalue > 1e-4
    off = np.corrcoef(draws.T) - np.eye(len(lines))
    assert np.abs(off).max() < 4.5 / math.sqrt(len(x))


def test_the_path_inside_an_interval_has_the_covariance_of_its_part():
    b, x = Brownian(6), np.empty((8_000, 1))
    s, m, t = level(0.0), level(0.2), level(0.5)
    part, whole = b(Noise(s, m), x)[:, 0], b(Noise(s, t), x)[:, 0]
    share = math.expm1(0.4) / math.expm1(1.0)
    assert np.mean(part * whole) == pytest.approx(math.sqrt(share), abs=4 / math.sqrt(len(x)))


def test_a_leaf_hides_no_variance_that_float32_could_see():
    assert 2.0**-DEPTH < 2.0**-24


@pytest.mark.parametrize("j", [0, 1, 2])
def test_samples_are_the_same_alone_in_a_batch_and_in_chunks(j):
    line = Noise(level(-1.0), level(0.4), j)
    whole = Brownian(9)(line, np.empty((64, 3)))
    alone = [Brownian(9, first=i)(line, np.empty((1, 3))) for i in range(64)]
    chunks = [Brownian(9)(line, np.empty((16, 3)), offset=o) for o in (0, 16, 32, 48)]
    np.testing.assert_array_equal(np.concatenate(alone), whole)
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_torch_equals_numpy_cast_last(dtype):
    line = Noise(level(-1.0), level(0.4), 1)
    exact = Brownian(9)(line, np.empty((8, 5)))
    drawn = Brownian(9)(line, torch.empty((8, 5), dtype=dtype))
    assert drawn.dtype == dtype
    np.testing.assert_allclose(drawn.double().numpy(), exact, rtol=torch.finfo(dtype).eps, atol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_equals_the_host():
    line = Noise(level(-1.0), level(0.4))
    host, device = (Brownian(9)(line, torch.empty(4, 3, device=where)) for where in ("cpu", "cuda"))
    torch.testing.assert_close(device.cpu(), host)


def test_paths_of_different_seeds_samples_and_directions_are_different():
    s, t = level(-1.0), level(0.4)
    x = np.empty((2, 4))
    one = Brownian(1)(Noise(s, t), x)
    assert not np.isclose(one, Brownian(2)(Noise(s, t), x)).any()
    assert not np.isclose(one[0], one[1]).any()
    assert not np.isclose(np.abs(one), np.abs(Brownian(1)(Noise(t, s), x))).any()
    assert not np.isclose(one, Counter(1)(Noise(s, t), x)).any()


def test_the_start_and_further_draws_are_those_of_a_counter():
    x = np.empty((2, 4))
    line = Noise(level(-1.0), level(0.4), 2)
    np.testing.assert_array_equal(Brownian(4).initial(3, 5), Counter(4).initial(3, 5))
    np.testing.assert_array_equal(Brownian(4)(line, x), Counter(4)(line, x))


@pytest.mark.full
def test_finer_grids_converge_to_one_sample_on_one_path_and_not_with_fresh_noise():
    """Strong order one of ancestral sampling, whose noise is additive, on a non-linear law."""
    from diffnum.witness import nonlinear

    target, start = nonlinear(), PROCESS.at(-2.0)
    x = target.sample(256, 0, start)

    def end(n, noise):
        levels = dn.grid.log_snr(PROCESS, n, start=start, stop=PROCESS.at(2.0))
        return dn.sample(dn.compile("ddpm_ancestral", levels), target, x, noise=noise)

    def gaps(noise):
        ends = [end(n, noise) for n in (20, 40, 80, 160, 320)]
        return [np.sqrt(((a - b) ** 2).mean()) for a, b in pairwise(ends)]

    coupled, fresh = gaps(Brownian(3)), gaps(Counter(3))
    assert math.log2(coupled[0] / coupled[-1]) / 3 == pytest.approx(1, abs=0.15)
    assert 10 * coupled[-1] < fresh[-1]


def test_a_plan_of_float32_follows_that_of_float64():
    from diffnum.witness import nonlinear

    target, start = nonlinear(), PROCESS.at(-2.0)
    x = target.sample(4, 0, start)
    plan = dn.compile("ddpm_ancestral", dn.grid.log_snr(PROCESS, 8, start=start, stop=PROCESS.at(2.0)))
    wide = dn.sample(plan, target, x, noise=Brownian(3))
    narrow = dn.sample(plan, target, x.astype(np.float32), noise=Brownian(3))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, atol=1e-5)


def test_bad_input_is_refused_with_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"rate = 0.0 .* use a finite rate"):
        Brownian(1, rate=0.0)
    with pytest.raises(ValueError, match="seed = -1"):
        Brownian(-1)
    clean = PROCESS.level(0.0)
    with pytest.raises(ValueError, match=r"has no end .*Counter"):
        Brownian(1)(Noise(level(0.0), clean), SMALL)
    with pytest.raises(ValueError, match="has no length"):
        Brownian(1)(Noise(level(0.0), level(0.0)), SMALL)
    with pytest.raises(ValueError, match="batch axis"):
        Brownian(1)(Noise(level(0.0), level(1.0)), np.empty(()))
