"""Dynamic programming against exhaustive search, and what step-size searches find against the true optimum."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.design.grids import (
    Evolution,
    Teacher,
    beta,
    boss,
    boss_costs,
    certified_kl,
    certified_w2,
    deviation_costs,
    evolve,
    gits,
    l1_costs,
    l2_costs,
    lower_bound_w2,
    oss,
    oss_corrected,
    oss_published,
    shortest,
    spectral_w2,
    step_factors,
    tangent,
)
from diffnum.solvers import ddim, ddpm_ancestral, dpmpp_2m, euler, heun

EDM, FLOW, VP = dn.EDM(), dn.Flow(), dn.VP()
FINE = dn.grid.log_snr(EDM, 12, EDM.at(-3.0), EDM.at(3.0))
SPECTRUM = np.array([1.0, 0.2, 0.02])


def gaussian(spectrum):
    return dn.Gaussian(np.zeros(len(spectrum)), np.asarray(spectrum, dtype=float))


def subsets(size, n):
    return [(0, *inner, size - 1) for inner in itertools.combinations(range(1, size - 1), n - 1)]


def least(candidates, n, judge):
    """By trying all."""
    grids = (
        dn.grid.through(candidates.process, [candidates[i] for i in nodes], candidates.end)
        for nodes in subsets(len(candidates), n)
    )
    return min(map(judge, grids))


def exhaustive(costs, n, factor):
    def cost(nodes):
        steps = [costs[i, j] for i, j in itertools.pairwise(nodes)]
        return sum(factor**k * step for k, step in enumerate(steps))

    return min(map(cost, subsets(len(costs), n)))


@given(st.integers(2, 9), st.data())
@settings(max_examples=60, deadline=None)
def test_the_shortest_path_is_the_least_of_all(size, data):
    n = data.draw(st.integers(1, size - 1))
    factor = data.draw(st.sampled_from([1.0, 1.15, 0.8]))
    costs = np.random.default_rng(data.draw(st.integers(0, 10**6))).normal(size=(size, size))
    costs[np.tri(size, dtype=bool)] = np.inf
    path = shortest(costs, n, factor)
    assert len(path.nodes) == n + 1 and path.cost == pytest.approx(exhaustive(costs, n, factor), abs=1e-12)
    assert (np.diff(path.nodes) > 0).all() and path.nodes[0] == 0 and path.nodes[-1] == size - 1


def program(costs, n):
    """The same as an integer program: one unit of flow from the first level to the last over ``n`` steps."""
    from scipy.optimize import LinearConstraint, milp

    size = len(costs)
    edges = list(itertools.combinations(range(size), 2))
    balance = np.array([[(i == node) - (j == node) for i, j in edges] for node in range(size)])
    net = np.array([1.0, *[0.0] * (size - 2), -1.0])
    rows = [LinearConstraint(balance, net, net), LinearConstraint(np.ones((1, len(edges))), n, n)]
    found = milp(np.array([costs[e] for e in edges]), constraints=rows, integrality=np.ones(len(edges)), bounds=(0, 1))
    return found.fun


@pytest.mark.parametrize("n", [2, 5, 9])
def test_bellman_steps_are_the_integer_program_s_and_exhaustive_search_s(n):
    costs = boss_costs(Teacher.gaussian(SPECTRUM, FINE))
    found = shortest(costs, n).cost
    assert found == pytest.approx(program(costs, n), rel=1e-9) == pytest.approx(exhaustive(costs, n, 1.0), rel=1e-12)


@pytest.mark.parametrize("process", [EDM, FLOW, VP], ids=lambda p: p.name)
def test_costs_on_a_gaussian_are_those_of_many_samples_and_of_its_closed_form(process):
    grid = dn.grid.log_snr(process, 5, process.at(-2.0), process.at(2.0))
    target = gaussian(SPECTRUM)
    exact = boss_costs(Teacher.gaussian(SPECTRUM, grid))
    drawn = boss_costs(Teacher.run(target, grid, target.sample(20000, 0, grid[0])))
    np.testing.assert_allclose(drawn, exact, rtol=0.05, atol=1e-30)
    # the run's factor to level i, times the step's factor less that of the run from i to j
    steps = np.array([[_factor(s, t) for t in grid] for s in grid])
    runs = [np.prod([steps[k, k + 1] for k in range(i)], axis=0) for i in range(6)]
    start = grid[0].alpha ** 2 * SPECTRUM + grid[0].sigma ** 2
    for i, j in itertools.combinations(range(6), 2):
        closed = (start * (runs[i] * steps[i, j] - runs[j]) ** 2).sum()
        assert exact[i, j] == pytest.approx(closed, rel=1e-9, abs=1e-28)


def _factor(s, t):
    r = t.sigma / s.sigma
    return r + (t.alpha - r * s.alpha) * s.alpha * SPECTRUM / (s.alpha**2 * SPECTRUM + s.sigma**2)


def test_straight_flows_and_all_steps_cost_nothing():
    point = dn.Gaussian(np.array([0.3, -0.2]), np.zeros(2))
    grid = dn.grid.uniform(FLOW, 8, end="zero")
    x = np.random.default_rng(0).standard_normal((5, 2))
    straight = Teacher.run(point, grid, x)
    assert np.nanmax(np.where(np.isfinite(boss_costs(straight)), boss_costs(straight), np.nan)) < 1e-30
    curved = Teacher.gaussian(SPECTRUM, FINE)
    assert shortest(boss_costs(curved), 12).cost < 1e-28 < 1e-3 < shortest(boss_costs(curved), 4).cost
    for search in (boss, oss):
        assert search(curved, 12) == dn.grid.through(EDM, FINE.levels)


def mixture():
    return dn.Mixture([0.4, 0.6], [[-1.0, 0.2], [0.8, -0.3]], np.full((2, 2), 0.02))


def rotated(angle=0.7):
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    plain = mixture()
    spread = np.stack([turn @ np.diag([0.02, 0.02]) @ turn.T] * 2)
    return turn, dn.Mixture(plain.weights, plain.means @ turn.T, spread)


@pytest.mark.parametrize("search", [boss, oss, gits], ids=lambda f: f.__name__)
def test_searched_steps_do_not_change_when_data_are_rotated(search):
    turn, other = rotated()
    x = mixture().sample(16, 3, FINE[0])
    plain, turned = Teacher.run(mixture(), FINE, x), Teacher.run(other, FINE, x @ turn.T)
    np.testing.assert_allclose(turned.states, plain.states @ turn.T, atol=1e-10)
    for n in (3, 5):
        assert search(plain, n) == search(turned, n)
    assert search(plain, 3) != dn.grid.log_snr(EDM, 3, FINE[0], FINE[-1])


def test_gits_weighs_late_steps_more_the_larger_its_coefficient():
    teacher = Teacher.run(mixture(), FINE, mixture().sample(32, 5, FINE[0]))
    for costs in (l1_costs, l2_costs, deviation_costs):
        table = costs(teacher)
        for coefficient in (0.8, 1.0, 1.15):
            assert shortest(table, 5, coefficient).cost == pytest.approx(exhaustive(table, 5, coefficient), rel=1e-12)
        second = [gits(teacher, 5, coefficient, costs)[1].lam for coefficient in (0.8, 1.0, 1.3)]
        assert second[0] <= second[1] <= second[2] and second[0] < second[2]


def test_deviations_are_those_of_a_triangle():
    teacher = Teacher.run(mixture(), FINE, mixture().sample(4, 5, FINE[0]))
    a, c = teacher.states[0], teacher.states[-1]

    def height(b):
        area = abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
        return area / np.linalg.norm(c - a, axis=1)

    for i, j in ((0, 3), (2, 9), (4, 12)):
        step = teacher.leaps(i)[j - i - 1]
        expected = (height(step) - height(teacher.states[j])).mean()
        assert deviation_costs(teacher)[i, j] == pytest.approx(expected, rel=1e-9)


def ends(teacher, x, calls):
    """Where the authors' inference ends that calls the model at these levels, the first of which reads ``x_T``."""
    for i, j in itertools.pairwise([*calls, len(teacher.grid) - 1]):
        if i < j:
            x = teacher.steps_from(i, x, teacher.denoise(x, i))[j - i - 1]
    return x


