"""Plans judged on a model of which only its predictions are known, against the same on laws whose flow is exact."""

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.design import Followed, Part, Trajectories, Trial, best_on, candidates, judge
from diffnum.design.contest import Verdict
from diffnum.design.handmade import Candidate
from diffnum.design.interval import Interval
from diffnum.design.trajectories import DATA
from diffnum.solvers import ddim, dpmpp_2m, heun

PROCESS = dn.VP()
LAW = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])
SAMPLERS = [ddim, dpmpp_2m, heun]
START = PROCESS.level(PROCESS.t_start)


def velocity(x, level):
    return LAW.predict(x, level, "velocity")


def network(x, level):
    """A smooth function of images in float32, as a prediction of noise."""
    assert x.dtype == torch.float32
    assert x.shape[1:] == (1, 4, 4)
    return torch.tanh(x + x.roll(1, -1) / 2) * float(level.sigma)


PROCESSES = [PROCESS, dn.VE(), dn.EDM(), dn.Cosine(), dn.Flow(3.0)]
every_process = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
by_default = [p if p.name in ("VP", "Flow") else pytest.param(p, marks=pytest.mark.full) for p in PROCESSES]


def first(process):
    return process.level(process.t_start)


@pytest.fixture(scope="module")
def plan():
    return dn.within("dpmpp_2m", PROCESS, 6, dn.grid.quadratic, "zero")


@pytest.mark.parametrize("process", by_default, ids=lambda process: process.name)
def test_a_function_is_judged_as_the_law_behind_it(process):
    plan = dn.within("dpmpp_2m", process, 6, dn.grid.quadratic, "zero")
    start = plan.start
    assert start == first(process)
    x = LAW.sample(24, 0, start)
    found = judge(plan, velocity, x, process, "velocity", SAMPLERS, tol=1e-4)
    exact = Trial("law", (Part(Trajectories(LAW, start, x, LAW.flow(x, start, DATA, 1e-6), 1e-6)),))
    rival = best_on(exact, candidates(process, 6, SAMPLERS))[0]
    assert str(found.hand_made) == str(rival)
    assert found.error == pytest.approx(exact.error(plan), rel=0.03)
    assert found.hand_made_error == pytest.approx(exact.error(rival.plan), rel=0.03)
    assert found.gain.value == pytest.approx(exact.gain(plan, rival.plan).value, abs=0.03)


@pytest.mark.parametrize(
    "gain, said",
    [
        (Interval(0.184, 0.052, 0.31), "18 % less [5 %, 31 %]"),
        (Interval(-0.09, -0.2, 0.04), "9 % more [-4 %, 20 %]"),
        (Interval(0.02, -0.004, 0.13), "2 % less [0 %, 13 %]"),
        (Interval(-np.inf, -np.inf, -np.inf), "inf % more [inf %, inf %]"),
    ],
)
def test_a_verdict_is_one_line_without_the_plan_in_it(plan, gain, said):
    verdict = Verdict("model", Candidate("ipndm_3", "edm", "stop", plan), 15.12, 12.34, gain)
    assert str(verdict) == f"on model: 12.3 against 15.1 by ipndm_3 on edm, end stop: {said}"
    assert "Plan(" not in repr((verdict,)) and repr(verdict.hand_made) in repr(verdict)


def test_rivals_by_name_are_the_rivals_themselves(plan):
    names = ["ddim", "dpmpp_2m", "heun"]
    assert [str(c) for c in candidates(PROCESS, 6, names)] == [str(c) for c in candidates(PROCESS, 6, SAMPLERS)]
    x = LAW.sample(4, 0, START)
    by_name, by_hand = (judge(plan, velocity, x, PROCESS, "velocity", those) for those in (names, SAMPLERS))
    assert str(by_name.hand_made) == str(by_hand.hand_made) and by_name.gain == by_hand.gain
    for judged in (
        lambda: dn.design.design(LAW.sample(64, 0), samplers=["dim"]),
        lambda: candidates(PROCESS, 6, ["dim"]),
    ):
        with pytest.raises(ValueError, match="'dim' is unknown: did you mean ddim"):
            judged()


@every_process
def test_the_trajectories_of_a_function_are_those_of_the_law_behind_it_to_the_error_they_claim(process):
    start, stop = first(process), process.level(process.t_stop)
    x = LAW.sample(8, 1, start)
    law = Followed(velocity, "velocity", process, stop, x)
    end = LAW.denoise(LAW.flow(x, start, stop, 1e-6), stop)
    for tol in (1e-3, 1e-4):
        found, error = law.verified(x, start, DATA, tol)
        assert np.sqrt(((found - end) ** 2).mean()) <= error <= tol * np.sqrt((found**2).mean())
    at = process.at(-1.0)
    assert np.allclose(law.flow(x, start, at, 1e-5), LAW.flow(x, start, at, 1e-6), atol=1e-4)


@every_process
def test_a_plan_that_is_exact_has_no_error(process):
    """Where the data are one point, every exponential method that ends clean arrives there, from anywhere."""
    point = np.array([0.5, -2.0])
    x = np.random.default_rng(0).standard_normal((6, 2)) * first(process).sigma
    for sampler in (ddim, dpmpp_2m):
        plan = dn.within(sampler, process, 4, dn.grid.quadratic, "zero")
        found = judge(plan, lambda x, level: point + 0 * x, x, process, samplers=[ddim])
        assert found.error < 1e-12
        assert found.gain.value == 0
        assert not found.better


