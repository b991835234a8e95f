"""Picard iteration of plans against the sequential run: to the last bit, round by round, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diffnum as dn
from diffnum.parallel import gauss_seidel, marginal, measured_errors, paradigms, picard
from diffnum.parallel.scales import ancestral

TARGET = dn.Gaussian(np.linspace(-0.5, 0.5, 6), np.linspace(0.1, 2.0, 6))
MIXTURE = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])
NOISE = dn.noise.Counter(7)
SAMPLERS = ["ddim", "ddpm_ancestral", "dpmpp_2m", "dpmpp_3m", "unipc_3", "heun", "exp_ab3_rk", "sa_p2c2"]
ONE_STATE = ["ddim", "ddpm_ancestral", "dpmpp_2m"]


def compiled(name: str, n: int = 8, prediction: str = "data", end: str = "stop") -> Any:
    return dn.compile(name, dn.grid.log_snr(dn.VP(), n, stop=0.05, end=end), prediction)


def started(plan: Any, n: int = 3) -> np.ndarray:
    return TARGET.sample(n, 0, plan.start)


# --- the sequential result ---


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("name", SAMPLERS)
def test_without_tolerance_the_sample_is_the_sequential_one_to_the_last_bit(name, window):
    plan = compiled(name)
    x = started(plan)
    found = picard(plan, TARGET, x, tol=0.0, window=window, noise=NOISE)
    assert np.array_equal(found.sample, dn.sample(plan, TARGET, x, NOISE))
    assert found.met and found.iterations <= plan.nfe
    assert found.largest <= (window or plan.nfe)


@pytest.mark.parametrize("prediction", ["noise", "velocity", "score"])
@pytest.mark.parametrize("end", ["stop", "denoise"])
def test_whatever_the_model_predicts_and_however_the_grid_ends(prediction, end):
    plan = compiled("dpmpp_2m", prediction=prediction, end=end)
    x = started(plan)
    assert np.array_equal(picard(plan, TARGET, x, 0.0, noise=NOISE).sample, dn.sample(plan, TARGET, x))


@pytest.mark.parametrize("name", SAMPLERS)
def test_after_k_rounds_the_first_k_evaluations_are_exact_to_the_last_bit(name):
    plan = compiled(name)
    errors = measured_errors(plan, TARGET, started(plan), plan.nfe - 1, NOISE)
    assert np.all(np.diag(errors) == 0.0)
    # and those that follow are not yet: the guess is a copy of x_T
    assert np.all(errors[0, 1:] > 0.0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_window_of_one_is_the_sequential_run(name):
    plan = compiled(name)
    found = picard(plan, TARGET, started(plan), window=1, noise=NOISE)
    assert (found.iterations, found.nfe) == (plan.nfe, plan.nfe)


def test_a_model_that_no_prediction_suits_still_ends_after_as_many_rounds_as_evaluations():
    plan = compiled("ddim", 12)
    x = started(plan)

    def wild(u: Any, level: Any) -> Any:
        return np.sin(1e6 * u)

    found = picard(plan, wild, x, tol=1e-3)
    assert found.iterations == plan.nfe
    assert np.array_equal(found.sample, dn.sample(plan, wild, x))


def test_numbers_that_are_not_finite_are_never_taken_for_converged():
    plan = compiled("ddim", 6)
    x = started(plan)
    x[0, 0] = np.nan
    found = picard(plan, TARGET, x, tol=10.0)
    assert found.iterations == plan.nfe


def test_partner_states_start_as_given():
    def pair(T: Any, grid: Any) -> None:
        y = T.given("y", T.x)
        for s, t in T.steps(grid):
            r = t.sigma / s.sigma
            x = T.held(r * T.x + (t.alpha - r * s.alpha) * T.denoise(y, s), "x")
            y = T.held(r * y + (t.alpha - r * s.alpha) * T.denoise(x, s), "y")
            T.x = x
        T.returns("y", y)

    plan = compiled(pair)  # type: ignore[arg-type]
    x, y = started(plan), started(plan) + 0.1
    found = picard(plan, TARGET, (x, y), tol=0.0)
    for ours, theirs in zip(found.outputs, dn.sample(plan, TARGET, (x, y), outputs="all"), strict=True):
        assert np.array_equal(ours, theirs)


# --- noise ---


def test_noise_is_drawn_once_a_line_and_kept():
    plan = compiled("ddpm_ancestral")
    x, asked = started(plan), []

    def source(s: Any, t: Any, j: int, like: Any) -> Any:
        asked.append((s.t, t.t, j))
        return np.random.default_rng(len(asked)).standard_normal(like.shape)

    found = picard(plan, TARGET, x, tol=0.0, noise=source)
    assert len(asked) == len(set(asked)) == len(plan.draws)
    asked.clear()
    assert np.array_equal(found.sample, dn.sample(plan, TARGET, x, source))


def test_brownian_noise_is_the_path_of_the_sequential_run():
    plan = compiled("euler_maruyama")
    x, path = started(plan), dn.noise.Brownian(3)
    assert np.array_equal(picard(plan, TARGET, x, 0.0, noise=path).sample, dn.sample(plan, TARGET, x, path))


# --- tolerance and window ---


def test_the_error_falls_with_the_tolerance_and_the_rounds_rise():
    plan = compiled("ddim", 40, "velocity")
    x = MIXTURE.sample(4, 0, plan.start)
    truth = dn.sample(plan, MIXTURE, x)
    found = [picard(plan, MIXTURE, x, tol) for tol in (1.0, 1e-1, 1e-2, 1e-3, 0.0)]
    errors = [np.abs(r.sample - truth).max() for r in found]
    assert errors == sorted(errors, reverse=True) and errors[-1] == 0
    assert [r.iterations for r in found] == sorted(r.iterations for r in found)
    assert found[1].iterations <= plan.nfe / 3


def test_the_window_moves_to_the_first_change_above_the_tolerance():
    plan = compiled("ddim", 20)
    found = picard(plan, TARGET, started(plan), tol=0.05, window=6)
    variances = ancestral(plan)
    for (b, e), changes, (c, _) in zip(
        found.windows, found.residuals, [*found.windows[1:], (plan.nfe, 0)], strict=True
    ):
        over = [j for j, change in enumerate(changes[: e - b - 1], b + 1) if change > 0.05**2 * variances[j]]
        assert c == (over[0] if over else e)


def test_each_input_is_held_against_its_own_variance():
    plan = compiled("ddim", 12)
    for final in (1, 4, 9):
        # everything up to one evaluation is small, and nothing after it
        found = picard(plan, TARGET, started(plan), tol=1.0, scale=lambda plan, n=final: [1e9] * (n + 1) + [0.0] * 99)
        assert found.windows[:2] == ((0, 12), (final + 1, 12))


def test_inputs_that_are_new_to_the_window_are_copies_of_its_last_and_the_first_guess_is_of_x():
    plan, rounds = compiled("ddim", 24), []
    x, model = started(plan), Elementwise()

    class Seen:
        def at(self, xs: Any, levels: Any) -> Any:
            rounds.append(xs.copy())
            return model.at(xs, levels)

    loose = [0.0 if j % 4 == 3 else 1e9 for j in range(plan.nfe)]
    found = picard(plan, Seen(), x, tol=1.0, window=8, scale=lambda plan: loose)
    assert all(np.array_equal(u, x) for u in rounds[0])
    moved = False
    for (_, e), (c, f), us in zip(found.windows, found.windows[1:], rounds[1:], strict=False):
        moved |= c < e < f - 1
        for j in range(e, f):
            # the input at the old end is computed, those beyond are copies of it
            assert np.array_equal(us[j - c], us[e - c])
    assert moved


def test_history_holds_the_changes_of_the_window_and_nothing_else():
    plan = compiled("ddim", 10)
    found = picard(plan, TARGET, started(plan), tol=0.1, window=4)
    assert found.history.shape == (found.iterations, plan.nfe)
    for row, (b, e) in zip(found.history, found.windows, strict=True):
        inside = np.isfinite(row)
        assert inside[b:e].all() and inside.sum() == e - b and row[b] == 0


def test_a_step_has_the_variance_that_ddpm_draws_with():
    """The variance of the ancestral sampler's own plan, and of the posterior of DDPM, equation 7."""
    plan = compiled("ddpm_ancestral", 5)
    for value, s, t in zip(ancestral(plan), plan.levels, plan.levels[1:], strict=False):
        beta = 1 - (s.alpha / t.alpha) ** 2
        assert value == pytest.approx(beta * (1 - t.alpha**2) / (1 - s.alpha**2), rel=1e-12)
    drawn = [dict(line.terms) for line in plan.lines if hasattr(line, "terms")]
    factors = [terms[r] for terms in drawn for r in plan.draws if r in terms]
    assert np.array(factors) ** 2 == pytest.approx(ancestral(plan), rel=1e-9)
    assert marginal(plan) == pytest.approx([level.sigma**2 for level in plan.levels[:-1]])


