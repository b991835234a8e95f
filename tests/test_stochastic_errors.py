"""Leading errors of the variance of stochastic samplers: against steps in extended precision, against exact laws of
whole runs, against the errors of the deterministic samplers that they are without noise, and on their page."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from selection import samplers
from sympy.polys.fields import field

import diffnum as dn
from diffnum.generic import GenericGrid
from diffnum.order import long_run
from diffnum.read.moments import moments
from diffnum.solvers import ALL
from diffnum.solvers.er_sde import Power
from theory import book, errors
from theory import stochastic_errors as se
from theory.radicals import Radical, number
from theory.statement import check

PAGE = Path(book.__file__).with_name("PROOFS.md")
COVERED = {sampler.name for sampler in se.covered()}
covered = pytest.mark.parametrize("sampler", samplers(lambda s: s.name in COVERED))
# order one or more, and still no row: their coefficients depend on more than the share of the noise
OTHER = {"flow_sde", "flow_sde_heun", "kdpm2_ancestral_rf", "exponential_integrator", "ucgm_auto_coded"}
# and these, since it is not one step that makes their error
PAIRS = {"reversible_euler_maruyama", "reversible_shark"}
# without noise they are these
STILL = {
    "sde_dpmpp_1": "dpmpp_1",
    "sde_dpmpp_2m": "dpmpp_2m",
    "sde_dpmpp_3m": "dpmpp_3m",
    "sde_dpmpp_2s": "dpmpp_2s",
    "sde_dpm_1": "dpm_solver_1",
    "sde_dpm_2m": "dpm_2m",
    "sa_p2_exact": "exp_ab2",
    "sa_p2_noise": "exp_ab2_noise",
}


class Normal:
    """``N(0, c)`` in numbers of any kind."""

    def __init__(self, c):
        self.c = c

    def eigen(self):
        return np.array([self.c * 0], dtype=object), np.array([self.c], dtype=object)


@pytest.fixture(scope="module")
def statements():
    return [derive() for derive in se.CHAPTER]


# deriving them takes half a minute
@pytest.mark.full
def test_every_statement_holds(statements):
    check(statements)


@pytest.mark.full
def test_the_page_holds_what_is_derived(statements):
    text = PAGE.read_text()
    for statement in statements:
        assert statement.name in text and statement.claim in text, "run python -m theory"


@pytest.mark.full
def test_every_sampler_with_noise_has_a_row_or_a_reason(statements):
    noisy = {s.name for s in ALL.values() if s.stochastic}
    assert se.LEFT_OUT.keys() < noisy and set(se.ALPHA_ONE) < COVERED
    assert {name for name in se.LEFT_OUT if ALL[name].order > 0} == OTHER | PAIRS
    text = "".join(statement.claim for statement in statements)
    for name in noisy:
        shown = rf"\texttt{{{name}}}".replace("_", r"\_")
        assert (shown in text) != (name in se.LEFT_OUT)
    places = "".join(statement.where for statement in statements)
    assert all(name in places and reason in places for name, reason in se.LEFT_OUT.items())


# --- one step ---


def defect(sampler, c, h, rate):
    """By what share of the variance the step to ``sigma = 1`` misses, its start moved on by the exact SDE."""
    process = dn.EDM()
    steps = long_run(se._depth(sampler))
    levels = tuple(process.at(h * (i - steps + 1)) for i in range(steps + 1))
    grid = GenericGrid(process, levels, tuple(t.lam - s.lam for s, t in pairwise(levels)))
    plan = dn.compile(sampler, grid, **se._options(sampler, rate))
    found = []
    for r, level in list(zip(plan.states, plan.levels, strict=True))[-3:-1]:
        (variance,) = moments(replace(plan, outputs=(("x", r),)), Normal(c))[1]
        exact = c + level.sigma**2
        found.append((variance - exact) / exact)
    kappa = se.variance_error(sampler).rate
    kappa = mpf(kappa.p) / kappa.q if kappa.is_Rational else rate
    before, after = (c + level.sigma**2 for level in plan.levels[-3:-1])
    return found[1] - found[0] * (after / before) ** kappa


@covered
@pytest.mark.parametrize("variance", ["0.2", "3.7"])
def test_the_formula_is_the_measured_error_of_a_small_step(sampler, variance):
    found = se.variance_error(sampler)
    with mp.workdps(60):
        c, h, rate = mpf(variance), mpf(2) ** -18, mpf("0.8")
        formula = sympy.lambdify((se.S, se.RHO), found.coefficient, "mpmath")
        predicted = formula(1 / (1 + c), rate) * h**found.power
        rest = [defect(sampler, c, h / k, rate) / predicted * k**found.power - 1 for k in (1, 2)]
    # what is left is the next term, relative to h
    assert abs(rest[0]) < 0.01 and abs(rest[1]) < 0.51 * abs(rest[0]) + 1e-8


# --- a whole run ---


def relative_error(sampler, c, steps, reach=6.0):
    """Of the variance at the end of a run of equal steps over twice ``reach`` in log-SNR, and the length of a step."""
    process = dn.EDM(sigma_max=1000.0)
    levels = dn.grid.log_snr(process, steps, process.t(-reach), process.t(reach))
    options = {"phi": Power(1.0)} if "er_sde" in sampler.name else {}
    plan = dn.compile(sampler, levels, **options)
    target = dn.Gaussian(np.zeros(1), np.array([c]))
    (variance,) = moments(plan, target)[1]
    return variance / (c + plan.stop.sigma**2) - 1, 2 * reach / steps


@covered
def test_the_formula_of_a_run_is_the_limit_of_exact_laws(sampler):
    found = se.variance_error(sampler)
    at = replace(found, coefficient=found.coefficient.subs(se.RHO, 1), rate=found.rate.subs(se.RHO, 1))
    p, c = found.power - 1, 0.7
    ends = [sympy.Rational(1 / (1 + c * float(np.exp(2 * lam)))) for lam in (-6.0, 6.0)]
    limit = float(se.global_error(at, *ends))
    seen = [error / h**p for error, h in (relative_error(sampler, c, n) for n in (100, 200, 400))]
    # the next term is linear in h: without it what is left falls by four
    gaps = [abs(2 * after - before - limit) for before, after in pairwise(seen)]
    scale = float(se.global_error(replace(at, coefficient=abs_of(at.coefficient)), *ends))
    assert gaps[1] < 0.3 * gaps[0] + 1e-3 * scale and gaps[1] < 0.01 * scale


def abs_of(coefficient):
    """The polynomial with every coefficient positive, a scale for cancellation."""
    terms = sympy.Poly(sympy.expand(coefficient), se.S).terms()
    return sum(abs(a) * se.S**k for (k,), a in terms)


@pytest.mark.parametrize("name", ["ddpm_ancestral", "edm_churn_refined", "sde_dpm_2m"])
def test_the_number_of_a_run_is_its_integral(name):
    found = se.variance_error(ALL[name])
    rate = sympy.Rational(3, 4)
    K, kappa = (sympy.sympify(e).subs(se.RHO, rate) for e in (found.coefficient, found.rate))
    f = sympy.lambdify(se.S, sympy.cancel(K / (2 * se.S)) * (1 - se.S) ** (kappa - 1), "mpmath")
    with mp.workdps(30):
        for start, end in ((1, 0), (sympy.Rational(4, 5), sympy.Rational(1, 10))):
            whole = mp.quad(f, [mpf(end.p) / end.q, mpf(start.p) / start.q]) if end else mp.quad(f, [0, 0.5, 1])
            whole /= (1 - mpf(sympy.Rational(end).p) / sympy.Rational(end).q) ** (mpf(kappa.p) / kappa.q)
            closed = sympy.N(sympy.sympify(se.global_error(found, start, end)).subs(se.RHO, rate), 25)
            assert abs(whole - mpf(str(closed))) < 1e-10


# --- without noise ---


@pytest.mark.parametrize(("name", "still"), STILL.items())
def test_without_noise_it_is_twice_the_error_of_the_state(name, still):
    found, path = se.variance_error(ALL[name]), errors.gaussian_error(ALL[still])
    relative = 2 * path.coefficient / sympy.sqrt(1 + errors.C)
    gap = found.coefficient.subs(se.RHO, 0).subs(se.S, 1 / (1 + errors.C)) - relative
    assert path.power == found.power and sympy.simplify(gap) == 0


# --- the numbers ---

fractions = st.fractions(min_value=-3, max_value=3, max_denominator=12)
radicals = st.builds(
    lambda a, b, d: number(a) + number(b) * number(d).sqrt(), fractions, fractions, st.sampled_from([2, 3, 6, 12])
)


@settings(max_examples=60, deadline=None)
@given(radicals, radicals, radicals)
def test_sums_of_roots_are_a_ring(x, y, z):
    assert x * (y + z) == x * y + x * z and x * y == y * x and (x * y) * z == x * (y * z)
    assert x - x == 0 and x + 0 == x and 1 * x == x
    assert sympy.expand(sympy.sympify(x * y) - sympy.sympify(x) * sympy.sympify(y)) == 0


@settings(max_examples=60, deadline=None)
@given(st.fractions(min_value=0, max_value=50, max_denominator=60))
def test_the_square_of_a_root_is_what_it_is_of(value):
    root = number(value).sqrt()
    assert root * root == value
    assert value == 0 or (1 / root) * root == 1


def test_what_has_no_root_or_inverse_is_refused():
    _, s, tau = field("s,tau", sympy.QQ)
    assert number(tau * tau * 2).sqrt() * number(tau * tau * 2).sqrt() == number(tau * tau * 2)
    for value, why in ((number(s), "rational function"), (number(s + 1), "rational function"), (number(-2), "real")):
        with pytest.raises(ValueError, match=why):
            value.sqrt()
    with pytest.raises(ValueError, match="holds a root"):
        number(2).sqrt().sqrt()
    with pytest.raises(ValueError, match="one root at a time"):
        1 / (1 + number(2).sqrt())
    with pytest.raises(ZeroDivisionError, match="zero"):
        1 / Radical({})