def test_images_of_a_torch_network_keep_their_kind_and_a_plan_gains_nothing_over_itself(plan):
    x = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    found = judge(plan, network, x, PROCESS, "noise", [dpmpp_2m])
    again = judge(found.hand_made.plan, network, x, PROCESS, "noise", [dpmpp_2m])
    assert again.gain.value == again.gain.low == again.gain.high == 0
    assert found.gain.value <= 0
    assert not found.better


def test_trajectories_do_not_depend_on_how_many_are_followed_at_once():
    x = torch.randn(7, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    stop = PROCESS.level(PROCESS.t_stop)
    rows = x.double().numpy().reshape(7, -1)
    ends = [Followed(network, "noise", PROCESS, stop, x, batch).flow(rows, START, DATA) for batch in (2, 64)]
    assert np.array_equal(*ends)


def rough(x, level):
    """No smooth function of the level: nothing converges."""
    return x * float(np.cos(1e6 * level.lam)) * 3.0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"x": LAW.sample(1, 0, START)}, "1 starting points give no interval"),
        ({"x": np.where(np.eye(4, 2), np.nan, 1.0)}, "x holds NaN in 2 of 4 starting points"),
        ({"x": np.full((4, 2), np.inf)}, "x holds infinity in 4 of 4 starting points"),
        ({"prediction": "image"}, "prediction 'image' is unknown"),
        ({"model": rough}, "trajectories of this network still change by"),
    ],
)
def test_what_cannot_be_judged_is_refused(plan, asked, said, monkeypatch):
    monkeypatch.setattr("diffnum.design.followed._MOST", 100)
    given = {"model": velocity, "x": LAW.sample(4, 0, START), "prediction": "velocity", **asked}
    with pytest.raises(ValueError, match=said):
        judge(plan, process=PROCESS, samplers=SAMPLERS, **given)


def test_noise_that_is_not_finite_is_no_start_of_a_fit(plan):
    with pytest.raises(ValueError, match="x holds NaN in 3 of 3 starting points"):
        dn.design.refine(plan, velocity, np.full((3, 2), np.nan), PROCESS, "velocity")


def test_a_prediction_of_noise_says_nothing_from_pure_noise():
    flow = dn.Flow()
    plan = dn.compile("ddim", dn.grid.uniform(flow, 4))
    with pytest.raises(ValueError, match="a prediction of noise says nothing of the data"):
        judge(plan, velocity, LAW.sample(4, 0), flow, "noise", [ddim])


class Told:
    """A network that says what it is."""

    process, prediction = PROCESS, "velocity"

    def __call__(self, x, level):
        return velocity(x, level)


@pytest.mark.parametrize(
    ("process", "prediction", "sentence"),
    [
        (dn.Flow(), "velocity", r"the plan is for the process .*VP.*, not .*Flow.*: pass the process that both have"),
        (PROCESS, "noise", "the network predicts velocity, not noise: pass prediction='velocity'"),
    ],
)
def test_what_plan_and_network_say_of_themselves_is_held_against_what_is_passed(process, prediction, sentence, plan):
    x = LAW.sample(4, 0, plan.start)
    for ask in (judge, dn.design.refine):
        with pytest.raises(ValueError, match=sentence):
            ask(plan, Told(), x, process, prediction)


def test_a_plan_for_another_prediction_than_the_networks_is_refused(plan):
    with pytest.raises(ValueError, match="the network predicts velocity and the plan takes a prediction of data"):
        dn.sample(plan, Told(), LAW.sample(4, 0, plan.start))


def test_a_plan_that_starts_after_all_others_has_no_rival():
    plan = dn.compile("ddim", dn.grid.log_snr(PROCESS, 4, PROCESS.at(3.0)))
    with pytest.raises(ValueError, match=r"no hand-made plan of 4 evaluations starts at log-SNR 3 or later"):
        judge(plan, velocity, LAW.sample(4, 0, plan.start), PROCESS, "velocity", [ddim])


def test_a_plan_that_draws_noise_follows_no_trajectory():
    plan = dn.compile("ddpm_ancestral", dn.grid.uniform(PROCESS, 4))
    with pytest.raises(ValueError, match="draws noise and follows no trajectory"):
        judge(plan, velocity, LAW.sample(4, 0, START), PROCESS, "velocity", [ddim])


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("process", "nfe"),
    [
        pytest.param(PROCESS, 8, id="VP"),
        pytest.param(dn.Flow(), 10, id="Flow, from pure noise"),
    ],
)
def test_on_a_trained_network_that_it_never_saw_a_design_beats_every_hand_made_plan(process, nfe):
    network = dn.images.pretrained("digits", process=process, prediction="velocity")
    made = dn.design.design(dn.images.load("digits").data, nfe, process=process, prediction="velocity")
    x = torch.randn(128, *network.shape, generator=torch.Generator().manual_seed(1)) * first(process).sigma
    found = judge(made.plan, network, x, process, "velocity")
    assert found.better, found.gain


def test_a_plan_without_error_is_not_taken_for_better_than_the_ends_are_known():
    """Nearly clean points of two atoms: a denoise arrives at them exactly, of few trajectories or of all."""
    law = dn.Empirical([[-1.0, 0.0], [1.0, 0.5]])
    process = dn.VP()
    start = process.at(4.0)
    trial = Trial("atoms", (Part(Trajectories.draw(law, start, 8, 0, 1e-4)),))
    exact, other = (
        dn.compile("ddim", dn.grid.through(process, [start, process.at(lam)], end=end))
        for lam, end in ((6.0, "denoise"), (4.5, "stop"))
    )
    assert trial.error(exact) < 1e-9 < trial.error(other)
    gain = trial.gain(other, exact)
    assert np.isfinite([gain.low, gain.high]).all() and gain.high < 0
    assert trial.gain(exact, exact).value == 0
