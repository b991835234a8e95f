"""Notebooks are small, parameterised, committed as they ran, and hold outputs that are compared.

What they say is compared by `pytest --nbval-lax --nbval-current-env notebooks`, which checks nothing at all in a
notebook without committed outputs: hence this file.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from diffnum.lab.gallery import figure_of, made_from
from diffnum.lab.runs.request import Notebook

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def code(path: Path) -> list[dict]:
    return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code" and c["source"]]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def checked(path: Path) -> list[dict]:
    return [cell for cell in code(path) if re.search(r"^# NBVAL_CHECK_OUTPUT", source(cell), re.M)]


def texts(cell: dict) -> list[str]:
    """What nbval compares: streams and plain text."""
    return [
        "".join(output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"])
        for output in cell["outputs"]
        if output["output_type"] == "stream" or "text/plain" in output.get("data", {})
    ]


def test_notebooks_are_numbered_from_zero_without_gaps():
    numbers = [int(re.fullmatch(r"(\d\d)(-[a-z0-9]+)+", path.stem)[1]) for path in NOTEBOOKS]
    assert len(numbers) >= 2
    assert numbers == list(range(len(numbers)))


def test_every_notebook_is_listed_with_a_picture():
    readme = (FOLDER / "README.md").read_text()
    for path in NOTEBOOKS:
        (line,) = [line for line in readme.splitlines() if f"| [{path.stem}]({path.name}) |" in line]
        (picture,) = re.findall(r"!\[[^]]*\]\(([^)]+)\)", line)
        assert (FOLDER / picture).is_file() and made_from(FOLDER / picture), "run python -m diffnum.lab.gallery"


@pytest.mark.full
@notebooks
def test_the_small_picture_is_that_of_the_notebook_as_it_is_now(path):
    small = FOLDER / "figures" / "small" / f"{path.stem}.png"
    assert made_from(small) == hashlib.sha256(figure_of(path)).hexdigest(), "run python -m diffnum.lab.gallery"


@notebooks
def test_notebook_is_small(path):
    assert path.stat().st_size < 1_000_000


@notebooks
def test_notebook_says_how_much_memory_it_may_hold_and_describes_parameters_it_has(path):
    notebook = Notebook.load(path)
    assert notebook.memory_mb is not None and 500 <= notebook.memory_mb <= 8000
    assert notebook.schema and all(parameter.type != "any" for parameter in notebook.schema.values())


@notebooks
def test_notebook_has_one_parameters_cell(path):
    (cell,) = [c for c in code(path) if "parameters" in c["metadata"].get("tags", [])]
    assert "=" in source(cell)


@notebooks
def test_notebook_was_committed_as_it_ran_from_top_to_bottom(path):
    assert [cell["execution_count"] for cell in code(path)] == list(range(1, len(code(path)) + 1))
    assert not [o for cell in code(path) for o in cell["outputs"] if o["output_type"] == "error"]
    assert not [o for cell in code(path) for o in cell["outputs"] if o.get("name") == "stderr"]


@notebooks
def test_notebook_has_outputs_to_compare(path):
    assert checked(path)
    for cell in checked(path):
        assert any(text.strip() for text in texts(cell)), source(cell)
