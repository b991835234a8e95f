"""The audit finds every known defect of diffusers by what it measures, and nothing in what is known to be good."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
from audit_cases import DEFECTS, GOOD, KARRAS, MULTISTEP, SDE, SINGLESTEP, case

pytest.importorskip("diffusers")

import diffusers

from diffnum.audit import Case, Record, Sampler, audit, cases, chosen
from diffnum.audit.checking import audited
from diffnum.audit.comparing import compared
from diffnum.audit.report import html, rows, summary, write
from diffnum.audit.reproduction import page, script
from diffnum.cli import run

AUDIT = Path(__file__).parents[1] / "diffnum" / "audit"
# one of each, that take little time; the rest with the full tests
QUICK = {"B01", "B04", "B06", "B24", "B28", "B29", "B30", "B32", "B33", "B34", "B40", "B41", "B42", "B46"}


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
        marks = () if quick else pytest.mark.full
        params.append(pytest.param(name, settings, kinds, id=f"{bug}-{case(name, settings).key}", marks=marks))
    return params


@pytest.mark.parametrize("name, settings, kinds", marked(DEFECTS))
def test_a_known_defect_is_found(name, settings, kinds):
    assert kinds <= settled(name, settings)


@pytest.mark.parametrize(
    "name, settings",
    [
        pytest.param(name, settings, id=case(name, settings).key, marks=() if i < 6 else pytest.mark.full)
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
