"""Plans: the equalities of the literature by tableau, printing, JSON round trips, refusals, cost."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selection import DIFFUSING, SCORED, samplers

import diffnum as dn
from diffnum import folding, nodes
from diffnum.plan import PREDICTIONS, Eval, Lin, Plan
from diffnum.prediction import convert, to_data, to_native
from diffnum.read.tableau import canonical, distance
from diffnum.solvers import ALL

PROCESSES = [
    *(dn.VP(), dn.Cosine(), dn.VE(), dn.EDM(), dn.SubVP(), dn.Flow(), dn.Flow(shift=3.0), dn.DDPM()),
    dn.MeanReverting(sigma_max=0.5),
]


def grid(process, n, **options):
    return dn.grid.log_snr(process, n, start=process.at(-3.0), stop=process.at(3.0), **options)


@pytest.mark.parametrize("n", [1, 3, 20])
def test_ddim_edm_euler_and_dpmpp_1_are_one_method(n):
    ddim = dn.compile("ddim", grid(dn.VP(), n))
    assert distance(ddim, dn.compile("euler", grid(dn.EDM(), n))) < 1e-13
    assert distance(ddim, dn.compile("dpmpp_1", grid(dn.VP(), n))) < 1e-13
    assert distance(ddim, dn.compile("dpm_solver_1", grid(dn.VP(), n), "noise")) < 1e-13


@pytest.mark.parametrize("n", [1, 3, 20])
def test_two_methods_are_not_one(n):
    heun, ddim = dn.compile("heun", grid(dn.EDM(), n)), dn.compile("ddim", grid(dn.EDM(), n))
    assert distance(heun, ddim) == math.inf
    midpoint = dn.compile("midpoint", grid(dn.VP(), n))
    assert distance(midpoint, dn.compile("dpm_solver_2", grid(dn.VP(), n))) > 1e-3


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
@pytest.mark.parametrize("name", ["ddim", "dpm_solver_2", "dpmpp_2s", "dpmpp_2m", "dpmpp_3m_corrected"])
def test_exponential_samplers_are_one_method_on_every_process(name, process):
    assert distance(dn.compile(name, grid(dn.VP(), 5)), dn.compile(name, grid(process, 5))) < 1e-12


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", samplers())
def test_prediction_type_does_not_change_the_method(sampler, prediction):
    levels = grid(dn.VP(), 4)
    assert distance(dn.compile(sampler, levels), dn.compile(sampler, levels, prediction)) < 1e-12


@pytest.mark.parametrize("quantity", PREDICTIONS)
@given(lam=st.floats(-5, 8))
def test_conversions_are_inverse(quantity, lam):
    level = dn.VP().at(lam)
    a, b = to_native(level, quantity)
    c, d = to_data(level, quantity)
    assert c + d * a == pytest.approx(0, abs=1e-12 * max(1, abs(c)))
    assert d * b == pytest.approx(1, rel=1e-12)
    assert convert(level, quantity, quantity) == (0.0, 1.0)


def test_three_steps_of_dpmpp_2m_print_readably():
    plan = dn.compile("dpmpp_2m", dn.grid.log_snr(dn.VP(), 3))
    lines = str(plan).splitlines()
    assert lines[0] == "dpmpp_2m on VP: 3 steps, NFE 3, data prediction"
    assert [line.split(" = ")[0].strip() for line in lines[1:-1]] == ["x0", "D0", "x1", "D1", "x2", "D2", "x3"]
    assert ["x1", "D1", "D0"] == [w for w in lines[5].split() if w[0] in "xD" and w != "x2"]
    assert lines[-1] == "return x3"
    assert all(len(line) < 100 for line in lines)


@pytest.mark.parametrize("sampler", samplers())
@pytest.mark.parametrize("end", ["stop", "zero", "denoise", "half"])
def test_json_round_trip_keeps_every_bit(tmp_path, sampler, end):
    plan = dn.compile(sampler, dn.grid.log_snr(dn.VP(), 4, end=end))
    plan.save(tmp_path / "plan.json")
    back = Plan.load(tmp_path / "plan.json")
    assert back == plan and back.hash == plan.hash and str(back) == str(plan)
    assert json.loads((tmp_path / "plan.json").read_text())["schema"] == 1


def test_a_stored_plan_of_schema_one_still_loads():
    from pathlib import Path

    stored = Plan.load(Path(__file__).parent / "fixtures" / "plan_schema_1.json")
    assert stored.nfe == 3 and stored.solver == "dpmpp_2m"
    assert distance(stored, dn.compile("dpmpp_2m", dn.grid.log_snr(dn.VP(), 3))) < 1e-13


def test_hash_sees_the_numbers_and_not_the_names():
    plan = dn.compile("ddim", grid(dn.VP(), 3))
    assert dataclasses.replace(plan, solver="other").hash == plan.hash
    assert dn.compile("ddim", grid(dn.VP(), 4)).hash != plan.hash
    first = plan.lines[1]
    assert isinstance(first, Lin)
    nudged = dataclasses.replace(first, terms=((first.terms[0][0], first.terms[0][1] * (1 + 1e-15)), *first.terms[1:]))
    assert dataclasses.replace(plan, lines=(plan.lines[0], nudged, *plan.lines[2:])).hash != plan.hash


def test_damaged_plans_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "plan.json"
    dn.compile("ddim", grid(dn.VP(), 2)).save(path)
    text = path.read_text()
    for damage, message in [
        (text[:100], "not a readable plan"),
        (text.replace('"schema": 1', '"schema": 99'), "schema 99"),
        (text.replace('"solver": "ddim"', '"solver": "ddim"').replace('"lin"', '"lim"', 1), "incomplete or damaged"),
        ("[]", "not a plan"),
    ]:
        path.write_text(damage)
        with pytest.raises(ValueError, match=message):
            Plan.load(path)
    data = json.loads(text)
    data["lines"][1]["lin"][0][1] *= 2
    with pytest.raises(ValueError, match="hash"):
        Plan.from_json(data)
    with pytest.raises(ValueError, match="absent"):
        Plan.load(tmp_path / "absent.json")


@pytest.mark.parametrize("sampler", samplers())
def test_terms_per_line_stay_bounded(sampler):
    # a step reads its own stages and the points that it remembers, and nothing else
    few, many = (dn.compile(sampler, grid(dn.VP(), n), "noise") for n in (20, 80))
    widest = [max(len(line.terms) for line in plan.lines if isinstance(line, Lin)) for plan in (few, many)]
    assert widest[0] == widest[1] <= 2 + few.depth + few.nfe / few.steps + 4
    assert dn.cost(few).live == dn.cost(many).live <= 12 + few.depth


@pytest.mark.parametrize("sampler", samplers())
@pytest.mark.parametrize("end", ["stop", "zero", "denoise", "half"])
def test_nfe_equals_the_calls_counted(sampler, end):
    plan = dn.compile(sampler, dn.grid.log_snr(dn.VP(), 7, end=end))
    calls = []

    def model(x, level):
        calls.append(level)
        return 0.5 * x

    out = dn.sample(plan, model, np.ones((2, 3)), noise=dn.noise.Counter(0) if plan.draws else None)
    assert len(calls) == plan.nfe == dn.cost(plan).nfe
    assert np.isfinite(out).all()


@pytest.mark.parametrize("process", [dn.Cosine(), dn.Flow()], ids=lambda p: p.name)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", samplers())
@pytest.mark.parametrize("end", ["stop", "zero", "denoise"])
def test_pure_noise_and_clean_ends_are_finite_or_refused_in_one_sentence(process, prediction, sampler, end):
    levels = dn.grid.uniform(process, 4, end=end)
    assert levels[0].pure_noise
    try:
        plan = dn.compile(sampler, levels, prediction)
    except ValueError as error:
        message = str(error)
        assert message.count(". ") == 0 and ("use" in message or "start at" in message)
        return
    assert all(math.isfinite(c) for line in plan.lines if isinstance(line, Lin) for _, c in line.terms)
    assert np.isfinite(canonical(plan).matrix).all()


REFUSED_AT_PURE_NOISE = {"data": DIFFUSING, "velocity": DIFFUSING}


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_table_of_refusals_at_pure_noise(prediction):
    levels = dn.grid.uniform(dn.Cosine(), 4)
    refused = set()
    for name in ALL:
        try:
            dn.compile(name, levels, prediction)
        except ValueError:
            refused.add(name)
    # a noise or score prediction at alpha = 0 carries no estimate of the data: nothing can start there
    assert refused == REFUSED_AT_PURE_NOISE.get(prediction, set(ALL) - SCORED)


def test_live_registers_do_not_grow_with_the_steps():
    for name, sampler in ALL.items():
        few, many = (dn.cost(dn.compile(sampler, grid(dn.VP(), n))) for n in (10, 40))
        assert few.live == many.live <= 15, name
    assert dn.cost(dn.compile("ddim", grid(dn.VP(), 50))).live == 3


def test_cost_ledger():
    ledger = dn.cost(dn.compile("langevin_corrector", grid(dn.VP(), 5, end="denoise")), calls_per_evaluation=2)
    assert (ledger.nfe, ledger.calls, ledger.final, ledger.draws) == (11, 22, 1, 10)
    assert ledger.repeated == 5
    multistep = dn.cost(dn.compile("dpmpp_3m", grid(dn.VP(), 9)))
    assert multistep.start_up == 2 and multistep.wasted == 0

    def wasteful(T, levels):
        for s, t in T.steps(levels):
            T.denoise(T.x, t)
            D = T.denoise(T.x, s)
            T.x = (t.sigma / s.sigma) * T.x + (t.alpha - t.sigma / s.sigma * s.alpha) * D

    assert dn.cost(dn.compile(wasteful, grid(dn.VP(), 4))).wasted == 4


def test_conversions_are_folded_or_stored_by_the_bytes_they_move():
    def greedy(T, levels):
        """Uses one prediction in many lines, so that storing the denoiser's output pays."""
        for s, _t in T.steps(levels):
            D = T.denoise(T.x, s)
            y = T.x
            for _ in range(9):
                y = dn_register(T, D + 0 * y)
            T.x = y

    def dn_register(T, form):
        from diffnum.trace import Form

        return Form(((T.pin(form + Form(((0, 1.0),))), 1.0),))

    stored = dn.cost(dn.compile(greedy, grid(dn.VP(), 3), "noise"))
    folded = dn.cost(dn.compile("ddim", grid(dn.VP(), 3), "noise"))
    # in the first step the state is x_T itself, which every line reads anyway: folding is free
    assert stored.stored == 2 and folded.stored == 0
    for plan in (dn.compile(greedy, grid(dn.VP(), 3), "noise"), dn.compile("dpmpp_2m", grid(dn.VP(), 6), "noise")):
        assert all(isinstance(a, int) and isinstance(b, int) for _, _, a, b in plan.conversions)


