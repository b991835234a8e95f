"""First steps that cost no call, and amplitudes renormalised, where both can be written down."""

import math

import numpy as np
import pytest

import diffnum as dn
from diffnum.design.grids import Teacher, analytic_first, gits, gits_analytic, oss
from diffnum.design.learned import amplitudes, sample_renormalised
from diffnum.solvers import ddim, dpmpp_2m, heun, ipndm_3

EDM = dn.EDM()
FINE = dn.grid.log_snr(EDM, 24, EDM.at(-4.0), EDM.at(3.0))
SPECTRUM = np.array([1.0, 0.2, 0.02])
SAMPLERS = [ddim, heun, dpmpp_2m, ipndm_3]


def gaussian(spectrum):
    return dn.Gaussian(np.zeros(len(spectrum)), np.asarray(spectrum, dtype=float))


# --- the analytical first step ---


class Guessing:
    """A law but at one level, where it says what the analytical step says, and is not counted."""

    def __init__(self, law, start):
        self.law, self.start, self.dim, self.calls = law, start, law.dim, 0

    def denoise(self, x, level):
        return self.predict(x, level, "data")

    def predict(self, x, level, quantity):
        if level != self.start:
            self.calls += 1
            return self.law.predict(x, level, quantity)
        r = math.hypot(level.alpha, level.sigma)
        eps = x / r
        D = (x - level.sigma * eps) / level.alpha
        v0, v1 = level.v
        return {"data": D, "noise": eps, "velocity": v0 * D + v1 * eps, "score": -eps / level.sigma}[quantity]


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "score"])
@pytest.mark.parametrize("process", [EDM, dn.VP(), dn.Flow()], ids=lambda p: p.name)
def test_a_plan_with_an_analytical_first_step_is_the_plan_of_a_model_that_guesses_there(process, prediction):
    law, grid = gaussian(SPECTRUM), dn.grid.log_snr(process, 5, process.at(-3.0), process.at(2.0))
    x = law.sample(3, 0, grid[0])
    for sampler in SAMPLERS:
        plan = dn.compile(sampler, grid, prediction)
        quick, model = analytic_first(plan), Guessing(law, grid[0])
        np.testing.assert_allclose(dn.sample(quick, law, x), dn.sample(plan, model, x), rtol=1e-9, atol=1e-12)
        assert quick.nfe == plan.nfe - 1 == model.calls
        assert dn.Plan.from_json(quick.to_json()).hash == quick.hash != plan.hash


@pytest.mark.parametrize("variance", [0.3, 1.0, 2.0])
def test_the_guess_is_wrong_by_what_it_says_where_noise_is_strong(variance):
    law = gaussian([variance])
    for lam in (-4.0, -6.0):
        level = dn.VP(beta_max=60.0).at(lam)
        guess = 1 / math.hypot(level.alpha, level.sigma)
        exact = float(law.predict(np.ones((1, 1)), level, "noise")[0, 0])
        q = (level.alpha / level.sigma) ** 2
        assert guess / exact - 1 == pytest.approx((variance - 0.5) * q, abs=3 * (1 + variance**2) * q**2)


def test_at_pure_noise_the_guess_is_the_mean_of_centred_data():
    flow, law = dn.Flow(), gaussian(SPECTRUM)
    plan = dn.compile(dpmpp_2m, dn.grid.uniform(flow, 5, end="zero"), "velocity")
    x = np.random.default_rng(0).standard_normal((4, 3))
    np.testing.assert_allclose(dn.sample(analytic_first(plan), law, x), dn.sample(plan, law, x), atol=1e-14)


def test_plans_that_have_no_evaluation_to_spare_are_refused():
    single = dn.compile(ddim, dn.grid.log_snr(EDM, 1, EDM.at(-3.0), EDM.at(2.0)))
    with pytest.raises(ValueError, match="with 1 evaluations has none to spare"):
        analytic_first(single)
    twice = analytic_first(dn.compile(ddim, dn.grid.log_snr(EDM, 4, EDM.at(-3.0), EDM.at(2.0))))
    with pytest.raises(ValueError, match="with 3 evaluations has none to spare at its first state"):
        analytic_first(twice)


