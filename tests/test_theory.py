"""The book of derivations: every residual is zero, its page is up to date, and what is false is not proved."""

import re
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import mpmath
import pytest
import sympy
from selection import SELECTED, deterministic

import diffnum as dn
from diffnum.order import traced_depth
from diffnum.read.rational import variable
from diffnum.read.symbolic import leading_error
from diffnum.solvers import ALL, ddim
from diffnum.solvers.coords import transfer
from diffnum.trace import compile
from theory import book, errors
from theory.__main__ import main
from theory.statement import Statement, check, differ, exact, prove
from theory.symbols import difference, grid, log_snr_levels

PAGE = Path(book.__file__).parent / "PROOFS.md"
# what every sampler contributes is derived by the full tests
STATEMENTS = {title: chapter for title, chapter in book.CHAPTERS.items() if title != "14. Errors"}
UNEQUAL = "13. What is not equal"
PROVED = [ALL[name] for name in sorted(SELECTED) if ALL[name].order <= 4]


# deriving a chapter takes a while on a busy machine, and the first test that asks for it waits
pytestmark = pytest.mark.timeout(600)


@cache
def derived(chapter):
    """The statements of a chapter, derived once."""
    return [derive() for derive in STATEMENTS[chapter]]


@cache
def row(sampler):
    """The row of a sampler, derived once."""
    return book.row(sampler)


@pytest.fixture
def found():
    """Every statement but the leading errors, and the rows of the selected samplers."""
    statements = [(title, statement) for title in STATEMENTS for statement in derived(title)]
    return [*statements, *(("Samplers", row(sampler)) for sampler in PROVED)]


def test_no_derivation_is_left_out_of_the_book():
    folder = Path(book.__file__).parent
    modules = [import_module(f"theory.{path.stem}") for path in folder.glob("[a-z]*.py")]
    told = {id(derive) for chapter in book.CHAPTERS.values() for derive in chapter}
    contents = (folder / "README.md").read_text()
    for module in modules:
        for derive in getattr(module, "CHAPTER", ()):
            assert id(derive) in told, f"{module.__name__} is not in the book"
            assert f"({module.__name__.partition('.')[2]}.py)" in contents


@pytest.mark.parametrize("chapter", STATEMENTS)
def test_every_statement_has_a_residual_that_is_zero(chapter):
    statements = derived(chapter)
    assert len(statements) == len(book.CHAPTERS[chapter]) > 4
    for statement in statements:
        assert statement.holds and statement.residual, statement.name
        assert statement.claim and statement.where
        assert " at $" in statement.counterexample or not (statement.counterexample or chapter == UNEQUAL)


def test_names_of_statements_differ(found):
    names = [s.name for _, s in found]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("sampler", PROVED, ids=lambda s: s.name)
def test_selected_samplers_have_a_row_with_the_claimed_order(sampler):
    proof = row(sampler).proof
    assert (proof.order, proof.cold, proof.smooth) == (sampler.order, sampler.cold, sampler.smooth)


@pytest.mark.parametrize("chapter", STATEMENTS)
def test_the_page_holds_what_is_derived(chapter):
    assert book.section(chapter, derived(chapter)) in PAGE.read_text(), "run python -m theory"


@pytest.mark.parametrize("sampler", PROVED, ids=lambda s: s.name)
def test_the_page_holds_the_rows_that_are_derived(sampler):
    assert row(sampler).markdown() in PAGE.read_text().splitlines(), "run python -m theory"


def drawn():
    """A tenth of the samplers that are not derived by default, other ones for every edition of the page."""
    text = PAGE.read_text()
    rest = [s for s in ALL.values() if s.order <= 4 and s not in PROVED]
    return [s for s in rest if sha256((text + s.name).encode()).digest()[0] < 26]


@pytest.mark.parametrize("sampler", drawn(), ids=lambda s: s.name)
def test_the_page_holds_the_rows_of_some_others(sampler):
    assert book.row(sampler).markdown() in PAGE.read_text().splitlines(), "run python -m theory"


def cells():
    """The cells of every row of the page, by name."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: rest.split(" | ") for name, rest in rows}


def read(formula):
    """``(coefficient, power of h)`` of a leading error in the page's LaTeX."""
    ((coefficient, power),) = re.findall(r"\$(.*)\\, h\^\{(\d+)\}\$", formula)
    for latex, plain in {"\\left": "", "\\right": "", "\\frac": "", "\\sqrt": "sqrt", "}{": ")/("}.items():
        coefficient = coefficient.replace(latex, plain)
    # eight digits where integers are long
    coefficient = re.sub(r" *\\cdot 10\^\{(-?\d+)\}", r"e\1", coefficient)
    coefficient = coefficient.replace("{", "(").replace("}", ")").replace("^", "**")
    spelled = re.sub(r"(?<=[\w)]) (?=[\w(])", "*", coefficient)
    return sympy.parse_expr(spelled, {"c": errors.C}), int(power)


