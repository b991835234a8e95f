"""Killed at random moments, twenty times, a sweep loses nothing, computes nothing twice, and reports the same."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from run_cases import COUNTED, counts, descendants, finished, gone, one_thread, wait_for, write_notebook

pytestmark = [pytest.mark.full, pytest.mark.timeout(1500)]

GRID = "cross:\n  steps: [1, 2, 4, 8]\n  seed: [0, 1]\n"
RUNS = 8
SWEEP = ["-m", "diffnum", "sweep", "counted.ipynb", "grid.yaml", "--out", "runs", "--workers", "2"]


class Place:
    """A folder with a sweep, and what was finished in it at any moment so far."""

    def __init__(self, folder):
        folder.mkdir()
        write_notebook(folder / "counted.ipynb", COUNTED)
        (folder / "grid.yaml").write_text(GRID)
        self.folder, self.out, self.counts = folder, folder / "runs", folder / "counts"
        self.once: dict[str, tuple] = {}
        self.begun: dict[str, int] = {}

    def start(self, *words):
        environment = one_thread() | {"RUN_COUNTS": str(self.counts)}
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "start_new_session": True}
        with (self.folder / "errors").open("a") as errors:
            return subprocess.Popen([sys.executable, *words], cwd=self.folder, env=environment, stderr=errors, **quiet)

    def look(self):
        """What is finished is whole, is what it was, and did not begin again."""
        begun = counts(self.counts)
        for key, facts in finished(self.out).items():
            if key not in self.once:
                parameters = json.loads((self.out / key / "run.json").read_text())["parameters"]
                self.once[key] = (facts, f"{parameters['steps']} {parameters['seed']}")
            facts_then, line = self.once[key]
            assert facts == facts_then, f"{key} was computed again"
            self.begun.setdefault(key, counts(self.counts)[line])
            assert begun.get(line, 0) <= self.begun[key], f"{key} began again after it was finished"
        return len(self.once)

    def watch(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.1)

    def end(self, process, seconds=300):
        stop = time.monotonic() + seconds
        while process.poll() is None:
            self.look()
            assert time.monotonic() < stop, (self.folder / "errors").read_text()
            time.sleep(0.1)
        return process.returncode

    def page(self):
        assert self.look() == RUNS
        assert self.end(self.start("-m", "diffnum", "report", "runs")) == 0
        assert not list(self.out.glob("*.part*"))
        return (self.out / "report.html").read_text(), (self.out / "runs.csv").read_text()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("undisturbed") / "place")
    assert place.end(place.start(*SWEEP)) == 0
    assert set(counts(place.counts).values()) == {1}
    return place.page()


def moment(dice, place, process):
    """A random moment: from the start of a process, or from the next beginning of a run."""
    if dice.random() < 0.7:
        begun = sum(counts(place.counts).values())
        wait_for(lambda: sum(counts(place.counts).values()) > begun or process.poll() is not None)
        place.watch(dice.uniform(0, 1.2))
    else:
        place.watch(dice.uniform(0, 5))


def workers_of(process):
    """Dask's workers, which are not kernels and not Python's own tracker of resources."""
    found = []
    for child in descendants(process.pid):
        with suppress(psutil.NoSuchProcess):
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


def test_a_sweep_whose_workers_are_killed(tmp_path, undisturbed):
    dice, place, kills = random.Random(1), Place(tmp_path / "place"), 0
    process = place.start(*SWEEP)
    while kills < 7 and process.poll() is None:
        moment(dice, place, process)
        alive = workers_of(process)
        if alive:
            dice.choice(alive).kill()
            kills += 1
            wait_for(lambda: len(workers_of(process)) >= 2 or process.poll() is not None)
    family = descendants(process.pid)
    assert place.end(process) == 0
    assert kills == 7, f"the sweep was over after {kills}"
    assert gone(family)
    assert place.page() == undisturbed


def test_a_sweep_that_is_killed(tmp_path, undisturbed):
    dice, place = random.Random(2), Place(tmp_path / "place")
    for _ in range(7):
        process = place.start(*SWEEP)
        moment(dice, place, process)
        family = descendants(process.pid)
        assert process.poll() is None, "it was over before it was killed"
        process.kill()
        process.wait(60)
        assert gone(family), "orphans stay"
    assert place.end(place.start(*SWEEP)) == 0
    assert place.page() == undisturbed


def test_a_sweep_whose_scheduler_is_killed(tmp_path, undisturbed):
    dice, place = random.Random(3), Place(tmp_path / "place")
    for kill in [True] * 6 + [False]:
        address = place.folder / f"scheduler-{time.monotonic_ns()}.json"
        scheduler = place.start("-m", "dask", "scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard",
                                "--scheduler-file", str(address))  # fmt: skip
        wait_for(lambda: address.exists() and address.stat().st_size > 0)  # noqa: B023
        told = json.loads(address.read_text())["address"]
        workers = place.start("-m", "dask", "worker", told, "--nworkers", "2", "--nthreads", "1", "--no-dashboard",
                              "--local-directory", str(place.folder / "scratch"))  # fmt: skip
        before = len((place.folder / "errors").read_text())
        process = place.start(*SWEEP, "--scheduler", told)
        if kill:
            moment(dice, place, process)
            assert process.poll() is None, "it was over before its scheduler was killed"
            scheduler.kill()
        code = place.end(process)
        family = descendants(workers.pid)
        for left in (scheduler, workers):
            left.kill()
            left.wait(60)
        assert gone(family), "orphans stay"
        said = (place.folder / "errors").read_text()[before:]
        # killed before the command had found it, or after
        ends = {1: "the same command goes on", 2: "no Dask scheduler answers"}
        assert (code in ends and ends[code] in said) if kill else code == 0, said
    assert place.page() == undisturbed


def test_nothing_of_ours_is_left():
    left = [p for p in psutil.process_iter(["environ"]) if "RUN_COUNTS" in (p.info["environ"] or {})]
    assert not left
