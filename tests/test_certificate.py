"""A false claim, a broken formula and a stranger's sampler are judged rightly."""

import numpy as np
import pytest

import diffnum as dn
from diffnum import precise
from diffnum.certificate import Slope, certify
from diffnum.extended_numbers import digits, number
from diffnum.measure import ROUGH, USUAL, warm_slope
from diffnum.mutants import applied, bundle, exact_survivors, mutations
from diffnum.num import expm1
from diffnum.plan import Lin
from diffnum.slopes import TOLERANCE, rounding, settled, start_up
from diffnum.solvers import ALL
from diffnum.solvers.coords import data_transfer, transfer
from diffnum.trace import solver
from diffnum.witness import Run, coupled, near, near_alternating, nonlinear, norm, path_errors


def test_published_three_step_method_has_order_two_and_the_corrected_one_three(certificate):
    published, corrected = certificate("dpmpp_3m"), certificate("dpmpp_3m_corrected")
    assert round(published.measured) == published.proved == 2 and "factor 2" in published.note
    assert round(corrected.measured) == corrected.proved == 3 and corrected.proof.cold == 2
    assert corrected.cold.q == 2 and corrected.cold.share > 0.5


def test_an_overclaimed_order_fails_in_proof_and_measurement():
    boast = solver(order=2, cold=2, cite="nobody")(ALL["ddim"].build)
    cert = certify(boast)
    assert cert.verdict == "fails"
    assert any(reason.startswith("claims order 2") for reason in cert.reasons)
    slopes = [float(reason.split()[1]) for reason in cert.reasons if reason.startswith("slope")]
    assert slopes and all(abs(value - 1) < TOLERANCE for value in slopes)


def test_an_underclaimed_order_fails_too():
    modest = solver(order=1, cold=1, cite="nobody")(ALL["dpmpp_2s"].build)
    assert any("proved order 2" in reason for reason in certify(modest).reasons)


def test_a_sampler_written_here_passes_through_every_reading_and_is_certified():
    """Exponential Heun: not in the library, nothing in it knows the name."""

    @solver(order=2, cold=2, cite="hochbruck2010exponential", eq="2.40 with c2 = 1", family="test")
    def exponential_heun(T, grid):
        for s, t in T.steps(grid):
            D = T.denoise(T.x, s)
            if s.pure_noise or t.clean:
                T.x = transfer(T.x, s, t, D)
                continue
            h = T.h(s, t)
            Dt = T.denoise(data_transfer(T, T.x, s, t, D), t)
            T.x = data_transfer(T, T.x, s, t, D) + t.alpha * h * dn.num.phi(2, -h) * (Dt - D)

    plan = dn.compile(exponential_heun, dn.grid.karras(dn.VP(), 6, end="zero"))
    target = dn.Gaussian.power_law(8)
    assert dn.sample(plan, target, target.sample(3, 0, plan.start)).shape == (3, 8)
    assert dn.tableau(plan).shape == (plan.nfe + 1, 1 + plan.nfe)
    assert dn.w2(plan, target) > 0
    assert dn.cost(plan).nfe == plan.nfe == 11
    assert dn.leading_error(exponential_heun).power == 3
    assert dn.Plan.from_json(plan.to_json()) == plan
    cert = certify(exponential_heun)
    assert cert.verdict == "holds", cert.reasons


def two_step(weight):
    """DPM-Solver++(2M) with another weight of the difference, a function of ``(h, h_)``."""

    @solver(order=2, cold=2, cite="nobody")
    def variant(T, grid):
        past = None
        for s, t in T.steps(grid):
            h, D = T.h(s, t), T.denoise(T.x, s)
            if past is None:
                T.x = transfer(T.x, s, t, D)
            else:
                D_, h_ = past
                T.x = (t.sigma / s.sigma) * T.x - t.alpha * expm1(-h) * (D + weight(h, h_) * (D - D_))
            past = D, h

    return variant


def warm_slopes(cert):
    chosen = (s for s in cert.slopes if (s.witness, s.start, s.process) == ("non-linear", "warm", "VP"))
    return {s.grid: s.value for s in chosen}


def test_constant_step_weights_pass_on_a_uniform_grid_and_are_caught_on_an_alternating_one():
    cert = certify(two_step(lambda h, h_: 0.5))
    assert cert.proof.order == 1 and cert.verdict == "fails"
    slopes = warm_slopes(cert)
    assert slopes["uniform"] > 1.85 and slopes["alternating"] < 1.2


def test_an_inverted_step_ratio_that_telescopes_is_caught_by_proof_alone():
    """With ``h_ / 2h`` for ``h / 2h_`` the local errors are ``(h_^2 - h^2) / 2 D'``: their sum telescopes, so no
    smooth refinement of a grid shows the slip, but one step is of first order."""
    cert = certify(two_step(lambda h, h_: h_ / (2 * h)))
    assert cert.proof.order == 1 and cert.verdict == "fails"
    assert min(warm_slopes(cert).values()) > 1.85