def test_greedy_states_are_not_optimal_and_the_gap_is_a_number():
    """OSS keeps the state nearest to the run's at each level; the best schedule of all may pass through another."""
    gaps = []
    for seed in range(6):
        x = mixture().sample(1, seed, FINE[0])
        teacher = Teacher.run(mixture(), FINE, x)

        def error(nodes, teacher=teacher, x=x):
            return np.linalg.norm(ends(teacher, x, nodes[:-1]) - teacher.states[-1])

        best = min(map(error, subsets(13, 4)))
        grid = oss(teacher, 4)
        gaps.append(error([FINE.levels.index(level) for level in grid]) / best)
    assert min(gaps) >= 1 - 1e-12 and max(gaps) > 1.001


def greedy_errors(lists):
    x = mixture().sample(5, 2, FINE[0])
    teacher = Teacher.run(mixture(), FINE, x)
    found = [[ends(teacher, x[k : k + 1], calls) for k, calls in enumerate(lists(teacher, n))] for n in range(1, 13)]
    return np.linalg.norm(np.array(found)[:, :, 0] - teacher.states[-1], axis=-1)


def test_the_last_error_of_greedy_states_does_not_rise_with_more_steps_where_they_are_traced():
    errors = greedy_errors(oss_corrected)
    assert (np.diff(errors, axis=0) <= 1e-12).all() and errors[-1].max() < 1e-12
    published = greedy_errors(oss_published)
    # as published, lists do not lead to the states whose costs were recorded
    assert np.diff(published, axis=0).max() > 0.1 and (published >= errors - 1e-12).all()
    assert published[-1].max() < 1e-12
    np.testing.assert_allclose(published[:2], errors[:2], atol=1e-12)