@pytest.mark.parametrize("sampler", [ddim, dpmpp_2m], ids=lambda s: s.name)
def test_the_level_of_the_analytical_step_is_the_best_of_all_between_the_first_two(sampler):
    law = dn.Mixture([0.5, 0.5], [[1.0, 0.0], [-0.8, 0.4]], [[0.05, 0.02], [0.1, 0.04]])
    teacher = Teacher.run(law, FINE, law.sample(12, 3, FINE[0]))
    plain, found = gits(teacher, 4), gits_analytic(teacher, 4, sampler)
    assert found.steps == 5 and [*found][:1] + [*found][2:] == [*plain]

    def error(level):
        grid = dn.grid.through(EDM, [plain[0], level, *plain[1:]])
        model = Guessing(law, plain[0])
        ends = dn.sample(dn.compile(sampler, grid), model, teacher.states[0])
        return np.linalg.norm(ends - teacher.states[-1], axis=-1).mean()

    between = [level for level in FINE if plain[0].lam < level.lam < plain[1].lam]
    assert len(between) > 3 and error(found[1]) == min(map(error, between))
    # the step is free
    plan = analytic_first(dn.compile(sampler, found))
    assert plan.nfe == dn.compile(sampler, plain).nfe


def test_a_grid_without_a_level_between_keeps_its_own():
    teacher = Teacher.gaussian(SPECTRUM, dn.grid.log_snr(EDM, 4, EDM.at(-4.0), EDM.at(3.0)))
    assert gits_analytic(teacher, 4) == gits(teacher, 4)


# --- amplitudes renormalised ---


def test_amplitudes_of_pure_noise_are_those_of_the_standard_normal():
    flow, law = dn.Flow(), gaussian(np.geomspace(1.0, 0.01, 4000))
    teacher = Teacher.run(law, dn.grid.uniform(flow, 4, end="zero"), law.sample(8, 0, flow.level(1.0)))
    np.testing.assert_allclose(amplitudes(teacher)[0], [-1.6449, 1.6449], atol=0.02)
    assert amplitudes(teacher).shape == (5, 2)


def test_a_run_as_fine_as_the_teacher_has_nothing_to_renormalise():
    law = dn.Mixture([0.5, 0.5], np.stack([np.linspace(1, 0, 30), np.linspace(-1, 1, 30)]), np.full((2, 30), 0.05))
    teacher = Teacher.run(law, FINE, law.sample(1, 0, FINE[0]))
    found = sample_renormalised(teacher, teacher.grid, law, teacher.states[0])
    np.testing.assert_allclose(found, teacher.states[-1], atol=1e-10)


@pytest.mark.parametrize("nodes", [(0, 9, 15, 24), (0, 24), (0, 3, 20, 24)])
def test_where_all_directions_shrink_alike_only_the_last_step_errs(nodes):
    law = gaussian(np.full(20, 0.4))
    teacher = Teacher.run(law, FINE, law.sample(1, 1, FINE[0]))
    found = sample_renormalised(teacher, teacher.through(nodes), law, teacher.states[0])
    np.testing.assert_allclose(found, teacher.leaps(nodes[-2])[-1], rtol=1e-12)


def test_the_map_gives_every_sample_the_teachers_amplitude_and_nothing_else():
    law = gaussian(np.geomspace(2.0, 0.01, 50))
    teacher = Teacher.run(law, FINE, law.sample(6, 2, FINE[0]))
    grid = oss(teacher, 4)
    known = amplitudes(teacher)
    seen = []

    def model(x, level):
        seen.append((level, np.quantile(x, (0.05, 0.95), axis=-1)))
        return law.denoise(x, level)

    sample_renormalised(teacher, grid, model, teacher.states[0])
    assert [level for level, _ in seen] == [*grid][:-1]
    for level, q in seen:
        low, high = known[[*teacher.grid].index(level)]
        np.testing.assert_allclose(q[0], low, rtol=1e-9)
        np.testing.assert_allclose(q[1], high, rtol=1e-9)


def test_where_amplitudes_are_the_samples_own_the_map_moves_what_was_right():
    law = dn.Mixture([0.5, 0.5], [np.tile([1.5, -1.5], 15), np.tile([0.3, -0.3], 15)], np.full((2, 30), 0.02))
    teacher = Teacher.run(law, FINE, law.sample(20, 2, FINE[0]))
    grid = oss(teacher, 6)
    plain = dn.sample(dn.compile(ddim, grid), law, teacher.states[0])
    moved = sample_renormalised(teacher, grid, law, teacher.states[0])
    apart = [np.linalg.norm(x - teacher.states[-1], axis=-1).mean() for x in (plain, moved)]
    assert apart[1] > 2 * apart[0]


def test_what_cannot_be_renormalised_is_refused():
    law = gaussian(np.geomspace(2.0, 0.01, 5))
    teacher = Teacher.run(law, FINE, law.sample(2, 2, FINE[0]))
    with pytest.raises(ValueError, match="teacher has no level"):
        sample_renormalised(teacher, dn.grid.log_snr(EDM, 5, EDM.at(-4.0), EDM.at(3.0)), law, teacher.states[0])
    with pytest.raises(ValueError, match="no amplitude to renormalise"):
        sample_renormalised(teacher, oss(teacher, 3), law, np.ones((2, 5)))
