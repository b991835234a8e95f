"""Where a sweep runs: processes of this machine, jobs of a SLURM queue, or a scheduler that is there already."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["connect", "gpus", "replace_lost", "slurm_cluster"]

_SETTINGS = {
    "distributed.scheduler.allowed-failures": 5,  # workers that may die under one run before it is given up
    "distributed.comm.timeouts.connect": "30s",
}


@contextmanager
def connect(
    workers: int, scheduler: str | None = None, slurm: Mapping[str, Any] | None = None, gpu: bool = False
) -> Iterator[Any]:
    """A Dask client. A cluster that was started for it ends with the block; a scheduler that was there stays.

    Args:
        workers: processes, or jobs of the queue, with one notebook at a time each.
        scheduler: address of a scheduler to use instead, such as ``tcp://host:8786``.
        slurm: settings of :func:`slurm_cluster` to ask a queue instead; None for no queue.
        gpu: each worker has a GPU of its own; workers of a scheduler that was there must offer the resource ``GPU``.

    Raises:
        ValueError: no scheduler answers, fewer GPUs than workers.
    """
    import dask
    from distributed import Client

    with dask.config.set(_SETTINGS):
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout="20s")
            except (OSError, ValueError) as error:
                raise ValueError(f"no Dask scheduler answers at {scheduler}: start one, or name another") from error
            with client:
                yield client
            return
        cluster = (
            _local(workers, gpus(workers) if gpu else None) if slurm is None else slurm_cluster(workers, gpu, **slurm)
        )
        with cluster, Client(cluster) as client:
            yield client


def _local(workers: int, devices: Sequence[str] | None) -> Any:
    from distributed import LocalCluster

    options: dict[str, Any] = {
        "threads_per_worker": 1,
        "processes": True,
        "memory_limit": 0,  # the kernel is another process: what a notebook may hold it declares itself
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": logging.CRITICAL,
    }
    if devices is None:
        return LocalCluster(n_workers=workers, **options)
    cluster = LocalCluster(n_workers=0, **options)
    new: Any = cluster.new_worker_spec()
    (spec,) = new.values()
    specs = {
        k: spec | {"options": spec["options"] | {"env": {"CUDA_VISIBLE_DEVICES": device}, "resources": {"GPU": 1}}}
        for k, device in enumerate(devices)
    }
    cluster.worker_spec.update(specs)
    cluster.scale(workers)
    return cluster


def replace_lost(client: Any) -> None:
    """Start workers again that are gone for good: a process killed while it starts is not restarted by Dask itself.

    Nothing is done about the workers of a scheduler that was there before.
    """
    cluster = getattr(client, "cluster", None)
    if cluster is not None:
        cluster.scale(len(cluster.worker_spec))


def gpus(workers: int) -> list[str]:
    """The first ``workers`` GPUs of this machine, as ``CUDA_VISIBLE_DEVICES`` names them.

    Raises:
        ValueError: there are fewer.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        try:
            told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60).stdout
        except (OSError, subprocess.SubprocessError):
            told = ""
        found = [str(k) for k, line in enumerate(line for line in told.splitlines() if line.startswith("GPU "))]
    else:
        found = [name.strip() for name in visible.split(",") if name.strip()]
    if len(found) < workers:
        raise ValueError(
            f"--workers {workers} want a GPU each and {len(found)} are here: "
            f"use --workers {max(1, len(found))} or leave out --gpu"
        )
    return found[:workers]


def slurm_cluster(workers: int, gpu: bool = False, memory_mb: float = 4096, directives: Sequence[str] = ()) -> Any:
    """A cluster of SLURM jobs with one worker, one process and one thread each.

    Partition, account, wall time and whatever else a place wants are read from dask-jobqueue's own configuration
    (``~/.config/dask/jobqueue.yaml``), or given as directives.

    Args:
        workers: jobs to ask for; none is submitted for 0, and ``job_script()`` still tells what would be.
        gpu: ask for one GPU per job.
        memory_mb: of a job, in megabytes.
        directives: further lines behind ``#SBATCH``, such as ``--partition=gpu``.
    """
    from dask_jobqueue import SLURMCluster

    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    cluster = SLURMCluster(
        cores=1,
        processes=1,
        memory=f"{round(memory_mb)}MB",
        python=sys.executable,
        job_name="diffnum",
        job_extra_directives=[*directives, *(["--gres=gpu:1"] if gpu else [])],
        job_script_prologue=[f"export PYTHONPATH={root}:$PYTHONPATH", "export OMP_NUM_THREADS=1"],
        worker_extra_args=["--resources GPU=1"] if gpu else [],
        silence_logs="CRITICAL",
    )
    if workers:
        cluster.scale(jobs=workers)
    return cluster
