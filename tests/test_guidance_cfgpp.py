"""CFG++ around samplers against its published forms, and a published form that is no sampler."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum import models, slopes, witness
from diffnum.trace import solver

FREE = dn.Mixture([0.6, 0.4], [[-1.0, 0.2], [0.8, -0.5]], [[0.4, 0.3], [0.2, 0.6]])
OWN = dn.Gaussian([0.8, -0.5], [0.2, 0.6])
EDM = dn.EDM()
GRID = dn.grid.karras(EDM, 8, end="zero")
START = FREE.sample(5, 1, GRID.levels[0])


def near(a, b, tol=1e-12):
    a, b = np.asarray(a), np.asarray(b)
    np.testing.assert_allclose(a, b, rtol=0, atol=tol * (1e-30 + np.abs(b).max()))


@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp_2m", "dpmpp_2s", "dpmpp_3m", "rk4"])
@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
def test_no_strength_is_the_unconditional_sampler(name, prediction):
    grid = dn.grid.log_snr(dn.VP(), 7)
    plan = dn.compile(name, grid, prediction)
    x = FREE.sample(4, 2, plan.start)
    near(models.sample_cfgpp(plan, OWN, FREE, 0.0, x), dn.sample(plan, FREE, x), 1e-14)
    near(models.sample_cfgpp(plan, FREE, FREE, 0.7, x), dn.sample(plan, FREE, x), 1e-14)


@pytest.mark.parametrize("process", [dn.VP(), EDM, dn.Flow()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
def test_around_ddim_it_is_guidance_of_the_growing_scale(process, prediction):
    grid = dn.grid.log_snr(process, 7, start=process.at(-3.0), stop=process.at(3.0))
    plan = dn.compile("ddim", grid, prediction)
    x = FREE.sample(4, 2, plan.start)
    near(models.sample_cfgpp(plan, OWN, FREE, 0.6, x),
         dn.sample(plan, models.cfgpp(OWN, FREE, 0.6, grid, prediction), x))  # fmt: skip


def test_around_dpmpp_2m_only_the_first_term_is_guided():
    """``D_guided + exp(-h) (x - D_free) + (1 - exp(-h)) (D_free - D_free before) / (2 r)`` on ``alpha = 1``."""
    plan = dn.compile("dpmpp_2m", GRID)
    x, before, h_before = START, None, 0.0
    for s, t in pairwise(plan.levels):
        free, bound = FREE.denoise(x, s), OWN.denoise(x, s)
        left = t.sigma / s.sigma
        step = free + 0.6 * (bound - free) + left * (x - free)
        if before is not None and not t.clean:
            step = step + (1 - left) * (free - before) * (t.lam - s.lam) / (2 * h_before)
        x, before, h_before = step, free, t.lam - s.lam
    near(models.sample_cfgpp(plan, OWN, FREE, 0.6, START), x)


def test_around_a_stochastic_sampler_the_draws_are_its_own():
    plan = dn.compile("ddpm_ancestral", dn.grid.log_snr(EDM, 6))
    draws = dn.noise.Counter(3)
    x = FREE.sample(4, 2, plan.start)
    near(models.sample_cfgpp(plan, OWN, FREE, 0.0, x, draws), dn.sample(plan, FREE, x, noise=draws), 1e-14)
    moved = models.sample_cfgpp(plan, OWN, FREE, 0.5, torch.tensor(x), draws)
    near(moved, models.sample_cfgpp(plan, OWN, FREE, 0.5, x, draws), 1e-12)


def test_the_calls_are_those_of_the_plan_and_one_a_step():
    asked = {"free": 0, "own": 0}

    def counted(name, law):
        def model(x, level):
            asked[name] += 1
            return law.denoise(x, level)

        return model

    plan = dn.compile("dpmpp_2s", GRID)
    models.sample_cfgpp(plan, counted("own", OWN), counted("free", FREE), 0.5, START)
    assert asked == {"free": plan.nfe, "own": plan.steps}


# --- DPM++ 2S ancestral CFG++ as it is found in a program, where the second evaluation overwrites the unconditional
# estimate of the first; here without noise and guidance, where it should be plain DPM-Solver++(2S) ---


@solver(order=0)
def overwritten_2s(T, grid):
    for s, t in T.steps(grid):
        x, m, h = T.x, T.between(s, t, 0.5), T.h(s, t)
        D = T.denoise(x, s)
        D2 = T.denoise(math.exp(-h / 2) * x - math.expm1(-h / 2) * D, m)
        T.x = math.exp(-h) * (x + D - D2) - math.expm1(-h) * D2


@solver(order=2)
def kept_2s(T, grid):
    for s, t in T.steps(grid):
        x, m, h = T.x, T.between(s, t, 0.5), T.h(s, t)
        D = T.denoise(x, s)
        D2 = T.denoise(math.exp(-h / 2) * x - math.expm1(-h / 2) * D, m)
        T.x = math.exp(-h) * (x + D - D) - math.expm1(-h) * D2


def errors(sampler, law):
    run = witness.Run.of(law, EDM.at(witness.LOW))
    counts = (16, 32, 64, 128, 256)
    return counts, [
        witness.norm(witness.path_errors(dn.compile(sampler, witness.uniform(EDM, n)), run, warm=True)) for n in counts
    ]


@pytest.mark.parametrize("law", [witness.gaussian(), witness.nonlinear()], ids=["Gaussian", "nonlinear"])
def test_an_overwritten_estimate_leaves_no_sampler_even_without_guidance(law):
    counts, wrong = errors(overwritten_2s, law)
    assert slopes.fit(wrong, counts)[1] == pytest.approx(0, abs=slopes.TOLERANCE) and wrong[-1] > 0.1
    counts, right = errors(kept_2s, law)
    assert slopes.fit(right, counts)[1] == pytest.approx(2, abs=slopes.TOLERANCE)


def test_with_the_estimate_kept_it_is_dpmpp_2s():
    assert (
        dn.distance(dn.compile(kept_2s, dn.grid.log_snr(EDM, 6)), dn.compile("dpmpp_2s", dn.grid.log_snr(EDM, 6)))
        < 1e-13
    )


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: models.sample_cfgpp(dn.compile("unipc_2", GRID), OWN, FREE, 0.5, START), "does not evaluate the"),
        (lambda: models.sample_cfgpp(dn.compile("ddim", GRID), OWN, FREE, math.nan, START), "strength = nan"),
        (lambda: models.sample_cfgpp(dn.compile("ddim", dn.grid.karras(EDM, 4, end="denoise")), OWN, FREE, 0.5, START),
         "ends by 'denoise'"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
