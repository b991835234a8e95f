"""A ranking against its own definition: budgets, counts, exact errors and convergence on a small problem."""

from __future__ import annotations

import csv
import io
import math
from itertools import pairwise

import numpy as np
import pytest

import diffnum as dn
from diffnum.plan import Level
from diffnum.solvers import ALL
from diffnum.study import ENDS, GRIDS, RANKED, rank

DATA = Level(0.0, 1.0, 0.0)

RANKED_NAMES = [sampler.name for sampler in RANKED]


@pytest.fixture(scope="module")
def gaussian():
    return dn.Gaussian(np.array([0.3, -0.2, 0.0]), np.array([0.8, 0.2, 0.05]))


@pytest.fixture(scope="module")
def mixture():
    means = np.array([[1.0, -0.5, 0.0], [-0.5, 0.4, 0.1]])
    return dn.Mixture(np.array([0.4, 0.6]), means, np.array([[0.3, 0.2, 0.05], [0.4, 0.1, 0.1]]))


@pytest.fixture(scope="module")
def process():
    return dn.VP()


@pytest.fixture(scope="module")
def ranking(process, gaussian, mixture):
    return rank(process, gaussian, mixture, budgets=(1, 3, 8), paths=5, seed=4)


class Counting:
    """A model that counts its calls."""

    def __init__(self, target):
        self.target, self.calls = target, 0

    def __call__(self, x, level):
        self.calls += 1
        return self.target.denoise(x, level)


def spent(plan, mixture):
    model = Counting(mixture)
    dn.sample(plan, model, np.zeros((1, 3)), noise=dn.noise.Counter(0))
    return model.calls


def test_candidates_never_exceed_their_budget(ranking):
    assert all(entry.nfe <= entry.budget for entry in ranking.all)


def test_nfe_is_what_a_counting_model_sees(ranking, mixture):
    assert all(entry.nfe == spent(entry.plan, mixture) for entry in ranking.all)


def test_one_more_step_would_exceed_the_budget(ranking, process):
    longest = {(e.budget, e.sampler, e.grid, e.end): e for e in sorted(ranking.all, key=lambda e: e.steps)}
    for entry in longest.values():
        longer = dn.compile(entry.sampler, GRIDS[entry.grid](process, entry.steps + 1, end=entry.end))
        assert longer.nfe > entry.budget


@pytest.mark.parametrize("by", ["w2", "path"])
def test_a_larger_budget_never_ranks_worse(ranking, by):
    budgets = sorted(ranking.budgets)
    for small, large in pairwise(budgets):
        before, after = ({e.sampler: getattr(e, by) for e in ranking.best(b, by)} for b in (small, large))
        # one step to the clean level draws no noise, so a stochastic sampler may have a path at budget one alone
        assert all(after[name] <= before[name] for name in before.keys() & after.keys())
        assert by == "path" or before.keys() <= after.keys()


def test_entries_describe_their_plans(ranking):
    for entry in ranking.all:
        assert (entry.sampler, entry.steps, entry.nfe, entry.end) == (
            entry.plan.solver,
            entry.plan.steps,
            entry.plan.nfe,
            entry.plan.end,
        )


def test_all_holds_every_combination_that_compiles(ranking, process):
    for budget in ranking.budgets:
        held = {(e.sampler, e.grid, e.end) for e in ranking.all if e.budget == budget}
        assert held == {
            (name, grid, end)
            for name in RANKED_NAMES
            for grid in GRIDS
            for end in ENDS
            if any(fits(process, name, grid, end, n, budget) for n in range(1, budget + 1))
        }


def fits(process, name, grid, end, n, budget):
    try:
        return dn.compile(name, GRIDS[grid](process, n, end=end)).nfe <= budget
    except ValueError:
        return False


def test_a_sampler_is_absent_exactly_where_it_has_no_candidate(ranking):
    for budget in ranking.budgets:
        present = {entry.sampler for entry in ranking.all if entry.budget == budget}
        assert ranking.absent[budget] == tuple(name for name in RANKED_NAMES if name not in present)


