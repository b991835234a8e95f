"""Plans as they are run against plans as they are written: fewer registers, the same sampler."""

import gc
import weakref
from itertools import pairwise

import pytest
import torch
from execution_cases import KINDS, network, plan_of, plans, run, start, within_rounding
from hypothesis import given, settings
from selection import samplers

import diffnum as dn
from diffnum.lab.bench import Traffic
from diffnum.plan import Eval, Lin, Plan, sources
from diffnum.read.execute import Hooks, eager
from diffnum.read.lean import lean, unit
from diffnum.read.pieces import Other, Piece, handed, held, pieces
from diffnum.read.tableau import distance

FORMS = {"lean": lean, "unit": unit, "both": lambda plan: unit(lean(plan))}


def alone(plan, x):
    """A run of this very plan."""
    noise = iter([start(*x.shape, dtype=x.dtype, seed=i) for i in range(len(plan.draws))])
    return eager(plan, x, Hooks(lambda x, level, quantity: network(x, level), lambda line: next(noise)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", samplers())
def test_a_plan_as_it_is_run_is_the_same_sampler(name, form):
    plan = plan_of(name, 5)
    other = FORMS[form](plan)
    assert distance(plan, other) < 1e-11
    assert [line.level for line in other.lines if isinstance(line, Eval)] == [
        line.level for line in plan.lines if isinstance(line, Eval)
    ]
    assert held(other) <= held(plan) and dn.cost(other).moved <= sum(
        len(line.terms) + 1 for line in plan.lines if isinstance(line, Lin)
    )


@pytest.mark.parametrize("form", FORMS)
@given(plan=plans())
@settings(max_examples=25, deadline=None)
def test_any_plan_as_it_is_run_computes_the_same(form, plan):
    x = start(2, 3, dtype=torch.float64)
    for one, two in zip(alone(plan, x), alone(FORMS[form](plan), x), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["unipc_3", "unipc_2_noise", "rho_abm3_pec", "dpmpp_3m", "bdf2", "sa_p2c2"])
@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_a_lean_run_rounds_as_often_as_its_lines(name, prediction):
    plan = unit(lean(plan_of(name, 9, prediction)))
    within_rounding(plan, start(4, 16), lambda _, x, hooks: eager(plan, x, hooks))


@pytest.mark.parametrize("name", ["unipc_3", "rho_abm3_pec", "edict"])
def test_who_watches_sees_every_state_and_changes_no_more_than_rounding(name):
    plan, x, seen = plan_of(name), start(3, 4, dtype=torch.float64), []
    end = dn.sample(plan, network, x)
    states = dn.sample(plan, network, x, keep="states")
    told = dn.sample(plan, network, x, callback=lambda i, level, x, D: seen.append(x.clone()))
    assert len(states) == len(plan.states) and torch.equal(told, states[-1])
    assert all(torch.equal(a, b) for a, b in zip(states[1:], seen, strict=True))
    torch.testing.assert_close(end, told, rtol=1e-11, atol=1e-11)


def test_the_corrected_state_of_a_predictor_corrector_is_not_needed():
    # from one prediction to the next: u, D, D', D'', D''' to u on data, one line of a step; the last keeps its own
    plan = plan_of("unipc_3", 12, "data")
    lines = [[len(sources(line)) for _, line in piece] for piece in by_evaluation(lean(plan))]
    assert lines[5:-1] == [[5]] * (len(lines) - 6)
    assert [len(piece) for piece in by_evaluation(plan)][5:-1] == [2] * (len(lines) - 6)


def by_evaluation(plan):
    cuts = [*plan.evaluations, len(plan.lines) + 1]
    return [[(r, plan.lines[r - 1]) for r in range(a + 1, b)] for a, b in pairwise(cuts)]


def test_a_step_of_unipc_is_one_kernel_a_term():
    x = start(4, 300)
    counts = {}
    for prediction in ("data", "noise"):

        def model(x, level):
            traffic.mark()
            with traffic.paused():
                return torch.ones_like(x)

        with Traffic(x.numel()) as traffic:
            dn.sample(plan_of("unipc_3", 8, prediction), model, x)
        counts[prediction] = traffic.pieces[5]
    # five terms; on noise one more, that of the stored prediction
    assert [c.kernels for c in counts.values()] == [5, 6]
    assert [c.moved / x.nbytes for c in counts.values()] == [14, 17]


@given(plan=plans())
@settings(max_examples=40, deadline=None)
def test_pieces_name_every_register_once_and_let_it_die_once(plan):
    parts = pieces(plan)
    made, dead = [0], []
    for part in parts:
        made += [r for r, *_ in part.lines] if isinstance(part, Piece) else [part.register]
        for register, read, coefficients, gone in part.lines if isinstance(part, Piece) else ():
            line = plan.lines[register - 1]
            assert tuple(zip(read, coefficients, strict=True)) == line.terms[::-1] and not set(read) & set(dead)
            dead += gone
        if isinstance(part, Other):
            dead += part.after
    outputs = {r for _, r in plan.outputs}
    assert made == list(range(len(plan.lines) + 1))
    assert len(dead) == len(set(dead)) and outputs | set(dead) >= set(made) - {0} and not outputs & set(dead)


@pytest.mark.parametrize("name", [*KINDS, "rho_abm3_pec"])
def test_only_what_nobody_sees_is_scaled(name):
    plan, x = plan_of(name), start(5, dtype=torch.float64)
    everything, one, two = frozenset(range(len(plan.lines) + 1)), {}, {}
    for other, told in ((plan, one), (unit(plan), two)):
        draws = (start(5, dtype=torch.float64, seed=i) for i in range(len(plan.draws)))
        hooks = Hooks(
            lambda x, level, q: network(x, level), lambda line, d=draws: next(d), told.__setitem__, {}, everything
        )
        eager(other, x, hooks)
    factors = {r: (one[r] / two[r]) for r in one}
    for r, factor in factors.items():
        torch.testing.assert_close(factor, factor[:1].expand(5), rtol=1e-9, atol=0)
        assert r not in handed(plan) or (factor - 1).abs().max() < 1e-9
    assert unit(plan, everything) is plan


def test_what_is_known_of_a_plan_goes_with_it():
    plan = plan_of("unipc_3")
    run(plan, start(2, 3))
    memory = weakref.ref(unit(lean(plan)))
    assert memory() is unit(lean(plan))
    del plan
    gc.collect()
    assert memory() is None


def test_a_plan_of_tensors_is_left_alone():
    leaf = torch.tensor([10.0, 3.0, 1.0, 0.3, 0.1], dtype=torch.float64, requires_grad=True)
    plan = dn.compile("unipc_2", dn.grid.custom(dn.EDM(), sigmas=leaf))
    assert all(isinstance(a, Plan) for a in (lean(plan), unit(plan)))
    assert len(lean(plan).lines) == len(plan.lines)
