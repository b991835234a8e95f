"""Facts of samplers: counts against plans, stability against closed forms, and what is written against what is read."""

import json
import math
import re
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from selection import names, samplers

from diffnum.cli import run
from diffnum.facts import STEP, Count, Facts, cells, families, markdown, measure, titled
from diffnum.grid import karras, log_snr
from diffnum.lab.listings import SAMPLERS, sampler_page, sampler_summary
from diffnum.plan import interpret
from diffnum.process import VP
from diffnum.read.cost import cost
from diffnum.read.stability import Angle, Irregular, Ratio, SignalRatio, amplification, largest_guidance
from diffnum.solvers import ALL
from diffnum.trace import compile, solver
from theory import stability as theory

facts = lru_cache(maxsize=None)(lambda name: measure(ALL[name]))
every = pytest.mark.parametrize("name", ALL)


@solver(order=1)
def alternating(T, grid):
    """Euler's and Heun's steps in turn, Heun's last."""
    for i, (s, t) in enumerate(T.steps(grid)):
        x, v = T.x, T.slope(T.x, s)
        T.x = x + T.dt(s, t) * v
        if (len(grid.h) - i) % 2:
            T.x = x + (0.5 * T.dt(s, t)) * (v + T.slope(T.x, t))


@solver(order=1)
def slow_start(T, grid):
    """Euler's steps, an evaluation fewer wasted on each."""
    for i, (s, t) in enumerate(T.steps(grid)):
        for _ in range(9 - i):
            T.slope(T.x, s)
        T.x = T.x + T.dt(s, t) * T.slope(T.x, s)


# --- costs against plans ---


@pytest.mark.parametrize("name", names())
def test_evaluations_and_draws_of_n_steps_are_those_of_plans(name):
    found = facts(name)
    for n in (found.nfe.least, found.nfe.least + 1, 11, 20):
        plan = compile(ALL[name], karras(VP(), n) if n == 11 else _levels(n))
        assert (plan.nfe, len(plan.draws)) == (found.nfe.of(n), found.draws.of(n))
        assert found.draws.least <= n


def _levels(n):
    return log_snr(VP(), n)


@every
def test_fewer_steps_than_the_least_do_not_fit_the_formula(name):
    n = facts(name).nfe.least - 1
    assert n == 0 or compile(ALL[name], _levels(n)).nfe != facts(name).nfe.of(n)


@pytest.mark.parametrize("sampler", samplers())
@pytest.mark.parametrize("n", [12, 25])
def test_live_samples_do_not_grow_with_the_run(sampler, n):
    found = facts(sampler.name)
    live = [cost(compile(sampler, _levels(n), prediction)).live for prediction in ("data", "noise")]
    assert live == [found.live_data, found.live_noise] and found.live == min(live)


@every
def test_stages_and_those_that_wait_are_counted_by_running_the_plan_on_depths(name):
    """An evaluation is one deeper than its input, and a combination as deep as its deepest term."""
    found, depths = facts(name), []
    for n in (9, 15):
        plan = compile(ALL[name], _levels(n))
        deepest = interpret(plan, 0, lambda terms: max(d for _, d in terms), lambda d, *_: d + 1, lambda line: 0)
        depths.append(deepest[0])
    assert found.waits == Fraction(depths[1] - depths[0], 6)
    assert found.waits <= found.nfe.each == found.stages


def test_steps_that_alternate_cost_a_fraction_each():
    found = measure(alternating)
    assert found.nfe == Count(Fraction(3, 2)) and str(found.nfe) == "3n/2" and found.stages == 2
    for n in (2, 8, 20):
        assert compile(alternating, _levels(n)).nfe == found.nfe.of(n)


def test_a_sampler_that_does_not_settle_is_refused():
    with pytest.raises(ValueError, match="slow_start does not repeat itself after 6 steps"):
        measure(slow_start)


# --- stability against closed forms ---