def test_published_greedy_steps_may_begin_below_the_first_level_and_ours_do_not():
    x = mixture().sample(8, 2, FINE[0])
    teacher = Teacher.run(mixture(), FINE, x)
    begins = np.concatenate([oss_published(teacher, n)[:, 0] for n in (2, 3, 4)])
    assert begins.max() > 0
    assert all(oss(teacher, n)[0] == FINE[0] and oss(teacher, n).steps == n for n in (2, 3, 4))


EVERY = [
    pytest.param(
        sampler, end, id=f"{sampler.name}-{end}", marks=[] if sampler is ddim or end == "stop" else pytest.mark.full
    )
    for sampler, end in itertools.product((ddim, heun, euler), ("stop", "zero", "denoise"))
]


@pytest.mark.parametrize(("sampler", "end"), EVERY)
def test_certified_grids_are_the_best_of_all_subsets(sampler, end):
    process = VP
    candidates = dn.grid.log_snr(process, 13, process.at(-3.0), process.at(2.5), end)
    found = certified_w2(sampler, candidates, 4, SPECTRUM, gap=1e-9, subproblems=3000)
    best = least(candidates, 4, lambda grid: dn.w2(dn.compile(sampler, grid), gaussian(SPECTRUM)))
    assert found.value == pytest.approx(best, rel=1e-9) and found.gap < 1e-8
    assert dn.w2(dn.compile(sampler, found.grid), gaussian(SPECTRUM)) == pytest.approx(found.value, rel=1e-9)
    assert found.grid.end == candidates.end


@pytest.mark.parametrize("sampler", [ddim, heun], ids=lambda s: s.name)
def test_certified_grids_are_the_best_of_all_subsets_for_divergence_too(sampler):
    candidates = dn.grid.log_snr(FLOW, 14, FLOW.at(-3.0), FLOW.at(3.0))
    found = certified_kl(sampler, candidates, 4, SPECTRUM, gap=1e-9, subproblems=3000)
    best = least(candidates, 4, lambda grid: dn.kl(dn.compile(sampler, grid), gaussian(SPECTRUM)))
    assert found.value == pytest.approx(best, rel=1e-9) and found.gap < 1e-8


