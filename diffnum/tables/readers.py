"""Tables from files: JSON, pasted Butcher arrays, Python.

JSON is an object, or a list of them, with

    {"kind": "runge-kutta", "A": [[], ["1/2"]], "b": [0, 1], "c": [0, 0.5], "embedded": [1, 0],
     "name": "midpoint", "order": 2, "embedded_order": 1}
    {"kind": "exponential", "A": [[], [{"phi": 1, "at": "1/2", "coefficient": "1/2"}]], "b": [0, "phi_1(z)"],
     "c": [0, "1/2"], "order": 2, "stiff_order": 2}
    {"kind": "multistep", "alpha": [0, -1, 1], "beta": ["-1/2", "3/2", 0], "order": 2}

of which only ``A`` and ``b``, or ``alpha`` and ``beta`` from the oldest value to the new one, are needed. Text is one
line a row, the node before the bar; weights, and embedded weights below them, have none:

    0   |
    1/2 | 1/2
        |  0   1
        |  1   0

Entries stand apart by blanks, or by commas where they have blanks in them; rules and what follows ``#`` are skipped.
Lines ``alpha | ...`` and ``beta | ...`` are a multistep method. From Python come ``file.py``, ``file.py:NAME`` and
``module:NAME``: one of these records, an object or mapping with the same names (or ``nodes``, ``matrix``, ``weights``),
arrays ``(A, b, c)``, ``(c, A, b)``, ``(A, b)`` or ``(alpha, beta)``, a function of ``z`` that gives the entries of an
exponential method, or a mapping from names to such. The file is run.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from .entries import ARGUMENT, Combination
from .records import Exponential, Multistep, RungeKutta, TableRecord

__all__ = ["from_json", "from_python", "from_text", "read"]

_KINDS: dict[str, Callable[..., TableRecord]] = {
    "runge-kutta": RungeKutta,
    "exponential": Exponential,
    "multistep": Multistep,
}
_KEYS = {
    "runge-kutta": {"A", "b", "c", "embedded", "name", "order", "embedded_order"},
    "exponential": {"A", "b", "c", "name", "order", "stiff_order"},
    "multistep": {"alpha", "beta", "name", "order"},
}
_OTHER_NAMES = {"matrix": "A", "weights": "b", "nodes": "c", "b_hat": "embedded", "bhat": "embedded"}
_PHI = re.compile(r"phi|exp\s*\(")


def read(source: str) -> tuple[TableRecord, ...]:
    """The tables of a file, of ``file.py:NAME`` or ``module:NAME``, or of what is typed for ``-``.

    Raises:
        ValueError: what cannot be read, in one sentence with its remedy.
    """
    path = source.rpartition(":")[0]
    if source.endswith(".py") or path.endswith(".py") or (path and not Path(source).exists() and _is_name(path)):
        return from_python(source)
    text = sys.stdin.read() if source == "-" else _text_of(Path(source))
    own = "table" if source == "-" else Path(source).stem
    return from_json(text, own) if source.endswith(".json") or text.lstrip()[:1] in ("{", "[") else from_text(text, own)


def _is_name(path: str) -> bool:
    return all(part.isidentifier() for part in path.split("."))


def _text_of(path: Path) -> str:
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder: name a file with a table")
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise ValueError(
            f"{str(path)!r} is no text: write the table as JSON, as rows with a bar or in Python"
        ) from None
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read ({error.strerror}): name a file with a table") from error


def from_json(text: str, name: str = "table") -> tuple[TableRecord, ...]:
    """The tables of a JSON text, see the module's head; decimals keep the digits that they are written with."""
    try:
        content = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} is no JSON, {error.msg}: mend it there") from None
    except RecursionError:
        raise ValueError("the JSON is nested too deeply for a table: see diffnum.tables.readers") from None
    parts = content if isinstance(content, list) else [content]
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise ValueError('the JSON is no table: write objects with "A" and "b", or with "alpha" and "beta"')
    names = [name] if len(parts) == 1 else [f"{name}[{i}]" for i in range(len(parts))]
    return tuple(_record(part, own) for part, own in zip(parts, names, strict=True))


