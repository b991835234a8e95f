"""Tables read from JSON, text and Python are one table; what is none is one sentence; the command says so."""

from __future__ import annotations

import json
from fractions import Fraction as F

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffnum.cli import run
from diffnum.solvers import generated
from diffnum.solvers.surd import root
from diffnum.tables import Exponential, Multistep, RungeKutta, audit, from_json, from_python, from_text, read
from diffnum.tables.entries import combination, number, shown
from diffnum.tables.numbers import Ball, ratio, simplest, vanishes

PASTED = """
# Bogacki and Shampine
0   |
1/2 | 1/2
3/4 | 0    3/4
1   | 2/9  1/3  4/9
----+-------------------
    | 2/9  1/3  4/9  0
    | 7/24 1/4  1/3  1/8
"""


def same(one, other):
    flat = [[x for row in t.A for x in row] + [*t.b, *t.nodes, *(t.embedded or ())] for t in (one, other)]
    return len(flat[0]) == len(flat[1]) and all(vanishes(x - y) for x, y in zip(*flat, strict=True))


def test_text_json_and_python_give_one_table(tmp_path):
    (text,) = from_text(PASTED)
    rows = [[], ["1/2"], [0, 0.75], ["2/9", "1/3", "4/9"]]
    parts = {"A": rows, "b": ["2/9", "1/3", "4/9"], "c": [0, "1/2", 0.75, 1], "embedded": ["7/24", 0.25, "1/3", 0.125]}
    parts["b"] = [*parts["b"], 0]
    (from_file,) = from_json(json.dumps(parts | {"order": 3, "embedded_order": 2}))
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n"
        "A = np.array([[0, 0, 0, 0], [1/2, 0, 0, 0], [0, 3/4, 0, 0], [2/9, 1/3, 4/9, 0]])\n"
        "PAIR = {'A': A, 'b': np.array([2/9, 1/3, 4/9, 0]), 'c': [0, .5, .75, 1], 'b_hat': [7/24, 1/4, 1/3, 1/8]}\n"
        "ARRAYS = (A, PAIR['b'], PAIR['c'])\n"
        "MANY = {'one': PAIR, 'other': ARRAYS}\n"
    )
    (pair,) = read(f"{file}:PAIR")
    assert same(text, from_file) and same(text, pair)
    (arrays,) = read(f"{file}:ARRAYS")
    assert same(text.with_weights(text.b), arrays)
    assert [t.name for t in read(f"{file}:MANY")] == ["MANY['one']", "MANY['other']"]
    assert len(read(str(file))) == 4
    assert audit(from_file).verdict == "holds"


@pytest.mark.parametrize("name", ["RK4", "RADAU_IIA2", "etd4rk"])
def test_what_this_package_holds_is_read_from_its_module(name):
    (table,) = from_python(f"diffnum.solvers.generated:{name}")
    assert name in {known.name for known in audit(table).known}


def test_kinds_are_told_by_what_is_there():
    (exponential,) = from_text("0 |\n1/2 | phi_1(z/2)/2\n | 0, phi_1(z)")
    assert isinstance(exponential, Exponential)
    (spelled,) = from_json('{"A": [[], [{"phi": 1, "at": "1/2", "coefficient": "1/2"}]], "b": [0, "phi(1, z)"]}')
    assert all(
        not (x - y).terms for x, y in zip(spelled.b + spelled.A[1], exponential.b + exponential.A[1], strict=True)
    )
    (adams,) = from_text("alpha | 0 -1 1\nbeta | -1/2 3/2")
    assert isinstance(adams, Multistep) and audit(adams, 2).verdict == "holds"
    gauss = "1/2 - sqrt(3)/6 | 1/4, 1/4 - sqrt(3)/6\n1/2 + sqrt(3)/6 | 1/4 + sqrt(3)/6, 1/4\n | 1/2 1/2"
    (implicit,) = from_text(gauss)
    assert isinstance(implicit, RungeKutta) and audit(implicit, 4).verdict == "holds"