def test_a_prediction_that_is_read_twice_is_one_register():
    def twice(T, levels):
        for s, _t in T.steps(levels):
            e = T.evaluate(T.x, s)
            y = 0.5 * e.data + 0.5 * e.slope
            T.x = y + 0.25 * e.data + 0.25 * e.slope

    def once(T, levels):
        for s, _t in T.steps(levels):
            e = T.evaluate(T.x, s)
            D, v = e.data, e.slope
            T.x = 0.75 * D + 0.75 * v

    for prediction in ("noise", "velocity", "data"):
        plans = [dn.compile(f, grid(dn.VP(), 4), prediction) for f in (twice, once)]
        assert len({len(plan.lines) for plan in plans}) == len({plan.conversions for plan in plans}) == 1
        np.testing.assert_allclose(*(dn.tableau(plan) for plan in plans), rtol=1e-13, atol=1e-13)


def test_compile_refuses_what_it_cannot_build():
    with pytest.raises(ValueError, match="'dpmpp_9m' is unknown"):
        dn.compile("dpmpp_9m", grid(dn.VP(), 2))
    with pytest.raises(ValueError, match="prediction 'eps' is unknown"):
        dn.compile("ddim", grid(dn.VP(), 2), "eps")
    with pytest.raises(ValueError, match=r"eta = 1\.5"):
        dn.compile("ddim_eta", grid(dn.VP(), 2), eta=1.5)
    with pytest.raises(ValueError, match="variance-preserving"):
        dn.compile("exponential_integrator", grid(dn.EDM(), 2))

    def short(T, levels):
        for _ in T.steps(levels):
            break

    with pytest.raises(ValueError, match="did not walk its grid"):
        dn.compile(short, grid(dn.VP(), 3))