def _no_constant(word: str) -> Any:
    raise ValueError(f"an entry is {word}: write a finite number")


def _record(part: Mapping[str, Any], name: str) -> TableRecord:
    given = {_OTHER_NAMES.get(key, key): value for key, value in part.items()}
    kind = given.pop("kind", None) or _kind(given)
    if kind not in _KINDS:
        raise ValueError(f"{name} is of the kind {kind!r}: use one of {', '.join(_KINDS)}")
    needed = ("alpha", "beta") if kind == "multistep" else ("A", "b")
    missing = [key for key in needed if key not in given]
    if missing:
        raise ValueError(f"{name} has no {' and no '.join(missing)}: a {kind} table needs {' and '.join(needed)}")
    strange = [key for key in given if key not in _KEYS[kind]]
    if strange:
        raise ValueError(
            f"{name} has {strange[0]!r}, which a {kind} table has not: use {', '.join(sorted(_KEYS[kind]))}"
        )
    own = given.pop("name", name)
    if not isinstance(own, str):
        raise ValueError(f"{name} has the name {own!r}: write text")
    return _KINDS[kind](**given, name=own)


def _kind(given: Mapping[str, Any]) -> str:
    if "alpha" in given or "beta" in given:
        return "multistep"
    return "exponential" if "stiff_order" in given or _has_phi([given.get("A"), given.get("b")]) else "runge-kutta"


def _has_phi(x: Any) -> bool:
    if isinstance(x, str):
        return bool(_PHI.search(x))
    if isinstance(x, (Mapping, Combination)):
        return True
    return isinstance(x, (list, tuple)) and any(map(_has_phi, x))


# --- text ---


def from_text(text: str, name: str = "table") -> tuple[TableRecord, ...]:
    """The table of a pasted array, see the module's head."""
    rows: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        bare = line.partition("#")[0].replace("│", "|").strip()
        # rules and blank lines
        if not re.search(r"\w", bare.replace("_", "")):
            continue
        left, bar, right = bare.partition("|")
        if not bar or "|" in right.rstrip("| "):
            raise ValueError(
                f"the line {line.strip()!r} has {'no' if not bar else 'more than one'} bar: write c_i | a_i1 a_i2 ..."
            )
        rows.append((left.strip(), _cells(right.strip(" |"))))
    if not rows:
        raise ValueError("the text has no rows: write c_i | a_i1 a_i2 ... in each line and the weights below")
    named = {left: cells for left, cells in rows if left in ("alpha", "beta")}
    if named:
        if set(named) != {"alpha", "beta"} or len(rows) != 2:
            raise ValueError("a multistep method has two lines, alpha | ... and beta | ...: write these alone")
        return (Multistep(named["alpha"], named["beta"], name=name),)
    return (_butcher(rows, name),)


def _cells(text: str) -> list[str]:
    apart = re.split(r"[,&;]", text) if re.search(r"[,&;]", re.sub(r"\([^()]*\)", "", text)) else text.split()
    return [cell.strip() for cell in apart if cell.strip()]


def _butcher(rows: Sequence[tuple[str, list[str]]], name: str) -> TableRecord:
    stages = [row for row in rows if row[0]]
    below = [cells for left, cells in rows if not left]
    if not below or any(left for left, _ in rows[len(stages) :]) or len(below) > 2:
        raise ValueError(
            f"the text has {len(stages)} rows with a node and {len(below)} without: write a row for every stage, then "
            "one of weights, and one of embedded weights if there are any"
        )
    for left, cells in [*stages, *(("", cells) for cells in below)]:
        if len(cells) > len(stages):
            raise ValueError(
                f"the row {left or 'of weights'!r} has {len(cells)} entries for {len(stages)} stages: take some away"
            )
    c, A = [left for left, _ in stages], [cells for _, cells in stages]
    if _has_phi([A, *below]):
        if len(below) > 1:
            raise ValueError("an exponential table has one row of weights here: take the other one away")
        return Exponential(A, below[0], c, name=name)
    return RungeKutta(A, below[0], c, below[1] if len(below) > 1 else None, name=name)