def test_formulas_of_the_page_are_read_as_they_were_written():
    c = errors.C
    for form in (-c / (2 * (c + 1) ** sympy.Rational(3, 2)), c**2 * (3 * c - 1) / 7, -(2 * c + 1) / sympy.sqrt(c + 1)):
        assert read(f"${sympy.latex(form)}\\, h^{{12}}$") == (form, 12)


def test_the_page_has_the_claims_of_every_sampler():
    for name, (order, cold, *_) in cells().items():
        s = ALL[name]
        smooth = f" ({s.smooth} on smooth grids)" if s.smooth else ""
        assert (order.removeprefix("weak "), cold) == (f"{s.order}{smooth}", str(s.cold)), (
            f"{name}: run python -m theory"
        )


@pytest.mark.parametrize("family", errors.FAMILIES)
def test_the_page_has_the_leading_error_of_every_sampler(family):
    """At one variance, which takes a fraction of the time that a formula takes; exactly, but for DC-Solver's limit."""
    page = cells()
    for sampler in errors.deterministic():
        if sampler.family == family:
            coefficient, power = read(page[sampler.name][-1])
            now = leading_error(sampler, errors.AT, (sampler.smooth or sampler.order) + 2)
            at = coefficient.subs(errors.C, sympy.Rational(errors.AT.numerator, errors.AT.denominator))
            gap = abs(sympy.N(at / exact(now.coefficient) - 1, 30))
            assert power == now.power and gap < 1e-5, f"{sampler.name}: run python -m theory"


def test_the_page_has_a_row_for_every_sampler():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert rows == list(ALL), "run python -m theory"


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_the_whole_page_is_what_is_derived():
    assert PAGE.read_text() == book.page(list(book.derive())), "run python -m theory"