def test_a_change_of_a_level_that_the_model_is_told_is_seen_by_the_hash():
    data = dn.compile("ddim", grid(dn.VP(), 3)).to_json()
    for key, factor in (("t", 1.01), ("sigma", 2.0)):
        changed = json.loads(json.dumps(data))
        changed["table"][1][key] *= factor
        with pytest.raises(ValueError, match="hash"):
            Plan.from_json(changed)


def test_a_step_that_does_nothing_keeps_its_level():
    def lazy(T, grid):
        for i, (s, t) in enumerate(T.steps(grid)):
            T.x = T.x if i == 1 else (t.sigma / s.sigma) * T.x

    plan = dn.compile(lazy, grid(dn.VP(), 4))
    assert len(set(plan.states)) == 5 and plan.depth == 0


def two_stages(swapped):
    """Two evaluations at one level of different states, in either order."""

    def sampler(T, grid):
        for s, t in T.steps(grid):
            D = T.denoise(T.x, s)
            inputs = [T.x + t.alpha * D, T.x + 2 * t.alpha * D]
            stages = [T.denoise(x, t) for x in (inputs[::-1] if swapped else inputs)]
            first, second = stages[::-1] if swapped else stages
            T.x = T.x + first - 0.5 * second

    return sampler


def test_the_order_in_which_an_author_calls_the_model_at_one_level_is_no_difference():
    levels = grid(dn.VP(), 3)
    assert distance(dn.compile(two_stages(False), levels), dn.compile(two_stages(True), levels)) < 1e-14


