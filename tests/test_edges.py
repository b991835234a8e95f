"""Edge cases: short and long grids, both ends, every process: a finite plan of the counted cost, or one sentence."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from selection import DIFFUSING, SCORED, SELECTED, samplers

import diffnum as dn
from diffnum import grid as grids
from diffnum.plan import PREDICTIONS, Lin
from diffnum.solvers import ALL


def zero_terminal(betas):
    """The table with its last ``alpha`` shifted to zero (Lin et al. 2024, Algorithm 1)."""
    alphas = np.sqrt(np.cumprod(1 - betas))
    alphas = (alphas - alphas[-1]) * alphas[0] / (alphas[0] - alphas[-1])
    squares = alphas**2
    return dn.DDPM([1 - squares[0], *(1 - squares[1:] / squares[:-1])])


PROCESSES = {
    "VP": dn.VP(),
    "SubVP": dn.SubVP(),
    "Cosine": dn.Cosine(),
    "Cosine s=0": dn.Cosine(0.0),
    "VE": dn.VE(),
    "EDM": dn.EDM(),
    "DDPM": dn.DDPM(),
    "DDPM zero terminal": zero_terminal(np.linspace(1e-4, 0.02, 1000)),
    "DDPM five": dn.DDPM([0.1, 0.3, 0.02, 0.9, 1.0]),
    "Flow": dn.Flow(),
    "Flow 0.1": dn.Flow(0.1),
    "Flow 12": dn.Flow(12.0),
}
PURE = {name: p for name, p in PROCESSES.items() if p.lam(p.t_start) == -math.inf}
SCHEDULES = (grids.uniform, grids.quadratic, grids.log_snr, grids.karras, grids.exponential, grids.edm)
SHORT = (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13)
TARGET = dn.Gaussian(np.array([0.5, -1.0, 0.2]), np.array([0.05, 0.6, 2.0]))
POINT = dn.Gaussian(TARGET.mean, np.zeros(3))

# a noise or a score at alpha = 0 carries no estimate of the data
BLIND = {"noise", "score"}


def refused(name, levels, prediction):
    """The whole table of refusals: nothing else is refused, at either end or on any grid."""
    if name == "exponential_integrator" and not levels.process.preserves_variance:
        return True
    if name == "stochastic_improved_euler" and levels.steps == 1 and levels[-1].clean:
        # its last step is D, whatever it starts from
        return levels[0].pure_noise and prediction in BLIND
    return levels[0].pure_noise and (name in DIFFUSING or (prediction in BLIND and name not in SCORED))


def one_sentence(error):
    text = str(error)
    assert "\n" not in text and ". " not in text and ": " in text and not text.endswith("."), text
    return text


def compiled(name, levels, prediction):
    """The plan, or None where it is refused; refusals are those of :func:`refused`, and say what to do."""
    try:
        plan = dn.compile(name, levels, prediction)
    except ValueError as error:
        text = one_sentence(error)
        assert refused(name, levels, prediction), text
        assert text.startswith(name) and re.search("start at alpha > 0( and stop at sigma > 0)?, or use|use VP", text)
        return None
    assert not refused(name, levels, prediction)
    return plan


def start_points(plan, target, n=2):
    return target.sample(n, 0, plan.start)


def runs(plan):
    """Finite coefficients, finite results of the state's shape and dtype, and as many calls as the plan says."""
    assert all(math.isfinite(c) for line in plan.lines if isinstance(line, Lin) for _, c in line.terms)
    noise = dn.noise.Counter(0) if plan.draws else None
    for dtype in (np.float64, np.float32):
        calls = []

        def model(x, level, calls=calls):
            calls.append(level)
            return TARGET.predict(x, level, plan.prediction)

        x = start_points(plan, TARGET).astype(dtype)
        out = dn.sample(plan, model, x, noise=noise)
        assert out.shape == x.shape and out.dtype == dtype and np.isfinite(out).all()
        assert len(calls) == plan.nfe == dn.cost(plan).nfe


@st.composite
def level_grids(draw):
    """A schedule with any end policy, over the whole of a process or a part of it, down to the data or not."""
    flows = st.floats(0.1, 12.0).map(dn.Flow)
    process = draw(st.one_of(st.sampled_from(list(PROCESSES.values())), flows))
    schedule, n, end = draw(st.sampled_from(SCHEDULES)), draw(st.sampled_from(SHORT)), draw(st.sampled_from(grids.ENDS))
    low, high = max(process.lam(process.t_start), -9.0), min(process.lam(process.t_clean), 9.0)
    start, stop = process.level(process.t_start), process.level(process.t_stop)
    if draw(st.booleans()) or (start.pure_noise and schedule not in (grids.uniform, grids.quadratic)):
        first = low + (high - low) * draw(st.floats(0.0, 0.9))
        width = (high - first) * 10.0 ** draw(st.floats(-6.0, 0.0))
        start, stop = process.at(first), process.at(min(first + width, high))
    to_data = schedule not in (grids.log_snr, grids.exponential) and not isinstance(process, dn.VE)
    if end in ("stop", "zero") and to_data and draw(st.booleans()):
        # a schedule down to the data has that end already; VE has no levels on the way for it
        return schedule(process, n, start, process.at(math.inf), end="stop")
    return schedule(process, n, start, stop, end=end)