def test_claims_of_five_have_three_witnesses_in_extended_precision(certificate):
    slopes = [s for s in certificate("exp_ab5").slopes if s.start == "warm"]
    assert {(s.witness, s.grid) for s in slopes} == {(w, g) for w in precise.WITNESSES for g in ROUGH}
    assert all(s.digits == precise.DIGITS and s.value == pytest.approx(5, abs=0.05) for s in slopes)
    assert min(e for s in slopes for e in s.errors) > 1e4 * precise.FLOOR


def test_coupled_flow_equals_a_runge_kutta_reference_and_refuses_what_it_cannot_verify(monkeypatch):
    process = dn.VP()
    s, t = process.at(-0.25), process.at(0.25)
    with digits(precise.DIGITS):
        run = precise.precise_run("coupled", process)
        flow = run.exact(process.at(number(0.25))).astype(float)
        monkeypatch.setattr(precise, "FLOOR", 1e-40)
        with pytest.raises(ValueError, match="verified to"):
            precise.verified_flow(run.target, process, run.x)
    assert flow == pytest.approx(coupled().flow(run.x.astype(float), s, t, tol=1e-11), abs=1e-10)


def test_coupled_flow_is_no_product():
    """That of a rotated product has Jacobians that are diagonal in the same axes everywhere, so they commute."""
    process, h = dn.VP(), 1e-3
    s, t = process.at(-1.0), process.at(1.0)
    x = np.array([[0.3, -0.2]])
    ends = [coupled().flow(x + h * np.array(d), s, t, tol=1e-11) for d in ((0, 0), (1, 0), (0, 1))]
    jacobian = np.concatenate([(end - ends[0]) / h for end in ends[1:]])
    y = x + np.array([1.0, 0.5])
    other = [coupled().flow(y + h * np.array(d), s, t, tol=1e-11) for d in ((0, 0), (1, 0), (0, 1))]
    elsewhere = np.concatenate([(end - other[0]) / h for end in other[1:]])
    assert norm(jacobian @ elsewhere - elsewhere @ jacobian) > 1e-2


@pytest.mark.parametrize("name", ["unipc_3_noise", "rho_abm4_pec"])
def test_exact_history_includes_what_a_predictor_corrector_evaluated(name):
    """With exact states alone its first evaluations stay at predictions of low order: the slope is the cold one."""
    run = Run.of(nonlinear(), dn.VP().at(-0.25))
    warm, states = [], []
    for n in (32, 64, 128):
        plan = dn.compile(ALL[name], near(dn.VP(), n))
        warm.append(norm(path_errors(plan, run, True)))
        pinned = {i: run.exact(plan.levels[i]) for i in range(1, plan.depth + 1)}
        states.append(norm(dn.sample(plan, run.target, run.x, pinned=pinned) - run.exact(plan.stop)))
    assert np.log2(warm[0] / warm[2]) / 2 == pytest.approx(4, abs=0.15)
    assert np.log2(states[0] / states[2]) / 2 == pytest.approx(3, abs=0.15)


def test_slopes_settle_where_three_doublings_agree():
    counts = tuple(2**k for k in range(3, 11))
    creeping = [n**-2.0 * (1 + 10 / n) for n in counts]
    decided = [settled(creeping[:k], counts[:k]) for k in range(1, 9)]
    assert decided == sorted(decided) and decided[-1] and not any(decided[:4])
    value = -np.polyfit(np.log2(counts[-3:]), np.log2(creeping[-3:]), 1)[0]
    assert abs(value - 2) < 0.15 / 2
    assert not settled([1e-3, 1e-6, 1e-9, 1e-15], (16, 32, 64, 128))
    # slopes 3.66, 3.75, 3.85 still creep, and their mean is no order
    assert not settled(np.cumprod([1.0, 2**-3.66, 2**-3.75, 2**-3.85]).tolist(), (32, 64, 128, 256))
    assert rounding(4096) == 8 * rounding(64)


def test_start_up_errors_are_a_series_from_their_power_on():
    rng, counts = np.random.default_rng(0), (16, 32, 64, 128, 256)
    c = rng.normal(size=(3, 20))
    errors = [1e-2 * (c[0] / n**2 + c[1] / n**3 + c[2] / n**4) for n in counts]
    right = start_up(errors, counts, 2, 3)
    assert right.holds and right.share == pytest.approx(1, abs=0.1)
    assert not start_up(errors, counts, 1, 3).holds and not start_up(errors, counts, 3, 4).holds


