"""What the book adds to sphinx: formulas as MathML, docstrings as they are meant, links to where a name is at home."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .docstrings import as_rst
from .formulas import as_mathml

__all__ = ["setup"]


def setup(app: Any) -> dict[str, Any]:
    """Called by sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before napoleon
    app.connect("doctree-read", _meant)
    app.connect("missing-reference", _at_home)
    app.connect("html-page-context", _narrow, priority=400)  # before the theme asks for the tree
    app.connect("build-finished", _font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _math(self: Any, node: Any, block: bool) -> str:
    from sphinx.util import logging  # pyright: ignore[reportMissingImports]

    try:
        return as_mathml(node.astext(), block)
    except Exception as error:
        logging.getLogger(__name__).warning(str(error), location=node)
        return f"<code>{self.encode(node.astext())}</code>"


def _skip() -> BaseException:
    from docutils.nodes import SkipNode  # pyright: ignore[reportMissingImports]

    return SkipNode()


def _inline(self: Any, node: Any) -> None:
    self.body.append(_math(self, node, False))
    raise _skip()


def _block(self: Any, node: Any) -> None:
    self.body.append(f'<div class="math">{_math(self, node, True)}</div>')
    raise _skip()


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what in ("data", "attribute") and obj is not None and not isinstance(obj, type):
        # without words of its own an object answers with those of its class
        common = (inspect.getdoc(type(obj)) or "").strip()
        if common and "\n".join(lines).strip() == common:
            lines[:] = [""]
            return
    lines[:] = as_rst("\n".join(lines)).split("\n")


def _meant(app: Any, doctree: Any) -> None:
    """Settle names where they stand, by what they are there, before sphinx looks for any name of that spelling."""
    from docutils.nodes import Element  # pyright: ignore[reportMissingImports]
    from sphinx import addnodes  # pyright: ignore[reportMissingImports]
    from sphinx.util.nodes import find_pending_xref_condition  # pyright: ignore[reportMissingImports]

    def inside_signature(node: Any) -> bool:
        while isinstance(node, Element):
            if isinstance(node, addnodes.desc_signature):
                return True
            node = node.parent
        return False

    for node in list(doctree.findall(addnodes.pending_xref)):
        if node.get("refdomain") != "py":
            continue
        if node.children and isinstance(node.children[0], addnodes.literal_strong):
            node.replace_self(node.children)  # the name of an argument or attribute in its own list
            continue
        home = next(filter(None, map(_home, _candidates(node))), "")
        if home:
            node["reftarget"], node["refspecific"] = home, False
        elif inside_signature(node):
            # a type that is imported for checkers only, or none of ours
            shown = find_pending_xref_condition(node, "resolved")
            node.replace_self(node.children if shown is None else shown.children)


def _candidates(node: Any) -> Iterator[str]:
    """Paths that a name may stand for: in its class, its module, the package around it, ours."""
    target, module = node["reftarget"].lstrip(".~!"), node.get("py:module") or "diffnum"
    if target.startswith("dn."):
        yield f"diffnum{target[2:]}"
    if node.get("py:class"):
        yield f"{module}.{node['py:class']}.{target}"
    yield from (f"{module}.{target}", f"{module.rpartition('.')[0]}.{target}", target, f"diffnum.{target}")


def _at_home(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """A link to data, which do not know where they are at home: where the last part of the name is found once."""
    if node.get("refdomain") != "py":
        return None
    domain, last = env.get_domain("py"), node["reftarget"].rpartition(".")[2]
    named = [name for name in domain.objects if name.endswith(f".{last}")]
    if len(named) != 1:
        return None
    found = domain.objects[named[0]]
    return _link(app, node, contnode, found.docname, found.node_id, named[0])


def _link(app: Any, node: Any, contnode: Any, page: str, anchor: str, title: str) -> Any:
    from sphinx.util.nodes import make_refnode  # pyright: ignore[reportMissingImports]

    return make_refnode(app.builder, node["refdoc"], page, anchor, contnode, title)


@cache
def _home(path: str) -> str:
    """The dotted name at which the object that ``path`` leads to is defined; empty if it leads nowhere of ours."""
    parts = path.split(".")
    if parts[0] not in ("diffnum", "theory") or not all(parts):
        return ""
    value, k = None, len(parts)
    while k:
        try:
            value = import_module(".".join(parts[:k]))
            break
        except ImportError:
            k -= 1
    for name in parts[k:]:
        try:
            value = getattr(value, name)
        except AttributeError:
            fields = getattr(value, "__dataclass_fields__", {})
            return path if name in fields else ""
    if inspect.ismodule(value):
        return value.__name__
    if inspect.isroutine(value) or inspect.isclass(value):
        ours = (value.__module__ or "").partition(".")[0] in ("diffnum", "theory")
        return f"{value.__module__}.{value.__qualname__}" if ours else ""
    return path


def _narrow(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Beside a page its own branch of the tree, not the hundreds of pages of the reference."""
    tree = context.get("toctree")
    if tree is not None:
        context["toctree"] = lambda **options: tree(**{**options, "collapse": True})


def _font(app: Any, error: Exception | None) -> None:
    """The font of formulas, from the package that carries it, beside the pages."""
    spec = find_spec("ziamath")
    if error is None and app.builder.format == "html" and spec and spec.origin:
        font = Path(spec.origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"
        if font.is_file():
            shutil.copyfile(font, Path(app.outdir) / "_static" / font.name)
