"""Every form computes the same line: to the rounding of its dtype, into the same table."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffnum.lab.bench import compare, form_table, read, write
from diffnum.lab.bench import forms as timed
from diffnum.lab.bench.__main__ import main
from diffnum.lab.bench.steps import DTYPES
from diffnum.lab.bench.tables import FORMS, markdown
from diffnum.read import fused as fusing

RESULTS = Path(__file__).parents[1] / "tests" / "benchmarks" / "cpu"
ALWAYS = ["plain", "in place", "ring mv", "ring mm"]
SHAPE = (2, 3, 4, 4)


@pytest.fixture(scope="module", autouse=True)
def written_out():
    """What is given to the compiler runs as it is, and a block is one call."""
    fusing._function.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusing, "_compile", lambda function: function)
        patch.setattr(timed, "_BLOCK", {"other": 1.0})
        yield
    fusing._function.cache_clear()


def lines(k, seed, dtype, size=24):
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(k, generator=generator, dtype=torch.float64).tolist()
    return coefficients, [torch.randn(2, size // 2, generator=generator).to(dtype) for _ in range(k)]


@given(st.integers(1, 8), st.integers(0, 1000), st.sampled_from(list(DTYPES.values())))
def test_every_form_is_the_line_within_the_rounding_of_its_products_and_sums(k, seed, dtype):
    coefficients, values = lines(k, seed, dtype)
    exact = sum(c * v.double() for c, v in zip(coefficients, values, strict=True))
    size = sum(abs(c) * v.double().abs() for c, v in zip(coefficients, values, strict=True))
    for form in timed.forms(coefficients, values):
        away = (form.run().double().reshape(exact.shape) - exact).abs()
        assert bool((away <= (2 * k + 1) * torch.finfo(dtype).eps * size).all()), form.name


@given(st.integers(2, 6), st.integers(0, 1000))
def test_in_16_bits_only_the_plain_expression_rounds_between_terms(k, seed):
    """Accumulated in float32 and rounded once: as near as 16 bits can be to the line of the coefficients taken."""
    coefficients, values = lines(k, seed, torch.bfloat16)
    scale = sum(abs(c) * v.double().abs() for c, v in zip(coefficients, values, strict=True))
    for form in timed.forms(coefficients, values):
        if form.name == "plain":
            continue
        taken = torch.tensor(coefficients, dtype=torch.float64).to(form.dtype).double()
        line = sum(c * v.double() for c, v in zip(taken, values, strict=True))
        away = (form.run().double().reshape(line.shape) - line).abs()
        once = (line.to(torch.bfloat16).double() - line).abs()
        assert bool((away <= once + 4 * k * torch.finfo(torch.float32).eps * scale).all()), form.name


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_form_is_nearer_to_the_line_than_one_rounding(dtype):
    rows = compare(SHAPE, dtype, turns=1, terms=(2, 5))
    assert [r.form for r in rows] == 2 * [*ALWAYS, "compiled"]
    own = {r.terms: r for r in rows if r.form == "in place"}
    assert all(r.to_in_place == 1.0 for r in own.values())
    if dtype == "bfloat16":
        assert all(r.error >= own[r.terms].error * (1 - 1e-4) for r in rows)
        assert all(r.error != r.sums for r in rows if r.form.startswith("ring"))
    assert all(r.error == r.sums for r in rows if not r.form.startswith("ring"))
    for r in rows:
        assert r.to_in_place == pytest.approx(r.to_ideal / own[r.terms].to_ideal)


def test_a_state_of_many_numbers_is_the_same_line_block_by_block():
    coefficients, values = lines(3, 0, torch.float32, size=600_000)
    found = {form.name: form.run().reshape(-1) for form in timed.forms(coefficients, values)[1:2]}
    torch.testing.assert_close(found["in place"], timed._plain(coefficients, values).reshape(-1))


def test_a_compiler_that_fails_leaves_its_form_out(monkeypatch):
    def fails(function):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(fusing, "_compile", fails)
    fusing._function.cache_clear()
    try:
        assert [form.name for form in timed.forms(*lines(3, 0, torch.float32))] == ALWAYS
    finally:
        fusing._function.cache_clear()


def test_the_kernel_takes_part_on_a_gpu_alone():
    assert "triton" not in [form.name for form in timed.forms(*lines(2, 0, torch.float32))]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_kernel_takes_part_and_is_the_line():
    rows = compare(SHAPE, "float32", "cuda", turns=1, terms=(3,))
    assert {r.form for r in rows} >= {*ALWAYS, "triton"} and all(r.error < 1e-5 for r in rows)


@pytest.mark.parametrize("terms", [(), (0, 2)])
def test_a_line_without_terms_is_refused(terms):
    with pytest.raises(ValueError, match="are no lines"):
        compare(SHAPE, terms=terms)


def test_the_table_is_written_read_and_shown(tmp_path, capsys):
    words = ["--parts", "forms", "--shapes", "1x2x4x4,2x2x4x4", "--turns", "1", "--out", str(tmp_path)]
    assert main(words) == 0
    rows, foot = read(tmp_path / "forms.csv")
    assert list(rows[0]) == list(timed.FormRow.__dataclass_fields__)
    assert {(r["shape"], r["dtype"], int(r["terms"])) for r in rows} == {
        (shape, dtype, k) for shape in ("1x2x4x4", "2x2x4x4") for dtype in DTYPES for k in timed.TERMS
    }
    assert (
        form_table([r for r in rows if (r["shape"], r["dtype"]) == ("2x2x4x4", "bfloat16")]) in capsys.readouterr().out
    )
    (tmp_path / "steps.csv").write_text((RESULTS / "steps.csv").read_text())
    shown = markdown(tmp_path)
    assert form_table(rows) in shown and f"- {foot[-2]}" in shown
    # a form that one dtype alone has leaves its cells empty in the other
    fewer = [r for r in rows if (r["form"], r["dtype"]) != ("compiled", "float32")]
    assert form_table(fewer).count("|  |") == 2 * len(timed.TERMS)


def test_without_a_table_of_forms_the_rest_is_shown_as_ever(tmp_path):
    row = replace(compare((1, 1, 2, 2), turns=1, terms=(2,))[0], to_ideal=123.4)
    (tmp_path / "steps.csv").write_text((RESULTS / "steps.csv").read_text())
    before = markdown(tmp_path)
    write(tmp_path / "forms.csv", [row], ["commit: none"])
    after = markdown(tmp_path)
    table = form_table([{name: str(value) for name, value in asdict(row).items()}])
    assert "123 / " in table and table not in before and table in after
    start = after.index(f"<details><summary>{FORMS}")
    end = after.index("</details>\n", start) + len("</details>\n")
    assert after[:start] + after[end:] == before