# --- Python ---


def from_python(source: str) -> tuple[TableRecord, ...]:
    """The tables of ``file.py``, ``file.py:NAME`` or ``module:NAME``, see the module's head. The code is run."""
    where, _, name = (source, "", "") if source.endswith(".py") else source.rpartition(":")
    module = _module(where)
    if not name:
        public = {key: value for key, value in vars(module).items() if not key.startswith("_")}
        found = [table for key, value in public.items() for table in _tables(value, key, strict=False)]
        if not found:
            raise ValueError(f"{where} holds no table: name one, as in {where}:NAME")
        return tuple(found)
    if not hasattr(module, name):
        raise ValueError(f"{where} has no {name!r}: name something that it has")
    found = list(_tables(getattr(module, name), name, strict=True))
    if not found:
        raise ValueError(f"{name} of {where} is no table: see diffnum.tables.readers for what is one")
    return tuple(found)


def _module(where: str) -> Any:
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        path = Path(where)
        if not path.is_file():
            raise ValueError(f"{where!r} is no file: name a Python file, or a module without .py")
        spec = importlib.util.spec_from_file_location(f"table_{path.stem}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{where} does not run ({type(error).__name__}: {error}): mend it first") from error


def _tables(value: Any, name: str, strict: bool) -> Iterator[TableRecord]:
    try:
        yield from _found(value, name, strict)
    except (ValueError, TypeError) as error:
        if strict:
            raise ValueError(f"{name}: {error}") from None


def _found(value: Any, name: str, strict: bool) -> Iterator[TableRecord]:
    if isinstance(value, (RungeKutta, Exponential, Multistep)):
        yield value
    elif isinstance(value, type) or (callable(value) and not strict):
        return
    elif callable(value):
        made: Any = value(ARGUMENT)
        c, A, b = made
        yield Exponential(A, b, c, name=name)
    elif isinstance(value, Mapping):
        if {_OTHER_NAMES.get(key, key) for key in value} & {"A", "alpha"}:
            yield _record({key: _lists(part) for key, part in value.items()}, name)
        else:
            for key, part in value.items():
                yield from _tables(part, f"{name}[{key!r}]", strict)
    elif any(hasattr(value, key) for key in ("A", "matrix", "alpha")):
        names = [*_KEYS["runge-kutta"] - {"name"}, "alpha", "beta", *_OTHER_NAMES]
        parts = {key: getattr(value, key) for key in names if getattr(value, key, None) is not None}
        yield _record({key: _lists(part) for key, part in parts.items()}, name)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _of_arrays([_lists(part) for part in value], name)


def _lists(x: Any) -> Any:
    """Arrays as lists of their scalars, which keep their kind."""
    if getattr(x, "ndim", 0):
        return [_lists(part) for part in x]
    return [_lists(part) for part in x] if isinstance(x, (list, tuple)) else x


def _of_arrays(parts: list[Any], name: str) -> Iterator[TableRecord]:
    if not all(isinstance(part, list) for part in parts):
        return
    nested = [bool(part) and all(isinstance(row, list) for row in part) for part in parts]
    match nested:
        case [True, _, False] | [True, _]:
            yield _record({"A": parts[0], "b": parts[1]} | ({"c": parts[2]} if len(parts) == 3 else {}), name)
        case [False, True, False]:
            yield _record({"c": parts[0], "A": parts[1], "b": parts[2]}, name)
        case [False, False]:
            yield Multistep(*parts, name=name)
