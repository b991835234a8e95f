"""Docstrings for the book: what is indented stays as it is written, and letters in prose are themselves."""

import re
from pathlib import Path

import pytest

from diffnum.lab.book import as_rst
from diffnum.lab.book.modules import modules, rooms
from diffnum.lab.book.pages import notebook_page
from diffnum.lab.book.reference import housed, sources

ROOT = Path(__file__).parents[1]


def test_an_indented_formula_is_a_literal_block_to_its_end():
    text = "The flow is\n\n    x = a  +  b,\n\n      c = |d|_*\n\nwith *a* below."
    assert as_rst(text) == text.replace("is\n\n", "is\n\n.. code-block:: text\n\n") + "\n"


def test_a_literal_block_that_is_marked_is_marked_once():
    text = "as in::\n\n    x = 1\n\nand\n\n.. code-block:: python\n\n    x | y"
    assert as_rst(text) == text + "\n"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("|x| of x_ and 2*y", r"\|x\| of x\_ and 2\*y"), ("``|x_|`` stays", "``|x_|`` stays"),
     ("*slanted*, **bold**", "*slanted*, **bold**"), (":func:`~a.b_`", ":func:`~a.b_`"),
     ("``over\n    a line|``", "``over\n    a line|``"), ("- an item\n\n  more of it", "- an item\n\n  more of it")],
)  # fmt: skip
def test_prose_is_what_it_looks_like(written, meant):
    assert as_rst(written) == meant + "\n"


def test_sections_and_their_entries_are_no_formulas():
    text = "Words.\n\nArgs:\n    x: a number,\n        or two.\n    y: none.\n\nRaises:\n    ValueError: never."
    assert as_rst(text) == text + "\n"


def test_a_list_in_an_entry_is_a_list_and_a_formula_in_one_stays_in_it():
    listed = "Args:\n    x: one of\n\n        - a thing,\n        - another.\n    y: none."
    assert as_rst(listed) == listed + "\n"
    formula = as_rst("Args:\n    x: as in\n\n        a  =  b\n\n    y: none.")
    assert formula == "Args:\n    x: as in\n\n        .. code-block:: text\n\n            a  =  b\n\n    y: none.\n"


def test_every_module_is_in_one_room():
    listed = rooms((ROOT / "README.md").read_text())
    there = {module.name.split(".")[1] for module in modules(ROOT, "diffnum") if "." in module.name}
    tops = [top for room in housed(listed, sorted(there)) for top in room.tops]
    assert sorted(tops) == sorted(there)
    (process,) = [room for room in housed(listed, sorted(there)) if "process" in room.tops]
    assert "process_table" in process.tops


def test_every_source_has_an_author_and_a_year():
    found = sources((ROOT / "diffnum" / "references.bib").read_text())
    assert len(found) > 50
    for key, said in found.items():
        assert re.match(r"\w.* \d{4}, \*\w", said), (key, said)


def test_pictures_of_a_notebook_keep_their_size_and_their_words():
    shown = {"image/png": {"alt": "a; b", "width": 500}}
    cell = {"source": [], "metadata": {}, "outputs": [{"output_type": "display_data", "data": {}, "metadata": shown}]}
    assert '"alt": "a; b"' in notebook_page({"cells": [cell]}) and '"width": "500"' in notebook_page({"cells": [cell]})


def test_a_widget_without_a_kernel_is_left_out():
    data = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "VBox(...)"}
    cell = {"source": [], "metadata": {}, "outputs": [{"output_type": "execute_result", "data": data, "metadata": {}}]}
    assert "VBox" not in notebook_page({"cells": [cell]})