# --- entries ---


@given(st.fractions(max_denominator=10**6))
def test_a_fraction_is_itself_however_it_is_written(x):
    for written in (x, str(x), sympy.Rational(x.numerator, x.denominator), f"({x.numerator})/{x.denominator}"):
        assert number(written) == x
    assert shown(number(str(x))) == str(x) or len(str(x)) > 40


@given(st.fractions(min_value=-20, max_value=20, max_denominator=2000))
def test_a_float_may_be_the_fraction_that_it_rounds(x):
    for made in (float(x), np.float64(x), f"{float(x)!r}"):
        held = number(made)
        assert ratio(held) == x if isinstance(held, Ball) else held == F(repr(float(x)))
        assert vanishes(held - number(x))
    assert vanishes(number(np.float32(float(x))) - number(x))
    assert vanishes(number(torch.tensor(float(x), dtype=torch.float32)) - number(x))


@given(st.fractions(-9, 9, max_denominator=300), st.fractions(0, 1, max_denominator=50))
def test_the_simplest_fraction_of_an_interval_has_the_least_denominator(low, width):
    found = simplest(low, low + width)
    assert low <= found <= low + width
    for q in range(1, found.denominator):
        # no multiple of 1/q lies inside
        assert -(-low * q // 1) > (low + width) * q


def test_roots_are_one_in_every_writing():
    for written in ("sqrt(3)/6", "3**0.5/6", "1/(2*sqrt(3))", sympy.sqrt(3) / 6, root(3) / 6):
        assert vanishes(number(written) - number("sqrt(3)/6"))
    assert not vanishes(number("sqrt(3)/6") - number("0.28867513459481288225457439025198"))
    assert number("sqrt(4)/3") == F(2, 3)


def test_combinations_are_one_in_every_writing():
    sums = ["phi_1(z/2)/2 - 2*phi_2(z)", "1/2*phi1(0.5*z) - phi(2, z)*2", [{"phi": 1, "at": "1/2", "coefficient": 0.5},
            {"phi": 2, "coefficient": -2}]]  # fmt: skip
    first = combination(sums[0])
    assert all(not (combination(other) - first).terms for other in sums)
    assert not (combination("exp(z/3)") - combination({"phi": 0, "at": "1/3"})).terms
    assert [first.taylor(m) for m in range(2)] == [F(1, 2) - 1, F(1, 8) - F(1, 3)]


# --- what is no table ---

BAD_JSON = {
    "cut": '{"A": [[',
    "number": "3",
    "list of numbers": "[1, 2]",
    "empty list": "[]",
    "no weights": '{"A": [[], [1]]}',
    "strange key": '{"A": [[]], "b": [1], "d": 3}',
    "kind": '{"kind": "magic", "A": [[]], "b": [1]}',
    "word": '{"A": [[]], "b": ["one"]}',
    "infinite": '{"A": [[]], "b": [Infinity]}',
    "null": '{"A": [[]], "b": [null]}',
    "true": '{"A": [[]], "b": [true]}',
    "text for a row": '{"A": ["1/2"], "b": [1]}',
    "wide row": '{"A": [[0, 0, 0]], "b": [1]}',
    "order": '{"A": [[]], "b": [1], "order": 1.5}',
    "name": '{"A": [[]], "b": [1], "name": 3}',
    "phi": '{"A": [[]], "b": [{"phi": -1}]}',
    "strange phi": '{"A": [[]], "b": [{"phi": 1, "by": 2}]}',
    "product of phi": '{"A": [[]], "b": ["phi_1(z)*phi_2(z)"]}',
    "z alone": '{"A": [[]], "b": ["phi_1(z) + z"]}',
    "implicit exponential": '{"A": [["phi_1(z)"]], "b": ["phi_1(z)"]}',
    "one alpha": '{"alpha": [1], "beta": [1]}',
    "no new value": '{"alpha": [1, 0], "beta": [1]}',
    "division by zero": '{"A": [[]], "b": ["1/0"]}',
    "root of less than nothing": '{"A": [[]], "b": ["sqrt(-2)"]}',
    "too many weights": '{"A": [[]], "b": [[1], [1], [1]]}',
}
BAD_TEXT = {
    "empty": "",
    "words": "hello",
    "no bar": "0 1 2",
    "two bars": "0 | 1 | 2",
    "no weights": "0 |\n1 | 1",
    "three rows of weights": "0 |\n | 1\n | 1\n | 1",
    "weights in the middle": "0 |\n | 1\n1 | 1",
    "wide": "0 | 1 2 3\n | 1",
    "alpha alone": "alpha | 1 2",
}


@pytest.mark.parametrize("text", BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json_is_one_sentence(text):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        from_json(text)
    assert "Traceback" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("text", BAD_TEXT.values(), ids=BAD_TEXT)
def test_bad_text_is_one_sentence(text):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        from_text(text)


words = st.sampled_from(["1/2", "phi_1(z)", "x", "sqrt(2)", ""])
keys = st.sampled_from(["A", "b", "c", "alpha", "beta", "phi", "order"])
scraps = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150)
@given(scraps)
def test_whatever_json_there_is_it_is_audited_or_refused(content):
    try:
        tables = from_json(json.dumps(content))
    except ValueError:
        return
    for table in tables:
        assert audit(table).verdict in ("holds", "fails")


@settings(max_examples=150)
@given(st.text(alphabet="01/2|.-\n #phi_(z),sqrt+*", max_size=40))
def test_whatever_text_there_is_it_is_audited_or_refused(text):
    try:
        tables = from_text(text)
    except ValueError:
        return
    for table in tables:
        assert audit(table).verdict in ("holds", "fails")


# --- the command ---


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.txt").write_text(PASTED)
    (tmp_path / "bad.txt").write_text(PASTED.replace("3/4 | 0    3/4", "3/4 | 0    2/3"))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "raises.py").write_text("import nowhere_at_all\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")