COTH = 1 / math.tanh(STEP / 2)
LENGTHS = {
    **{
        name: 2
        for name in (
            "log_snr_euler",
            "log_snr_heun",
            "euler",
            "ddim",
            "heun",
            "midpoint",
            "trig_euler",
            "trig_heun",
            "snr_heun",
        )
    },
    **{
        f"{kind}ab{r}": theory.ADAMS[r]
        for r in (2, 3, 4)
        for kind in ("", "trig_", "snr_", "log_snr_")
        if f"{kind}ab{r}" in ALL
    },
    **{
        name: sympy.Poly(theory.Z**3 - 4 * theory.Z**2 + 12 * theory.Z - 24)
        for name in ("rk4", "trig_rk4", "snr_rk4", "log_snr_rk4")
    },
    **{f"deis_tab_{r}": theory.ADAMS[r] for r in (2, 3, 4)},
    **{"ghvb": Fraction(6, 5), "ghvb2": Fraction(6, 5), "ghvb3": Fraction(9, 14), "ghvb4": Fraction(6, 17)},
}


@pytest.mark.parametrize("name", LENGTHS)
def test_intervals_are_the_closed_forms(name):
    wanted = LENGTHS[name]
    if isinstance(wanted, sympy.Poly):
        (wanted,) = (z for z in wanted.nroots(20) if z.is_real)
    assert facts(name).interval == pytest.approx(float(wanted), abs=1e-9)


@pytest.mark.parametrize(
    "name, wanted",
    {"ddim": 1 + COTH, "dpmpp_2m": 1 + COTH / 2, "hb_2m": 1 + (2 - 0.8) / (2 * 0.8) * COTH, "euler": 1 + COTH}.items(),
)
def test_guidance_is_the_closed_form(name, wanted):
    assert facts(name).guidance == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "heun", "unipc_3", "rkg2"])
@given(outer=st.floats(0.01, 100), share=st.floats(0, 0.99))
@settings(max_examples=5)
def test_guidance_is_the_least_of_the_largest_scales_over_classes(name, outer, share):
    scale = facts(name).guidance
    assert largest_guidance(ALL[name], STEP, 0.0, outer) == pytest.approx(scale, rel=1e-9)
    assert largest_guidance(ALL[name], STEP, share * outer, outer) >= scale * (1 - 1e-9)


@pytest.mark.parametrize(
    "name, like, equation",
    [
        *((f"trig_{m}", m, Angle()) for m in ("euler", "heun", "midpoint", "rk4", "ab2", "ab3", "ab4")),
        *((f"snr_{m}", m, SignalRatio()) for m in ("heun", "rk4", "ab2", "ab3")),
    ],
)
@given(z=st.complex_numbers(max_magnitude=4, allow_nan=False))
@settings(max_examples=5)
def test_a_method_is_as_stable_in_its_own_variable_as_another_in_its(name, like, equation, z):
    one, two = amplification(ALL[name], z, equation), amplification(ALL[like], z, Ratio())
    assert one == pytest.approx(two, rel=1e-7, abs=1e-7)


def test_a_method_is_irregular_in_the_variable_of_another():
    for name, equation in (("trig_heun", Ratio()), ("heun", Angle()), ("heun", SignalRatio()), ("snr_heun", Angle())):
        with pytest.raises(Irregular, match=f"{name} does not repeat itself"):
            amplification(ALL[name], 0.1, equation)


@every
def test_a_sampler_without_an_interval_says_why_in_one_word(name):
    found = facts(name)
    assert (found.interval == "noise") == (found.guidance == "noise") == bool(found.draws.each)
    assert isinstance(found.interval, str) == (found.variable == "")
    for value in (found.interval, found.guidance):
        assert value in ("noise", "varies") or (isinstance(value, float) and value >= 0)


# --- what is written ---


@every
def test_facts_survive_json(name):
    found = facts(name)
    assert Facts.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


@given(
    each=st.fractions(0, 9, max_denominator=3), start=st.integers(-3, 9), end=st.integers(-3, 3), least=st.integers(1)
)
def test_any_count_and_an_interval_without_end_survive_json(each, start, end, least):
    found = replace(facts("ddim"), nfe=Count(each, Fraction(start), Fraction(end), least), interval=math.inf)
    assert Facts.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