def test_a_step_to_no_noise_is_never_within_a_tolerance():
    plan = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 5, stop=0.05, end="zero"))
    assert ancestral(plan)[-1] == 0.0 < min(ancestral(plan)[:-1])


@given(
    name=st.sampled_from(SAMPLERS),
    n=st.integers(1, 7),
    window=st.one_of(st.none(), st.integers(1, 9)),
    memory=st.integers(0, 3),
    tol=st.sampled_from([0.0, 1e-3, 0.3]),
)
def test_any_run_makes_progress_in_every_round_and_stays_in_its_window(name, n, window, memory, tol):
    try:
        plan = compiled(name, n)
    except ValueError:  # too few steps for the sampler
        return
    x = started(plan)
    found = picard(plan, TARGET, x, tol, window, NOISE, memory)
    starts = [b for b, _ in found.windows]
    assert starts == sorted(set(starts)) and starts[0] == 0
    assert all(e - b <= (window or plan.nfe) for b, e in found.windows)
    if tol == 0:
        assert np.array_equal(found.sample, dn.sample(plan, TARGET, x, NOISE))


# --- published increments ---


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("name", [*ONE_STATE, "dpmpp_3m", "lms_4"])
def test_sums_of_increments_agree_to_rounding(name, window):
    plan = compiled(name, 12)
    x = started(plan)
    truth = dn.sample(plan, TARGET, x, NOISE)
    found = paradigms(plan, TARGET, x, tol=0.0, window=window, noise=NOISE)
    assert np.abs(found.sample - truth).max() < 1e-14 * plan.nfe
    assert found.iterations <= plan.nfe


