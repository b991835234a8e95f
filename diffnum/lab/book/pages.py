"""Pages before they are rendered: copies of what is committed, cut and linked, and generated reference pages."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..listings import CERTIFICATES, SAMPLERS
from .modules import modules
from .reference import reference

__all__ = ["lay_out", "notebook_page"]

_WIDGET = "application/vnd.jupyter.widget-view+json"
_AS_THEY_ARE = ("README.md", SAMPLERS, CERTIFICATES, "theory/PROOFS.md", "CHANGELOG.md")


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
    for name in _AS_THEY_ARE:
        yield name, (root / name).read_text(encoding="utf-8")
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
    for name, text in reference(root, (root / "README.md").read_text(encoding="utf-8")):
        yield f"api/{name}", text


def _tree(text: str, names: list[str], options: str = "") -> str:
    return "\n".join([text, "```{toctree}", *options.split(), "", *names, "```", ""])


def _with_tree(path: Path, names: list[str]) -> str:
    return _tree(path.read_text(encoding="utf-8"), names, ":hidden:")


def _theory(root: Path) -> Iterator[tuple[str, str]]:
    """The book of derivations; a link to a source file leads to the page of that module."""
    found = modules(root, "theory")
    names = [module.name.removeprefix("theory.") for module in found if module.name != "theory"]
    text = (root / "theory" / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?:\.\./)(diffnum/[\w/]+)\.py\)", lambda m: f"](../api/{m[1].replace('/', '.')}.rst)", text)
    text = re.sub(r"\]\((\w+)\.py\)", r"](\1.rst)", text)
    yield "theory/README.md", _tree(text, ["PROOFS", "CERTIFICATES", *names], ":hidden:")
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
