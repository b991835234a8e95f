"""What a notebook promised to write: it must be there, finite, and of the promised form."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["check", "numbers_in", "plan_hash"]


def check(folder: Path, file: str, promised: Mapping[str, Any]) -> str:
    """What is wrong with an artefact, in a sentence; empty if nothing.

    ==========  ==================================================  ===========================================
    ending      must be                                             may promise
    ==========  ==================================================  ===========================================
    .json       JSON without NaN and infinities                     ``schema``: a JSON Schema; or ``plan``: true
    .csv        rows as long as the head, no NaN or infinite cell   ``columns``: at least these
    .npz .npy   arrays without objects, NaN and infinities          ``arrays``: name to ``shape`` (null: any
                                                                    length) and ``dtype``
    others      not empty
    ==========  ==================================================  ===========================================

    Args:
        folder: of the run.
        file: name of the artefact, relative to it.
        promised: what the notebook's metadata say of it.
    """
    path = folder / file
    if not path.is_file():
        return f"{file} was not written"
    if path.stat().st_size == 0:
        return f"{file} is empty"
    reader = {".json": _json, ".csv": _csv, ".npz": _arrays, ".npy": _arrays}.get(path.suffix.lower())
    try:
        return next(filter(None, reader(path, promised)), "") if reader else ""
    except (ValueError, OSError, KeyError) as error:
        return f"{file} cannot be read: {str(error).splitlines()[0]}"


def numbers_in(path: Path) -> dict[str, float]:
    """Numbers of a JSON file by name; those in mappings inside it by names joined with dots."""

    def walk(value: Any, name: str) -> Iterator[tuple[str, float]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, f"{name}.{key}" if name else str(key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value

    return dict(walk(json.loads(path.read_text(encoding="utf-8")), ""))


def plan_hash(path: Path) -> str:
    """The hash of the plan that a file holds.

    Raises:
        ValueError: it holds none.
    """
    from ...plan import Plan

    return Plan.load(path).hash


def _json(path: Path, promised: Mapping[str, Any]) -> Iterator[str]:
    if promised.get("plan"):
        plan_hash(path)
        return

    def constant(word: str) -> Any:
        raise ValueError(f"it holds {word}")

    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=constant, parse_float=_finite)
    if "schema" in promised:
        from jsonschema.validators import validator_for

        schema = promised["schema"]
        kind = validator_for(schema)
        for error in kind(schema).iter_errors(content):
            where = "".join(f"[{part!r}]" for part in error.absolute_path)
            yield f"{path.name}{where} does not match its schema: {error.message}"


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"it holds {text}")
    return float(text)


def _csv(path: Path, promised: Mapping[str, Any]) -> Iterator[str]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.reader(stream)
        head = next(rows, [])
        missing = [name for name in promised.get("columns", []) if name not in head]
        if missing:
            yield f"{path.name} has no column {missing[0]}"
        for count, row in enumerate(rows, 1):
            if row and len(row) != len(head):
                yield f"{path.name}, row {count}: {len(row)} cells below {len(head)} names"
            for name, cell in zip(head, row, strict=False):
                if not _is_finite(cell):
                    yield f"{path.name}, row {count}: {name} is {cell}"


def _is_finite(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return True


def _arrays(path: Path, promised: Mapping[str, Any]) -> Iterator[str]:
    import numpy as np

    loaded = np.load(path, allow_pickle=False)
    arrays = dict(loaded.items()) if path.suffix.lower() == ".npz" else {"array": loaded}
    for name, array in arrays.items():
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            yield f"{path.name}: {name} holds {int((~np.isfinite(array)).sum())} values that are NaN or infinite"
    for name, form in promised.get("arrays", {}).items():
        if name not in arrays:
            yield f"{path.name} holds no array {name}"
            continue
        array, shape = arrays[name], form.get("shape")
        if shape is not None and (
            len(shape) != array.ndim or any(n is not None and n != k for n, k in zip(shape, array.shape, strict=True))
        ):
            yield f"{path.name}: {name} has the shape {array.shape}, not {tuple(shape)}"
        if "dtype" in form and array.dtype != np.dtype(form["dtype"]):
            yield f"{path.name}: {name} is {array.dtype}, not {form['dtype']}"