@settings(max_examples=100)
@given(levels=level_grids(), name=st.sampled_from(list(ALL)), prediction=st.sampled_from(PREDICTIONS))
def test_plans_are_finite_and_cost_what_they_say_or_are_refused(levels, name, prediction):
    plan = compiled(name, levels, prediction)
    if plan is not None:
        runs(plan)


@lru_cache
def every_grid(key, n):
    """Two schedules with every end policy, down to the process's own stop and to the data, where there are such."""
    found = []
    for schedule, end, stop in product((grids.uniform, grids.karras), grids.ENDS, (None, PROCESSES[key].at(math.inf))):
        try:
            found.append(schedule(PROCESSES[key], n, stop=stop, end=end))
        except ValueError as error:
            one_sentence(error)
    return found


@pytest.mark.full
@pytest.mark.parametrize("name", ALL)
def test_plans_are_finite_and_cost_what_they_say_or_are_refused_everywhere(name):
    for key, n in product(PROCESSES, (1, 2, 3, 8)):
        for levels in every_grid(key, n):
            for prediction in PREDICTIONS if n < 3 else ("velocity",):
                plan = compiled(name, levels, prediction)
                if plan is not None and prediction == "velocity":
                    runs(plan)


# a thousand steps


LONG = {
    "cosine to the data": lambda n: grids.uniform(dn.Cosine(), n, stop=0.0),
    "flow shifted by 12": lambda n: grids.uniform(dn.Flow(12.0), n, stop=0.0),
    "flow shifted by 0.1": lambda n: grids.uniform(dn.Flow(0.1), n, end="denoise"),
    "zero terminal table": lambda n: grids.uniform(PROCESSES["DDPM zero terminal"], n, end="zero"),
}


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "heun"])
@pytest.mark.parametrize("levels", list(LONG.values())[:4:3], ids=list(LONG)[:4:3])
def test_a_thousand_steps_are_finite(name, levels):
    runs(compiled(name, levels(1000), "velocity"))


@pytest.mark.full
@pytest.mark.parametrize("levels", LONG.values(), ids=LONG)
@pytest.mark.parametrize("sampler", samplers())
def test_a_thousand_steps_are_finite_everywhere(sampler, levels):
    plan = compiled(sampler.name, levels(1000), "velocity")
    if plan is not None:
        runs(plan)


# a point mass


def off(plan):
    """Largest error on a point mass, whose flow is a straight line: relative to the numbers that it passes."""
    x = start_points(plan, POINT)
    exact, data = POINT.flow(x, plan.start, plan.stop), np.broadcast_to(POINT.mean, x.shape)
    if plan.end == "denoise":
        exact = data
    if plan.end == "half":
        exact = (exact / plan.stop.alpha + data) / 2
    return np.abs(dn.sample(plan, POINT, x) - exact).max() / max(1.0, np.abs(x).max())


def gentle(process, n, lift=(), end="stop", last=()):
    """Steps of at most one in log-SNR, and one more from pure noise and to the data where asked for."""
    lams = np.linspace(-1.2, -1.2 + 0.9 * n, n + 1)
    return grids.custom(process, lams=[*lift, *lams, *last], end=end)


@lru_cache
def keeps_a_point(name, key):
    plan = dn.compile(name, gentle(PROCESSES[key], 4), "velocity")
    return not plan.draws and off(plan) < 1e-10


@settings(max_examples=200)
@given(
    key=st.sampled_from([key for key in PROCESSES if key != "DDPM five"]),
    name=st.sampled_from([name for name, sampler in ALL.items() if not sampler.stochastic]),
    n=st.integers(1, 5),
    end=st.sampled_from(grids.ENDS),
    lifted=st.booleans(),
)
def test_samplers_that_carry_a_point_mass_carry_it_to_both_ends(key, name, n, end, lifted):
    if keeps_a_point(name, key):
        lift = [-math.inf] * (lifted and key in PURE)
        assert off(dn.compile(name, gentle(PROCESSES[key], n, lift, end), "velocity")) < 1e-9


@pytest.mark.parametrize("key", [key for key in PURE if key != "DDPM five"])
def test_one_step_from_pure_noise_to_the_data_is_the_denoiser(key):
    levels = grids.custom(PROCESSES[key], lams=[-math.inf, math.inf])
    x = TARGET.sample(3, 1, levels[0])
    for name in sorted(SELECTED):
        if not ALL[name].stochastic and keeps_a_point(name, key):
            plan = dn.compile(name, levels)
            if plan.nfe > 1:
                continue
            np.testing.assert_allclose(dn.sample(plan, TARGET, x), TARGET.denoise(x, levels[0]), atol=1e-14)