def test_a_four_stage_step_needs_more_than_one_evaluation_and_fits_eight(ranking):
    assert "rk4" in ranking.absent[1] and "euler" not in ranking.absent[1]
    assert "rk4" not in ranking.absent[8]


def test_a_sampler_that_a_process_refuses_is_absent_at_every_budget(gaussian, mixture):
    found = rank(dn.EDM(), gaussian, mixture, (4, 9), samplers=[ALL["exponential_integrator"], ALL["ddim"]], paths=2)
    assert all("exponential_integrator" in names for names in found.absent.values())
    assert {entry.sampler for entry in found.all} == {"ddim"}


def test_w2_is_the_exact_distance_from_the_prior_to_the_data(ranking, gaussian):
    for entry in ranking.all:
        assert entry.w2 == dn.w2(entry.plan, gaussian, at="data", init="prior")


def test_path_is_the_distance_from_the_exact_flow(ranking, mixture):
    for entry in ranking.best(8, by="path")[:3] + ranking.best(3, by="path")[-2:]:
        x = mixture.sample(5, 4, entry.plan.start)
        apart = dn.sample(entry.plan, mixture, x) - mixture.flow(x, entry.plan.start, DATA)
        assert entry.path == pytest.approx(np.sqrt((apart**2).mean()), rel=1e-12)


def test_path_is_nan_exactly_where_noise_is_drawn(ranking):
    for entry in ranking.all:
        assert math.isnan(entry.path) == math.isnan(entry.path_se) == bool(entry.plan.draws)
        assert math.isfinite(entry.w2)


@pytest.mark.parametrize("by", ["w2", "path"])
def test_the_winner_beats_every_other_entry(ranking, by):
    for budget in ranking.budgets:
        winner = ranking.winner(budget, by)
        others = [getattr(entry, by) for entry in ranking.all if entry.budget == budget]
        assert getattr(winner, by) == np.nanmin(others)


def test_entries_are_each_samplers_best_in_order(ranking):
    for budget in ranking.budgets:
        chosen = [entry for entry in ranking.entries if entry.budget == budget]
        assert [entry.w2 for entry in chosen] == sorted(entry.w2 for entry in chosen)
        assert len({entry.sampler for entry in chosen}) == len(chosen) == len(RANKED) - len(ranking.absent[budget])
        for entry in ranking.all:
            if entry.budget == budget:
                assert next(c for c in chosen if c.sampler == entry.sampler).w2 <= entry.w2


def test_rows_are_the_candidates(ranking):
    rows = ranking.rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    back = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert [(r["sampler"], r["grid"], int(r["nfe"]), float(r["w2"])) for r in back] == [
        (e.sampler, e.grid, e.nfe, e.w2) for e in ranking.all
    ]
    assert sum(row["best"] for row in rows) == len(ranking.entries)


PROCESSES = [dn.VP(), dn.Cosine(), dn.VE(sigma_min=1e-3), dn.EDM(), dn.SubVP(), dn.Flow(), dn.DDPM()]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpmpp_2m", 2)])
def test_path_error_falls_to_zero_at_the_samplers_order(process, name, order, gaussian, mixture):
    found = rank(process, gaussian, mixture, (8, 64), samplers=[ALL[name]], ends=("zero", "denoise"), paths=4)
    few, many = (found.winner(budget, by="path").path for budget in found.budgets)
    assert many < 3 * few / 8**order


def test_more_evaluations_bring_the_law_closer(process, gaussian, mixture):
    found = rank(process, gaussian, mixture, (4, 16, 64), samplers=[ALL["ddpm_ancestral"], ALL["heun"]], paths=1)
    for solver in ("ddpm_ancestral", "heun"):
        least = [next(e.w2 for e in found.best(b) if e.sampler == solver) for b in found.budgets]
        assert least[0] > least[1] > least[2]


def test_a_ranking_is_the_same_again(process, gaussian, mixture, ranking):
    again = rank(process, gaussian, mixture, budgets=(8, 3), samplers=[ALL["dpmpp_2m"]], paths=5, seed=4)
    before = {(e.budget, e.grid, e.end, e.steps): e for e in ranking.all if e.sampler == "dpmpp_2m"}
    assert again.budgets == (8, 3) and again.all[0].budget == 8
    for entry in again.all:
        earlier = before[entry.budget, entry.grid, entry.end, entry.steps]
        assert (entry.w2, entry.path) == (earlier.w2, earlier.path)


