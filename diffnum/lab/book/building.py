"""From the repository to HTML: pages are laid out beside each other, and sphinx renders them."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from ..listings import CERTIFICATES, SAMPLERS
from .pages import lay_out

__all__ = ["build"]

_NEEDED = {"sphinx": "sphinx", "myst_nb": "myst-nb", "furo": "furo", "latex2mathml": "latex2mathml"}
_ROOT = ("README.md", "CHANGELOG.md", SAMPLERS, CERTIFICATES, "theory/PROOFS.md", "notebooks/README.md")


def build(root: Path, out: Path) -> Path:
    """The book of the repository at ``root``, in ``out/html``; its pages before they are rendered in ``out/pages``.

    Warnings are errors: a link inside the book that leads nowhere, a page that no other leads to, a docstring that
    cannot be read.

    Returns:
        The first page, ``out/html/index.html``.

    Raises:
        ValueError: ``root`` is no checkout of the repository, a package of the extra ``docs`` is missing, or sphinx
            reported what it printed.
    """
    missing = [file for file in _ROOT if not (root / file).is_file()]
    if missing:
        raise ValueError(f"{root} has no {missing[0]}: run this at the root of a checkout of diffnum")
    absent = [name for module, name in _NEEDED.items() if find_spec(module) is None]
    if absent:
        raise ValueError(f"{', '.join(absent)} is not installed: pip install -c constraints.txt 'diffnum[docs]'")
    from sphinx.cmd.build import build_main  # pyright: ignore[reportMissingImports]

    pages, html = (out / "pages").resolve(), (out / "html").resolve()
    lay_out(root.resolve(), pages)
    shutil.rmtree(html, ignore_errors=True)
    os.environ["DIFFNUM_BOOK_ROOT"] = str(root.resolve())
    here = str(Path(__file__).parent)
    words = ["-q", "-W", "-E", "--keep-going", "-j", "auto", "-b", "html", "-c", here, "-d", str(out / "doctrees")]
    if build_main([*words, str(pages), str(html)]):
        raise ValueError("the book is not whole: mend what sphinx warned of above")
    (html / ".buildinfo").unlink(missing_ok=True)
    return html / "index.html"