def test_on_the_circle_velocities_iterate_like_increments_and_noise_needs_more_rounds():
    x = MIXTURE.sample(4, 0, compiled("ddim").start)
    rounds = {p: picard(compiled("ddim", 60, p), MIXTURE, x, 1e-2).iterations for p in ("velocity", "noise")}
    increments = paradigms(compiled("ddim", 60), MIXTURE, x, 1e-2).iterations
    assert abs(rounds["velocity"] - increments) <= 1
    assert rounds["noise"] > 1.5 * rounds["velocity"]


def test_a_history_restarted_at_every_window_is_another_sampler():
    """What the authors' multistep scheduler does: the first step of each window is of order one."""
    plan = compiled("dpmpp_2m", 10)
    x = started(plan)
    truth = dn.sample(plan, TARGET, x)

    def restarted(window: int) -> np.ndarray:
        states, b = [x] * (plan.steps + 1), 0
        while b < plan.steps:
            e = min(b + window, plan.steps)
            D = [TARGET.denoise(states[i], plan.levels[i]) for i in range(b, e)]
            new = [states[b]]
            for i in range(b, e):
                s, t = plan.levels[i], plan.levels[i + 1]
                r = t.sigma / s.sigma
                blend = D[i - b]
                if i > b:
                    past = plan.levels[i - 1]
                    ratio = (t.lam - s.lam) / (s.lam - past.lam)
                    blend = (1 + ratio / 2) * D[i - b] - ratio / 2 * D[i - b - 1]
                new.append(new[-1] + r * states[i] + (t.alpha - r * s.alpha) * blend - states[i])
            same = [np.array_equal(a, c) for a, c in zip(new[1:-1], states[b + 1 : e], strict=True)]
            stride = same.index(False) + 1 if False in same else e - b
            states[b : e + 1] = new
            states[e + 1 :] = [new[-1]] * (plan.steps - e)
            b += stride
        return states[-1]

    first_order = dn.sample(compiled("ddim", 10), TARGET, x)
    assert np.abs(restarted(plan.steps) - truth).max() > 0.1 * np.abs(first_order - truth).max()
    assert np.abs(paradigms(plan, TARGET, x, 0.0).sample - truth).max() < 1e-13


# --- segments, memory ---