@given(st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_certificates_hold_for_random_spectra(seed):
    spectrum = np.exp(np.random.default_rng(seed).uniform(-6, 2, size=4))
    found = certified_w2(ddim, FINE, 3, spectrum, gap=0.0)
    best = least(FINE, 3, lambda grid: dn.w2(dn.compile("ddim", grid), gaussian(spectrum)))
    assert found.bound <= best * (1 + 1e-9) and found.value == pytest.approx(best, rel=1e-9)


def test_a_bound_that_is_cut_off_early_is_below_the_optimum_and_says_how_far():
    wide = np.arange(1.0, 33.0) ** -2.0
    candidates = dn.grid.log_snr(EDM, 30, EDM.at(-4.0), EDM.at(4.0))
    early, late = (certified_w2(ddim, candidates, 5, wide, subproblems=k) for k in (1, 60))
    assert early.bound <= late.bound <= late.value <= early.value
    assert 0 < early.gap < 0.05 and late.gap <= early.gap


def test_the_tangent_law_is_certified_among_its_own_levels_and_any_others():
    law = tangent(EDM, 4, 0.3, EDM.at(-3.0), EDM.at(3.0))
    lams = sorted({*(level.lam for level in law.levels[1:-1]), *np.linspace(-2.8, 2.8, 30)})
    candidates = dn.grid.through(EDM, [law[0], *map(EDM.at, lams), law[-1]])
    found = certified_w2(ddim, candidates, 4, [0.3])
    assert [level.lam for level in found.grid] == [level.lam for level in law] and found.gap < 1e-9
    assert found.searched == 1


def test_gradient_and_dynamic_programming_agree():
    start, stop = EDM.at(-3.0), EDM.at(3.0)
    smooth = spectral_w2(ddim, EDM, 4, SPECTRUM, start, stop)
    error = dn.w2(dn.compile("ddim", smooth), gaussian(SPECTRUM))
    values = []
    for steps in (20, 80):
        candidates = dn.grid.log_snr(EDM, steps, start, stop)
        found = certified_w2(ddim, candidates, 4, SPECTRUM)
        values.append(found.value)
        width = candidates.h[0]
        np.testing.assert_allclose([x.lam for x in found.grid], [x.lam for x in smooth], atol=width)
    # the optimum is flat: its error falls with the square of the spacing
    assert 0 <= values[1] - error < (values[0] - error) / 4 + 1e-12
    assert lower_bound_w2(EDM, 4, SPECTRUM, start, stop) < error


def test_a_proxy_of_added_costs_is_beaten_by_the_error_itself():
    candidates = dn.grid.log_snr(EDM, 40, EDM.at(-3.0), EDM.at(3.0))
    teacher = Teacher.gaussian(SPECTRUM, candidates)

    def error(grid):
        return dn.w2(dn.compile("ddim", grid), gaussian(SPECTRUM))

    for n in (3, 5, 8):
        best = certified_w2(ddim, candidates, n, SPECTRUM).value
        equal = error(dn.grid.log_snr(EDM, n, candidates[0], candidates[-1]))
        assert best * 1.005 < error(boss(teacher, n)) < equal
        # on a Gaussian the state nearest to the run's is as good as any here
        assert best * (1 - 1e-12) <= error(oss(teacher, n)) < error(boss(teacher, n))


def test_evolution_reaches_the_certified_optimum_and_never_forgets_its_best():
    candidates = dn.grid.log_snr(EDM, 20, EDM.at(-3.0), EDM.at(3.0))
    found = certified_w2(ddim, candidates, 5, SPECTRUM, gap=1e-9)
    history = []

    def judge(grid):
        return dn.w2(dn.compile("ddim", grid), gaussian(SPECTRUM))

    grid = evolve(candidates, 5, judge, seed=0, settings=Evolution(generations=12), history=history)
    assert judge(grid) == pytest.approx(found.value, rel=1e-9) == history[-1]
    assert (np.diff(history) <= 0).all() and history[-1] < history[0]
    # any sampler, also one that no dynamic programming can judge
    small = dn.grid.log_snr(EDM, 9, EDM.at(-3.0), EDM.at(3.0))

    def other(grid):
        return dn.w2(dn.compile(dpmpp_2m, grid), gaussian(SPECTRUM))

    assert other(evolve(small, 4, other, settings=Evolution(generations=12))) == least(small, 4, other)


def test_evolution_repeats_itself_and_survives_a_judge_who_says_nan():
    def judge(grid):
        return math.nan if grid[1].lam < -1 else grid[1].lam

    first, again = (evolve(FINE, 3, judge, seed=4, settings=Evolution(generations=4)) for _ in range(2))
    assert first == again and first[1].lam == pytest.approx(-1)


def test_factors_of_steps_are_cosines_of_angles():
    logs = step_factors(ddim, FINE, SPECTRUM)
    angles = np.arctan([[level.sigma / math.sqrt(c) for c in SPECTRUM] for level in FINE])
    for i, j in itertools.combinations(range(13), 2):
        np.testing.assert_allclose(logs[i, j], np.log(np.cos(angles[i] - angles[j])), atol=1e-14)


@pytest.mark.parametrize("make", [beta, dn.grid.uniform, dn.grid.karras], ids=lambda f: f.__name__)
def test_products_of_factors_are_the_exact_error_and_above_the_certified_one(make):
    grid = make(VP, 5, start=VP.at(-3.0), stop=VP.at(3.0))
    logs = step_factors(ddim, grid, SPECTRUM)
    total = sum(logs[i, i + 1] for i in range(5))
    wanted = grid[-1].alpha ** 2 * SPECTRUM + grid[-1].sigma ** 2
    error = dn.w2(dn.compile("ddim", grid), gaussian(SPECTRUM))
    assert error == pytest.approx(math.sqrt(wanted @ np.expm1(total) ** 2), rel=1e-10)
    others = dn.grid.log_snr(VP, 24, grid[0], grid[-1]).levels[1:-1]
    lams = sorted(level.lam for level in [*grid.levels[1:-1], *others])
    candidates = dn.grid.through(VP, [grid[0], *map(VP.at, lams), grid[-1]])
    assert certified_w2(ddim, candidates, 5, SPECTRUM).value < error


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: certified_w2(dpmpp_2m, FINE, 4, SPECTRUM), "looks back"),
        (lambda: certified_w2(ddpm_ancestral, FINE, 4, SPECTRUM), "draws noise"),
        (lambda: certified_w2(ddim, FINE, 13, SPECTRUM), "at most 12 steps"),
        (lambda: certified_w2(ddim, dn.grid.log_snr(EDM, 1), 1, SPECTRUM), "at least three"),
        (lambda: boss(Teacher.gaussian(SPECTRUM, FINE), 13), "at most 12 steps"),
        (lambda: oss(Teacher.gaussian(SPECTRUM, FINE), 13), "use 1 to 12"),
        (lambda: evolve(FINE, 13, lambda grid: 0.0), "use 1 to 12"),
        (lambda: Teacher.gaussian(SPECTRUM, dn.grid.log_snr(EDM, 4, end="denoise")), "use 'stop' or 'zero'"),
        (lambda: gits(Teacher.gaussian(SPECTRUM, dn.grid.uniform(FLOW, 4, end="zero")), 2), "alpha = 0"),
        (lambda: shortest(np.full((3, 4), 1.0), 2), "square"),
        (lambda: shortest(np.ones((3, 3)), 0), "integer >= 1"),
        (lambda: shortest(np.ones((3, 3)), 1, factor=0.0), "number > 0"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, said):
    with pytest.raises(ValueError, match=said) as error:
        make()
    assert "\n" not in str(error.value)