@given(each=st.fractions(0, 9, max_denominator=3), rest=st.integers(-9, 9), n=st.integers(1, 30))
def test_a_count_as_a_formula_is_its_value(each, rest, n):
    count = Count(each, Fraction(rest))
    assert sympy.sympify(re.sub(r"(\d)n", r"\1*n", str(count))).subs("n", n) == count.of(n)


def test_facts_with_a_key_missing_or_unknown_are_refused():
    data = facts("ddim").to_json()
    for broken in ({k: v for k, v in data.items() if k != "nfe"}, {**data, "speed": 1}):
        with pytest.raises(ValueError, match="these are no facts of a sampler"):
            Facts.from_json(broken)


def test_markdown_has_a_row_for_each_sampler():
    chosen = [facts(name) for name in ("ddim", "heun", "langevin_corrector")]
    rows = [line for line in markdown(chosen).splitlines() if line.startswith("| `")]
    for one, row in zip(chosen, rows, strict=True):
        columns = [c.strip().replace("\\|", "|") for c in row.replace("\\|", "\0").split("|")[1:-1]]
        assert [c.replace("\0", "|") for c in columns] == [f"`{one.name}`", *cells(one).values()]


# --- listings of all of them


def test_json_markdown_and_table_list_the_same_solvers(monkeypatch, capsys):
    monkeypatch.setattr("diffnum.facts.measure", lambda sampler: facts(sampler.name))
    printed = []
    for words in (["solvers"], ["solvers", "--markdown"], ["solvers", "--json"]):
        assert run(words) == 0
        printed.append(capsys.readouterr().out)
    table, markdown, text = printed
    claims = {claim["name"]: claim for claim in json.loads(text)}
    by_family = [name for family in families(ALL.values()) for name in ALL if ALL[name].family == family]
    assert list(claims) == by_family and sorted(claims) == sorted(ALL)
    rows = [line for line in markdown.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == by_family
    assert [line.split(" ")[0] for line in table.splitlines() if line.split(" ")[0] in ALL] == by_family
    assert all(claims[name]["order"] == solver.order for name, solver in ALL.items())
    shown = {Facts.from_json(claim).name: cells(Facts.from_json(claim)) for claim in claims.values()}
    assert all(f"| {shown[row.split('`')[1]]['guidance']} |" in row for row in rows)


def test_the_page_of_samplers_and_its_sums_are_those_that_are_measured():
    measured, root = [facts(name) for name in ALL], Path(__file__).parents[1]
    shown, made = (root / SAMPLERS).read_text().splitlines(), sampler_page(measured).splitlines()
    assert len(shown) == len(made)
    for one, two in zip(shown, made, strict=True):
        # intervals may differ in the last digit shown between processors
        for a, b in zip(one.split("|"), two.split("|"), strict=True):
            assert a == b or float(a) == pytest.approx(float(b), rel=0.011), two
    (sums,) = re.findall(r"<!-- samplers -->\n(.*?)\n<!-- /samplers -->", (root / "README.md").read_text(), re.DOTALL)
    assert sums == sampler_summary(measured)


def test_a_family_has_a_section_of_its_own_and_a_line_of_sums():
    chosen = [facts(name) for name in ("ddim", "heun", "etd4rk", "langevin_corrector")]
    sections = sampler_page(chosen).split("\n## ")[1:]
    names = [re.findall(r"^\| `(\w+)`", section, re.MULTILINE) for section in sections]
    assert names == [["ddim", "etd4rk"], ["heun"], ["langevin_corrector"]]
    assert [section.splitlines()[0] for section in sections] == [titled(ALL[n[0]].family) for n in names]
    lines = [line.strip("| ").split(" | ")[1:] for line in sampler_summary(chosen).splitlines()[2:5]]
    assert lines == [["2", "1 to 4", "1 to 4"], ["1", "2", "2"], ["1", "weak 0", "2"]]
