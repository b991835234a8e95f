"""The audit finds every known defect of diffusers by what it measures, and nothing in what is known to be good."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from audit_cases import DEFECTS, GOOD, MULTISTEP, SDE, SINGLESTEP, case

pytest.importorskip("diffusers")

import diffusers

from diffnum.audit import Case, Record, audit, audited, cases, chosen
from diffnum.audit.comparing import compared
from diffnum.audit.findings import Defect
from diffnum.audit.report import grouped, html, rows, summary, write
from diffnum.audit.reproduction import filename, page, script
from diffnum.cli import run

AUDIT = Path(__file__).parents[1] / "diffnum" / "audit"
# one of each, that take little time; the rest with the full tests
QUICK = {"B01", "B04", "B24", "B28", "B29", "B33", "B34", "B40", "B41"}


@cache
def record(one: Case) -> Record:
    return audited(one)


def lowered(settings: dict) -> list[dict]:
    """The same with the next lower order."""
    order = settings.get("solver_order", 2)
    return [{**settings, "solver_order": order - 1}] if order > 1 else []


def settled(name: str, settings: dict) -> set[str]:
    """Kinds found, comparisons with the lower order included."""
    records = [record(case(name, s)) for s in (settings, *(lowered(settings) if "algorithm_type" in settings else []))]
    return set(compared(records)[0].kinds)


def marked(bugs: list) -> list:
    seen: set[str] = set()
    params = []
    for bug, name, settings, kinds in bugs:
        quick = bug in QUICK and bug not in seen
        seen.add(bug)
        title = f"{bug}-{case(name, settings).key}"
        params.append(pytest.param(name, settings, kinds, id=title, marks=[] if quick else pytest.mark.full))
    return params


@pytest.mark.parametrize("name, settings, kinds", marked(DEFECTS))
def test_a_known_defect_is_found(name, settings, kinds):
    assert kinds <= settled(name, settings)


@pytest.mark.parametrize(
    "name, settings",
    [
        pytest.param(name, settings, id=case(name, settings).key, marks=[] if i < 4 else pytest.mark.full)
        for i, (name, settings) in enumerate(GOOD)
    ],
)
def test_nothing_is_found_in_what_is_good(name, settings):
    made = record(case(name, settings))
    assert made.status == "audited"
    assert not made.faults


def test_the_audit_knows_no_names_no_defects_and_no_orders_of_others():
    names = [n.removesuffix("Scheduler") for n in dir(diffusers.schedulers) if n.endswith("Scheduler")]
    for folder in (AUDIT, AUDIT.parent / "lifting"):
        for path in folder.iterdir():
            if path.suffix in (".py", ".j2"):
                source = path.read_text()
                assert not [n for n in names if len(n) > 4 and n in source], path
                assert not re.search(r"\bB\d\d\b|#\d{4}", source), path


# --- the run, the report, the command ---


def test_a_planted_error_is_found_and_the_same_without_it_is_not(tmp_path):
    wanted = cases("planted:Multistep")
    assert [c.key for c in wanted] == ["Multistep()"]
    (good,) = audit(wanted)
    assert (good.status, good.faults, good.near) == ("audited", (), "dpmpp_2m")
    assert good.order is not None
    assert abs(good.order.value - 2) < 0.2
    bad = audited(Case(wanted[0].sampler, (("fault", "factor"),)))
    assert bad.order is not None
    assert bad.difference or bad.faults


def test_a_second_audit_reads_what_the_first_one_wrote(tmp_path, monkeypatch):
    file = tmp_path / "records.jsonl"
    wanted = [case("DDPMScheduler", {"variance_type": "fixed_large_log"})]
    first = audit(wanted, file)
    # a line that was cut off is no record
    with file.open("a") as more:
        more.write('{"id": "x", "rec')
    monkeypatch.setattr("diffnum.audit.runner.audited", lambda one: pytest.fail("audited again"))
    again = audit(wanted, file)
    assert [r.to_json() for r in again] == [r.to_json() for r in first]


def test_a_record_survives_json():
    made = record(case(MULTISTEP, {"solver_order": 3}))
    assert Record.from_json(json.loads(json.dumps(made.to_json()))).to_json() == made.to_json()


def test_the_report_shows_every_sampler_and_a_page_for_every_defect(tmp_path):
    records = [record(case(name, {})) for name in ("DDIMScheduler", "FlowMatchEulerDiscreteScheduler")]
    files = write(records, tmp_path, "diffusers", "diffusers and diffnum", "{}")
    text = html(records, "diffusers", "diffusers and diffnum")
    assert all(f"<td>{row[0]}</td>".replace("'", "&#39;") in text for row in rows(records))
    assert len(files) == 2 + sum(len(r.faults) for r in records)
    assert "2 settings of 2 samplers audited" in summary(records)
    # those of an audit before are taken away
    write(records[:1], tmp_path, "diffusers", "", "{}")
    assert not list((tmp_path / "defects").iterdir())


@pytest.mark.parametrize(
    "name, settings, kind",
    [
        pytest.param(MULTISTEP, {"solver_order": 3}, "order", marks=pytest.mark.full),
        ("DDPMScheduler", {"variance_type": "fixed_large_log"}, "infinite"),
    ],
)
def test_a_page_holds_a_script_that_runs_and_the_numbers(name, settings, kind, capsys):
    made = record(case(name, settings))
    defect = next(d for d in made.faults if d.kind == kind)
    assert defect.sentence[1:] in page(made, defect, "diffusers")
    with warnings.catch_warnings():
        # theirs, of the defect
        warnings.simplefilter("ignore")
        exec(compile(script(made, defect), "page", "exec"), {})
    shown = capsys.readouterr().out
    assert "nan" in shown if kind == "infinite" else str(made.order.errors) in shown


def test_reports_of_settings_that_differ_by_signs_alone_have_names_of_their_own():
    made, defect = record(case(MULTISTEP, {"solver_order": 3})), Defect("stopped", "", "", "")
    names = {
        filename(replace(made, key=key), defect)
        for key in ("Solver(type='sde')", "Solver(type='sde++')", "Solver(" + 200 * "x", "Solver(" + 201 * "x")
    }
    assert len(names) == 4
    assert all(len(name) < 200 and name.endswith("-stopped.txt") for name in names)


def test_a_defect_that_many_settings_share_is_told_once_and_links_to_all():
    shared = record(case("DDPMScheduler", {"variance_type": "fixed_large_log"}))
    others = [replace(shared, key=f"DDPMScheduler(eta={i})", settings={"a": 1, "b": i}) for i in range(3)]
    (group,) = grouped([*others, shared])
    assert [r.key for r, _ in group] == [shared.key, *(r.key for r in others)]
    text = html([*others, shared], "diffusers", "")
    assert text.count("cease to be finite") + text.count("not finite") == 1
    assert "the same with 3 other settings" in text
    assert all(filename(r, d) in text for r in others for d in r.faults)


def test_less_than_the_order_it_names_comes_with_what_it_is_and_what_to_change():
    made = record(case(MULTISTEP, {"solver_order": 3}))
    assert "it is dpmpp_3m, coefficient by coefficient: " in made.advice
    assert "of order 3, dpmpp_3m_corrected, differs first in step 2" in made.advice
    (order,) = [d for d in made.faults if d.kind == "order"]
    assert f"Suggested correction: {made.advice}" in page(made, order, "")
    assert not record(case("DDIMScheduler", {})).advice


def test_what_is_listed_is_among_what_the_audit_tries():
    tried = {c.key for c in cases("diffusers")}
    listed = [(name, settings) for _, name, settings, _ in DEFECTS] + GOOD

    def same(name, settings):
        return any(
            k.startswith(f"{name}(") and set(k.split("(", 1)[1][:-1].split(", ")) == words(settings) for k in tried
        )

    def words(settings):
        return {f"{k}={v!r}" for k, v in settings.items()} or {""}

    assert not [(name, settings) for name, settings in listed if not same(name, settings)]


def test_the_command_exits_with_one_where_a_defect_is_found(tmp_path, capsys):
    only = r"^FlowMatchEulerDiscreteScheduler\((shift=3.0)?\)$"
    assert (
        run(
            [
                "audit",
                "diffusers:FlowMatchEulerDiscreteScheduler",
                "--only",
                only,
                "--jobs",
                "1",
                "--out",
                str(tmp_path / "r"),
            ]
        )
        == 1
    )
    assert "shift" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "r").iterdir()} == {"audit.json", "index.html", "records.jsonl", "defects"}
    assert run(["audit", "planted:Multistep", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"][0]["near"] == "dpmpp_2m"


@pytest.mark.parametrize(
    "words, said",
    [
        (["audit", "planted:Multistep", "--only", "("], "is no pattern"),
        (["audit", "planted:Multistep", "--only", "nobody"], "matches none of"),
        (["audit", "no_such_library"], "cannot be imported"),
        (["audit", "planted:nobody"], "has no nobody"),
        (["audit", "json:dumps"], "is no sampler"),
    ],
)
def test_a_target_that_is_none_is_refused_in_a_sentence(words, said, capsys):
    assert run(words) == 2
    assert said in capsys.readouterr().err


def test_every_setting_is_tried_alone_and_limits_are_off():
    keys = {c.key for c in cases(f"diffusers:{SINGLESTEP}")}
    assert {f"{SINGLESTEP}()", f"{SINGLESTEP}(solver_order=1)", f"{SINGLESTEP}(use_karras_sigmas=True)"} <= keys
    assert not [k for k in keys if "thresholding" in k or "learned" in k]
    ddim = cases("diffusers:DDIMScheduler")
    assert all(c.off == ("clip_sample",) for c in ddim)
    assert "clip_sample=False" in record(ddim[0]).remark


def test_a_pattern_chooses_and_one_that_chooses_nothing_is_refused():
    wanted = cases(f"diffusers:{SINGLESTEP}")
    assert [c.chosen for c in chosen(wanted, r"solver_order=1, algorithm_type='sde-dpmsolver\+\+'\)")] == [
        {"solver_order": 1, **SDE}
    ]
    assert chosen(wanted, None) == wanted
    with pytest.raises(ValueError, match="matches none"):
        chosen(wanted, "nobody")


@pytest.mark.full
def test_a_function_and_an_object_that_steps_are_audited_too():
    function, right, wrong = (*cases("audit_cases:euler"), *cases("audit_cases:Steps"))
    assert [c.sampler.kind for c in (function, right)] == ["function", "stepper"]
    assert wrong.chosen == {"swapped": True}
    for one in (function, right):
        made = record(one)
        assert (made.status, made.faults, made.near) == ("audited", (), "ddim" if one is right else made.near)
        assert abs(made.order.value - 1) < 0.15
    assert {"scale", "level", "diverges"} <= {d.kind for d in record(wrong).faults}


def test_a_model_that_is_told_the_old_level_is_found_though_every_coefficient_is_a_known_methods():
    right, wrong = cases("audit_cases:heun")
    assert (record(right).faults, record(right).near) == ((), "heun")
    assert abs(record(right).order.value - 2) < 0.15
    assert [d.kind for d in record(wrong).faults] == ["level"]
    assert abs(record(wrong).order.value - 1) < 0.15


@pytest.mark.full
def test_a_number_of_steps_that_is_refused_with_its_bound_is_a_note():
    made = record(case("LCMScheduler", {}))
    (bound,) = [d for d in made.defects if d.kind == "bound"]
    assert bound.note and "50" in bound.sentence
