"""The command line says what it did, or in one sentence what is wrong; it writes whole results or none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffnum import cli
from diffnum.cli import run
from diffnum.facts import cells, families, measure
from diffnum.lab import Surrogate, draw, run_study
from diffnum.lab.folder import RECORD, check_out, fresh_folder
from diffnum.lab.pictures import contact_sheet
from diffnum.plan import Plan
from diffnum.solvers import ALL
from diffnum.study import rank

ROOT = Path(__file__).parents[1]
SMALL = ["--size", "3", "--limit", "40", "--nfe", "2"]


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


facts_of = lru_cache(measure)


@pytest.fixture(autouse=True)
def facts_once(monkeypatch):
    """The facts of a sampler are measured once for all tests that list it."""
    monkeypatch.setattr("diffnum.facts.measure", facts_of)


@pytest.fixture
def quick(monkeypatch):
    """Studies of two samplers without a page."""
    two = [ALL["ddim"], ALL["ab2"]]
    monkeypatch.setattr("diffnum.lab.study.rank", lambda *args, **options: rank(*args, **options, samplers=two))
    monkeypatch.setattr("diffnum.lab.study.draw_all", lambda *_: {})
    monkeypatch.setattr("diffnum.lab.study.render", lambda *_: "")


def output(capsys, *words):
    code = run([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def bad(tmp_path, study_folder):
    """A folder of things that should not be fed to the command."""
    plan = next((study_folder / "plans").glob("*.json")).read_text()
    edited = json.loads(plan)
    edited["lines"][-1]["lin"][0][1] *= 1.001
    for name in ("empty", "unreadable", "one", "foreign", "sizes"):
        (tmp_path / name).mkdir()
    for name, size in (("one/a", 4), ("unreadable/a", 4), ("sizes/a", 4), ("sizes/b", 5)):
        Image.fromarray(np.zeros((size, size), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "unreadable" / "b.png").write_text("no picture")
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("")
    (tmp_path / "plan.json").write_text(plan)
    (tmp_path / "cut.json").write_text(plan[:-50])
    (tmp_path / "edited.json").write_text(json.dumps(edited))
    (tmp_path / "hollow.json").write_text('{"schema": 1}')
    (tmp_path / "list.json").write_text("[1, 2]")
    return tmp_path


BAD = {
    "no data": "study",
    "no such data": "study nowhere --out out",
    "empty folder": "study empty --out out",
    "unreadable image": "study unreadable --out out",
    "single image": "study one --out out",
    "two sizes": "study sizes --out out",
    "zero budget": "study digits --nfe 0 --out out",
    "budget in words": "study digits --nfe x --out out",
    "negative budget": "study digits --nfe 5,-1 --out out",
    "fractional budget": "study digits --nfe 2.5 --out out",
    "process": "study digits --process warp --out out",
    "measure": "study digits --by luck --out out",
    "size": "study digits --size 0x4 --out out",
    "limit": "study digits --limit 1 --out out",
    "no components": "study digits --components 0 --out out",
    "components": "study digits --limit 20 --components 21 --out out",
    "seed": "study digits --seed -1 --out out",
    "foreign folder": "study digits --out foreign",
    "file as folder": "study digits --out file",
    "folder below a file": "study digits --out file/out",
    "unknown option": "study digits --fast",
    "unknown command": "paint",
    "no plan": "sample nowhere.json --out out.png",
    "cut plan": "sample cut.json --out out.png",
    "edited plan": "sample edited.json --out out.png",
    "hollow plan": "sample hollow.json --out out.png",
    "not a plan": "sample list.json --out out.png",
    "folder as plan": "sample empty --out out.png",
    "plan without data": "sample plan.json --out out.png",
    "plan with empty data": "sample plan.json --data empty --out out.png",
    "no images": "sample plan.json --data digits --n 0 --out out.png",
    "ending": "sample plan.json --data digits --out out.gif",
    "picture below a file": "sample plan.json --data digits --out file/out.png",
    "nothing to certify": "certify",
    "names and all": "certify euler --all",
    "unknown sampler": "certify eulr",
    "certificates to a picture": "certify euler --out out.png",
    "unknown family": "solvers --family magic",
    "listing to a picture": "solvers --out out.png",
    "listing below a file": "solvers --out file/out.json",
}


@pytest.mark.parametrize("words", BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence_on_stderr_and_leaves_no_file(words, bad, monkeypatch, capsys):
    monkeypatch.chdir(bad)
    before = tree(bad)
    code, out, err = output(capsys, *words.split())
    assert code == 2
    assert err.startswith("diffnum: ") and err.count("\n") == 1 and "Traceback" not in err
    assert not out.strip()
    assert tree(bad) == before


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        ("study digits --process warp", cli.PROCESSES),
        ("study digits --by luck", ("w2", "path")),
        ("solvers --family magic", families(ALL.values())),
    ],
)
def test_an_unknown_name_is_answered_with_all_that_are_known(words, choices, capsys):
    _, _, err = output(capsys, *words.split())
    assert all(name in err for name in choices)


# --- listings ---


def test_help_names_every_command_and_option(capsys):
    _, front, _ = output(capsys, "--help")
    for command in ("solvers", "certify", "study", "sample", "table"):
        assert command in front
        code, text, _ = output(capsys, command, "--help")
        assert code == 0 and "--json" in text


@pytest.mark.parametrize("family", ["momentum", "Stochastic", "exponential one-step", "extended reverse SDE"])
@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_family_fits_the_terminal_with_every_number_and_source(family, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    code, text, _ = output(capsys, "solvers", "--family", family)
    lines, words = text.splitlines(), " ".join(text.split())
    assert code == 0 and max(map(len, lines)) <= width
    for solver in ALL.values():
        rows = [line.split() for line in lines if line.startswith(f"{solver.name} ")]
        assert len(rows) == (solver.family.lower() == family.lower())
        if rows:
            shown = cells(facts_of(solver))
            assert {*shown["NFE"].split(), shown["live"], *shown["interval"].split(), shown["guidance"]} <= {*rows[0]}
            assert solver.cite in words and solver.note in words


@pytest.mark.parametrize("ending", [".json", ".md"])
def test_the_file_of_a_listing_is_what_is_printed(ending, tmp_path, capsys):
    file = tmp_path / "new" / f"listing{ending}"
    flag = {".json": "--json", ".md": "--markdown"}[ending]
    code, text, err = output(capsys, "solvers", "--family", "stabilised", flag, "--out", file)
    assert code == 0 and not err and file.read_text() == text
    assert output(capsys, "solvers", "--family", "stabilised", flag)[1] == text


def test_certificates_in_json_on_disk_and_in_the_table_agree(tmp_path, capsys):
    code, text, err = output(capsys, "certify", "ddim", "--json", "--out", tmp_path / "new" / "ddim.json")
    (certificate,) = json.loads(text)
    assert code == 0 and not err
    assert json.loads((tmp_path / "new" / "ddim.json").read_text()) == [certificate]
    _, table, _ = output(capsys, "certify", "ddim", "--markdown")
    (row,) = [line for line in table.splitlines() if "`ddim`" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    proof, measured = certificate["proof"], certificate["measured"]
    claimed = f"{certificate['claimed']}, cold {certificate['claimed_cold']}"
    assert cells[1:4] == [claimed, f"{proof['order']}, cold {proof['cold']}", f"{measured:.2f}"]
    assert cells[-1] == certificate["verdict"] == "holds"


def test_certifying_all_prints_and_writes_every_sampler(tmp_path, monkeypatch, capsys):
    two = {name: ALL[name] for name in ("ddim", "ab2")}
    monkeypatch.setattr("diffnum.solvers.ALL", two)
    monkeypatch.chdir(tmp_path)
    code, table, _ = output(capsys, "certify", "--all")
    assert code == 0 and all(name in table for name in two)
    assert [c["name"] for c in json.loads((tmp_path / "certificates.json").read_text())] == list(two)


def test_a_claim_that_fails_is_exit_code_1(monkeypatch, capsys):
    from dataclasses import replace

    boast = replace(ALL["euler"], order=2, cold=2)
    monkeypatch.setitem(ALL, "euler", boast)
    code, table, _ = output(capsys, "certify", "euler")
    assert code == 1 and "fails" in table


# --- studies and samples ---


def test_sample_writes_the_picture_of_the_array_it_writes(study_folder, tmp_path, capsys):
    plan = next((study_folder / "plans").glob("*.json"))
    for name in ("a.png", "a.npy"):
        assert output(capsys, "sample", plan, "--n", 10, "--seed", 3, "--out", tmp_path / name)[0] == 0
    images = np.load(tmp_path / "a.npy")
    surrogate = Surrogate.load(study_folder / "surrogate.npz")
    assert images.shape == (10, *surrogate.shape)
    np.testing.assert_array_equal(images.reshape(10, -1), draw(Plan.load(plan), surrogate, 10, 3))
    picture = contact_sheet(images.reshape(10, -1), surrogate.shape)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(picture))


def test_every_plan_of_a_study_runs_and_stays_within_its_budget(study_folder):
    surrogate = Surrogate.load(study_folder / "surrogate.npz")
    files = sorted((study_folder / "plans").glob("*.json"))
    assert len(files) > 20
    for file in files:
        plan = Plan.load(file)
        assert plan.nfe <= int(file.name.split("-")[0])
        assert np.isfinite(draw(plan, surrogate, 2)).all()


def test_sample_can_fit_data_instead_of_reading_the_study(study_folder, tmp_path, capsys):
    plan = next((study_folder / "plans").glob("*.json"))
    words = ["--data", "digits", "--size", 4, "--limit", 80, "--n", 5, "--json", "--out"]
    code, text, _ = output(capsys, "sample", plan, *words, tmp_path / "fitted.npy")
    assert code == 0 and json.loads(text)["shape"] == [4, 4, 1]
    output(capsys, "sample", plan, "--n", 5, "--out", tmp_path / "stored.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "fitted.npy"), np.load(tmp_path / "stored.npy"))


def test_study_json_is_the_record_it_writes_and_nothing_else_is_printed(tmp_path, capsys, quick):
    code, text, err = output(capsys, "study", "digits", *SMALL, "--out", tmp_path / "s", "--json")
    assert code == 0 and not err
    printed, written = json.loads(text), json.loads((tmp_path / "s" / RECORD).read_text())
    assert printed.pop("out") == str(tmp_path / "s")
    assert set(written.pop("files")) == {name for name in tree(tmp_path / "s") if (tmp_path / "s" / name).is_file()}
    assert printed == written


def test_a_study_replaces_an_earlier_one_but_not_with_a_strangers_file_in_it(tmp_path, capsys, quick):
    out = tmp_path / "s"
    for seed in (1, 2):
        assert output(capsys, "study", "digits", *SMALL, "--seed", seed, "--out", out)[0] == 0
        assert json.loads((out / RECORD).read_text())["seed"] == seed
    (out / "notes.txt").write_text("mine")
    before = tree(tmp_path)
    assert output(capsys, "study", "digits", *SMALL, "--out", out)[0] == 2
    assert tree(tmp_path) == before


def test_an_interrupted_study_leaves_the_earlier_one_and_nothing_else(tmp_path, monkeypatch, capsys, quick):
    out = tmp_path / "deep" / "s"

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("diffnum.lab.study.draw_all", interrupt)
    assert output(capsys, "study", "digits", *SMALL, "--out", out)[0] == 130
    assert not tree(tmp_path)
    with fresh_folder(out) as folder:
        (folder / RECORD).write_text(json.dumps({"files": [RECORD]}))
    before = tree(tmp_path)
    code, _, err = output(capsys, "study", "digits", *SMALL, "--out", out)
    assert code == 130 and err.count("\n") == 1
    assert tree(tmp_path) == before
    assert json.loads((out / RECORD).read_text()) == {"files": [RECORD]}


def test_a_disk_that_refuses_is_one_sentence(tmp_path, monkeypatch, capsys, quick):
    def full(*_):
        raise OSError(28, "No space left on device", "surrogate.npz")

    monkeypatch.setattr(Surrogate, "save", full)
    code, _, err = output(capsys, "study", "digits", *SMALL, "--out", tmp_path / "s")
    assert code == 2 and "No space left" in err and err.count("\n") == 1
    assert not tree(tmp_path)


def terminated(folder):
    """A study that is asked to end as soon as it writes: its exit code, and what it said."""
    words = [sys.executable, "-m", "diffnum", "study", "digits", *SMALL, "--out", str(folder / "s")]
    child = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)
    while child.poll() is None and not tree(folder):
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate()
    return child.returncode, err


@pytest.mark.full
def test_termination_from_outside_tidies_up(tmp_path):
    # on a busy machine the study may be over before the signal comes: it is asked again, and must be caught once
    folders = [tmp_path / name for name in "abcde"]
    for folder in folders:
        folder.mkdir()
        code, err = terminated(folder)
        assert code in (0, 130) and b"Traceback" not in err
        if code == 130:
            assert not tree(folder)
            return
    pytest.fail("five studies were over before they could be stopped")


def test_a_folder_is_checked_before_anything_is_computed(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr("diffnum.lab.study.load", lambda *_, **__: pytest.fail("the images were read first"))
    with pytest.raises(ValueError, match=r"notes\.txt"):
        run_study("digits", (5,), tmp_path)


def test_an_empty_folder_and_a_new_one_are_welcome(tmp_path):
    assert check_out(tmp_path) == tmp_path
    assert check_out(tmp_path / "new" / "one") == tmp_path / "new" / "one"


@pytest.mark.full
def test_a_reader_that_has_enough_ends_the_command_quietly():
    words = f"{sys.executable} -m diffnum solvers --json | head -1"
    done = subprocess.run(["bash", "-c", words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[\n" and not done.stderr
