"""Docstrings as they are written here, as reStructuredText.

In a docstring an indented block below a paragraph is a formula or an example and means what it looks like; in
reStructuredText it would be a quotation, whose lines are joined. Bars, stars and underscores in prose are themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["as_rst"]

_SECTION = re.compile(
    r"(Args|Arguments|Attributes|Returns|Yields|Raises|Example|Examples|Note|Notes|References|Warns|Keyword Args):\s*$"
)
_ITEM = re.compile(r"([-*+]|\d+\.|\#\.)\s")
_KEPT = re.compile(
    r"(``.+?``(?!`)|:[a-z:]+:`[^`]+`|`[^`]+`_{0,2}|\*\*\S.*?\*\*|(?<![\w*])\*(?:\w|\w[^*]*?\w)\*(?![\w*]))", re.DOTALL
)


def as_rst(text: str) -> str:
    """``text``, a docstring without common indentation, with formulas as literal blocks and letters as themselves."""
    lines = list(_blocks(text.expandtabs().splitlines()))
    return "\n".join(_escaped(lines)).rstrip() + "\n"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _blocks(lines: Sequence[str]) -> Iterator[tuple[bool, str]]:
    """Lines with whether they are literal; a directive before each block that is one."""
    above, literal, shift, last, section = 0, None, "", "", None
    for k, line in enumerate(lines):
        indent = _indent(line)
        if not line.strip():
            yield literal is not None, line
            continue
        if literal is not None and indent > literal:
            yield True, shift + line
            continue
        literal, shift = None, ""
        if section is not None and indent <= section:
            section = None
        marked = last.rstrip().endswith("::") or last.lstrip().startswith(".. ")
        deeper = k > 0 and not lines[k - 1].strip() and indent > above + (2 if _ITEM.match(last.strip()) else 0)
        if marked and indent > above:
            literal = above
            yield True, line
            continue
        if deeper and last and not _SECTION.match(last.strip()) and not _ITEM.match(line.strip()):
            literal = above
            # in the entry of a section it must stand as deep as the entry's words, and what is in it deeper
            shift, at = ("    ", indent) if section is not None else ("", above)
            yield False, " " * at + ".. code-block:: text"
            yield False, ""
            yield True, shift + line
            continue
        section = indent if _SECTION.match(line.strip()) else section
        above, last = indent, line
        yield _table(lines, k), line


def _table(lines: Sequence[str], k: int) -> bool:
    return bool(re.fullmatch(r"\s*=+(\s+=+)+\s*", lines[k]))


def _escaped(lines: Sequence[tuple[bool, str]]) -> Iterator[str]:
    """Prose is escaped by paragraphs, since a literal may go on over the end of a line."""
    prose: list[str] = []
    for literal, line in [*lines, (True, "")]:
        if literal or not line.strip() or line.lstrip().startswith(".. "):
            if prose:
                yield from _escape("\n".join(prose)).split("\n")
                prose = []
            yield line
        else:
            prose.append(line)


def _escape(prose: str) -> str:
    parts = _KEPT.split(prose)
    for k in range(0, len(parts), 2):
        # a bar, a star that is no bullet, and an underscore at the end of a word
        part = re.sub(r"(?<!\\)\|", r"\\|", parts[k])
        part = re.sub(r"(?<!\\)\*(?=\S)", r"\\*", part)
        parts[k] = re.sub(r"(?<=\w)_(?!\w)", r"\\_", part)
    return "".join(parts)
