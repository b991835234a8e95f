"""LaTeX to MathML, which browsers set themselves: no script runs when a page is read."""

from __future__ import annotations

import re

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
        plain = rf"\begin{{gathered}}{plain}\end{{gathered}}"
    made = convert(plain, display="block" if block else "inline")
    unknown = re.search(r"\\[A-Za-z]+|\\.", re.sub(r"<mo[^>]*>(?:\\|&#x0005C;)</mo>", "", made))
    if unknown:
        raise ValueError(f"the formula {latex.strip()!r} has {unknown[0]}, which MathML has no word for: write it otherwise")
    # MathML Core has no variants but "normal", and a colon is no name
    made = made.replace('<mtext mathvariant="monospace">', '<mtext class="code">').replace("<mi>:</mi>", "<mo>:</mo>")
    return made.replace("<math ", f'<math class="{"block" if block else "inline"}" ', 1)