@pytest.mark.full
def test_the_check_tells_an_old_page_from_a_new_one(found, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("theory.__main__.derive", lambda jobs: iter(found))
    monkeypatch.setattr("theory.__main__.PAGE", tmp_path / "PROOFS.md")
    assert main(["--check"]) == 1
    assert main([]) == 0 and main(["--check"]) == 0
    (tmp_path / "PROOFS.md").write_text(book.page(found).replace("| `rk4` | 4 |", "| `rk4` | 5 |"))
    capsys.readouterr()
    assert main(["--check"]) == 1
    assert "-| `rk4` | 5 |" in capsys.readouterr().out


# --- what is false is not proved ---


def test_a_wrong_statement_fails_by_name():
    x = sympy.Symbol("x", positive=True)
    wrong = prove("The double angle, wrongly", r"\sin 2x = 2 \sin x", sympy.sin(2 * x) - 2 * sympy.sin(x), "nowhere")
    assert not wrong.holds
    with pytest.raises(ArithmeticError, match="double angle, wrongly"):
        check([wrong])


def test_no_residual_is_no_proof():
    assert not Statement("Nothing", "", (), "nowhere").holds


def test_a_difference_that_the_point_does_not_show_is_refused():
    x = sympy.Symbol("x")
    shown = differ("Square and double", "x^2 \\neq 2x", [x**2 - 2 * x], [x * (x - 2)], {x: 1}, "nowhere")
    assert shown.holds and "-1" in shown.counterexample
    with pytest.raises(ArithmeticError, match="no difference"):
        differ("Square and double", "x^2 \\neq 2x", [x**2 - 2 * x], [x * (x - 2)], {x: 2}, "nowhere")


def test_a_process_with_a_wrong_drift_is_noticed(monkeypatch):
    from theory import closed_forms

    class Wrong(dn.VP):
        def drift(self, t):
            return -dn.VP.drift(self, t)

    process = closed_forms.ALL["VP"]
    wrong = closed_forms.with_symbols(Wrong, beta_min=process.beta_min, beta_max=process.beta_max)
    monkeypatch.setitem(closed_forms.ALL, "VP", wrong)
    for derivation in (closed_forms.drift_and_diffusion, closed_forms.rates_of_the_clock, closed_forms.gaussian_flow):
        assert not derivation("VP").holds


def test_a_plan_with_a_wrong_sign_or_level_is_another_method():
    def transferred(T, levels):
        for s, t in T.steps(levels):
            T.x = transfer(T.x, s, t, T.denoise(T.x, s))

    def late(T, levels):
        for s, t in T.steps(levels):
            T.x = transfer(T.x, s, t, T.denoise(T.x, t))

    def flipped(T, levels):
        for s, t in T.steps(levels):
            T.x = (t.sigma / s.sigma) * T.x - (t.alpha - t.sigma / s.sigma * s.alpha) * T.denoise(T.x, s)

    process, levels, _ = log_snr_levels(3)
    right, again, wrong, moved = (compile(f, grid(process, levels)) for f in (ddim, transferred, flipped, late))
    assert prove("", "", difference(right, again), "").holds
    assert not prove("", "", difference(right, wrong), "").holds
    assert not prove("", "", difference(right, moved), "").holds
    with pytest.raises(ValueError, match="equally often"):
        difference(right, compile(ALL["dpmpp_2s"], grid(process, levels)))


def test_a_claim_that_is_not_proved_stops_the_book():
    boast = replace(ALL["dpmpp_3m"], order=3)
    with pytest.raises(ArithmeticError, match=r"dpmpp_3m claims order 3, cold 2; proved is 2, cold 2"):
        book.row(boast)


# --- formulas against runs ---


@pytest.mark.parametrize("sampler", deterministic())
@pytest.mark.parametrize("variance", ["0.23", "3.7"])
def test_leading_error_is_the_measured_error_of_a_small_step(sampler, variance):
    formula = errors.gaussian_error(sampler)
    with mpmath.workdps(90):
        c, h = mpmath.mpf(variance), mpmath.mpf(2) ** -16
        predicted = sympy.lambdify(errors.C, formula.coefficient, "mpmath")(c) * h**formula.power
        # what is left is the next term, relative to h, and the rounding of options such as b = 0.8
        rest = [errors.one_step_error(sampler, c, h / k) / predicted * k**formula.power - 1 for k in (1, 2)]
        assert abs(rest[0]) < 0.01 and abs(rest[1]) < 0.51 * abs(rest[0]) + 1e-4


def test_where_the_leading_error_vanishes_the_next_power_leads():
    """The ``etd2rk`` coefficient is ``-c (5c - 1) / (12 (c + 1)^(5/2))``: at ``c = 1/5`` a step has the next order."""
    formula = errors.gaussian_error(ALL["etd2rk"])
    assert sympy.solve(formula.coefficient, errors.C) == [sympy.Rational(1, 5)]
    with mpmath.workdps(90):
        c, h = mpmath.mpf(1) / 5, mpmath.mpf(2) ** -16
        coarse, fine = (errors.one_step_error(ALL["etd2rk"], c, h / k) for k in (1, 2))
        assert coarse / fine == pytest.approx(2 ** (formula.power + 1), rel=1e-4)


@pytest.mark.parametrize("sampler", [p for p in deterministic() if traced_depth(p.values[0])])
def test_leading_error_does_not_depend_on_the_length_of_the_history(sampler):
    """Six steps more before the measured one; the first power of ``h`` that is missing differs by less."""
    formula = errors.gaussian_error(sampler)
    with mpmath.workdps(90):
        c, h = mpmath.mpf("3.7"), mpmath.mpf(2) ** -16
        predicted = sympy.lambdify(errors.C, formula.coefficient, "mpmath")(c) * h**formula.power
        assert abs(errors.one_step_error(sampler, c, h, more=6) / predicted - 1) < 0.01


def test_the_error_of_dc_solver_tends_to_its_limit():
    formula = errors.gaussian_error(ALL["dc_solver"])
    short, long = (leading_error(ALL["dc_solver"], errors.AT, 3, more) for more in (0, 6))
    value = formula.coefficient.subs(errors.C, sympy.Rational(errors.AT.numerator, errors.AT.denominator))
    gaps = [abs(sympy.N(form.coefficient - value, 30) / value) for form in (short, long)]
    assert 0 < gaps[1] < 1e-3 * gaps[0] < 1e-7


def test_limits_of_linear_recurrences_are_exact_and_others_are_refused():
    third, two = sympy.Rational(1, 3), sympy.Integer(2)
    assert errors.limit([5 + third**n for n in range(6)]) == 5
    assert errors.limit([7 - 2 * third**n + (-third / two) ** n for n in range(7)]) == 7
    for values in ([two**n for n in range(7)], [sympy.Rational(1, n + 1) for n in range(7)]):
        with pytest.raises(ArithmeticError, match="no linear recurrence"):
            errors.limit(values)


@pytest.mark.parametrize(
    "name", ["ddim", "midpoint", *(pytest.param(name, marks=pytest.mark.full) for name in ("heun", "ab2", "dpmpp_2m"))]
)
def test_rational_functions_give_what_expressions_give(name):
    slow, fast = leading_error(ALL[name], errors.C), errors.gaussian_error(ALL[name])
    assert slow.power == fast.power and sympy.simplify(slow.coefficient - fast.coefficient) == 0


@pytest.mark.parametrize("k", range(1, 7))
def test_the_bounds_of_the_recurrence_hold_where_it_begins(k):
    from diffnum.num import phi

    with mpmath.workdps(40):
        for w in (mpmath.mpf(24), mpmath.mpf(60)):
            amplified = mpmath.exp(w) / (w**k * phi(k, w))
            assert 1 <= amplified <= 1 + mpmath.mpf("4e-6")
            if k < 6:
                assert 0 < phi(k, -w) / (w * phi(k + 1, -w)) <= k / (w - k) <= mpmath.mpf(5) / 19


def test_rational_functions_are_a_field_and_know_few_roots():
    s = variable("s")
    assert (s + 1) * (s - 1) == s * s - 1
    assert (1 - s) / (1 - s) == 1 and 1 / s * s == 1 and -s + s == 0
    assert sympy.sympify(2 / (1 + s)) == 2 / (1 + sympy.Symbol("s"))
    assert (s / s).sqrt() == 1
    with pytest.raises(ValueError, match="no rational function"):
        s.sqrt()