@pytest.mark.parametrize("name", ["rho_midpoint", "rho_rk4", "trig_midpoint", "trig_rk4", "deis_tab_3"])
def test_steps_to_the_data_are_those_of_edm_on_ve(name):
    """Nodes inside the step lie below ``sigma_min``, where VE has levels for a method and for nobody else."""
    sigmas = [40.0, 3.0, 0.5, 0.02, 0.0]
    ve, edm = (dn.compile(name, grids.custom(p, sigmas=sigmas), "noise") for p in (dn.VE(), dn.EDM()))
    assert dn.distance(ve, edm) < 1e-13
    inner = {ve.lines[r - 1].level for r in ve.evaluations} - set(ve.levels)
    for level in inner:
        assert level == dn.VE().node(level.lam) and level.lam == pytest.approx(-math.log(level.sigma), abs=1e-14)
    with pytest.raises(ValueError, match="outside VE"):
        dn.VE().at(-math.log(0.02) + 1e-3)


# refusals, from both sides


@pytest.mark.parametrize("process", [dn.Cosine(), dn.Flow()], ids=lambda p: p.name)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_is_refused_at_pure_noise_has_unbounded_coefficients_beside_it(process, prediction):
    """No finite coefficients are the limit: those of a start at ``alpha = a`` grow like ``log(1 / a)`` or more."""

    def largest(name, lam):
        plan = dn.compile(name, grids.uniform(process, 3, start=process.at(lam)), prediction)
        return max(abs(c) for line in plan.lines if isinstance(line, Lin) for _, c in line.terms)

    levels = grids.uniform(process, 3)
    for name in ALL:
        if refused(name, levels, prediction) and not (name == "exponential_integrator" and process.name == "Flow"):
            # a logarithm doubles but for a constant; what is bounded stays
            assert largest(name, -24.0) > 1.5 * largest(name, -12.0), name


@pytest.mark.parametrize("end", ["stop", "zero"])
@pytest.mark.parametrize("process", [dn.Cosine(), dn.Flow(3.0), PROCESSES["DDPM five"]], ids=lambda p: p.name)
def test_the_remedy_of_a_refusal_is_one(process, end):
    levels = grids.uniform(process, 3, end=end)
    later = grids.uniform(process, 3, start=process.at(-2.0), end=end)
    for name in ALL:
        for prediction in PREDICTIONS:
            if compiled(name, levels, prediction) is not None:
                continue
            if name == "exponential_integrator" and not process.preserves_variance:
                # use VP or Cosine
                assert dn.compile(name, grids.uniform(dn.VP(), 3, end=end), prediction).nfe == 3
                continue
            # start at alpha > 0, or use another prediction, or sampler
            assert dn.compile(name, later, prediction).nfe
            assert name in DIFFUSING or dn.compile(name, levels, "velocity").nfe
            assert prediction in BLIND or dn.compile("ddim", levels, prediction).nfe


def test_a_refusal_names_the_step_that_fails():
    def squared(T, grid):
        for i, (s, _) in enumerate(T.steps(grid)):
            T.x = (1e200 if i == 1 else 1.0) * (1e200 * T.x) + T.denoise(T.x, s)

    def divided(T, grid):
        for s, t in T.steps(grid):
            T.x = (1 / t.sigma) * T.x + T.denoise(T.x, s)

    lams = [-math.inf, -1.0, 0.5, math.inf]
    told = r"^squared has no finite coefficients between log-SNR -1.0 and 0.5, step 1 of 3: use levels further apart"
    with pytest.raises(ValueError, match=told):
        dn.compile(squared, grids.custom(dn.Flow(), lams=lams))
    told = r"^divided with data prediction is not defined at sigma = 0 \(t = 0\): stop at sigma > 0, or use another"
    with pytest.raises(ValueError, match=told):
        dn.compile(divided, grids.custom(dn.Flow(), lams=lams))


def test_coefficients_that_overflow_when_folded_are_refused():
    levels = grids.custom(dn.Cosine(), lams=[-662.8, -394.8, -74.5, -10.4, 48.9, 134.9, 173.3, 260.2])
    with pytest.raises(ValueError, match=r"trig_ab2 has no finite coefficients .* none beyond log-SNR 300 or -300"):
        dn.compile("trig_ab2", levels, "score")
    levels = grids.custom(dn.Flow(), lams=[-699.9, -673.1, -653.1, 95.7, math.inf])
    with pytest.raises(ValueError, match=r"^deis_rhoab_4 "):
        dn.compile("deis_rhoab_4", levels, "velocity")


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8, torch.bool, np.int32, np.bool_])
def test_a_state_of_whole_numbers_is_refused_and_one_of_floats_keeps_its_kind(kind):
    plan = dn.compile("ddim", grids.log_snr(dn.VP(), 2))
    ones = torch.ones if isinstance(kind, torch.dtype) else np.ones
    for x in (ones((2, 3), dtype=kind), (ones((2, 3), dtype=kind),)):
        with pytest.raises(ValueError, match="every state would be rounded to whole numbers: pass floats"):
            dn.sample(plan, lambda x, level: x, x)
    for kept in (torch.bfloat16, torch.float64) if ones is torch.ones else (np.float32, np.complex128):
        assert dn.sample(plan, lambda x, level: x, ones((2, 3), dtype=kept)).dtype == kept
