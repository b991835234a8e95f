"""Checkpoints: tensors by name and one JSON record, in a single safetensors file that is replaced as a whole.

The record stands in the file's header, so tensors and state can never be of two different moments. No pickle is
written or read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["halved", "read", "restore", "write"]

KEY = "diffnum"


def write(path: str | os.PathLike[str], tensors: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Write ``tensors`` and ``record`` to ``path``: first beside it, then moved over it, so that a process killed at
    any moment leaves the old file or the new one."""
    from safetensors.torch import save

    path = Path(path)
    part = path.with_name(path.name + ".part")
    flat = {name: t.detach().contiguous() for name, t in tensors.items()}
    with part.open("wb") as opened:
        opened.write(save(flat, {KEY: json.dumps(record, sort_keys=True)}))
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(part, path)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors and the record of a checkpoint.

    Raises:
        ValueError: no such file; a pickle; a truncated or damaged file; a file without a record.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file: give a checkpoint written by diffnum.images")
    try:
        with safe_open(path, framework="pt") as opened:
            record = (opened.metadata() or {}).get(KEY)
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        refuse_pickle(path, error)
        raise ValueError(f"{path} is truncated or no safetensors file ({error}): copy or train it again") from error
    if record is None:
        raise ValueError(f"{path} has no record of diffnum in its header: give a checkpoint written by diffnum.images")
    return tensors, json.loads(record)


def halved(source: str | os.PathLike[str], to: str | os.PathLike[str]) -> None:
    """Copy a checkpoint with its weights rounded to float16, half the size, to give it away.

    Raises:
        ValueError: a weight beyond float16's range; what :func:`read` refuses.
    """
    import torch

    tensors, record = read(source)
    small = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    for name, t in small.items():
        if not torch.isfinite(t).all():
            raise ValueError(f"{name} of {source} goes beyond 65504, the largest number in float16: keep it as it is")
    write(to, small, record)


def restore(path: str | os.PathLike[str], module: Any, tensors: Mapping[str, Any]) -> None:
    """Copy ``tensors`` of a checkpoint into the parameters and buffers of ``module``, cast to their dtype.

    Raises:
        ValueError: a tensor missing, left over, or of another shape.
    """
    own = module.state_dict()
    for name in sorted(set(own) ^ set(tensors)):
        where = "lacks" if name in own else "has a tensor too many,"
        raise ValueError(f"{path} {where} {name}: it belongs to a network of another configuration")
    for name, value in tensors.items():
        if own[name].shape != value.shape:
            raise ValueError(
                f"{path} has {name} of shape {tuple(value.shape)} where the network has {tuple(own[name].shape)}: "
                "build the network of its own configuration"
            )
    module.load_state_dict({name: value.to(own[name].dtype) for name, value in tensors.items()})


def refuse_pickle(path: Path, error: Exception) -> None:
    """Say of a file that is no safetensors file that it is a pickle or an archive of torch, if it is one."""
    if _is_pickle(path):
        raise ValueError(f"{path} is a pickle, which can run code when read: save it as safetensors") from error


def _is_pickle(path: Path) -> bool:
    """Whether a file that is no sound safetensors file is a pickle, bare or zipped as torch does.

    A safetensors file begins with the length of its header in 8 bytes, and the lowest may be a pickle's first.
    """
    with path.open("rb") as opened:
        start = opened.read(8)
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and any(start[2:]))