@pytest.mark.parametrize("segments", [1, 3, 8])
@pytest.mark.parametrize("name", ["ddim", "unipc_3", "ddpm_ancestral"])
def test_segments_give_the_sequential_sample_within_their_length(name, segments):
    plan = compiled(name)
    x = started(plan)
    found = gauss_seidel(plan, TARGET, x, segments, noise=NOISE)
    assert np.array_equal(found.sample, dn.sample(plan, TARGET, x, NOISE))
    assert found.largest <= -(-plan.nfe // segments) and found.iterations <= plan.nfe and found.met


def test_one_evaluation_a_segment_is_the_sequential_run():
    plan = compiled("dpmpp_2m")
    found = gauss_seidel(plan, TARGET, started(plan), plan.nfe)
    assert (found.iterations, found.nfe, found.largest) == (plan.nfe, plan.nfe, 1)


def test_segments_are_cut_short_when_asked():
    plan = compiled("ddim", 12)
    x = started(plan)
    truth = dn.sample(plan, TARGET, x)
    found = [gauss_seidel(plan, TARGET, x, 3, iterations=k) for k in (1, 2, 3)]
    assert [r.iterations for r in found] == [3, 6, 9] and not any(r.met for r in found)
    errors = [np.abs(r.sample - truth).max() for r in found]
    assert errors[0] > errors[1] > errors[2] > 0
    assert gauss_seidel(plan, TARGET, x, 3, iterations=4).met


def test_a_memory_of_one_round_helps_where_the_iteration_is_slow():
    plan = compiled("ddim", 80, "noise")
    x = MIXTURE.sample(4, 0, plan.start)
    truth = dn.sample(plan, MIXTURE, x)
    plain, kept = (picard(plan, MIXTURE, x, 1e-3, memory=m) for m in (0, 1))
    assert kept.iterations < 0.8 * plain.iterations and kept.nfe < plain.nfe
    assert np.abs(kept.sample - truth).max() < 1e-2


# --- one call for several levels ---


@dataclass
class Elementwise:
    """``D = tanh(c x)`` with one ``c`` per level, for one level or several."""

    calls: int = 0

    def __call__(self, x: Any, level: Any) -> Any:
        return self.at(x[None], (level,))[0]

    def at(self, xs: Any, levels: Any) -> Any:
        self.calls += 1
        c = np.array([level.alpha / (level.alpha**2 + level.sigma**2) for level in levels])
        return np.tanh(c.reshape(-1, *[1] * (xs.ndim - 1)) * xs)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_elementwise_model_is_asked_once_a_round_and_gives_the_same_bits(name):
    plan = compiled(name)
    x, model = started(plan, 4), Elementwise()
    truth = dn.sample(plan, model, x, NOISE)
    model.calls = 0
    found = picard(plan, model, x, 0.0, noise=NOISE)
    assert model.calls == found.iterations < found.nfe
    assert np.array_equal(found.sample, truth)


# --- refusals ---


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"window": 0}, "window = 0 holds no evaluation: give a whole number >= 1"),
        ({"window": 2.5}, "window = 2.5 holds no evaluation"),
        ({"tol": -0.1}, "tol = -0.1 is no tolerance: give 0"),
        ({"tol": float("nan")}, "tol = nan is no tolerance"),
        ({"memory": -1}, "memory = -1 is no number of rounds"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options, sentence):
    plan = compiled("ddim")
    with pytest.raises(ValueError, match=sentence):
        picard(plan, TARGET, started(plan), **options)


def test_what_is_not_a_plan_of_that_kind_is_refused():
    plan = compiled("heun")
    x = started(plan)
    with pytest.raises(ValueError, match="heun does not evaluate once at the state of every step"):
        paradigms(plan, TARGET, x)
    with pytest.raises(ValueError, match="segments = 17 do not cut 16 evaluations: give a whole number from 1 to 16"):
        gauss_seidel(plan, TARGET, x, 17)
    with pytest.raises(ValueError, match="iterations = 0 is no number of rounds"):
        gauss_seidel(plan, TARGET, x, 2, iterations=0)
    with pytest.raises(ValueError, match="Pair is no plan: an adaptive sampler chooses its steps one after another"):
        picard(dn.adaptive.PAIRS["dpm_solver_23"], TARGET, x)
    with pytest.raises(ValueError, match="ddpm_ancestral draws noise 8 times and was given no source"):
        picard(compiled("ddpm_ancestral"), TARGET, x)
    with pytest.raises(ValueError, match="a prediction has the shape of its input"):
        picard(plan, lambda u, level: u[:, :2], x)


def test_a_run_of_an_adaptive_sampler_is_replayed_in_parallel():
    x = TARGET.sample(3, 0, dn.VP().level(1.0))
    run = dn.adapt(TARGET, dn.VP(), x, rtol=0.02)
    assert np.array_equal(picard(run.plan, TARGET, x, 0.0).sample, run.x)


def test_a_result_says_what_it_cost():
    plan = compiled("ddim", 20)
    found = picard(plan, TARGET, started(plan), tol=0.5)
    assert str(found).startswith(f"{found.iterations} rounds instead of 20 evaluations one after another; {found.nfe} ")
    assert "cut short" in str(gauss_seidel(plan, TARGET, started(plan), 2, iterations=1))
