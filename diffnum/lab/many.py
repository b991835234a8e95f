"""Many images of one network in a folder, by one process or several, on where they were stopped; or in one file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..figures.sheet import made_with
from ..images import Many, checkpoints, sheet
from ..images.networks import device_of
from .folder import check_parent, write_text
from .processes import ALONE, Processes

__all__ = ["IMAGES", "RECORD", "draw_file", "draw_many"]

IMAGES, RECORD, SHEET = "images.safetensors", "sample.json", "images.png"
_SHOWN = 64


def draw_many(
    job: Many,
    out: str | os.PathLike[str],
    batch: int = 250,
    processes: Processes = ALONE,
    told: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The images of ``job`` in the folder ``out``; every process calls it, and all return the record.

    The images are cut into batches by their number, batch ``k`` being drawn by one process and written whole, as a file
    of its own. Whatever stops the processes, the next call draws the batches that are missing, with any number of
    processes. The last of all is the record:

    .. code-block:: text

        images.safetensors    images (n, c, h, w), float32, and labels (n,), int64; the record in its header
        images.png            the first 64
        sample.json           the record: plan, network, seed, time, versions, machine

    Args:
        batch: images at a time. The same batches give the same bits, by however many processes.
        processes: of which this is one.
        told: what else to say in the record, such as the command.
        on_progress: called with ``(done, total)``, images of all processes, as this one goes on and at the end.

    Raises:
        ValueError: no batch; a folder that holds other images, or files that are none of ours.
    """
    out, address = Path(out), _address(job, batch)
    found = _record(out, address)
    if found is not None:
        return found
    shards = out / "parts" / address
    shards.mkdir(parents=True, exist_ok=True)
    firsts = range(0, job.n, batch)
    missing = [first for first in firsts if not _shard(shards, first).exists()]
    # none may write before all have listed, or two lists are divided differently
    processes.wait()
    for first in missing[processes.rank :: processes.count]:
        _write_shard(job, _shard(shards, first), first, min(batch, job.n - first))
        if on_progress is not None:
            on_progress(min(job.n, batch * sum(_shard(shards, f).exists() for f in firsts)), job.n)
    processes.wait()
    if on_progress is not None:
        on_progress(job.n, job.n)
    if processes.rank == 0:
        _join(job, out, [_shard(shards, first) for first in firsts], address, batch, processes.count, told or {})
        shutil.rmtree(out / "parts")
    processes.wait()
    return json.loads((out / RECORD).read_text(encoding="utf-8"))


def draw_file(
    job: Many,
    path: str | os.PathLike[str],
    batch: int = 250,
    told: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The images of :func:`draw_many` in one file, by this process alone; a kill leaves nothing to go on with.

    Args:
        path: a ``.png`` of all images side by side, or a ``.npy`` of shape ``(n, h, w, c)``.
        batch, told, on_progress: as there.

    Returns:
        The record, which is written nowhere.

    Raises:
        ValueError: no batch; values that are not finite.
    """
    from .pictures import write_images

    address, drawn = _address(job, batch), []
    for first in range(0, job.n, batch):
        drawn.append(job.draw(first, min(batch, job.n - first)))
        if on_progress is not None:
            on_progress(min(job.n, first + batch), job.n)
    images = _joined([one.images for one in drawn]).permute(0, 2, 3, 1)
    n, h, w, c = images.shape
    write_images(Path(path), images.reshape(n, -1).numpy(), (h, w, c))
    seconds, inside = sum(one.seconds for one in drawn), sum(one.network_seconds for one in drawn)
    return _facts(job, address, batch, 1, (c, h, w), seconds, inside, told or {})


def _address(job: Many, batch: int) -> str:
    if not (isinstance(batch, int) and batch >= 1):
        raise ValueError(f"batch = {batch!r} is no number of images: use a whole number >= 1")
    return f"{job.address()[:16]}-{batch}"


def _record(out: Path, address: str) -> dict[str, Any] | None:
    """The record of a folder that is finished, or None if there is something to draw."""
    check_parent(out)
    if (out / RECORD).is_file():
        found = json.loads((out / RECORD).read_text(encoding="utf-8"))
        if found["address"] != address:
            raise ValueError(
                f"{out} holds {found['n']} other images, by {found['plan']['solver']}: name another folder"
            )
        return found
    if out.exists():
        strangers = sorted({p.name for p in out.iterdir()} - {"parts", IMAGES, SHEET}) if out.is_dir() else [out.name]
        if strangers:
            raise ValueError(f"{out} holds {strangers[0]}, which is none of ours: name another folder")
    return None


def _shard(folder: Path, first: int) -> Path:
    return folder / f"{first:09d}.safetensors"


def _write_shard(job: Many, path: Path, first: int, count: int) -> None:
    drawn = job.draw(first, count)
    seconds = {"seconds": drawn.seconds, "network_seconds": drawn.network_seconds}
    checkpoints.write(path, {"images": drawn.images, "labels": drawn.labels}, seconds)


def _join(
    job: Many, out: Path, shards: list[Path], address: str, batch: int, processes: int, told: Mapping[str, Any]
) -> None:
    import torch

    read = [checkpoints.read(path) for path in shards]
    images = _joined([tensors["images"] for tensors, _ in read])
    labels = torch.cat([tensors["labels"] for tensors, _ in read])
    seconds, inside = (sum(record[name] for _, record in read) for name in ("seconds", "network_seconds"))
    record = _facts(job, address, batch, processes, tuple(images.shape[1:]), seconds, inside, told)
    checkpoints.write(out / IMAGES, {"images": images, "labels": labels}, record)
    sheet(images[:_SHOWN], out / SHEET, side=max(images.shape[2:]) * 4)
    write_text(out / RECORD, json.dumps(record, indent=1, allow_nan=False) + "\n")


def _joined(parts: list[Any]) -> Any:
    import torch

    images = torch.cat(parts)
    if not torch.isfinite(images).all():
        raise ValueError(f"{int((~torch.isfinite(images)).sum())} values of the images are not finite: mend the plan")
    return images


def _facts(
    job: Many,
    address: str,
    batch: int,
    processes: int,
    shape: tuple[int, ...],
    seconds: float,
    inside: float,
    told: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "schema": 1,
        "address": address,
        "n": job.n,
        "shape": list(shape),
        "seed": job.seed,
        "classes": job.classes,
        "batch": batch,
        "plan": {"solver": job.plan.solver, "nfe": job.plan.nfe, "steps": job.plan.steps, "hash": job.plan.hash},
        "prediction": job.plan.prediction,
        "device": _device(device_of(job.network.module)),
        "processes": processes,
        "seconds_per_image": seconds / job.n,
        "images_per_second": processes * job.n / seconds,
        "outside_network": 1 - inside / seconds,
        **told,
        "made_with": made_with(),
    }


def _device(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
