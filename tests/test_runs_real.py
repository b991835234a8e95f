"""Kernels, workers and queues as they are: what goes wrong in them is named, and nothing of theirs stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest
from run_cases import PROMISES, RESULT, counts, descendants, gone, one_thread, wait_for, write_notebook

from diffnum.cli import run
from diffnum.lab.runs import Notebook, StartFailed, check_store, compute, store

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]


@pytest.fixture
def out(tmp_path):
    return check_store(tmp_path / "runs")


def outcome(tmp_path, out, *cells, promises=PROMISES, **given):
    notebook = Notebook.load(write_notebook(tmp_path / "toy.ipynb", *cells, promises=promises))
    return compute(notebook.request(given, base=tmp_path), out)


def test_a_cell_that_raises_is_named_and_the_notebook_is_kept(tmp_path, out):
    found = outcome(tmp_path, out, "print('before')\nraise ValueError('no such sampler')", RESULT)
    assert found.status == "failed"
    assert found.reason == "toy.ipynb: cell 3: ValueError: no such sampler"
    assert "before" in (Path(found.folder) / "log.txt").read_text()
    assert "no such sampler" in (Path(found.folder) / "notebook.ipynb").read_text()


def test_a_kernel_that_dies_fails_the_notebook(tmp_path, out):
    found = outcome(tmp_path, out, "import os; os._exit(3)")
    assert found.status == "failed" and found.reason.startswith("toy.ipynb: the kernel died")


HUNGRY = "import numpy as np, time\nx = np.ones(int(300e6 / 8))\ntime.sleep(30)"
CHILD = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {HUNGRY!r}], check=True)"


@pytest.mark.parametrize("cell", [HUNGRY, CHILD], ids=["kernel", "child"])
def test_a_notebook_that_holds_more_than_it_declares_fails_by_name(tmp_path, out, cell):
    before = psutil.pids()
    found = outcome(tmp_path, out, cell, promises={"memory_mb": 250})
    assert found.status == "failed"
    assert found.reason.startswith("toy.ipynb: it held ") and "more than the 250 MB that it declares" in found.reason
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and "ones" in str(p.info["cmdline"])]
    assert gone(left, 5)


def test_memory_that_was_held_for_a_moment_counts(tmp_path, out):
    found = outcome(tmp_path, out, "import numpy as np\nnp.ones(int(300e6 / 8))\nx = 1", promises={"memory_mb": 250})
    assert found.status == "failed" and "it held" in found.reason


def test_a_kernel_that_does_not_start_leaves_nothing(tmp_path, out, monkeypatch):
    from diffnum.lab.runs import _papermill

    broken = {"argv": [sys.executable, "-c", "raise SystemExit(1)"], "display_name": "x", "language": "python"}
    monkeypatch.setattr(_papermill, "get_kernel_dict", lambda: broken)
    with pytest.raises(StartFailed, match="the kernel did not start"):
        outcome(tmp_path, out)
    assert store.folders(out) == [] and not list(out.glob("*.part*"))


def test_what_a_notebook_needs_is_at_hand_and_nothing_else(tmp_path, out):
    (tmp_path / "helper.py").write_text("value = 3")
    (tmp_path / "data.txt").write_text("4")
    promises = PROMISES | {"needs": ["helper.py"], "parameters": {"data": {"type": "path"}}}
    cell = "import helper, json\nfound = {'error': int(open(data).read()), 'count': helper.value}\n"
    cell += "json.dump(found, open('result.json', 'w'))"
    path = write_notebook(tmp_path / "toy.ipynb", cell, parameters="data = 'data.txt'", promises=promises)
    found = compute(Notebook.load(path).request({}), out)
    assert found.status == "finished", found.reason
    assert store.read(out, found.key)["numbers"] == {"error": 4, "count": 3}
    assert {p.name for p in Path(found.folder).iterdir()} == {"run.json", "log.txt", "notebook.ipynb", "result.json"}
    path = write_notebook(tmp_path / "bare.ipynb", cell, parameters="data = 'data.txt'", promises=PROMISES)
    assert "No module named 'helper'" in compute(Notebook.load(path).request({}), out).reason


def test_the_hash_of_a_plan_is_kept(tmp_path, out):
    cell = "import diffnum as dn\ndn.compile('ddim', dn.grid.log_snr(dn.VP(), steps)).save('plan.json')"
    found = outcome(tmp_path, out, cell, promises={"artefacts": {"plan.json": {"plan": True}}})
    from diffnum.plan import Plan

    assert found.status == "finished", found.reason
    assert store.read(out, found.key)["plans"] == {"plan.json": Plan.load(Path(found.folder) / "plan.json").hash}


def test_an_interrupted_run_ends_its_kernel_and_leaves_nothing(tmp_path):
    write_notebook(tmp_path / "slow.ipynb", "open('begun', 'w')\nimport time\ntime.sleep(300)")
    words = [sys.executable, "-m", "diffnum", "run", "slow.ipynb", "--out", "runs"]
    started = partial(subprocess.Popen, cwd=tmp_path, env=one_thread(), stderr=subprocess.PIPE, text=True)
    # a shell's background jobs ignore interrupts, and so would their children
    with started(words, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        wait_for(lambda: list(tmp_path.glob("runs/*.part/begun")))
        family = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        _, wrong = process.communicate(timeout=60)
    assert process.returncode == 130 and "nothing half-written is kept" in wrong
    assert gone(family) and family
    assert store.folders(tmp_path / "runs") == [] and not list(tmp_path.glob("runs/*.part*"))


def test_a_sweep_has_a_gpu_for_each_worker_a_log_for_each_run_and_does_not_repeat_a_failure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = "import os, time\nopen(os.environ['RUN_COUNTS'], 'a').write(f'{steps}\\n')\ntime.sleep(2)\n"
    seen += "assert steps != 3, 'three'\n"
    write_notebook(Path("toy.ipynb"), seen + "print('device', os.environ['CUDA_VISIBLE_DEVICES'])", RESULT)
    Path("grid.yaml").write_text("cross: {steps: [1, 2, 3, 4]}\n")
    environment = one_thread() | {"RUN_COUNTS": str(tmp_path / "counts"), "CUDA_VISIBLE_DEVICES": "6,7"}
    words = [sys.executable, "-m", "diffnum", "sweep", "toy.ipynb", "grid.yaml", "--gpu", "--json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    said = json.loads(done.stdout)
    assert (done.returncode, said["finished"], said["failed"]) == (1, 3, 1), done.stderr
    assert counts(tmp_path / "counts") == {"1": 1, "2": 1, "3": 1, "4": 1}
    logs = [(Path(r["folder"]) / "log.txt").read_text() for r in said["runs"] if r["status"] == "finished"]
    assert {"6", "7"} == {log.split("device ")[1].split()[0] for log in logs}
    (failed,) = [r for r in said["runs"] if r["status"] == "failed"]
    assert failed["reason"] == "toy.ipynb: cell 3: AssertionError: three"


def test_an_interrupted_sweep_leaves_no_process(tmp_path):
    write_notebook(tmp_path / "slow.ipynb", "open('begun', 'w')\nimport time\ntime.sleep(300)")
    (tmp_path / "grid.yaml").write_text("cross: {steps: [1, 2, 3]}\n")
    words = [sys.executable, "-m", "diffnum", "sweep", "slow.ipynb", "grid.yaml", "--out", "runs"]
    with subprocess.Popen(words, cwd=tmp_path, env=one_thread(), stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: len(list(tmp_path.glob("runs/*.part/begun"))) == 2)
        family = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        _, wrong = process.communicate(timeout=90)
    assert process.returncode == 130, wrong
    assert "dashboard  http" in wrong and "interrupted" in wrong
    assert gone(family) and family


def test_a_scheduler_that_is_not_there_and_gpus_that_are_not_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_notebook(Path("toy.ipynb"))
    Path("grid.yaml").write_text("cross: {steps: [1, 2]}\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert run(["sweep", "toy.ipynb", "grid.yaml", "--gpu"]) == 2
    assert "want a GPU each and 1 are here: use --workers 1" in capsys.readouterr().err
    words = [sys.executable, "-m", "diffnum", "sweep", "toy.ipynb", "grid.yaml", "--scheduler", "tcp://127.0.0.1:9"]
    done = subprocess.run(words, env=one_thread(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr


def test_the_script_for_a_queue_asks_for_one_process_with_one_gpu():
    code = (
        "from diffnum.lab.runs.cluster import slurm_cluster\n"
        "with slurm_cluster(0, gpu=True, memory_mb=2048, directives=['--partition=gpu']) as cluster:\n"
        "    print(cluster.job_script())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=one_thread(), capture_output=True, text=True, timeout=120)
    script = done.stdout
    assert done.returncode == 0, done.stderr
    for line in ("--partition=gpu", "--gres=gpu:1", "-n 1", "--cpus-per-task=1", "--mem=2G", "-J diffnum"):
        assert f"#SBATCH {line}\n" in script
    (worker,) = [line for line in script.splitlines() if "dask worker" in line or "dask_worker" in line]
    assert sys.executable in worker and "--nthreads 1 " in worker and "--resources GPU=1" in worker
    assert "--nworkers" not in worker or "--nworkers 1" in worker
    assert f"export PYTHONPATH={Path(__file__).parents[1]}" in script
    assert os.path.isabs(worker.split()[0])
