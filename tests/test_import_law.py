"""A file imports only from rooms above its own; the plan and the trace know no array library."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the foundation up. Names on one line share a room: they may import each other, without cycles.
ROOMS = """
    num
    plan
    prediction
    process process_table process_shared process_exploding process_reverting
    grid lint
    folding nodes
    trace
    noise
    order bseries roots series generic weak_order weak_trees extended_numbers
    rooted_trees exponential_numbers exponential_trees
    solvers
    targets
    read
    bridges
    tables
    facts
    ensemble
    adaptive
    parallel
    gradients
    likelihood
    lifting
    witness together mutants slopes precise measure
    inversion
    certificate
    budget
    study
    audit
    design
    models
    images
    interop
    figures
    lab
    __init__
    cli
    __main__
"""
RANK = {name: rank for rank, line in enumerate(ROOMS.split("\n")) for name in line.split()}
ARRAYS = {"numpy", "torch", "scipy", "sympy", "mpmath", "sklearn", "matplotlib", "jax", "cupy"}


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at the top or inside functions, relative ones resolved."""
    package = path.relative_to(ROOT).parent.parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{a.name}" if is_module(f"{base}.{a.name}") else base for a in node.names}
    return found


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] == "diffnum"}


def room(name: str) -> str:
    """The room of a dotted name in diffnum; the front door for the package itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_every_file_has_a_room():
    homeless = {room(dotted(path)) for path in files("diffnum")} - set(RANK)
    assert not homeless, f"add {homeless} to ROOMS, below everything they import"


@pytest.mark.parametrize("path", files("diffnum"), ids=dotted)
def test_imports_come_from_rooms_above(path):
    here = room(dotted(path))
    assert not {name for name in ours(path) if RANK[room(name)] > RANK[here]}


def test_imports_have_no_cycle():
    graph = {dotted(path): ours(path) - {dotted(path)} for path in files("diffnum") if dotted(path) != "diffnum"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_plan_imports_nothing_of_ours():
    assert not ours(ROOT / "diffnum" / "plan.py")


@pytest.mark.parametrize("name", ["plan.py", "trace.py"])
def test_plan_and_trace_import_no_array_library(name):
    assert not {module.split(".")[0] for module in imports(ROOT / "diffnum" / name)} & ARRAYS


@pytest.mark.parametrize("path", files("diffnum"), ids=dotted)
def test_the_package_imports_neither_theory_nor_tests(path):
    assert not {module.split(".")[0] for module in imports(path)} & {"theory", "tests", "notebooks"}


def test_the_reader_of_imports_sees_relative_nested_and_submodule_imports(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    room_ = tmp_path / "diffnum" / "read"
    room_.mkdir(parents=True)
    for module in ("diffnum/__init__.py", "diffnum/num.py", "diffnum/read/__init__.py", "diffnum/read/moments.py"):
        (tmp_path / module).touch()
    source = room_ / "distance.py"
    source.write_text(
        "from ..num import exp\nfrom .. import num\nfrom . import moments\n"
        "def f():\n    import numpy.linalg\n    from diffnum import Plan\n"
    )
    assert imports(source) == {"diffnum.num", "diffnum.read.moments", "numpy.linalg", "diffnum"}
