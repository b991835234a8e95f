"""LaTeX to MathML, which browsers set themselves: no script runs when a page is read."""

from __future__ import annotations

import re
import unicodedata
from typing import Any
from xml.etree import ElementTree

__all__ = ["as_mathml"]


def as_mathml(latex: str, block: bool = False) -> str:
    """A formula as a ``<math>`` element.

    Args:
        latex: without dollar signs.
        block: on a line of its own.

    Raises:
        ValueError: a command that is not known.
    """
    from latex2mathml.converter import convert  # pyright: ignore[reportMissingImports]

    # inside \texttt the converter takes an escaped underscore literally
    plain = re.sub(r"\\texttt\{((?:[^{}\\]|\\.)*)\}", lambda m: m[0].replace(r"\_", "_"), latex.strip())
    if block and "\\\\" in plain and not re.search(r"\\begin\{", plain):
        plain = rf"\begin{{matrix}}{plain}\end{{matrix}}"
    made = convert(plain, display="block" if block else "inline")
    unknown = re.search(r"\\[A-Za-z]+|\\.", re.sub(r"<mo[^>]*>(?:\\|&#x0005C;)</mo>", "", made))
    if unknown:
        raise ValueError(
            f"the formula {latex.strip()!r} has {unknown[0]}, for which there is no MathML: write it otherwise"
        )
    tree = ElementTree.fromstring(made)
    tree.set("class", "block" if block else "inline")
    nodes = list(tree.iter())
    for node in nodes:
        _letters(node)
    for node in nodes:
        if _tag(node) in _ROWS:
            _spaces(node)
    ElementTree.register_namespace("", _MATHML)
    return ElementTree.tostring(tree, encoding="unicode")


_MATHML = "http://www.w3.org/1998/Math/MathML"
_ROWS = {"math", "mrow", "mtd", "msqrt"}
_SIGNS, _BRACKETS = ("-", "\u2212", "+", "\u00b1", "\u2213"), ("(", ")", "[", "]")
_STYLES = {
    "double-struck": ("MATHEMATICAL DOUBLE-STRUCK", "DOUBLE-STRUCK"),
    "script": ("MATHEMATICAL SCRIPT", "SCRIPT"),
}


def _tag(node: Any) -> str:
    return node.tag.rpartition("}")[2]


def _letters(node: Any) -> None:
    """MathML Core has no variants of letters but "normal", Unicode letters of their own; arrows and colons relate."""
    style, text = node.get("mathvariant"), node.text or ""
    if style in _STYLES and len(text) == 1:
        names = (f"{family} CAPITAL {text}" for family in _STYLES[style])
        node.text = next((unicodedata.lookup(name) for name in names if _known(name)), text)
        del node.attrib["mathvariant"]
    elif style == "monospace":
        del node.attrib["mathvariant"]
        node.set("class", "code")
    elif _tag(node) == "mi" and (text == ":" or "\u2190" <= text <= "\u21ff" or "\u27f0" <= text <= "\u27ff"):
        node.tag = f"{{{_MATHML}}}mo"
    elif _tag(node) == "mo" and (text == "\u2207" or (text.isalpha() and len(text) > 1)):
        node.tag = f"{{{_MATHML}}}mi"


def _known(name: str) -> bool:
    try:
        return bool(unicodedata.lookup(name))
    except KeyError:
        return False


def _spaces(row: Any) -> None:
    """A function stands off from what is before and behind it, unless that is an operator or a bracket; a sign does not
    stand off from what it belongs to, nor a bracket from what is in it."""
    for k, node in enumerate(row):
        if _tag(node) == "mo" and node.text in _SIGNS and (k == 0 or _opens(row[k - 1])):
            node.set("form", "prefix")
        if _tag(node) == "mo" and node.text in _BRACKETS:
            node.set("lspace", "0")
            node.set("rspace", "0")
    for node in [node for node in row if _is_function(node)]:
        k = list(row).index(node)
        if k + 1 < len(row) and not _brackets(row[k + 1]):
            row.insert(k + 1, _thin())
        if k > 0 and _tag(row[k - 1]) not in ("mo", "mspace"):
            row.insert(k, _thin())


def _opens(node: Any) -> bool:
    return _tag(node) == "mo" and node.text not in (")", "]", "}", "!", "\u2032")


def _brackets(node: Any) -> bool:
    """A space, an operator, or what begins with one."""
    first = node[0] if _tag(node) in ("mrow", "msup", "msub") and len(node) else node
    return _tag(first) in ("mo", "mspace") or (first is not node and _brackets(first))


def _is_function(node: Any) -> bool:
    base = node[0] if _tag(node) in ("msub", "msup", "munder") and len(node) else node
    return _tag(base) == "mi" and len(base.text or "") > 1 and (base.text or "").isascii()


def _thin() -> Any:
    return ElementTree.Element(f"{{{_MATHML}}}mspace", {"width": "0.167em"})