def test_denoising_at_the_end_is_a_first_order_step_to_the_clean_level():
    """Off ``alpha = 1`` too, where a result in the scale of ``x`` and one in the scale of the data differ."""
    process = dn.VP()
    levels = [process.at(lam) for lam in (-3.0, -1.0, 1.0)]
    end = dn.grid.custom(process, lams=[x.lam for x in levels], end="denoise")
    step = dn.grid.custom(process, lams=[x.lam for x in levels], end="zero")
    assert distance(dn.compile("ddim", end), dn.compile("ddim", step)) < 1e-14


@pytest.mark.parametrize("name", ["rk4", "dpmpp_2m", "unipc_3_noise", "reversible_midpoint"])
@pytest.mark.parametrize("prediction", ["data", "noise", "velocity"])
def test_a_form_met_before_is_folded_as_one_seen_first(name, prediction):
    levels = [grid(process, 6) for process in (dn.VP(), dn.Cosine(), dn.Flow())]
    again = [dn.compile(name, each, prediction) for each in levels]
    for each, known in zip(levels, again, strict=True):
        folding._folded.cache_clear()
        assert dn.compile(name, each, prediction) == known


def test_lines_made_by_the_thousand_are_lines():
    level = dn.VP().at(0.0)
    assert nodes.linear(((0, 2.0),), "x", 3) == Lin(((0, 2.0),), "x", 3)
    assert nodes.evaluated(1, level, "data", "D", 3) == Eval(1, level, "data", "D", 3)