def test_a_sampler_of_ones_own_on_a_grid_of_ones_own(process, gaussian, mixture):
    @dn.solver(order=1, cold=1, cite="here")
    def own(T, grid):
        for s, t in T.steps(grid):
            r = t.sigma / s.sigma
            T.x = r * T.x + (t.alpha - r * s.alpha) * T.denoise(T.x, s)

    grids = {"mine": dn.grid.uniform}
    found = rank(process, gaussian, mixture, (5,), samplers=[own, ALL["ddim"]], grids=grids, paths=3)
    mine, ddim = ([e for e in found.all if e.sampler == name] for name in ("own", "ddim"))
    assert [e.grid for e in mine] == ["mine"] * len(ENDS)
    assert [e.w2 for e in mine] == pytest.approx([e.w2 for e in ddim], rel=1e-10)


def test_progress_counts_every_candidate(process, gaussian, mixture):
    seen = []
    samplers = [ALL["rk4"], ALL["ddim"]]
    rank(process, gaussian, mixture, (1, 2), samplers, paths=1, on_progress=lambda *at: seen.append(at))
    total = 2 * len(GRIDS) * len(ENDS) * 2
    assert seen == [(done, total) for done in range(1, total + 1)]


class Shy:
    """A mixture whose flow refuses points beyond a limit, whatever comes with them."""

    def __init__(self, mixture, limit):
        self.mixture, self.limit, self.dim = mixture, limit, mixture.dim
        self.sample, self.denoise, self.predict = mixture.sample, mixture.denoise, mixture.predict

    def flow(self, x, s, t):
        if x[:, 0].max() > self.limit:
            raise ValueError("a watershed")
        return self.mixture.flow(x, s, t)


def test_points_whose_flow_is_unknown_are_left_out(process, gaussian, mixture):
    start = process.level(process.t_start)
    x = mixture.sample(9, 4, start)
    limit = np.sort(x[:, 0])[6]
    one = {"samplers": [ALL["ddim"]], "grids": {"uniform": dn.grid.uniform}, "ends": ("zero",)}
    setting = one | {"paths": 9, "seed": 4}
    entry = rank(process, gaussian, Shy(mixture, limit), (6,), **setting).all[0]
    x = x[x[:, 0] <= limit]
    apart = dn.sample(entry.plan, mixture, x) - mixture.flow(x, start, DATA)
    assert entry.path == pytest.approx(np.sqrt((apart**2).mean()), rel=1e-9)
    with pytest.raises(ValueError, match="a watershed"):
        rank(process, gaussian, Shy(mixture, x[:, 0].min()), (6,), **setting)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"budgets": ()}, "at least one"),
        ({"budgets": (5, 0)}, "budget 0"),
        ({"budgets": (5, 2.5)}, "budget 2.5"),
        ({"budgets": (5, 8, 5)}, "5 comes 2 times"),
        ({"paths": 0}, "paths = 0"),
        ({"gaussian": dn.Gaussian.power_law(2)}, "2 (Gaussian)"),
    ],
)
def test_bad_input_is_refused_by_value_and_remedy(process, gaussian, mixture, change, part):
    with pytest.raises(ValueError) as refusal:
        rank(**({"process": process, "gaussian": gaussian, "mixture": mixture, "budgets": (5,)} | change))
    assert part in str(refusal.value) and "\n" not in str(refusal.value)


def test_questions_that_have_no_answer_are_refused(process, gaussian, mixture, ranking):
    with pytest.raises(ValueError, match=r"budget 7 was not ranked: use one of 1, 3, 8"):
        ranking.winner(7)
    with pytest.raises(ValueError, match=r"by = 'fid' is unknown"):
        ranking.winner(8, by="fid")
    noisy = rank(process, gaussian, mixture, (2,), samplers=[ALL["ddpm_ancestral"]], paths=1)
    with pytest.raises(ValueError, match=r"no sampler has a path error at budget 2"):
        noisy.winner(2, by="path")
