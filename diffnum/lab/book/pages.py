"""Pages before they are rendered: copies of what is committed, cut and linked, and generated reference pages."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .modules import modules
from .reference import reference

__all__ = ["lay_out", "notebook_page"]

_WIDGET = "application/vnd.jupyter.widget-view+json"
_TABLES = {"samplers": "Samplers", "certificates": "Certificates"}


def lay_out(root: Path, pages: Path) -> None:
    """Write all pages of the repository at ``root`` into ``pages``, a folder that is emptied first."""
    shutil.rmtree(pages, ignore_errors=True)
    for path, text in _written(root):
        (pages / path).parent.mkdir(parents=True, exist_ok=True)
        (pages / path).write_text(text, encoding="utf-8")
        for picture in re.findall(r"!\[[^]]*\]\((?!\w+:)([^)]+)\)", text) if path.endswith(".md") else []:
            shown = Path(path).parent / picture
            (pages / shown).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / shown, pages / shown)


def _written(root: Path) -> Iterator[tuple[str, str]]:
    readme = (root / "README.md").read_text(encoding="utf-8")
    yield "README.md", _readme(readme)
    for name, title in _TABLES.items():
        yield f"{name}.md", f"# {title}\n\n{_part(readme, title)}\n"
    yield "CHANGELOG.md", (root / "CHANGELOG.md").read_text(encoding="utf-8")
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    yield "index.md", (Path(__file__).parent / "index.md").read_text(encoding="utf-8")
    yield "notebooks/README.md", _with_tree(root / "notebooks" / "README.md", [path.stem for path in notebooks])
    for path in notebooks:
        yield f"notebooks/{path.name}", notebook_page(json.loads(path.read_text(encoding="utf-8")))
    cards = sorted((root / "diffnum" / "images" / "checkpoints").glob("*.md"))
    for card in cards:
        yield f"cards/{card.name}", card.read_text(encoding="utf-8")
    head = "# Model cards\n\nThe networks that come with the package.\n"
    yield "cards/index.md", _tree(head, [card.stem for card in cards])
    yield from _theory(root)
    for name, text in reference(root, readme):
        yield f"api/{name}", text


def _tree(text: str, names: list[str], options: str = "") -> str:
    return "\n".join([text, "```{toctree}", *options.split(), "", *names, "```", ""])


def _with_tree(path: Path, names: list[str]) -> str:
    return _tree(path.read_text(encoding="utf-8"), names, ":hidden:")


def _part(readme: str, title: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
    if not found:
        raise ValueError(f"README.md has no section '## {title}': the book shows it as a page")
    return found[1].strip()


def _readme(readme: str) -> str:
    """The README without its two long tables, which are pages of their own."""
    for name, title in _TABLES.items():
        there = _part(readme, title)
        short = re.split(r"^<!-- |^<details", there, maxsplit=1, flags=re.M)[0].strip()
        readme = readme.replace(there, f"{short}\n\n[The table of all {name}]({name}.md)" if short else "", 1)
    return readme


def _theory(root: Path) -> Iterator[tuple[str, str]]:
    """The book of derivations; a link to a source file leads to the page of that module."""
    found = modules(root, "theory")
    names = [module.name.removeprefix("theory.") for module in found if module.name != "theory"]
    text = (root / "theory" / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?:\.\./)(diffnum/[\w/]+)\.py\)", lambda m: f"](../api/{m[1].replace('/', '.')}.rst)", text)
    text = re.sub(r"\]\((\w+)\.py\)", r"](\1.rst)", text)
    yield "theory/README.md", _tree(text, ["PROOFS", *names], ":hidden:")
    yield "theory/PROOFS.md", (root / "theory" / "PROOFS.md").read_text(encoding="utf-8")
    for module in found:
        if module.name == "theory":
            continue
        title = module.name.removeprefix("theory.").replace("_", " ").capitalize()
        lines = [title, "=" * len(title), "", f".. automodule:: {module.name}", "   :members:"]
        yield f"theory/{module.name.removeprefix('theory.')}.rst", "\n".join([*lines, "   :member-order: bysource", ""])


def notebook_page(notebook: dict[str, Any]) -> str:
    """A notebook whose pictures keep the size at which they were shown and the text for those who cannot see them.

    Widgets, which need a kernel, are left out, and so are the marks of cells whose outputs are compared.
    """
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).removeprefix("# NBVAL_CHECK_OUTPUT\n")
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if _WIDGET not in output.get("data", {})]
        for output in cell.get("outputs", []):
            shown = output.get("metadata", {}).get("image/png", {})
            if shown:
                image = {k: str(v) for k, v in shown.items() if k in ("alt", "width")}
                cell["metadata"].setdefault("mystnb", {})["image"] = image
    return json.dumps(notebook, indent=1, ensure_ascii=False)
