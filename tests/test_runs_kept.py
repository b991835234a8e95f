"""Results are whole, finite and computed once; what fails is named; what is reported is what is there."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from run_cases import write_notebook

from diffnum.cli import run
from diffnum.lab.runs import Notebook, Outcome, StartFailed, check_store, compute, read_grid, requests, store
from diffnum.lab.runs.kernel import NotebookFailed
from diffnum.lab.runs.sweeping import ATTEMPTS, drive, list_runs


@pytest.fixture
def notebook(tmp_path):
    return Notebook.load(write_notebook(tmp_path / "toy.ipynb"))


@pytest.fixture
def out(tmp_path):
    return check_store(tmp_path / "runs")


@pytest.fixture
def pretend(monkeypatch):
    """Runs without a kernel: ``pretend(f)`` lets ``f(folder, parameters)`` be the notebook, and lists its runs."""
    begun = []

    def use(body):
        def execute(source, parameters, session, log):
            begun.append(parameters)
            (session.folder / "notebook.ipynb").write_text(source)
            body(session.folder, parameters)

        monkeypatch.setattr("diffnum.lab.runs.single.execute", execute)
        return begun

    return use


def writes(**content):
    return lambda folder, parameters: (folder / "result.json").write_text(
        json.dumps({"error": 0.1, "count": 2} | content)
    )


# --- the store ---


def test_a_finished_run_is_found_and_not_computed_again(notebook, out, pretend):
    begun = pretend(writes())
    first, second = compute(notebook.request({}), out), compute(notebook.request({"steps": 4}), out, again=True)
    assert (first.status, first.fresh, second.fresh, len(begun)) == ("finished", True, False, 1)
    record = store.read(out, first.key)
    assert record["numbers"] == {"error": 0.1, "count": 2} and record["seed"] == 0
    assert {p.name for p in Path(first.folder).iterdir()} == {"run.json", "log.txt", "notebook.ipynb", "result.json"}


def test_a_failure_is_kept_apart_and_tried_again_only_on_request(notebook, out, pretend):
    def fails(folder, parameters):
        raise NotebookFailed("cell 3: ValueError: no")

    begun = pretend(fails)
    for again in (False, False, True):
        outcome = compute(notebook.request({}), out, again=again)
        assert (outcome.status, outcome.reason) == ("failed", "toy.ipynb: cell 3: ValueError: no")
    assert len(begun) == 2
    pretend(writes())
    assert compute(notebook.request({}), out, again=True).status == "finished"
    assert [p.name for p in store.folders(out)] == [outcome.key]
    assert not list(out.glob("*.failed")) and not list(out.glob("*.part*"))


def test_an_artefact_that_is_not_finite_fails_the_run_by_name(notebook, out, pretend):
    pretend(writes(error=float("nan")))
    outcome = compute(notebook.request({}), out)
    assert outcome.status == "failed"
    assert outcome.reason == "toy.ipynb: the artefact result.json cannot be read: it holds NaN"
    pretend(lambda folder, parameters: None)
    assert compute(notebook.request({}), out, again=True).reason.endswith("result.json was not written")


@pytest.mark.parametrize("error", [StartFailed, KeyboardInterrupt])
def test_a_run_that_did_not_start_or_was_interrupted_leaves_nothing(notebook, out, pretend, error):
    def breaks(folder, parameters):
        (folder / "result.json").write_text("{")
        raise error("no kernel")

    pretend(breaks)
    with pytest.raises(error):
        compute(notebook.request({}), out)
    assert store.folders(out) == [] and not list(out.glob("*.part*"))


def test_what_a_killed_run_left_is_neither_read_nor_kept(notebook, out, pretend):
    request = notebook.request({})
    left = out / f"{request.key}.part"
    left.mkdir()
    (left / "result.json").write_text("{")
    (left / "other").write_text("")
    assert store.read(out, request.key) is None and store.folders(out) == []
    pretend(writes())
    outcome = compute(request, out)
    assert not (Path(outcome.folder) / "other").exists()


def test_two_who_want_one_run_compute_it_once(notebook, out, pretend):
    request, outcomes = notebook.request({}), []
    inside, go = threading.Event(), threading.Event()

    def slow(folder, parameters):
        inside.set()
        assert go.wait(20)
        writes()(folder, parameters)

    begun = pretend(slow)
    both = [threading.Thread(target=lambda: outcomes.append(compute(request, out))) for _ in range(2)]
    both[0].start()
    assert inside.wait(20)
    both[1].start()
    go.set()
    for thread in both:
        thread.join(20)
    assert len(begun) == 1 and sorted(o.fresh for o in outcomes) == [False, True]


def test_a_result_that_was_changed_by_hand_is_refused(notebook, out, pretend):
    pretend(writes())
    outcome = compute(notebook.request({}), out)
    (Path(outcome.folder) / "result.json").write_text("{}")
    with pytest.raises(ValueError, match="changed by hand: delete the folder"):
        compute(notebook.request({}), out)


def test_a_machine_with_other_versions_refuses(notebook, out, pretend):
    request = notebook.request({})
    request = replace(request, versions=request.versions | {"numpy": "1.0"})
    with pytest.raises(ValueError, match=r"has numpy .* asks for 1.0: give all workers the environment"):
        compute(request, out)


# --- sweeps without a cluster ---


def test_a_grid_crosses_lists_and_lists_runs(tmp_path, notebook):
    (tmp_path / "grid.yaml").write_text(
        "cross: {steps: [1, 2], seed: [0, 1]}\nruns: [{steps: 2, seed: 1}, {rate: 0.25}]\nfixed: {rate: 1e-3}\n"
    )
    grid = read_grid(tmp_path / "grid.yaml")
    assert [(r.get("steps"), r.get("seed")) for r in grid[:4]] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert grid[5] == {"rate": 0.25}
    found = requests(notebook, grid)
    assert len(found) == 5, "one of them twice"
    assert [r.parameters["rate"] for r in found] == [1e-3] * 4 + [0.25]


@pytest.mark.parametrize(
    "text, said",
    [("a: 1", "holds a: use the parts"), ("cross: {steps: 3}", "crosses steps = 3: give a list"),
     ("{}", "names no run"),
     ("cross: {steps: [1], steps: [2]}", "stands twice"), ("runs: {steps: 1}", "a list of mappings"),
     ("- 1", "use the parts"),
     ("runs: [3]", "give names with values"), ("cross: [", "is no YAML"), ("cross: {steps: []}", "give a list")],
)  # fmt: skip
def test_a_grid_that_cannot_be_meant_is_refused(tmp_path, text, said):
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"grid\.yaml") as refusal:
        read_grid(tmp_path / "grid.yaml")
    assert said in str(refusal.value)


class Promise:
    """A future that has ended."""

    def __init__(self, key, value):
        self.key, self.value = key, value

    def result(self, timeout=None):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def add_done_callback(self, call):
        call(self)


class Client:
    """A cluster whose answers are known: by parameters, one for each attempt."""

    status = "running"

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    cluster = None

    def submit(self, task, request, *rest, key, **options):
        self.asked.append(request.parameters["steps"])
        value = self.answers[request.parameters["steps"]].pop(0)
        return Promise(key, Outcome(request.key, value) if isinstance(value, str) else value)


class Hearer:
    def __init__(self):
        self.said = []

    def ended(self, outcome):
        self.said.append(outcome.status)

    def retried(self, key, reason):
        self.said.append(reason)


def test_a_kernel_that_does_not_start_is_tried_again_and_a_notebook_that_fails_is_not(notebook, out):
    no = StartFailed("no kernel")
    client = Client({1: ["failed"], 2: [no, no, "finished"], 3: [no] * ATTEMPTS, 4: ["finished"]})
    todo, ended, hearer = [notebook.request({"steps": n}) for n in (1, 2, 3, 4)], {}, Hearer()
    drive(client, todo, out, None, False, ended, hearer)
    assert [ended[r.key].status for r in todo] == ["failed", "finished", "lost", "finished"]
    assert {n: client.asked.count(n) for n in (1, 2, 3, 4)} == {1: 1, 2: 3, 3: ATTEMPTS, 4: 1}
    assert hearer.said.count("no kernel") == 2 + ATTEMPTS - 1


# --- the commands ---


def output(capsys, *words):
    code = run([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_notebook(tmp_path / "toy.ipynb")
    return tmp_path


def test_run_runs_a_notebook_once_and_records_what_it_ran_on(here, capsys):
    words = ("run", "toy.ipynb", "-p", "steps=5", "--out", "runs")
    code, said, wrong = output(capsys, *words)
    assert (code, wrong) == (0, "") and said.startswith("finished: runs/")
    (folder,) = store.folders(here / "runs")
    record = json.loads((folder / "run.json").read_text())
    assert record["numbers"] == {"error": 0.1, "count": 5}
    assert record["command"] == "diffnum run toy.ipynb -p steps=5 --out runs"
    assert record["device"] == "cpu" and record["peak_mb"] > 10 and record["seconds"] > 0 and record["commit"] == {}
    assert record["versions"] == Notebook.load("toy.ipynb").request({}).versions
    assert json.loads((folder / "notebook.ipynb").read_text())["metadata"]["papermill"]["parameters"] == {"steps": 5}
    began = (folder / "run.json").stat()
    code, said, _ = output(capsys, *words)
    assert code == 0 and said.startswith("was finished before")
    assert (folder / "run.json").stat() == began


@pytest.mark.parametrize(
    "words, said",
    [("-p steps=x", "steps = 'x' is not a whole number: give such a value"), ("-p steps", "is no NAME=VALUE"),
     ("-p steps=1 -p steps=2", "given twice"), ("-p api_key=1", "looks by its name like a secret"),
     ("--out toy.ipynb", "is a file: name a folder")],
)  # fmt: skip
def test_run_refuses_in_one_sentence(here, capsys, words, said):
    code, _, wrong = output(capsys, "run", "toy.ipynb", *words.split())
    assert code == 2 and said in wrong and wrong.count("\n") == 1
    assert not (here / "runs").exists()


def test_sweep_finds_what_is_finished_and_report_tells_all(here, capsys, pretend, monkeypatch):
    (here / "grid.yaml").write_text("cross: {steps: [1, 2, 4], seed: [0, 1]}\n")
    pretend(lambda folder, p: writes(error=1 / p.get("steps", 4))(folder, p) if p.get("seed") else fail())
    out, notebook = check_store("runs"), Notebook.load("toy.ipynb")
    for request in requests(notebook, read_grid("grid.yaml")):
        compute(request, out)
    code, said, wrong = output(capsys, "sweep", "toy.ipynb", "grid.yaml", "--out", "runs", "--json")
    assert code == 1 and json.loads(said)["finished"] == 3 and json.loads(said)["failed"] == 3
    code, said, wrong = output(capsys, "report", "runs")
    assert (code, wrong) == (0, "")
    page = (here / "runs" / "report.html").read_text()
    assert "6 runs" in page and "3 finished" in page and "toy.ipynb: cell 2: Nope: no" in page
    assert "http" not in page.replace("http://www.w3.org", ""), "the page needs the network"
    rows = (here / "runs" / "runs.csv").read_text().splitlines()
    assert [row.split(",")[2] for row in rows[1:]] == ["failed", "finished"] * 3


def fail():
    raise NotebookFailed("cell 2: Nope: no")


def test_report_lists_what_is_still_to_run(here, capsys, pretend):
    pretend(writes())
    (here / "grid.yaml").write_text("cross: {steps: [1, 2, 4]}\n")
    out = check_store("runs")
    todo = requests(Notebook.load("toy.ipynb"), read_grid("grid.yaml"), "diffnum sweep ...")
    list_runs(todo, out)
    compute(todo[1], out)
    code, said, _ = output(capsys, "report", "runs", "--json")
    assert code == 0
    assert [r["status"] for r in json.loads(said)["runs"]] == ["not run", "finished", "not run"]
    assert "diffnum sweep ..." in (out / "report.html").read_text()


@pytest.mark.parametrize(
    "words",
    [
        "report absent",
        "report .",
        "run absent.ipynb",
        "sweep toy.ipynb absent.yaml",
        "sweep toy.ipynb toy.ipynb",
        "sweep toy.ipynb grid.yaml --slurm --scheduler tcp://x",
        "sweep toy.ipynb grid.yaml --directive --partition=gpu",
    ],
)
def test_the_commands_refuse_in_one_sentence(here, capsys, words):
    code, _, wrong = output(capsys, *words.split())
    assert code == 2 and wrong.startswith("diffnum: ") and wrong.count("\n") == 1


def test_the_command_line_loads_neither_dask_nor_papermill():
    heavy = {"dask", "distributed", "papermill", "nbformat", "torch", "yaml", "jsonschema", "psutil", "IPython"}
    code = f"import sys; from diffnum.cli import run; run(['--help']); print(*sorted({heavy!r} & set(sys.modules)))"
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1].strip() == "", done.stdout.splitlines()[-1]