def said(capsys, *words):
    code = run(["table", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_tells_by_its_exit_code_whether_a_claim_holds(files, capsys):
    assert said(capsys, "good.txt", "--claim", "3")[0] == 0
    assert said(capsys, "good.txt", "--claim", "4")[0] == 1
    code, out, err = said(capsys, "bad.txt", "--claim", "3")
    assert code == 1 and not err
    assert "a_32 = 2/3 should be 3/4" in " ".join(out.split())
    code, out, _ = said(capsys, "bad.txt", "--claim", "3", "--json")
    (content,) = json.loads(out)
    assert code == 1 and content["verdict"] == "fails" and content["slips"][0]["proposed"] == "3/4"


BAD_WORDS = ("nowhere.json", "broken.json", "empty.py", "raises.py", "folder", "bytes.txt", "good.txt --claim 0",
             "empty.py:y", "empty.py:x", "nowhere.py:x", "no_such_module:x", "")  # fmt: skip


@pytest.mark.parametrize("words", BAD_WORDS)
def test_bad_input_to_the_command_is_one_sentence_and_code_two(words, files, capsys):
    code, out, err = said(capsys, *words.split())
    assert code == 2 and not out
    assert err.startswith("diffnum: ") and err.count("\n") == 1


def test_what_is_typed_is_read(files, capsys, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(PASTED))
    assert said(capsys, "-", "--claim", "3")[0] == 0


def test_a_table_without_rows_is_told_what_is_missing():
    table = RungeKutta([[]], [[]], [F(1, 2), F(3, 4)], order=9)
    found = audit(table)
    assert found.verdict == "fails" and found.order == 0
    assert found.finding("shape").where == ("1 rows of A for 2 stages", "0 weights b for 2 stages")
    assert found.finding("weights").residuals == (-1.0,)
    assert str(generated.RK4.weights[0]) in str(audit(RungeKutta(generated.RK4.matrix, generated.RK4.weights)))