@pytest.mark.parametrize("name", ["dpmpp_2m", "heun", "unipc_2"])
def test_one_run_of_all_mutants_equals_a_run_of_each(name):
    plan = dn.compile(ALL[name], near_alternating(dn.VP(), 16))
    run, slips = Run.of(nonlinear(), plan.start), mutations(plan)
    with np.errstate(all="ignore"):
        together = np.moveaxis(path_errors(bundle(plan, slips), run.batched(), True), -1, 0)
        apart = [path_errors(applied(slip, plan), run, True) for slip in slips]
    assert together == pytest.approx(np.array(apart), rel=1e-9, abs=1e-12)


def test_predictor_and_corrector_are_both_broken():
    plan = dn.compile(ALL["unipc_2"], near_alternating(dn.VP(), 16))
    step = [line for line in plan.lines if line.step == 12]
    terms = [len(line.terms) for line in step if isinstance(line, Lin)]
    assert len(terms) == 2
    assert len([m for m in mutations(plan) if m.name.startswith("factor 2")]) == sum(terms)


def test_a_predictor_may_be_of_one_order_less(certificate):
    """Its error is multiplied by a step: swapped weights leave Adams-Bashforth-Moulton of order two what it is."""
    assert certificate("abm2_pece").free == ("terms 2 and 3 swapped in line 1",)


def test_a_coefficient_that_vanishes_is_none():
    """DPM-Solver-2 at its midpoint does not use the first evaluation in its last line."""
    count, free = exact_survivors(ALL["dpm_solver_2"], 2)
    assert (count, free) == (5, ())


def test_slopes_are_two_sided():
    def slope(value, must="equal"):
        return Slope("w", "g", "p", "warm", (1, 2, 4), (1.0, 0.5, 0.25), 3, value, must)

    assert slope(2.1).holds(2) and not slope(2.2).holds(2) and not slope(1.8).holds(2)
    assert slope(3.0, "reach").holds(2) and not slope(1.0, "reach").holds(2)
    assert slope(3.0, "local").holds(2) and slope(0.0, "local").holds(0) and slope(1.0, "local").holds(0)
    assert not slope(0.5, "local").holds(0) and not slope(2.0, "local").holds(0)
    assert not slope(float("nan")).holds(2)


def test_a_function_without_a_claim_has_no_certificate():
    with pytest.raises(ValueError, match="makes no claim"):
        certify(lambda T, grid: None)
    with pytest.raises(ValueError, match="'nope' is unknown"):
        dn.certify("nope")


def test_a_wrong_step_to_the_clean_level_is_caught_where_no_proof_looks():
    @solver(order=1, cold=1, cite="nobody")
    def halved_at_the_end(T, grid):
        for s, t in T.steps(grid):
            T.x = transfer(T.x, s, t, (0.5 if t.clean else 1.0) * T.denoise(T.x, s))

    cert = certify(halved_at_the_end)
    assert cert.proof.order == 1
    (reason,) = cert.reasons
    assert "clean end" in reason


def test_a_right_method_with_small_start_up_coefficients_holds():
    """Adams-Bashforth of three steps: in the first step of VP a coefficient is 1e-3 of its row."""

    @solver(order=3, cold=2, cite="hairer1993", eq="III.1")
    def ab3(T, grid):
        past = []
        for s, t in T.steps(grid):
            k, v = T.dt(s, t), T.slope(T.x, s)
            slope = (v - past[0][0]) / past[0][1] if past else 0
            T.x = T.x + k * v + (k * k / 2 * slope if past else 0)
            if len(past) == 2:
                (v1, k1), (v2, k2) = past
                T.x = T.x + (k**3 / 3 + k * k * k1 / 2) / (k1 + k2) * (slope - (v1 - v2) / k2)
            past = [(v, k), *past][:2]

    cert = certify(ab3)
    assert cert.verdict == "holds", cert.reasons


def test_a_method_whose_steps_differ_has_a_certificate():
    @solver(order=1, cold=1, cite="nobody")
    def by_turns(T, grid):
        for i, (s, t) in enumerate(T.steps(grid)):
            x = transfer(T.x, s, t, T.denoise(T.x, s))
            T.x = transfer(T.x, s, t, T.denoise(x, t)) if i % 2 else x

    assert certify(by_turns).proof.order == 1


@pytest.mark.parametrize("slope, doublings", [(2.0, 4), (2.05, 4), (2.25, 7), (2.5, 7)])
def test_slopes_that_agree_at_no_whole_number_are_followed_further(slope, doublings):
    """Few steps may show one slope for long and another in the end: it is no order until it is a whole number."""

    class Pretender:
        def error(self, witness, grid, n, warm):
            return np.array([n**-slope])

    found = warm_slope(ALL["dpmpp_2m"], None, dn.VP(), "non-linear", "uniform", "equal", Pretender())
    assert len(found.counts) == doublings and found.counts[: len(USUAL)] == USUAL
    assert found.value == pytest.approx(slope) and found.holds(2) == (doublings == len(USUAL))
