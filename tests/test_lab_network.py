"""A ranking held against a network: a network whose answers are a law's is borne out as the law is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import diffnum as dn
from diffnum.design.trajectories import DATA
from diffnum.figures.agreement import agreement, leaders
from diffnum.images import Dataset, load
from diffnum.lab import run_study
from diffnum.lab.network import Trajectories, check_ranking, network_for, spearman
from diffnum.lab.report import spearman_of
from diffnum.lab.study import network_table
from diffnum.solvers import ddim, ddpm_ancestral, dpmpp_2m, exp_ab3, heun, unipc_2
from diffnum.study import RANKED, rank

PROCESS = dn.VP()
GRIDS = {"log_snr": dn.grid.log_snr, "edm": dn.grid.edm}
SAMPLERS = (ddim, dpmpp_2m, exp_ab3, heun, unipc_2, ddpm_ancestral)


def law() -> dn.Mixture:
    means = np.array([[0.9, -0.5, 0.2, 0.0], [-0.8, 0.7, 0.0, 0.1]])
    return dn.Mixture([0.4, 0.6], means, np.array([[0.3, 0.2, 0.1, 0.05], [0.2, 0.3, 0.05, 0.1]]))


@dataclass(frozen=True)
class Stand:
    """A network of images of 2x2 that knows a law exactly."""

    process: object
    target: object = field(default_factory=law)
    prediction: str = "velocity"
    shape: tuple = (1, 2, 2)
    module: torch.nn.Module = field(default_factory=torch.nn.Identity)

    def __call__(self, x, level):
        assert x.dtype == torch.float32
        rows = x.double().numpy().reshape(len(x), 4)
        return torch.as_tensor(self.target.predict(rows, level, self.prediction)).reshape(x.shape).float()


@pytest.fixture(scope="module")
def ranking():
    found = law()
    mean = found.weights @ found.means
    gaussian = dn.Gaussian(mean, np.full(4, 0.4))
    return rank(PROCESS, gaussian, found, (4, 9), SAMPLERS, GRIDS, paths=8)


@pytest.fixture(scope="module")
def trajectories():
    return Trajectories.draw(Stand(PROCESS), 12, seed=1)


@pytest.fixture(scope="module")
def study(ranking, trajectories):
    return check_ranking(ranking, trajectories, "stand-in")


def test_trajectories_of_a_network_end_where_the_flow_of_its_law_does(trajectories):
    for start in (PROCESS.level(1.0), PROCESS.at(-3.0)):
        exact = law().flow(trajectories.rows * start.sigma, start, DATA)
        # the last level that the network is asked at, and its tolerance
        np.testing.assert_allclose(trajectories.ends(start), exact, atol=5e-3)


def test_trajectories_from_pure_noise_end_where_those_from_little_signal_do():
    flow = Trajectories.draw(Stand(dn.Flow()), 6, seed=1)
    pure, near = dn.Flow().level(1.0), dn.Flow().at(-9.0)
    assert pure.pure_noise
    np.testing.assert_allclose(flow.ends(pure), flow.ends(near), atol=2e-3)


def test_errors_on_a_network_are_those_on_its_law(study, trajectories):
    for check in study.checks["path", 9]:
        plan = check.entry.plan
        x = trajectories.rows * plan.start.sigma
        exact = dn.sample(plan, law(), x) - law().flow(x, plan.start, DATA)
        assert check.error == pytest.approx(np.sqrt((exact**2).mean()), rel=0.05, abs=5e-3)
        assert 0 < check.error_se < check.error


def test_checks_are_each_samplers_best_by_the_prediction_and_none_draws_noise(study, ranking):
    for (by, budget), checks in study.checks.items():
        expected = [e for e in ranking.best(budget, by) if not e.plan.draws]
        assert [c.entry for c in checks] == expected
        assert "ddpm_ancestral" not in {c.entry.sampler for c in checks}
        assert study.recommended(by, budget).entry is expected[0]
        assert study.best(budget).error <= min(c.error for c in checks)
        place, among = study.place(by, budget)
        assert sorted(c.error for c in checks)[place - 1] == checks[0].error
        assert among == len(checks) == 5


def test_rows_and_record_say_the_same(study):
    record, rows = study.record(), study.rows()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["points"] == 12
    for plan in record["plans"]:
        same = [r for r in rows if (r["by"], r["budget"]) == (plan["by"], plan["budget"])]
        assert same[0]["sampler"] == plan["sampler"]
        assert same[0]["network"] == plan["error"]
        expected = spearmanr([r[plan["by"]] for r in same], [r["network"] for r in same]).statistic
        assert plan["spearman"][0] == pytest.approx(expected)


def test_plans_that_draw_noise_follow_no_trajectory(trajectories):
    plan = dn.compile("ddpm_ancestral", dn.grid.log_snr(PROCESS, 3))
    with pytest.raises(ValueError, match="ddpm_ancestral draws noise and follows no trajectory"):
        trajectories.squares(plan)


def test_a_plan_that_blows_up_is_last_and_not_nan(trajectories):
    plan = dn.compile("ddim", dn.grid.log_snr(PROCESS, 3))
    lost = Trajectories(Stand(PROCESS), trajectories.z)
    lost._ends[plan.start] = np.full((12, 4), np.nan)
    assert lost.error(plan) == np.inf


def test_spearman_is_one_for_equal_order_and_its_interval_covers_that_of_all_orders():
    assert spearman([1, 2, 3, 4], [10, 20, 30, 40]).value == 1
    half = [spearman(range(5), order) for order in permutations(range(5))]
    for found in half[:40]:
        assert -1 <= found.low <= found.value <= found.high <= 1
    wide, narrow = (spearman(np.arange(n), np.arange(n) ** 2 % 11) for n in (8, 30))
    assert wide.high - wide.low > narrow.high - narrow.low
    with pytest.raises(ValueError, match="3 pairs give no interval"):
        spearman([1, 2, 3], [1, 2, 3])


def test_the_figure_names_the_best_of_the_prediction_and_of_the_network():
    names = ("a", "b", "c", "d", "e")
    predicted, measured = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.5, np.inf, 3.0, 1.0]
    assert leaders(names, predicted, measured) == ("a", "b", "c", "e")
    axes = dn.figures.panels()[1]
    agreement(axes[0, 0], names, predicted, measured)
    # c is not finite
    assert [text.get_text() for text in axes[0, 0].texts] == ["e", "b", "a"]


@pytest.mark.parametrize(
    ("source", "dataset", "said"),
    [
        ("folder", Dataset(np.zeros((2, 64)), (8, 8, 1), "folder"), "no network here was trained on folder, only on"),
        ("patches", Dataset(np.zeros((2, 3072)), (32, 32, 3), "patches"), "no network here was trained on patches"),
        ("digits", load("digits", size=4, limit=2), "was trained on images of 8x8, not of 4x4"),
    ],
)
def test_images_without_a_network_are_said_to_have_none_in_a_line(source, dataset, said):
    assert said in network_for(source, dataset, PROCESS)


def test_the_digits_have_a_network_for_the_process_of_the_study():
    network = network_for("digits", load("digits", limit=2), dn.EDM())
    assert network.process == dn.EDM()
    assert network.prediction == "data"


def test_the_table_keeps_every_column_in_eighty_characters(study):
    from rich.console import Console

    console = Console(record=True, width=80)
    longest = max((sampler.name for sampler in RANKED if not sampler.stochastic), key=len)

    def lengthened(i, check):
        return replace(check, entry=replace(check.entry, sampler=longest), error=0.0391 + 1e-5 * i, error_se=0.0071)

    checks = {key: tuple(lengthened(i, c) for i, c in enumerate(found)) for key, found in study.checks.items()}
    long = replace(study, checks=checks)
    console.print(network_table(SimpleNamespace(network=long, by="w2")))
    shown = console.export_text()
    for by, budget in long.checks:
        place, among = long.place(by, budget)
        row = f"{budget} {'W₂' if by == 'w2' else by} {longest} 0.039 ± 0.007 {place} of {among} "
        assert row + spearman_of(long, by, budget) in " ".join(shown.split()), shown


@pytest.mark.full
def test_a_study_without_a_network_says_so(study_folder):
    record = json.loads((study_folder / "study.json").read_text())
    assert "was trained on images of 8x8" in record["network"]["said"]
    assert "Not asked: the network of digits" in (study_folder / "report.html").read_text()
    assert not (study_folder / "network.csv").exists()


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_study_of_digits_tells_how_the_network_bears_it_out(tmp_path):
    from rich.console import Console

    console = Console(record=True, width=150)
    study = run_study("digits", [5], tmp_path / "out", limit=300, console=console)
    rho = study.network.spearman("path", 5)
    assert f"{rho.value:.2f} ({rho.low:.2f} to {rho.high:.2f})" in console.export_text()
    assert rho.low > 0
    files = {path.name for path in (tmp_path / "out").rglob("*")}
    assert {"network.csv", "network.png", "network.json", "network-5.png", "network-converged.png"} <= files
    assert "On the trained network" in (tmp_path / "out" / "report.html").read_text()
